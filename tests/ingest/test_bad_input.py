"""Every kind of bad input ends as a counted reject or quarantine with a reason, and never worse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.scenes import moving_texture, write_clip, write_video
from sofdata.storage.tree import Tree
from tests.helpers import ingest, sofdata

EXPECTED = {
    "good.webm": ("done", ""),
    "audio_only.mp4": ("rejected", "no_video_stream"),
    "cut.webm": ("done", ""),  # its whole beginning is used, and the record says so
    "dangling.mp4": ("rejected", "dangling_link"),
    "directory.mp4": ("rejected", "is_a_directory"),
    "empty.mp4": ("rejected", "empty_file"),
    "header_only.mp4": ("quarantined", "decode_error"),
    "noise.mp4": ("rejected", "not_a_video"),
    "odd_size.mkv": ("done", ""),
    "one_frame.webm": ("rejected", "too_short"),
    "playlist.mp4": ("rejected", "not_a_video"),
    "text.mp4": ("rejected", "not_a_video"),
}


@pytest.fixture(scope="module")
def bad_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    write_clip(folder / "good.webm", 0, seconds=2.5)
    whole = (folder / "good.webm").read_bytes()
    (folder / "cut.webm").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:4,\ngood.webm\n#EXT-X-ENDLIST\n")
    (folder / "directory.mp4").mkdir()
    (folder / "dangling.mp4").symlink_to("nowhere.mp4")
    one = moving_texture(1.0, 0.0, frames=1, size=(64, 64))
    write_video(folder / "one_frame.webm", one, fps=12.0)
    odd = moving_texture(3.0, 0.0, frames=30, size=(97, 131))
    write_video(folder / "odd_size.mkv", odd, fps=12.0, codec="ffv1")
    _audio(folder / "audio_only.mp4")
    _header_without_frames(folder / "header_only.mp4")
    (folder / "notes.txt").write_text("not a video, and not taken for one")
    return folder


def _audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def _header_without_frames(path: Path) -> None:
    """An MP4 whose header tells of frames where the file holds zeros."""
    write_video(path, moving_texture(2.0, 0.0, frames=40, size=(96, 96)), fps=12.0, codec="h264")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4 if data.index(b"moov") > start else len(data)
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def test_each_bad_input_is_counted_with_its_reason(bad_corpus: Path, tmp_path: Path) -> None:
    ingest(bad_corpus, tmp_path / "d")
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert {row["id"]: (row["status"], row["reason"]) for row in rows} == EXPECTED
    assert all(row["detail"] for row in rows if row["status"] != "done")
    assert verify(Tree(str(tmp_path / "d"))).whole
    counts = json.loads((tmp_path / "d" / "dataset.json").read_text())["counts"]
    assert counts["ignored_files"] == {".txt": 1}


def test_what_a_damaged_video_still_holds_is_used_and_told(
    bad_corpus: Path, tmp_path: Path
) -> None:
    ingest(bad_corpus, tmp_path / "d")
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()}
    assert "declared" in rows["cut.webm"]["salvaged"]
    assert 0 < rows["cut.webm"]["frames"] < rows["good.webm"]["frames"]


def test_no_table_or_record_holds_a_path_of_this_machine(bad_corpus: Path, tmp_path: Path) -> None:
    ingest(bad_corpus, tmp_path / "d")
    for name in ("videos", "rejects"):
        text = json.dumps(pq.read_table(tmp_path / "d" / f"{name}.parquet").to_pylist())
        assert str(bad_corpus) not in text


def test_the_command_tells_of_bad_input_without_a_traceback(
    bad_corpus: Path, tmp_path: Path
) -> None:
    done = sofdata("ingest", bad_corpus, tmp_path / "d", "--engine", "inline")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in ("dangling_link", "not_a_video", "empty_file", "decode_error"):
        assert word in done.stdout
    strict = sofdata(
        "ingest", bad_corpus, tmp_path / "d", "--engine", "inline", "--set", "run.allow_set_aside=0"
    )
    assert strict.returncode == 1
    assert "quarantined" in strict.stderr


FAILS_ALL = """
def injector(argument):
    def reached(step):
        if step.startswith("decode "):
            raise TypeError(f"open() got an unexpected keyword argument at {id(step):#x}")
    return reached
