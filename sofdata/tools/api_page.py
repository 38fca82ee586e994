"""docs/api.md, from signatures and docstrings: `python -m sofdata.tools.api_page` writes it anew.

A test compares the page with what this makes, so that it is never out of date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import sofdata
from sofdata.bench.envs import base, registry

INTRO = """\
# The public surface

What `import sofdata` gives. Made by `python -m sofdata.tools.api_page` from signatures and
docstrings; every example runs in the tests. Each name is imported at its first use, so that the
import itself costs a few hundredths of a second.

Nothing here prints, or ends the process: errors are raised, progress goes to callbacks, and notes
to the logger `sofdata`, which is silent until a program gives it a handler:
`logging.basicConfig(level=logging.INFO)`.
"""
SECTIONS = {
    "Functions": (
        *("ingest", "estimate", "verify", "load", "train", "load_policy"),
        *("select", "merge", "append", "split", "rewindow", "dedup", "export"),
    ),
    "Loading": ("Loader", "HeldOut", "Sides"),
    "Policies": ("Policy", "Control"),
    "Results": (
        *(
            "Summary",
            "Estimate",
            "NoEstimate",
            "Figure",
            "DatasetRecord",
            "Verdict",
            "Finding",
            "StoredSplit",
            "Deduplicated",
            "Copied",
        ),
        *("Trained", "StageResult"),
    ),
    "Values, in the order in which data flows": (
        *("VideoRef", "Frames", "FlowClip", "SkillWindow", "ActionWindow", "RejectedWindow"),
        *("Batch", "ActionBatch", "Skill", "Plan", "Actions"),
    ),
    "Errors, each named by what to do about it": (
        *("SofdataError", "ConfigError", "InputError", "DecodeError", "FlowError", "ActionError"),
        *("TransientError", "StorageError", "WorseError", "ContractError"),
    ),
}
# Not in `sofdata.__all__`: what an environment of one's own is made of.
ENVIRONMENTS = (base.Task, base.Env, base.Expert, base.Suite, registry.find_suite)
HEADS = ("Args", "Returns", "Raises", "Example")
_NAMED = re.compile(r"((?:\*{0,2}[A-Za-z_]\w*)(?:, \*{0,2}[A-Za-z_]\w*)*): (?=\S)")


def page() -> str:
    """The page as Markdown."""
    parts = [INTRO]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(f"sofdata.{name}", _object(name)) for name in names]
    parts.append("## Environments for the benchmark\n")
    parts += [_entry(f"{each.__module__}.{each.__name__}", each) for each in ENVIRONMENTS]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _object(name: str) -> Any:
    """What a public name stands for; `sofdata.ingest` and `sofdata.train` are also packages."""
    from sofdata.api import edits, functions

    return getattr(functions, name, None) or getattr(edits, name, None) or getattr(sofdata, name)


def _entry(name: str, thing: Any) -> str:
    lines = [f"### {name}", ""]
    if inspect.isfunction(thing):
        lines += ["```python", _signature(name, thing), "```", ""]
    elif is_dataclass(thing):
        values = ", ".join(each.name for each in fields(thing))
        lines += [f"`{name.rpartition('.')[2]}({values})`", ""]
    lines += _markdown(inspect.getdoc(thing) or "")
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        lines += _members(thing)
    return "\n".join(lines).rstrip() + "\n"


def _members(thing: type) -> Iterator[str]:
    """Methods and properties that a class itself has, those of its bases left out."""
    for name, value in vars(thing).items():
        target = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if name.startswith("_") or not (inspect.isfunction(target) or isinstance(value, property)):
            continue
        if name in ("problems", "model_post_init"):  # of pydantic's models
            continue
        text = inspect.getdoc(target)
        if not text:
            continue
        yield ""
        if inspect.isfunction(target):
            yield from ("```python", _signature(f"{thing.__name__}.{name}", target), "```", "")
        else:
            yield from (f"`{thing.__name__}.{name}`", "")
        yield from _markdown(text)


def _signature(name: str, function: Any) -> str:
    """`name(a, b=1) -> c` in one line, or with a line for each parameter."""
    signature = inspect.signature(function)
    given = [each for key, each in signature.parameters.items() if key not in ("self", "cls")]
    written = [_parameter(each) for each in given]
    kinds = [each.kind for each in given]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        written.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returns = signature.return_annotation
    end = "" if returns is inspect.Signature.empty else f" -> {returns}"
    line = f"{name}({', '.join(written)}){end}"
    if len(line) <= 100:
        return line
    inner = "".join(f"    {each},\n" for each in written)
    return f"{name}(\n{inner}){end}"


def _parameter(each: inspect.Parameter) -> str:
    """`name: type = default`; types are texts, as the modules have them unevaluated."""
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(each.kind.name, "")
    default = "" if each.default is inspect.Parameter.empty else f" = {each.default!r}"
    return f"{stars}{each.name}: {each.annotation}{default}"


def _markdown(text: str) -> list[str]:
    """A docstring: its sections as bold words, parameters as list items, examples as code."""
    lines: list[str] = []
    margin, indent, fence = 0, 0, False
    for raw in [*text.splitlines(), ""]:
        if fence and not raw.strip():
            lines.append("```")
            fence = False
        if raw.removesuffix(":") in HEADS and not raw.startswith(" "):
            lines += [f"**{raw.removesuffix(':')}**", ""]
            margin = 4
            continue
        if raw and not raw.startswith(" "):
            margin = 0
        line = raw[margin:]
        code = line.lstrip().startswith(">>> ") or (line.startswith("    ") and _begins(lines))
        if code and not fence:
            lines.append("```python")
            fence, indent = True, len(line) - len(line.lstrip())
        if fence:
            lines.append(line[indent:])
        elif named := _NAMED.match(line):
            lines.append(f"- `{named[1]}`: {line[named.end() :]}")
        else:
            item = bool(lines) and lines[-1].startswith(("- ", "  ")) and line.startswith(" ")
            lines.append(f"  {line.strip()}" if item else line.strip())
    return lines


def _begins(lines: list[str]) -> bool:
    """Whether an indented line would begin a block of code: it follows an empty one."""
    return bool(lines) and not lines[-1].strip()


def main() -> None:
    """Write docs/api.md of this checkout."""
    path = Path(__file__).resolve().parents[2] / "docs" / "api.md"
    path.write_text(page(), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
