"""What it takes to read a corpus beyond what is installed with sofdata, and whether it is here."""

from __future__ import annotations

from dataclasses import dataclass

from sofdata.corpora.base import ActionFormatCorpus, Corpus, FormatCorpus
from sofdata.system import extras
from sofdata.video.sequences.formats import FORMATS


@dataclass(frozen=True, slots=True)
class Needs:
    """Optional packages of a corpus.

    packages: modules that are imported to read it, none for most corpora. missing: those of them
    that are not installed. install: the command for these, "" where all are here.
    only_with_actions: whether its videos alone need none of them.
    """

    packages: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    install: str = ""
    only_with_actions: bool = False

    @property
    def text(self) -> str:
        """A line for a person, "" where nothing is needed."""
        if not self.packages:
            return ""
        when = " with --with-actions" if self.only_with_actions else ""
        needs = f"needs {', '.join(self.packages)}{when}"
        if not self.missing:
            return f"{needs}: installed"
        return f"{needs}; not installed: {', '.join(self.missing)}: {self.install}"


def needs_of(corpus: Corpus) -> Needs:
    """What the formats of a corpus need."""
    if isinstance(corpus, FormatCorpus):
        return _needs(corpus.formats, only_with_actions=False)
    if isinstance(corpus, ActionFormatCorpus):
        return _needs(corpus.action_formats, only_with_actions=True)
    return Needs()


def _needs(names: tuple[str, ...], only_with_actions: bool) -> Needs:
    formats = [FORMATS[name] for name in names]
    packages = tuple(dict.fromkeys(each for format in formats for each in format.needs))
    missing = tuple(extras.missing(packages))
    wanted = dict.fromkeys(each.extra for each in formats if set(missing) & set(each.needs))
    install = extras.install(",".join(wanted)) if wanted else ""
    return Needs(packages, missing, install, only_with_actions and bool(packages))
