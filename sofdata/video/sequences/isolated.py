"""What a file holds beside video, read in the decoding process: what lies in it, and its numbers.

A file that makes a library hang, crash or fill the memory so costs itself alone, in a listing as in
the reading of actions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import numpy as np

from sofdata.video.isolate import DecoderProcess, error_of, size_of
from sofdata.video.limits import LimitConfig
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import Rows
from sofdata.video.sequences.place import SequencePlace


class RecordReader:
    """Asks the decoding process. Not for several threads; `close` it, or use it in a `with` block.

    Each method raises the `InputError` that the reader of the format does, and what
    `sofdata.video.isolate` raises for one that hangs, crashes or takes too much.
    """

    def __init__(self, limits: LimitConfig | None = None) -> None:
        self._process = DecoderProcess(limits or LimitConfig())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def launch(self) -> None:
        """Start the process if there is none. Raises `OSError` where that cannot be done."""
        self._process.launch()

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def look(self, source: Source, format: str, options: Mapping[str, Any] | None = None) -> Any:
        """What a file or folder holds, as the reader of `format` says it."""
        _, payload = self._ask(source, {"look": format, "options": dict(options or {})})
        try:
            return json.loads(bytes(payload))
        except (ValueError, RecursionError):
            raise self._process.protocol_error() from None

    def rows(self, source: Source, place: SequencePlace) -> Rows:
        """Numbers that lie beside pictures."""
        header, payload = self._ask(source, {"rows": place.text})
        try:
            count, size = map(int, header["shape"])
            values = np.frombuffer(payload, "<f4", count * size).reshape(count, size)
            times_s = np.frombuffer(payload, "<f8", count, 4 * count * size)
            return Rows(values.astype(np.float32), times_s.astype(np.float64))
        except (KeyError, OverflowError, TypeError, ValueError):
            raise self._process.protocol_error() from None

    def _ask(self, source: Source, wanted: dict[str, Any]) -> tuple[dict[str, Any], memoryview]:
        limit_s = self._process.limits.seconds(0.0, size_of(source))
        self._process.begin(source, wanted)
        header, payload = self._process.receive(limit_s)
        if header["kind"] != "end":
            raise error_of(str(source), header)
        return header, payload


@cache
def own_reader() -> RecordReader:
    """The reader of a process that reads numbers with each video; it ends with the process."""
    return RecordReader()
