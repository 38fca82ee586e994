"""A sequence of pictures is sampled, salvaged and reported like a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sofdata.errors import DecodeError
from sofdata.video.config import VideoConfig
from sofdata.video.isolate import DecoderProcess
from sofdata.video.limits import LimitConfig
from sofdata.video.probe import Unusable
from sofdata.video.sampling import Sampling, StepSampler
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.conformance.barcode import draw, read
from tests.sequences import HEIGHT, WIDTH, encoded, image_bytes, numbers_of, write_frames

PLACE = SequencePlace.of("frames", "frame_*.jpg", fps=10.0)


def opened(folder: Path, place: SequencePlace = PLACE, **sampling: object) -> SequenceStream:
    wanted = Sampling(**{"size": 96, "step_s": 0.2, **sampling})  # type: ignore[arg-type]
    return SequenceStream(f"{folder}/", place, VideoConfig(), wanted)


@pytest.fixture
def process() -> Iterator[DecoderProcess]:
    process = DecoderProcess(LimitConfig())
    yield process
    process.close()


def test_pictures_are_sampled_by_their_times(tmp_path: Path) -> None:
    stream = opened(write_frames(tmp_path, range(21)))
    assert numbers_of(stream) == list(range(0, 21, 2))
    assert (stream.info.width, stream.info.height) == (WIDTH, HEIGHT)
    assert stream.info.fps == pytest.approx(10)
    assert stream.duration_s == pytest.approx(2)
    assert stream.report.salvaged == ""
    assert stream.report.covered_s == pytest.approx(2)
    assert stream.decoder == "frames mjpeg"


def test_numbers_are_numbers_whatever_their_width(tmp_path: Path) -> None:
    write_frames(tmp_path, range(25), "frame_{}.jpg")
    assert numbers_of(opened(tmp_path, step_s=0.1)) == list(range(25))


def test_a_span_and_hidden_stretches_count_as_in_videos(tmp_path: Path) -> None:
    write_frames(tmp_path, range(30))
    stream = opened(tmp_path, step_s=0.1, span_s=(0.5, 2.5), hidden_s=((1.0, 1.55),))
    assert numbers_of(stream) == [*range(5, 10), *range(16, 25)]


def test_a_missing_picture_leaves_a_gap_and_is_told(tmp_path: Path) -> None:
    write_frames(tmp_path, [*range(10), *range(12, 20)])
    stream = opened(tmp_path, step_s=0.1)
    times = np.concatenate([chunk.pts_s for chunk in stream])
    assert times.tolist() == pytest.approx([*np.arange(10) / 10, *np.arange(12, 20) / 10])
    assert stream.report.frames_lost == 2
    assert "2 pictures are missing, the first after number 9" in stream.report.salvaged


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_picture_costs_itself_alone(tmp_path: Path, damage: str) -> None:
    write_frames(tmp_path, range(20))
    picture = tmp_path / "frame_000008.jpg"
    data = picture.read_bytes()
    picture.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"moved"}[damage])
    stream = opened(tmp_path)
    assert numbers_of(stream) == [0, 2, 4, 6, 9, 11, 13, 15, 17, 19]
    assert stream.report.decode_errors == stream.report.frames_lost == 1
    assert stream.report.salvaged.startswith("1 pictures cannot be read")


def test_pictures_of_a_full_disk_are_looked_at_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path, [*range(10), *range(1510, 1520)])
    for number in range(10, 1510):
        (tmp_path / f"frame_{number:06d}.jpg").write_bytes(b"")
    offered = 0
    offer = StepSampler.offer

    def counted(self: StepSampler[int], pts_s: float, item: int) -> list[tuple[float, int]]:
        nonlocal offered
        offered += 1
        return offer(self, pts_s, item)

    monkeypatch.setattr(StepSampler, "offer", counted)
    stream = opened(tmp_path, step_s=0.3)
    assert numbers_of(stream)[:4] == [0, 3, 6, 9]
    assert stream.report.decode_errors == 1499  # the first lies too near the one before it
    assert offered < 5 * 1520  # and not for each the ones before it


def test_times_may_be_given_and_those_that_go_back_are_left_out(tmp_path: Path) -> None:
    write_frames(tmp_path, range(6))
    (tmp_path / "times.txt").write_text("0.0\n0.1\n0.2\n0.15\n0.4\nnan\n")
    place = SequencePlace.of("frames", "frame_*.jpg", times="times.txt")
    stream = opened(tmp_path, place, step_s=0.1)
    assert numbers_of(stream) == [0, 1, 2, 4]
    assert stream.report.frames_undated == 2


def test_where_no_time_is_known_that_is_the_reason(tmp_path: Path) -> None:
    write_frames(tmp_path, range(3))
    (tmp_path / "times.txt").write_text("nan\n" * 3)
    place = SequencePlace.of("frames", "frame_*.jpg", times="times.txt")
    with pytest.raises(Unusable, match="of no picture the time is known") as error:
        list(opened(tmp_path, place))
    assert error.value.reason == "no_times"


def test_a_list_of_times_of_another_length_is_an_error(tmp_path: Path) -> None:
    write_frames(tmp_path, range(6))
    (tmp_path / "times.txt").write_text("0.0\n0.1\n")
    place = SequencePlace.of("frames", "frame_*.jpg", times="times.txt")
    with pytest.raises(Unusable, match="has 2 times for 6 pictures"):
        opened(tmp_path, place)


def test_a_folder_without_such_pictures_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="holds no picture named"):
        opened(tmp_path)


def test_where_no_picture_can_be_read_that_is_the_error(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"frame_{number}.jpg").write_bytes(b"GIF89a")
    with pytest.raises(DecodeError, match="none of the first 5 pictures can be read"):
        opened(tmp_path)


def test_too_large_a_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    write_frames(tmp_path, range(2))
    with pytest.raises(Unusable, match="max_pixels") as refused:
        SequenceStream(f"{tmp_path}/", PLACE, VideoConfig(max_pixels=1000), Sampling(96, 0.1))
    assert refused.value.reason == "too_large"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_other_kinds_of_pictures_are_told_by_their_content(tmp_path: Path, kind: str) -> None:
    write_frames(tmp_path, range(5), kind=kind)  # named .jpg all the same
    assert numbers_of(opened(tmp_path, step_s=0.1)) == list(range(5))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(tmp_path: Path, turn: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    upright = draw(77, WIDTH, HEIGHT)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[turn]
    data = image_bytes(np.ascontiguousarray(stored), kind, exif=exif)
    for number in range(2):
        (tmp_path / f"frame_{number}.jpg").write_bytes(data)
    stream = opened(tmp_path, step_s=0.1)
    (chunk,) = stream
    assert (stream.info.width, stream.info.height) == (WIDTH, HEIGHT)
    found = read(chunk.rgb[0])
    assert (found.number, found.held) == (77, "upright")


def test_the_decoding_process_gives_the_same(tmp_path: Path, process: DecoderProcess) -> None:
    write_frames(tmp_path, range(21))
    wanted = Sampling(size=96, step_s=0.2)
    path = f"{tmp_path}/"
    there = process.open(path, VideoConfig(), wanted, "pyav", sequence=PLACE.text)
    here = SequenceStream(path, PLACE, VideoConfig(), wanted)
    assert [c.rgb.tobytes() for c in there] == [c.rgb.tobytes() for c in here]
    assert there.report == here.report
    assert (there.info.width, there.info.height) == (WIDTH, HEIGHT)
    assert there.duration_s == pytest.approx(2)


def test_errors_come_back_from_the_decoding_process(
    tmp_path: Path, process: DecoderProcess
) -> None:
    wanted = Sampling(size=96, step_s=0.2)
    with pytest.raises(Unusable, match="holds no picture named"):
        process.open(f"{tmp_path}/", VideoConfig(), wanted, "pyav", sequence=PLACE.text)


def test_a_picture_keeps_its_colours(tmp_path: Path) -> None:
    (tmp_path / "frame_1.jpg").write_bytes(encoded(9, "PNG"))
    (tmp_path / "frame_2.jpg").write_bytes(encoded(10, "PNG"))
    place = SequencePlace.of("frames", "frame_*.jpg", fps=10.0)
    wanted = Sampling(size=128, step_s=0.1)
    (chunk,) = SequenceStream(f"{tmp_path}/", place, VideoConfig(fit="crop"), wanted)
    drawn = draw(9, WIDTH, HEIGHT)[:, 32:160]
    assert np.abs(chunk.rgb[0].astype(int) - drawn).mean() < 1


def test_a_grey_picture_of_16_bits_is_depth(tmp_path: Path) -> None:
    depth = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for number in range(5):
        Image.fromarray(depth).save(tmp_path / f"frame_{number:06d}.png")
    with pytest.raises(Unusable, match="a depth map, no picture"):
        opened(tmp_path, SequencePlace.of("frames", "frame_*.png", fps=10.0))


def test_pictures_of_several_formats_and_sizes_are_one_sequence(tmp_path: Path) -> None:
    write_frames(tmp_path, range(8), "frame_{:03d}.jpg")
    write_frames(tmp_path, range(8, 14), "frame_{:03d}.PNG", "PNG")
    for number in range(14, 20):
        small = Image.fromarray(draw(number, WIDTH // 2 * 3, HEIGHT // 2 * 3))
        small.save(tmp_path / f"frame_{number:03d}.webp", quality=95)
    place = SequencePlace.of("frames", "frame_*.*", fps=10.0)
    stream = opened(tmp_path, place, step_s=0.1)
    assert numbers_of(stream) == list(range(20))
    assert stream.report.salvaged == "its pictures have 2 different sizes"


def test_a_picture_is_what_it_holds_whatever_its_suffix_says(tmp_path: Path) -> None:
    write_frames(tmp_path, range(10), kind="PNG")
    stream = opened(tmp_path, step_s=0.1)
    assert stream.decoder == "frames png"
    assert numbers_of(stream) == list(range(10))


def test_of_two_pictures_of_one_number_the_first_by_name_is_used_and_that_is_told(
    tmp_path: Path,
) -> None:
    write_frames(tmp_path, range(10), "{:04d}.jpg")
    write_frames(tmp_path, range(3, 6), "{}.jpg")
    stream = opened(tmp_path, SequencePlace.of("frames", "*.jpg", fps=10.0), step_s=0.1)
    assert numbers_of(stream) == list(range(10))
    assert "3 pictures have the number of another, as 3.jpg" in stream.report.salvaged


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    write_frames(tmp_path, range(5), "{}.jpg")
    write_frames(tmp_path, range(5, 9), "._{}.jpg")
    place = SequencePlace.of("frames", "*.jpg", fps=10.0)
    assert numbers_of(opened(tmp_path, place, step_s=0.1)) == list(range(5))


def test_every_fifth_number_is_a_picture_after_the_other_and_that_is_told(tmp_path: Path) -> None:
    write_frames(tmp_path, range(0, 50, 5))
    stream = opened(tmp_path, step_s=0.1)
    assert numbers_of(stream) == list(range(0, 50, 5))
    assert stream.report.salvaged == "numbers go up by 5; the pictures are taken to be 1/10 s apart"
