"""The account of every adapter, over messy sources: no file and no row is passed over.

Files found = files of inputs (done, rejected, quarantined) + tables + ignored, and an ingest ends
with as many inputs. An adapter of `CORPORA` without a source here fails.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.content import VIDEO_SUFFIXES
from sofdata.corpora.entry import Entry
from sofdata.corpora.registry import CORPORA, find_corpus
from sofdata.storage.archives.parts import part_names
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse
from sofdata.video.sequences.names import numbered
from sofdata.video.sequences.place import SequencePlace
from tests.agibots import pack as pack_agibot
from tests.agibots import write_agibot
from tests.bags import MCAP, joints, jpegs, raw, write_bag1, write_bag2
from tests.corpora.test_ssv2 import corpus as write_ssv2
from tests.corpora.test_video2dataset import sample, write_tar
from tests.droids import SUCCESS as DROID_EPISODE
from tests.droids import write_droid
from tests.ego4ds import write_ego4d
from tests.egoexo4ds import write_egoexo4d
from tests.epics import write_epic
from tests.hdf5s import write_aloha, write_robomimic
from tests.helpers import ingest
from tests.lerobot_pictures import write_pictures
from tests.lerobots import TOP, WRIST, grey_episodes, write_grey, write_v2
from tests.rlds_files import episode, write_dataset
from tests.sequences import write_frames, write_frames_tar
from tests.ssv2s import FOLDER, write_archive
from tests.zarrs import actions, replay_buffer, store
from tests.zarrs import put as put_array

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
Write = Callable[[Path], object]


def put(root: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def ssv2(root: Path) -> None:
    write_ssv2(root)
    put(root, f"{FOLDER}/9.webm", "video/intro.webm", f"{FOLDER}-00", "labels.zip")
    put(root, "labels/test-answers.csv", data=b"1420;x\n77;of no clip\n")
    (root / FOLDER / "42326.webm").unlink()


def ssv2_archive(root: Path) -> None:
    write_ssv2(root / "plain")
    (root / "plain" / FOLDER / "42326.webm").unlink()
    write_archive(root / "plain", root)
    shutil.rmtree(root / "plain")
    put(root, "deep/er/20bn-something-something-v2-00", "something-something-v2-00.zip")


def lerobot_v3(root: Path) -> None:
    write_grey(root)
    next(root.rglob("file-001.mp4")).unlink()
    put(root, "videos/stray.mp4", "meta/stray.json", "data/stray.parquet")


def lerobot_v2(root: Path) -> None:
    write_v2(root, grey_episodes())
    put(root, "videos/stray.mp4", "meta/stray.json", "data/stray.parquet")
    next(root.rglob("episode_000001.mp4")).unlink()


def lerobot_pictures(root: Path) -> None:
    write_pictures(root, {TOP: "files", WRIST: "rows"}, version="v2.1")
    place = root / f"images/{TOP}/episode_000001"
    put(place, "frame_000000.jpg", "notes.md", "frame_000099.png")
    put(root, "images/other/episode_000000/frame_000000.png", "images/a.png")
    (root / "data/chunk-000/episode_000002.parquet").unlink()


def frames(root: Path) -> None:
    write_frames(root / "a/images0", range(12), "im_{}.jpg")
    write_frames(root / "a/images0", range(3), "{:04d}.png")
    put(root / "a", "lang.txt", "policy_out.pkl", "images0/cover.jpg", "images0/poster1.jpg")
    put(root, "a/depth_images0/im_0.png", "a/depth_images0/im_1.png", "a/im_7.jpg", "album.txt")
    write_frames_tar(root / "P01_01.tar", range(1, 12), note=b"x")
    put(root, "bad.tar", "jester-v1-train.csv", data=b"")
    (root / "jester-v1-train.csv").write_text("12;Swiping Left\n")


def ego4d(root: Path) -> None:
    write_ego4d(root)
    put(root, "full_scale/0a1b2c3d-0000-4000-8000-00000000000f.mp4", "clips/intro.mp4")


def epic(root: Path) -> None:
    write_epic(root, videos=False)
    put(root, "P01/videos/P01_01_flow.mp4", "old/EPIC_100_train.csv")


def manifest(root: Path) -> None:
    put(root, "a.mp4", "b/a.mp4", "b/unlisted.mp4")
    rows = "uri,text\na.mp4,x\nb/a.mp4,y\na.mp4,x\nnowhere.mp4,z\n"
    put(root, "manifest.csv", data=rows.encode())


def panda(root: Path) -> None:
    heads = "videoID,url,timestamp,caption,matching_score\n"
    rows = [f"{id},u,\"[['0:00:00.5', '0:00:02.0']]\",\"['a']\",[0.4]\n" for id in ("one", "two")]
    put(root, "panda70m_full.csv", data=(heads + "".join(rows)).encode())
    put(root, "panda70m_2m.csv", data=(heads + rows[0]).encode())
    put(root, "one.mp4", "stranger.mp4", "00000/0000001_00000.mp4", "00000/0000001_00001.mp4")
    put(root, "00000/0000001_00000.txt", "00000/0000002.txt", data=b"a")
    put(root, "00000/0000001_00000.json", "00000.parquet", data=b"{}")


def howto(root: Path) -> None:
    heads = "video_id,category_1,category_2,rank,task_id\n"
    put(root, "HowTo100M_v1.csv", data=f"{heads}one,a,b,1,2\ntwo,a,b,1,2\n".encode())
    record = {"start": [0], "end": [1], "text": ["a"]}
    both = json.dumps({"one": record, "three": record}).encode()
    put(root, "caption.json", "raw_caption.json", data=both)
    put(root, "task_ids.csv", data=b"2\tBake\n")
    put(root, "csv/one.csv", "csv/two.csv", data=b"start,end,text\n0,1,a\n")
    put(root, "x/one.mp4", "x/stranger.mp4", "x/one.json")


def kinetics_table(root: Path) -> None:
    heads = "label,youtube_id,time_start,time_end,split\n"
    rows = "yoga,one,0,10,val\nyoga,two,0,10,val\nyoga,one,0,10,val\ndive,one,0,10,val\n"
    put(root, "kinetics-400_val.csv", data=(heads + rows).encode())
    put(root, "val/one_000000_000010.mp4", "val/yoga/0.mp4", "val/dive/0.mp4", "val.json")


def kinetics_folders(root: Path) -> None:
    put(root, *(f"train/{name}/{n}.mp4" for name in ("dive", "run", "yoga") for n in range(3)))
    put(root, "train/loose.mp4", "list.txt")


def video2dataset(root: Path) -> None:
    put(root, *(f"00000/{n:09d}{end}" for n in range(2) for end in (".mp4", ".txt")))
    put(root, *(f"00000/{n:09d}.json" for n in range(3)), "00000_stats.json", data=b"{}")
    pq.write_table(pa.table({"status": ["success", "failed"]}), root / "00000.parquet")
    write_tar(root / "00001.tar", [*sample("a", b"x"), *sample("a", b"x"), ("b.txt", b"lone")])
    write_tar(root / "00002.tar", [("b.txt", b"lone")])
    put(root, "00003.tar", "00003.parquet", data=b"rubbish" * 100)
    rows = pa.table({"key": ["a", "b", "c"], "mp4": pa.array([b"x", None, b""])})
    pq.write_table(rows, root / "00004.parquet")
    pq.write_table(pa.table({"a": [1]}), root / "other_table.parquet")


def zarr(root: Path) -> None:
    replay_buffer(root / "a.zarr", (8, 6), times_s=np.arange(14) / 10)
    replay_buffer(root / "deep/gone.zarr", (8, -3))
    put(root, "torn.zarr.zip", "b/notes.txt", "empty.zarr/notes.txt")
    with store(root / "poses.zarr") as poses:
        put_array(poses, "poses", actions(5))


def egoexo4d(root: Path) -> None:
    write_egoexo4d(root, videos=False)
    put(root, "takes/unknown/frame_aligned_videos/cam01.mp4", "captures/a/videos/cam01.mp4")
    put(root, "annotations/other.json", "takes/loose.mp4", "takes/trajectory.csv")


def droid(root: Path) -> None:
    write_droid(root, videos=False)
    put(root, f"{DROID_EPISODE}/recordings/SVO/1.svo", f"{DROID_EPISODE}/trajectory_im128.h5")
    put(root, f"{DROID_EPISODE}/recordings/MP4/fused.mp4", "AUTOLab/success/a.mp4")
    put(root, "AUTOLab/success/2023-01-01/a/metadata_b.json", data=b"{}")


def agibot(root: Path) -> None:
    write_agibot(root, videos=False)
    put(root, "observations/327/1/videos/head_depth.mp4", "observations/327/loose.mp4")
    put(root, "observations/327/1-2.tar", "proprio_stats/1-2.tar", "task_info/other.json")


def agibot_tars(root: Path) -> None:
    pack_agibot(write_agibot(root, videos=False))
    put(root, "observations/327/1/videos/head_color.mp4", "observations/352/1-2.tar")


def hdf5(root: Path) -> None:
    write_robomimic(root / "a.hdf5", {"demo_0": range(8), "demo_1": range(5)})
    write_aloha(root / "sub" / "episode_0.hdf5", range(6))
    put(root, "bad.hdf5", "sub/bad.h5", "notes.md")


def rlds(root: Path) -> None:
    version = root / "tiny" / "1.0.0"
    write_dataset(version, {"train": [[episode(range(6))], [episode(range(10, 15))]]})
    put(root, "tiny/1.0.0/tiny-train.tfrecord-00005-of-00002", "tiny/0.9.0/features.json")
    put(root, "lone.tfrecord", "tiny/checksums.tsv")


def rosbag(root: Path) -> None:
    write_bag1(root / "one.bag", [*jpegs("/eye", range(12)), *joints("/arm", range(3))])
    write_bag2(root / "sub" / "two", raw("/eye", range(8)))
    write_bag1(root / "silent.bag", joints("/arm", range(3)))
    put(root, "one.orig.bag", "zero.bag", "sub/two/notes.txt", "lone.mcap", "three.db3")


def mcap(root: Path) -> None:
    write_bag2(root / "bag", raw("/eye", range(8)), MCAP)
    (root / "bag" / "metadata.yaml").unlink()
    put(root, "zero.mcap", "bag/notes.txt")


def folder(root: Path) -> None:
    put(root, "a.mp4", "b/a.mp4", "b/a.webm", "c.vob", "labels.csv")


# Each adapter's sources, in every layout that it reads
SOURCES: dict[str, tuple[Write, ...]] = {
    "frames": (frames,),
    "ssv2": (ssv2, ssv2_archive),
    "lerobot": (lerobot_v3, lerobot_v2, lerobot_pictures),
    "ego4d": (ego4d,),
    "epic": (epic,),
    "manifest": (manifest,),
    "panda70m": (panda,),
    "howto100m": (howto,),
    "kinetics": (kinetics_table, kinetics_folders),
    "video2dataset": (video2dataset,),
    "zarr": (zarr,),
    "egoexo4d": (egoexo4d,),
    "droid": (droid,),
    "agibot": (agibot, agibot_tars),
    "hdf5": (hdf5,),
    "rlds": (rlds,),
    "mcap": (mcap,),
    "rosbag": (rosbag,),
    "folder": (folder,),
}
# Each of the others has a row that names no file.
WITHOUT_ROWS = (folder, kinetics_folders, zarr, hdf5, rlds, mcap, rosbag)
WITHOUT_TIMES = ("frames", "hdf5", "rlds")  # what is read there needs `sequences.fps`


def no_source(root: Path) -> None:
    pytest.fail("this adapter has no source in SOURCES: write one that holds all it may meet")


CASES = [
    pytest.param(corpus.name, write, id=f"{corpus.name}-{write.__name__}")
    for corpus in CORPORA
    for write in SOURCES.get(corpus.name, (no_source,))
]


def mess_up(root: Path) -> None:
    """Add what lies about in real folders: copies, litter, and names that cannot be used."""
    videos = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES]
    for video in videos[:2]:
        for place in ("again", "other/again", ".trash"):
            (root / place).mkdir(parents=True, exist_ok=True)
            shutil.copy(video, root / place)
        end = ".mkv" if video.suffix != ".mkv" else ".avi"
        shutil.copy(video, video.with_suffix(end))
    tables = [p for p in sorted(root.rglob("*")) if p.suffix in (".csv", ".json", ".parquet")]
    for table in tables[:3]:
        (root / "copies").mkdir(exist_ok=True)
        shutil.copy(table, root / "copies")
    put(root, ".DS_Store", ".git/HEAD", ".git/a.mp4", "sub/._b.mp4", ".hidden.csv")
    put(root, "README.md", "noext", "sub/notes.xyz", "LICENSE.txt", "pack.zip", "sub/pack.tar.gz")
    put(root, "odd.csv", data=b"a,b\n1,2\n")
    put(root, "odd.json", "sub/odd.jsonl", data=b"{}\n")
    put(root, "empty.mp4", "sub/empty.webm", "empty.csv", "empty.xyz", "empty.txt", data=b"")
    for name in ("gone.mp4", "sub/gone.csv", "gone.json", "gone.xyz", "gone"):
        (root / name).symlink_to("nowhere")
    for odd in (b"caf\xe9.mp4", b"caf\xe9.csv", b"caf\xe9.txt"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + odd)).write_bytes(b"x")
    os.mkfifo(root / "pipe.mp4")
    os.mkfifo(root / "sub" / "pipe.json")
    if os.geteuid():  # root may read everything
        put(root, "secret.mp4", "secret.csv")
        for name in ("secret.mp4", "secret.csv"):
            (root / name).chmod(0)


def walked(root: Path) -> set[str]:
    """All files, named as `Tree.walk` names them."""
    found = set()
    for folder, _, names in os.walk(root):
        for name in names:
            rel = os.path.relpath(os.path.join(folder, name), root)
            found.add(os.fsencode(rel).decode("utf-8", "backslashreplace"))
    return found


def files_of(tree: Tree, entries: Iterable[Entry]) -> Iterator[str]:
    """The files of inputs: of a member of an archive in parts, or of a folder, all of these."""
    for entry in entries:
        where = parse(entry.uri)
        place = SequencePlace.parse(where.sequence) if where.sequence else None
        if where.is_folder and place and place.format == "frames":
            found = numbered(tree.names(where.file.rstrip("/")), place.name)
            yield from (where.file + name for name in (*found.names, *found.twice))
        elif where.unpacked:
            yield from part_names(tree, where.file)
        elif where.is_folder:
            yield from (rel for rel in walked(Path(tree.root)) if rel.startswith(where.file))
        else:
            yield where.file


def listed(name: str, root: Path) -> Listing:
    own = SequenceConfig(fps=10) if name in WITHOUT_TIMES else None
    corpus, _ = find_corpus(Tree(str(root)), name, sequences=own)
    return corpus.listing(Tree(str(root)))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFDATA_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("mess", [False, True], ids=["tidy", "messy"])
@pytest.mark.parametrize(("name", "write"), CASES)
def test_every_file_is_an_input_or_a_table_or_is_ignored(
    tmp_path: Path, name: str, write: Write, mess: bool
) -> None:
    root = tmp_path / "s"
    root.mkdir()
    write(root)
    if mess:
        mess_up(root)
    asked = write is kinetics_folders or (mess and write in (frames, hdf5))  # which adds videos
    assert asked or find_corpus(Tree(str(root)))[0].name == name
    listing = listed(name, root)
    there = walked(root)
    inputs = set(files_of(Tree(str(root)), listing.entries))
    absent = {entry.problem or "" for entry in listing.entries if entry.uri in inputs - there}
    assert absent <= {"", "no_file", "duplicate_id", "unreadable_folder"}
    tables = set(listing.tables)
    assert not tables - there
    assert not tables & inputs
    rest = sorted(there - inputs - tables)
    assert len(rest) == sum(listing.ignored.values()) - members(listing), (rest, listing.ignored)


def members(listing: Listing) -> int:
    """What is counted in `ignored` though it lies within a file."""
    return sum(number for why, number in listing.ignored.items() if why.endswith(" in a tar"))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(("name", "write"), CASES)
def test_an_ingest_ends_with_every_input(tmp_path: Path, name: str, write: Write) -> None:
    root = tmp_path / "s"
    root.mkdir()
    write(root)
    mess_up(root)
    own = ("sequences.fps=10",) if name in WITHOUT_TIMES else ()
    counts = ingest(root, tmp_path / "d", *SETTINGS, *own, corpus=name).dataset.counts
    listing = listed(name, root)
    assert counts.videos == len(listing.entries)
    assert counts.videos == counts.done + counts.rejected + counts.quarantined
    assert counts.ignored_files == listing.ignored
    if write not in WITHOUT_ROWS:
        assert {"no_file", "missing"} & set(counts.reasons) or listing.unused
