"""Films whose packets are no frames: fields, packets of no bytes, several frames in one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conformance import boxes, fields
from tests.conformance.barcode import Picture, draw
from tests.conformance.encoding import FPS, HEIGHT, WIDTH, ffmpeg, pictures, rewrap
from tests.conformance.films import CONTAINERS, FRAMES, Film, Make, film_of, steady, write
from tests.conformance.rule import Shown


def field_films() -> list[Film]:
    """H.264 coded as fields, alone and with whole frames between, where it is met."""
    films = []
    for suffix, container in ((".ts", "TS"), (".m2ts", "AVCHD"), (".mp4", "MP4"), (".mkv", "MKV")):
        for every, condition in ((0, "fields"), (3, "fields and frames")):
            films.append(Film(container, "H.264 PAFF", condition, suffix, _fields(every)))
    return films


def _fields(whole_every: int) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        frames = pictures(FRAMES, fields.WIDTH, fields.HEIGHT)
        accesses = list(fields.coded(frames, FPS, whole_every=whole_every))
        if path.suffix in (".ts", ".m2ts"):
            fields.write(path, accesses, FPS)
            return steady(FRAMES)
        stream = path.with_suffix(".ts")
        fields.write(stream, accesses, FPS)

        whole = iter(accesses)

        def change(_: int, packet: Any) -> Any:
            import av

            if packet.dts is None:
                return None  # a second field, which these containers keep with the first
            access = next(whole)
            new = av.Packet(access.data)
            new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
            new.duration, new.is_keyframe = 3000, access.key
            return new

        rewrap(
            stream, path, container={".mp4": "mp4", ".mkv": "matroska"}[path.suffix], change=change
        )
        return steady(FRAMES)

    return make


def empty_films() -> list[Film]:
    """Packets of no bytes, and frames that an edit list hides."""
    return [
        film_of("MOV", "MJPEG", "samples of no bytes", _empty_in_mov("MJPEG")),
        film_of("MOV", "H.264", "samples of no bytes", _empty_in_mov("H.264")),
        film_of("OGV", "Theora", "packets of no bytes", _empty_in("OGV", "Theora", "OGV")),
        film_of("NUT", "H.264", "packets of no bytes", _empty_in("MP4", "H.264", "NUT")),
        film_of("AVI", "packed DivX", "plain", _packed),
        film_of("MP4", "H.264 B", "edit list hides the start", _cut_by_copy("H.264 B")),
        film_of(
            "MP4", "H.264 open GOP", "edit list hides the start", _cut_by_copy("H.264 open GOP")
        ),
        film_of("MP4", "HEVC open GOP", "edit list hides the start", _cut_by_copy("HEVC open GOP")),
        film_of("MP4", "H.264", "edit list hides the start", _cut_by_copy("H.264")),
        film_of("MP4", "H.264", "edit list of two pieces", _pieces("H.264", 0.0)),
        film_of("MP4", "H.264 B", "edit list of two pieces", _pieces("H.264 B", 2 / FPS)),
        film_of("MOV", "MJPEG", "edit list of two pieces", _pieces("MJPEG", 0.0)),
    ]


REPEATED = (20, 21, 50)


def _with_repeats() -> tuple[list[Picture], list[Shown]]:
    """Frames of which some repeat the one before, and what is then shown that is new."""
    frames: list[Picture] = []
    shown: list[Shown] = []
    number = -1
    for place in range(FRAMES):
        if place not in REPEATED:
            number += 1
            shown.append(Shown(place / FPS, number))
        frames.append(draw(number, WIDTH, HEIGHT))
    return frames, shown


def _empty_in_mov(codec: str) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        frames, shown = _with_repeats()
        write(path, "MOV", codec, frames)
        boxes.empty_samples(path, REPEATED)
        return shown

    return make


def _empty_in(container: str, codec: str, target: str) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        import av

        frames, shown = _with_repeats()
        full = path.with_suffix(".full" + CONTAINERS[container][1])
        write(full, container, codec, frames)

        def change(number: int, packet: Any) -> Any:
            if number not in REPEATED:
                return packet
            empty = av.Packet(b"")
            empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
            empty.duration = packet.duration
            return empty

        rewrap(full, path, container=CONTAINERS[target][0], change=change)
        return shown

    return make


def _cut_by_copy(codec: str) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        whole = path.with_suffix(".whole.mp4")
        write(whole, "MP4", codec, pictures(FRAMES, WIDTH, HEIGHT))
        ffmpeg("-ss", "1.1", "-i", whole, "-c", "copy", path)
        return steady(FRAMES - 33, first=33)

    return make


def _pieces(codec: str, delay_s: float) -> Make:
    """delay_s: when the first frame is shown by the track's own clock, after reordering."""

    def make(path: Path) -> Sequence[Shown]:
        write(
            path, "MP4" if path.suffix == ".mp4" else "MOV", codec, pictures(FRAMES, WIDTH, HEIGHT)
        )
        boxes.set_edits(path, [(0.5 + delay_s, 1.0), (2.0 + delay_s, 0.8)])
        return [*steady(30, first=15), *steady(24, first=60, start_s=1.0)]

    return make


def _packed(path: Path) -> Sequence[Shown]:
    """MPEG-4 as DivX packs it: a B-frame lies in one chunk with the frame after which it is shown.

    The chunk that it leaves is filled with a frame that says that nothing is coded, so that there
    are as many chunks as frames. User data names the encoder as one that does so.
    """
    import av

    plain = path.with_suffix(".plain.avi")
    write(plain, "AVI", "MPEG-4 B", pictures(FRAMES, WIDTH, HEIGHT), b_frames=1)
    with av.open(str(plain)) as given:
        data = [bytes(packet) for packet in given.demux(video=0) if packet.size]
    is_b = [_vop_type(one) == 2 for one in data]

    def change(number: int, packet: Any) -> Any:
        if is_b[number]:
            packed = _not_coded(data[number - 1])
        else:
            following = is_b[number + 1 : number + 2] == [True]
            packed = data[number] + (data[number + 1] if following else b"")
        if number == 0:
            packed = _named_divx(packed)
        new = av.Packet(packed)
        new.pts = new.dts = number
        new.time_base, new.is_keyframe = packet.time_base, packet.is_keyframe
        return new

    rewrap(plain, path, container="avi", change=change)
    return steady(FRAMES)


_VOP, _USER_DATA = b"\x00\x00\x01\xb6", b"\x00\x00\x01\xb2"


def _vop_type(data: bytes) -> int:
    """0 for I, 1 for P, 2 for B (ISO/IEC 14496-2, 6.2.5)."""
    return data[data.index(_VOP) + 4] >> 6


def _not_coded(reference: bytes) -> bytes:
    """A P-frame of which nothing is coded, at the time of the given one."""
    at = reference.index(_VOP) + 4
    bits = "".join(f"{byte:08b}" for byte in reference[at : at + 8])
    end = 2
    while bits[end] == "1":  # whole seconds
        end += 1
    end += 2 + 5 + 1  # their end, a marker, 5 bits for 30 ticks a second, a marker
    code = "01" + bits[2:end] + "0"
    code += "0" + "1" * (7 - len(code) % 8)
    return _VOP + bytes(int(code[at : at + 8], 2) for at in range(0, len(code), 8))


def _named_divx(data: bytes) -> bytes:
    name = _USER_DATA + b"DivX503b1393p\x00"
    if _USER_DATA in data:
        start = data.index(_USER_DATA)
        end = data.index(b"\x00\x00\x01", start + 4)
        return data[:start] + name + data[end:]
    at = data.index(_VOP)
    return data[:at] + name + data[at:]
