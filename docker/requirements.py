"""Requirements of the images, from pyproject.toml: for a layer that changes only with them.

    python requirements.py EXTRA...        prints what the project with these extras requires
    python requirements.py --pin EXTRA...  prints what is installed here because of that:
                                           this is how constraints.txt was made

The first form needs nothing but Python; the second the package `packaging`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def requirements(project: Path, extras: list[str]) -> list[str]:
    """What the project requires with these extras, each line once."""
    table = tomllib.loads(project.read_text())["project"]
    own = re.compile(rf"{re.escape(table['name'])}\[([\w,]+)\]")

    def lines_of(extra: str) -> Iterator[str]:
        for line in table["optional-dependencies"][extra]:
            if found := own.fullmatch(line):  # an extra that is made of others
                for name in found[1].split(","):
                    yield from lines_of(name)
            else:
                yield line

    found = [*table["dependencies"], *(line for extra in extras for line in lines_of(extra))]
    return list(dict.fromkeys(found))


def pinned(lines: list[str]) -> list[str]:
    """`name==version` of all that is installed here because of these requirements."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    asked: set[tuple[str, tuple[str, ...]]] = set()
    waiting: list[tuple[Requirement, tuple[str, ...]]]
    waiting = [(Requirement(line), ("",)) for line in lines]
    while waiting:
        wanted, extras = waiting.pop()
        if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        inner = ("", *sorted(wanted.extras))
        if (name, inner) in asked:
            continue
        asked.add((name, inner))
        try:
            known = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{name} is required, and not installed here") from None
        found[name] = known.version.partition("+")[0]
        waiting += [(Requirement(line), inner) for line in known.requires or ()]
    return [f"{name}=={found[name]}" for name in sorted(found)]


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    places = [here / "pyproject.toml", here.parent / "pyproject.toml"]
    project = next(path for path in places if path.is_file())
    words = sys.argv[1:]
    lines = requirements(project, [word for word in words if word != "--pin"])
    print("\n".join(pinned(lines) if "--pin" in words else lines))
