"""Videos with which the decoder hangs, crashes or runs wild cost nothing but themselves."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.ingest.verify import verify
from sofdata.scenes import write_clip
from sofdata.storage.tree import Tree
from tests.faults.inject import Fault, write_spec
from tests.faults.judge import samples
from tests.faults.runs import Outcome, Strike, run
from tests.helpers import ingest

# Little memory, so that the one that allocates is at its limit long before its time is up.
LIMITS = (
    *("--set", "run.limits.floor_s=5", "--set", "run.limits.per_second=1"),
    *("--set", "run.limits.memory_mib=512"),
)
UNITS = ("--set", "units.min_units=4")

# What the decoding process does with the video of this name, and what the dataset then says.
POISON = {
    "hangs": ("hang", "decoder_timeout"),
    "spins": ("spin", "decoder_timeout"),
    "crashes": ("segv", "decoder_crash"),
    "aborts": ("abort", "decoder_crash"),
    "misses-memory": ("bus", "decoder_crash"),
    "is-killed": ("kill", "decoder_crash"),
    "ends": ("exit", "decoder_crash"),
    "allocates": ("memory", "over_memory"),
    "complains": ("flood stderr", "decode_error"),  # at the size limit of its standard error
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound clips; that some of them are poison is the decoder's doing."""
    folder = tmp_path_factory.mktemp("poison")
    write_clip(folder / "sound-0.webm", 0, seconds=1.5)
    for number, name in enumerate(POISON):
        (folder / f"{number}-{name}.webm").write_bytes((folder / "sound-0.webm").read_bytes())
    write_clip(folder / "sound-1.webm", 1, seconds=1.5)
    return folder


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed") / "dest"
    ingest(source, folder)
    return samples(folder)


@pytest.fixture(scope="module")
def poisoned(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The same corpus, ingested with a decoder that misbehaves as the names say."""
    folder = tmp_path_factory.mktemp("poisoned")
    faults = [
        Fault(f"decode {number}-{name}.webm", action, times=0)
        for number, (name, (action, _)) in enumerate(POISON.items())
    ]
    spec = write_spec(folder / "spec", faults)
    command = ("ingest", source, folder / "dest", "--workers", "2", *LIMITS, *UNITS)
    outcome = run(command, spec, ray=True)
    return folder / "dest", outcome


def test_poison_videos_are_quarantined_with_what_the_decoder_did(
    poisoned: tuple[Path, Outcome],
) -> None:
    dest, outcome = poisoned
    assert outcome.code == 1, outcome.output  # more were set aside than is allowed by default
    assert not outcome.traceback
    rows = {row["id"]: row for row in pq.read_table(dest / "videos.parquet").to_pylist()}
    ended = {row["id"]: (row["status"], row["reason"]) for row in rows.values()}
    expected = {
        f"{number}-{name}.webm": ("quarantined", reason)
        for number, (name, (_, reason)) in enumerate(POISON.items())
    }
    sound = {"sound-0.webm": ("done", ""), "sound-1.webm": ("done", "")}
    assert ended == {**expected, **sound}
    assert verify(Tree(str(dest))).whole


def test_the_other_videos_are_as_without_the_poison(
    poisoned: tuple[Path, Outcome], undisturbed: dict[str, str]
) -> None:
    found = samples(poisoned[0])
    assert found
    assert found == {key: sha for key, sha in undisturbed.items() if key.startswith("sound")}


def two_videos(source: Path, folder: Path) -> Path:
    """A corpus of the video whose decoder can be made to hang, and of a sound one."""
    folder.mkdir()
    for name in ("0-hangs.webm", "sound-1.webm"):
        (folder / name).symlink_to(source / name)
    return folder


def test_a_decoder_that_sends_frames_without_end_is_stopped(source: Path, tmp_path: Path) -> None:
    faults = [Fault("decode 0-hangs.webm", "flood frames", times=0)]
    spec = write_spec(tmp_path / "spec", faults)
    command = ("ingest", source / "0-hangs.webm", tmp_path / "dest", "--workers", "1", *LIMITS)
    outcome = run(command, spec, ray=True)
    assert outcome.code == 1, outcome.output
    (row,) = pq.read_table(tmp_path / "dest" / "videos.parquet").to_pylist()
    assert (row["status"], row["reason"]) == ("quarantined", "over_time")


def test_a_run_whose_own_ray_dies_ends_at_once_and_resumes(
    source: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    """The decoder hangs, so that the run is still at work when the raylet is killed."""
    spec = write_spec(tmp_path / "spec", [Fault("decode 0-hangs.webm", "hang", times=0)])
    one = two_videos(source, tmp_path / "one")
    command = ("ingest", one, tmp_path / "dest", "--workers", "1", *UNITS)
    began = time.monotonic()
    outcome = run(command, spec, Strike("raylet", after_s=15.0), ray=True)
    assert not outcome.hung
    assert time.monotonic() - began < 100  # a cluster of others is waited for three times as long
    assert not outcome.traceback
    resumed = run(command, write_spec(tmp_path / "none", []), ray=True)
    assert resumed.code == 0, resumed.output
    found = samples(tmp_path / "dest")
    assert found == {key: sha for key, sha in undisturbed.items() if key in found}


def test_a_run_in_which_nothing_moves_ends_with_a_diagnosis_and_resumes(
    source: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec", [Fault("decode 0-hangs.webm", "hang", times=0)])
    one = two_videos(source, tmp_path / "one")
    command = ("ingest", one, tmp_path / "dest", "--workers", "1", "--set", "run.stall_s=8", *UNITS)
    outcome = run(command, spec, ray=True)
    assert outcome.code == 3, outcome.output
    assert not outcome.traceback
    assert "no video has ended for 8 s" in outcome.output
    assert "0-hangs.webm" in outcome.output
    resumed = run(command, write_spec(tmp_path / "none", []), ray=True)
    assert resumed.code == 0, resumed.output
    found = samples(tmp_path / "dest")
    assert found == {key: sha for key, sha in undisturbed.items() if key in found}
    assert verify(Tree(str(tmp_path / "dest"))).whole
