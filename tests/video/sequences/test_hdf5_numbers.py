"""Numbers of HDF5 files by name; and that nothing outside of a file is read through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from sofdata.errors import InputError
from sofdata.system.processes import decoding_environment
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sequences.hdf5.files import find, opened
from sofdata.video.sequences.hdf5.numbers import Clock, joined
from sofdata.video.sequences.isolated import RecordReader
from sofdata.video.sequences.place import SequencePlace

FPS20 = Clock(fps=20.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Numbers in datasets of several kinds."""
    path = tmp_path / "numbers.h5"
    with h5py.File(path, "w") as file:
        file["action/joints"] = np.arange(12, dtype=np.float64).reshape(4, 3)
        file["action/gripper"] = np.array([0, 1, 0, 1], np.uint8)
        file["pose"] = np.arange(16, dtype=np.float32).reshape(4, 2, 2)
        file["stamps"] = 1_700_000_000_000_000_000 + np.arange(4, dtype=np.int64) * 50_000_000
        file["back"] = np.array([0.0, 0.1, 0.05, 0.2])
        file["text"] = np.array([b"a", b"b"])
        file["alias"] = h5py.SoftLink("/action/joints")
        file["loop"] = h5py.SoftLink("/loop")
    return path


@pytest.fixture
def reader() -> Iterator[RecordReader]:
    with RecordReader() as reader:
        yield reader


def test_datasets_are_joined_row_by_row(path: Path) -> None:
    with opened(str(path)) as root:
        rows = joined(root, ["action/joints", "action/gripper", "pose"], FPS20)
    assert rows.values.dtype == np.float32
    assert rows.values[1].tolist() == [3, 4, 5, 1, 4, 5, 6, 7]
    assert rows.times_s.tolist() == [0.0, 0.05, 0.1, 0.15]


def test_times_are_exact_from_their_origin(path: Path) -> None:
    with opened(str(path)) as root:
        rows = joined(root, ["pose"], Clock(times="stamps", unit="ns"))
        later = Clock(times="stamps", unit="ns", origin=1_700_000_000_100_000_000)
        assert joined(root, ["pose"], later).times_s.tolist() == pytest.approx(
            [-0.1, -0.05, 0, 0.05]
        )
    assert rows.times_s.tolist() == pytest.approx([0.0, 0.05, 0.1, 0.15], abs=1e-12)


@pytest.mark.parametrize(
    ("names", "clock", "reason", "said"),
    [
        (["action/none"], FPS20, "damaged", "no dataset"),
        (["action"], FPS20, "damaged", "no dataset"),
        (["text"], FPS20, "damaged", "no rows of numbers"),
        (["loop"], FPS20, "damaged", "circle"),
        (["pose"], Clock(times="back"), "no_times", "do not increase"),
        (["pose", "short"], FPS20, "other_length", "short 3"),
        (["pose"], Clock(times="short"), "other_length", "3 times for 4 rows"),
    ],
)
def test_what_is_wrong_is_told(
    path: Path, names: list[str], clock: Clock, reason: str, said: str
) -> None:
    with h5py.File(path, "a") as file:
        file["short"] = np.zeros(3)
    with pytest.raises(Unusable, match=said) as caught, opened(str(path)) as root:
        joined(root, names, clock)
    assert caught.value.reason == reason


def test_a_place_names_rows_for_the_decoding_process(path: Path, reader: RecordReader) -> None:
    place = SequencePlace.of("hdf5", "action", arrays="joints,gripper", times="/../stamps", fps=20)
    with pytest.raises(InputError, match="no dataset"):  # a name is no path of a file system
        reader.rows(str(path), place)
    place = SequencePlace.of("hdf5", "", arrays="alias,action/gripper", times="stamps", unit="ns")
    rows = reader.rows(str(path), place)
    assert rows.values[3].tolist() == [9, 10, 11, 1]
    assert rows.times_s[1] == pytest.approx(0.05)


