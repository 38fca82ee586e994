"""The last line that a lost process wrote, as it may stand in a dataset."""

from __future__ import annotations

import re

MAX_CHARS = 240

_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_DATE, _TIME = r"\d{4}[-/]\d\d[-/]\d\d", r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
# What differs from run to run, or from machine to machine, and says nothing of the fault.
_NOISE = (
    (re.compile(rf"^\W*(?:{_DATE}[T ])?{_TIME}[\]\s,:-]*"), ""),
    (re.compile(r"\s*@ ?0x[0-9a-fA-F]+"), ""),  # [h264 @ 0x55d0c8a3b2c0] as FFmpeg writes it
    (re.compile(r"\b0x[0-9a-fA-F]{6,}"), "0x"),
    (re.compile(r"\b(pid|tid|process|thread)\b([ =:#]*)\d+", re.I), r"\1"),
    (re.compile(r"(?<![\w./:])/(?:[^\s/:'\"<>]+/)+(?=[^\s/])"), ""),  # the folders before a name
)


def last_line(written: str, path: str = "") -> str:
    """The last line with anything on it, "" if there is none.

    The same fault gives the same line on every run and machine: the path of the video, times,
    addresses, process ids and the folders of other paths are left out. Of a traceback it is the
    exception, of a failed check in native code the check.
    """
    lines = (_cleaned(line, path) for line in reversed(written.splitlines()))
    line = next((line for line in lines if line), "")
    return line if len(line) <= MAX_CHARS else line[: MAX_CHARS - 1] + "…"


def _cleaned(line: str, path: str) -> str:
    line = _COLOUR.sub("", line)
    if path:
        line = line.replace(path, "the video")
    for noise, put in _NOISE:
        line = noise.sub(put, line)
    return " ".join("".join(char if char.isprintable() else " " for char in line).split())