"""


def test_what_ended_the_decoding_process_is_in_the_row_the_same_each_time_and_hinted_at(
    corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "fails_all.py").write_text(FAILS_ALL)
    source = tmp_path / "source"
    source.mkdir()
    for number, clip in enumerate(sorted(corpus.rglob("*.webm"))[:5]):
        shutil.copy(clip, source / f"{number}.webm")
    faults = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}", "SOFDATA_FAULTS": "fails_all:"}
    command = ("ingest", source, tmp_path / "d", "--engine", "ray", "--workers", "1")
    done = sofdata(*command, env={**os.environ, **faults})
    assert done.returncode == 1, done.stderr
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    told = (
        "the decoding process crashed (exit code 1): "
        "TypeError: open() got an unexpected keyword argument at 0x"
    )
    assert [(row["reason"], row["detail"]) for row in rows] == [("decoder_crash", told)] * 5
    assert "a fault of this installation" in done.stdout
    notes = [json.loads(path.read_text()) for path in (tmp_path / "d" / "quarantine").iterdir()]
    assert all("Traceback" in note["stderr"] for note in notes)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that another cannot read")
def test_a_file_that_may_not_be_read_is_rejected(tmp_path: Path, corpus: Path) -> None:
    """As another user, since root may read everything. All modules are loaded while still root."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for number, name in enumerate(("good.webm", "secret.webm")):
        write_clip(source / name, number, seconds=2.0)
    (source / "secret.webm").chmod(0)
    out.mkdir()
    os.chown(out, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents):  # pytest makes them for its own user alone
        if folder.name.startswith(("test_", "popen-", "pytest-")):
            folder.chmod(0o755)
    code = (
        "import os, sys; from tests.helpers import ingest\n"
        f"ingest({str(corpus)!r}, {str(tmp_path / 'first')!r})\n"
        f"os.setuid(65534); ingest({str(source)!r}, {str(out / 'd')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    rows = pq.read_table(out / "d" / "videos.parquet").to_pylist()
    assert [(row["id"], row["reason"]) for row in rows if row["reason"]] == [
        ("secret.webm", "unreadable")
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{not json", "train.json"),
        ('"a string"', "train.json"),
        ("[" * 100_000, "train.json"),
        ('[{"label": "no id"}]', "id"),
    ],
)
def test_bad_label_files_stop_the_ingest_before_any_work(
    tmp_path: Path, corpus: Path, content: str, told: str
) -> None:
    source = tmp_path / "source"
    (source / "labels").mkdir(parents=True)
    (source / "1.webm").symlink_to(next(corpus.rglob("*.webm")))
    (source / "labels" / "train.json").write_text(content)
    with pytest.raises(ConfigError, match=told):
        ingest(source, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_ids_without_a_file_and_files_without_a_label_are_told(
    tmp_path: Path, corpus: Path
) -> None:
    source = tmp_path / "source"
    (source / "labels").mkdir(parents=True)
    clips = sorted(corpus.rglob("*.webm"))
    for number, clip in enumerate(clips[:2]):
        (source / f"{number}.webm").symlink_to(clip)
    labels = [
        {"id": "0", "label": "a", "template": "a"},
        {"id": "7", "label": "b", "template": "b"},
    ]
    (source / "labels" / "train.json").write_text(json.dumps(labels))
    ingest(source, tmp_path / "d")
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert {row["id"]: row["reason"] for row in rows} == {"0": "", "1": "", "7": "no_file"}


EVIL = (
    "../../up",
    "/absolute",
    "with\nnewline",
    "a\u0000nul",
    "x" * 4096,
    "e\u0301 \u202e right to left",
    "{0.__class__} %s %n",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
)


def test_ids_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s" / "labels").mkdir(parents=True)
    for evil in EVIL:
        labels = [{"id": evil, "label": "a", "template": "a"}]
        (tmp_path / "s" / "labels" / "train.json").write_text(json.dumps(labels))
        with pytest.raises(ConfigError, match="digits"):
            ingest(tmp_path / "s", tmp_path / "d", corpus="ssv2")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_labels_and_file_names_are_data_and_lead_nowhere(tmp_path: Path, corpus: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "deep" / "d"
    (source / "labels").mkdir(parents=True)
    clips = sorted(corpus.rglob("*.webm"))
    (source / "1.webm").symlink_to(clips[0])
    text = "".join(EVIL)
    labels = [{"id": "1", "label": text, "template": EVIL[0], "placeholders": list(EVIL)}]
    (source / "labels" / "train.json").write_text(json.dumps(labels))
    names = tmp_path / "names"
    names.mkdir()
    odd = [evil for evil in EVIL if "/" not in evil and "\0" not in evil and len(evil) < 200]
    for name in odd:
        (names / f"{name}.webm").symlink_to(clips[1])
    outside = set(tmp_path.rglob("*"))
    for folder, target in ((source, dest), (names, dest.with_name("n"))):
        ingest(folder, target)
        assert verify(Tree(str(target))).whole
    inside = {path for path in tmp_path.rglob("*") if dest.parent in (path, *path.parents)}
    assert set(tmp_path.rglob("*")) - inside == outside
    assert {row["text"] for row in pq.read_table(dest / "index.parquet").to_pylist()} == {text}
    rows = pq.read_table(dest.with_name("n") / "videos.parquet").to_pylist()
    assert {row["id"]: row["status"] for row in rows} == {f"{name}.webm": "done" for name in odd}
    for command in (("verify", dest), ("inspect", dest), ("inspect", dest.with_name("n"))):
        done = sofdata(*command)
        assert done.returncode == 0, done.stderr
        assert "\u202e" not in done.stdout  # would turn the rest of the line around