def test_a_file_is_read_in_ranges_as_well(path: Path, reader: RecordReader) -> None:
    data = path.read_bytes()
    remote = RangeFile("s3://a/numbers.h5", len(data), lambda start, end: data[start:end])
    place = SequencePlace.of("hdf5", "", arrays="pose", fps=20)
    assert (
        reader.rows(remote, place).values.tolist() == reader.rows(str(path), place).values.tolist()
    )


def test_shapes_are_told(path: Path, reader: RecordReader) -> None:
    told = reader.look(str(path), "hdf5", {"arrays": ["pose", "action", "none", "alias"]})
    assert told == {
        "pose": {"shape": [4, 2, 2], "dtype": "float32"},
        "alias": {"shape": [4, 3], "dtype": "float64"},
    }


def write_leading_away(path: Path, secret: Path) -> None:
    """Every way in which an HDF5 file can name another."""
    inner = secret.with_suffix(".h5")
    with h5py.File(inner, "w") as file:
        file["numbers"] = np.ones((4, 2))
    layout = h5py.VirtualLayout((4, 2), "f8")
    layout[...] = h5py.VirtualSource(str(inner), "numbers", (4, 2))
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink(str(inner), "/numbers")
        file["group"] = h5py.ExternalLink(str(inner), "/")
        file["soft"] = h5py.SoftLink("/group/numbers")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("stored", (4, 2), "u1", external=[(str(secret), 0, 8)])


@pytest.mark.parametrize("name", ["link", "group/numbers", "soft", "virtual", "stored"])
def test_no_other_file_is_read(tmp_path: Path, name: str, reader: RecordReader) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret!!")
    path = tmp_path / "away.h5"
    write_leading_away(path, secret)
    with h5py.File(path) as file:
        assert file[name].shape == (4, 2)  # HDF5 itself follows them
    with pytest.raises(Unusable, match=r"another file|virtual") as caught:
        reader.rows(str(path), SequencePlace.of("hdf5", "", arrays=name, fps=20))
    assert caught.value.reason == "unsupported"
    with pytest.raises(Unusable), opened(str(path)) as root:
        find(root, name)


def test_a_plugin_is_named_and_not_loaded(path: Path, reader: RecordReader) -> None:
    with h5py.File(path, "a") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 2))
        plist.set_filter(h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FLAG_MANDATORY, (0x7AB5,))
        space = h5py.h5s.create_simple((4, 2))
        dataset = h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_DOUBLE, space, plist)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((4, 2)))
    # A pipeline of filters begins with its version and their number (III.D.2.l of the format).
    shuffle, zstandard = b"\x01\x01" + bytes(6) + b"\x02\x00", b"\x01\x01" + bytes(6) + b"\x0f\x7d"
    data = path.read_bytes()
    assert data.count(shuffle) == 1
    path.write_bytes(data.replace(shuffle, zstandard))
    with pytest.raises(Unusable, match=r"Zstandard.*32015") as caught:
        reader.rows(str(path), SequencePlace.of("hdf5", "", arrays="a", fps=20))
    assert caught.value.reason == "unsupported"
    with opened(str(path)):
        assert h5py.h5pl.size() == 0
    assert decoding_environment()["HDF5_PLUGIN_PRELOAD"] == "::"  # HDF5's word for no plugins


@pytest.mark.parametrize("kept", [0, 7, 100, 2000])
def test_a_file_that_is_cut_off_is_damaged(path: Path, kept: int, reader: RecordReader) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Unusable) as caught:
        reader.rows(str(path), SequencePlace.of("hdf5", "", arrays="pose", fps=20))
    assert caught.value.reason == "damaged"


def test_a_huge_shape_is_refused_before_any_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (1 << 40, 7), "f4", chunks=(1024, 7))
        file.create_dataset("b", (4,), "f4", maxshape=(None,), chunks=(1 << 28,))
    for name in ("a", "b"):
        with pytest.raises(Unusable) as caught, opened(str(path)) as root:
            joined(root, [name], FPS20)
        assert caught.value.reason == "too_large"
