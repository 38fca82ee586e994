"""Files that are put together or damaged in ways that no muxer would, read in spans and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from tests.conformance.barcode import read
from tests.conformance.encoding import FPS, HEIGHT, WIDTH, encode, pictures, rewrap
from tests.conformance.films import write

FRAMES = 90


def _seen(path: Path, span_s: tuple[float, float] | None = None) -> list[tuple[float, int | None]]:
    """(time, number) of every frame; None for a picture that is damaged."""
    stream = open_video(str(path), VideoConfig(), Sampling(96, 0.001, span_s))
    seen: list[tuple[float, int | None]] = []
    for chunk in stream:
        new = zip(chunk.pts_s[1 if seen else 0 :], chunk.rgb[1 if seen else 0 :], strict=True)
        seen += [(float(time_s), read(rgb).number) for time_s, rgb in new]
    return seen


def test_packets_that_decode_to_nothing_do_not_shift_what_follows_in_avi(tmp_path: Path) -> None:
    """AVI has an order and no times, and decoders pass over garbage without an error."""
    plain, path = tmp_path / "plain.avi", tmp_path / "damaged.avi"
    write(plain, "AVI", "MPEG-4 B", pictures(FRAMES, WIDTH, HEIGHT))

    def change(number: int, packet: Any) -> Any:
        import av

        if not 13 <= number < 18:
            return packet
        empty = av.Packet(bytes(packet.size))
        empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
        return empty

    rewrap(plain, path, container="avi", change=change)
    # From the next key frame on, all pictures are whole again.
    later = [(round(time_s * FPS, 3), number) for time_s, number in _seen(path)][-66:]
    assert later == [(number, number) for number in range(24, FRAMES)]


def test_matroska_without_key_frames_to_seek_to_is_read_in_spans(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.mkv", tmp_path / "keyless.mkv"
    encode(plain, pictures(FRAMES, WIDTH, HEIGHT), container="matroska", codec="ffv1")

    def change(_: int, packet: Any) -> Any:
        packet.is_keyframe = False
        return packet

    rewrap(plain, path, container="matroska", change=change)
    assert [number for _, number in _seen(path, (0.99, 1.51))] == list(range(30, 46))


def test_a_span_of_joined_matroska_files_is_that_of_the_first(tmp_path: Path) -> None:
    """Joined by `cat`; what follows repeats the times of the first, and is left out."""
    parts = []
    for number in range(2):
        part = tmp_path / f"{number}.mkv"
        write(part, "MKV", "H.264 B", pictures(FRAMES, WIDTH, HEIGHT, number * FRAMES))
        parts.append(part.read_bytes())
    path = tmp_path / "joined.mkv"
    path.write_bytes(b"".join(parts))
    for span_s in (None, (0.0, FRAMES / FPS), (0.0, 100.0)):
        assert [number for _, number in _seen(path, span_s)] == list(range(FRAMES))
    for first in (0, 10, 40, 60):
        seen = _seen(path, (max(0.0, first / FPS - 0.01), (first + 20) / FPS - 0.01))
        assert [number for _, number in seen] == list(range(first, first + 20))
