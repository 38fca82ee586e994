"""What it takes to read a corpus beyond what is installed with sofdata, and whether it is here."""

from __future__ import annotations

from dataclasses import dataclass

from sofdata.corpora.base import Corpus, FormatCorpus
from sofdata.system import extras
from sofdata.video.sequences.formats import FORMATS


@dataclass(frozen=True, slots=True)
class Needs:
    """Optional packages of a corpus.

    packages: modules that are imported to read it, none for most corpora. missing: those of them
    that are not installed. install: the command for these, "" where all are here.
    """

    packages: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    install: str = ""

    @property
    def text(self) -> str:
        """A line for a person, "" where nothing is needed."""
        if not self.packages:
            return ""
        needs = f"needs {', '.join(self.packages)}"
        if not self.missing:
            return f"{needs}: installed"
        return f"{needs}; not installed: {', '.join(self.missing)}: {self.install}"


def needs_of(corpus: Corpus) -> Needs:
    """What the formats of a corpus need."""
    formats = corpus.formats if isinstance(corpus, FormatCorpus) else ()
    packages = tuple(dict.fromkeys(each for name in formats for each in FORMATS[name].needs))
    missing = tuple(extras.missing(packages))
    wanted = [
        FORMATS[name].extra for name in formats if set(missing).intersection(FORMATS[name].needs)
    ]
    return Needs(
        packages, missing, extras.install(",".join(dict.fromkeys(wanted))) if wanted else ""
    )
