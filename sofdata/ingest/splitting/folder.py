"""The parts of one video, shared by workers through a temporary folder of their machine.

Files say how far each part is, so that workers need not speak to each other:

- `NUMBER.lock` is locked by the worker that works on the part. The kernel releases it when that
  worker ends, however it ends: the part is then free again.
- `NUMBER.steps` holds what has come of the part, and is removed as it is joined to the rest.
- `NUMBER.taken`: the worker that joins has it, whether it read the file or did the part itself.
- `broken`: some part does not come as from the whole video. Nobody is to work on.

The folder itself is locked by the worker that joins, and goes with it. Where it fails (its disk is
full, or it has gone), so do the parts: `NotAsWhole` then says that the video has to do without.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sofdata.ingest.splitting.steps_file import read_steps, write_steps
from sofdata.ingest.stages import StepChunk
from sofdata.storage.temporary import temporary_folder
from sofdata.system.locks import flock
from sofdata.video.division import NotAsWhole

_BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class PartFolder:
    """A view of the folder, for any of its workers.

    parts: how many there are. ahead: how many may be under way, or done and not yet joined.
    """

    path: str
    parts: int
    ahead: int

    def is_open(self) -> bool:
        """Whether there is still somebody who joins the parts, and nothing has gone wrong."""
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            return not _locks(handle) and not self.why_broken()
        finally:
            os.close(handle)

    def break_off(self, why: str) -> None:
        """Say that the video cannot be put together from parts."""
        with suppress(OSError):  # nobody wants to know any more, or the disk is full
            self._file(_BROKEN).write_text(why)

    def why_broken(self) -> str:
        """The reason that `break_off` was given, "" if it was not called."""
        try:
            return self._file(_BROKEN).read_text() or _BROKEN
        except FileNotFoundError:
            return ""

    def take(self, number: int) -> bool:
        """Take a part to join it, unless a worker has it or has done it. Raises `NotAsWhole`."""
        with self._claim(number) as claimed, _failing():
            if claimed:
                self._file(number, "taken").touch()
        return claimed

    def is_done(self, number: int) -> bool:
        """Whether the steps of a part are there to be read."""
        return self._file(number, "steps").exists()

    def read(self, number: int) -> Iterator[StepChunk]:
        """The steps of a part that is done, which is then no longer there. Raises `NotAsWhole`."""
        path = self._file(number, "steps")
        with _failing():
            self._file(number, "taken").touch()
            yield from read_steps(str(path))
            path.unlink()

    @contextmanager
    def next_part(self) -> Iterator[int | None]:
        """Claim the first part that nobody has, for the length of the block; None if there is none.

        There is none, too, as long as so many are ahead of the one that is joined. Raises
        `NotAsWhole`.
        """
        with _failing():
            names = set(os.listdir(self.path))
        ahead = 0
        for number in range(self.parts):
            if f"{number}.taken" in names:
                continue
            with self._claim(number) as claimed:
                if claimed:
                    yield number
                    return
            ahead += 1
            if ahead >= self.ahead:
                break
        yield None

    def has_left(self) -> bool:
        """Whether there are parts that nobody has taken or done."""
        return not all(self._is_over(number) for number in range(self.parts))

    def write(self, number: int, chunks: Iterable[StepChunk]) -> None:
        """Store the steps of a part that is claimed. Raises what `chunks` raises, `NotAsWhole`."""
        path = self._file(number, "part")
        try:
            with _failing():
                write_steps(str(path), chunks)
                path.rename(self._file(number, "steps"))
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    @contextmanager
    def _claim(self, number: int) -> Iterator[bool]:
        """Whether a part is this worker's for the length of the block."""
        with _failing():
            handle = os.open(self._file(number, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield _locks(handle) and not self._is_over(number)
        finally:
            os.close(handle)

    def _is_over(self, number: int) -> bool:
        return any(self._file(number, kind).exists() for kind in ("steps", "taken"))

    def _file(self, name: int | str, kind: str = "") -> Path:
        return Path(self.path, f"{name}.{kind}" if kind else str(name))


def _locks(handle: int) -> bool:
    """Lock an open file; False where another worker holds it."""
    try:
        flock(handle, wait=False)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _failing() -> Iterator[None]:
    """Turn a system error of the block into a `NotAsWhole`."""
    try:
        yield
    except OSError as error:
        raise NotAsWhole(f"the folder of parts fails ({error.strerror})") from None


@contextmanager
def part_folder(parts: int, ahead: int) -> Iterator[PartFolder | None]:
    """A new folder, for the worker that joins the parts; None where there is no room or no lock."""
    with ExitStack() as stack:
        try:
            path = stack.enter_context(temporary_folder())
        except OSError:
            yield None
            return
        folder = PartFolder(path, parts, ahead)
        yield folder if folder.is_open() else None
