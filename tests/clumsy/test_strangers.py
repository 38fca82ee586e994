"""Datasets of strangers: `verify`, `inspect`, `report` and the loader say what is wrong with them.

What is altered in a shard is altered with all hashes made right again, unless a test says so.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sofdata.errors import ConfigError, InputError, SofdataError
from sofdata.ingest import check_units
from sofdata.ingest.verify import Finding, Remedy, verify
from sofdata.loading.loader import Loader
from sofdata.report.dataset import write_report
from sofdata.report.inspect import draw_sheet
from sofdata.shards.record import read_dataset
from sofdata.shards.sample import DecodedSample, decode_sample
from sofdata.shards.wids import listed_shards
from sofdata.storage.tree import Tree
from tests.clumsy.strange import put
from tests.faults.lies import Members, Shard
from tests.helpers import ingest, sofdata
from tests.lerobots import write_grey

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
ROBOT = ("windows.static_px=0", "windows.min_texture=0", "with_actions=true", "codec.name=float16")
DEEP = b"[" * 200_000


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Whatever a stranger wrote, nothing waits or works for ever."""
    signal.alarm(120)
    yield
    signal.alarm(0)


@pytest.fixture(scope="session")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset with actions, whose flow is float16. Tests must not write to it."""
    folder = tmp_path_factory.mktemp("robot")
    write_grey(folder / "source")
    ingest(folder / "source", folder / "d", *SETTINGS, *ROBOT)
    return folder / "d"


@pytest.fixture
def d(dataset: Path, tmp_path: Path) -> Path:
    """A copy of a dataset, to be altered."""
    shutil.copytree(dataset, tmp_path / "d")
    return tmp_path / "d"


def alter(folder: Path, change: Callable[[Members], None]) -> str:
    """Change the first sample of the first shard, hashes made right. Returns its key."""
    shard = Shard.first(folder)
    key = sorted(shard.samples)[0]
    change(shard.samples[key])
    shard.write(folder)
    return key


def findings(folder: Path) -> list[Finding]:
    return list(verify(Tree(str(folder))).findings)


def problems(folder: Path) -> str:
    return "\n".join(f"{found.where}: {found.what}" for found in findings(folder))


def load(folder: Path) -> None:
    for _ in Loader(str(folder), batch_size=4):
        pass


def show(folder: Path, out: Path) -> None:
    draw_sheet(Tree(str(folder)), 200, None, str(out / "sheet.png"))


def page(folder: Path, out: Path) -> str:
    dataset = read_dataset(Tree(str(folder)))
    assert dataset is not None
    write_report(Tree(str(folder)), dataset, 3, str(out / "page.html"))
    return (out / "page.html").read_text()


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values, sort_keys=True, separators=(",", ":")))


def set_cell(path: Path, column: str, value: Any, row: int = 0) -> None:
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(column)
    field = table.schema.field(at)
    pq.write_table(table.set_column(at, field, pa.array(values, field.type)), path)


# Samples


@pytest.mark.parametrize("member", ["flow.npy", "actions.npy"])
@pytest.mark.parametrize("shape", ["(1000000000, 64, 64, 2)", "(1,)"])
def test_a_lying_npy_header_is_a_finding_and_costs_no_memory(
    robot: Path, tmp_path: Path, member: str, shape: str
) -> None:
    shutil.copytree(robot, tmp_path / "d")

    def lie(members: Members) -> None:
        data = members[member]
        end = 10 + int.from_bytes(data[8:10], "little")
        head = f"{{'descr': '{'<f2' if member[0] == 'f' else '<f4'}', 'fortran_order': False, "
        head = f"{head}'shape': {shape}, }}\n"
        members[member] = data[:8] + len(head).to_bytes(2, "little") + head.encode() + data[end:]

    key = alter(tmp_path / "d", lie)
    assert f"sample {key} does not decode: {member}" in problems(tmp_path / "d")
    with pytest.raises(InputError, match=key):
        load(tmp_path / "d")


def test_an_array_of_objects_is_never_unpickled(robot: Path, tmp_path: Path) -> None:
    shutil.copytree(robot, tmp_path / "d")

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "owned"),)

    def lie(members: Members) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.array([Evil()], object), allow_pickle=True)
        members["flow.npy"] = buffer.getvalue()

    alter(tmp_path / "d", lie)
    assert "flow.npy" in problems(tmp_path / "d")
    with pytest.raises(InputError):
        load(tmp_path / "d")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("member", ["first.jpg", "last.jpg", "flow.jpg"])
def test_a_picture_of_a_gigapixel_is_a_finding_and_is_not_decoded(
    d: Path, tmp_path: Path, member: str
) -> None:
    def lie(members: Members) -> None:
        place = members[member].find(b"\xff\xc0") + 5
        size = (32_768).to_bytes(2, "big") * 2
        members[member] = members[member][:place] + size + members[member][place + 4 :]

    key = alter(d, lie)
    assert "32768 x 32768 px, its record says" in problems(d)
    for use in (load, lambda folder: show(folder, tmp_path)):
        with pytest.raises(InputError, match=rf"{key}.*32768"):
            use(d)


def test_a_picture_of_another_kind_is_a_finding(d: Path) -> None:
    def lie(members: Members) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64)).save(buffer, "PNG")
        members["first.jpg"] = buffer.getvalue()

    alter(d, lie)
    assert "it is no readable JPEG" in problems(d)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (DEEP, "recursion limit exceeded"),
        (b'{"a":' * 100_000, "recursion limit exceeded"),
        (b'{"text":"' + b"t" * 4_000_000 + b'"}', "more than the 2097152 that are read"),
        (b"[" + b"0," * 800_000 + b"0]", "which nothing here writes"),
        (b"\xff\xfe", "Invalid JSON"),
    ],
)
def test_json_that_is_too_deep_or_too_long_is_a_finding(d: Path, data: bytes, what: str) -> None:
    key = alter(d, lambda members: members.__setitem__("json", data))
    assert f"{key}.json does not fit the schema" in problems(d)
    assert what in problems(d)
    with pytest.raises(InputError, match=what):
        load(d)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pts_s", "1e400"),
        ("start_s", '"NaN"'),
        ("window", "9223372036854775808"),
        ("frame_size", "[-64, 64]"),
        ("frame_size", "[1000000, 1000000]"),
        ("flow", '{"codec": "q8", "shape": [[0], 1000000000, 32, 2], "step_px": [1]}'),
        ("flow", '{"codec": ["q8"]}'),
    ],
)
def test_numbers_that_cannot_be_are_a_finding(d: Path, path: str, value: str) -> None:
    def lie(members: Members) -> None:
        record = json.loads(members["json"])
        record[path] = "@"
        members["json"] = json.dumps(record).replace('"@"', value).encode()

    key = alter(d, lie)
    assert key in problems(d)
    with pytest.raises(InputError, match=key):
        load(d)


@pytest.mark.parametrize("kind", [b"S", b"x", b"L", b"2", b"5"])
def test_a_member_that_is_no_plain_file_is_a_finding(d: Path, kind: bytes) -> None:
    """Sparse files, records that rename what follows, links, folders."""
    shard = Shard.first(d)
    data = bytearray(shard.path.read_bytes())
    data[156:157] = kind
    total = sum(data[:512]) - sum(data[148:156]) + 8 * ord(" ")
    data[148:156] = b"%06o\0 " % total
    shard.path.write_bytes(data)
    shard.agree(d, {})
    assert "is not a plain file named KEY.SUFFIX" in problems(d)


def test_nothing_is_decoded_whose_hash_has_failed(d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = Shard.first(d)
    data = bytearray(shard.path.read_bytes())
    data[700] ^= 4
    shard.path.write_bytes(data)
    decoded = []

    def noted(key: str, members: Members) -> DecodedSample:
        decoded.append(key)
        return decode_sample(key, members)

    monkeypatch.setattr(check_units, "decode_sample", noted)
    (found,) = findings(d)
    assert found.what == "its sha256 is not that of the ledger; nothing of it was decoded"
    assert found.remedy is Remedy.RERUN
    assert decoded
    assert not {*decoded} & {*shard.samples}


# Records


def test_a_dataset_record_of_any_depth_is_refused_in_a_line(d: Path) -> None:
    (d / "dataset.json").write_bytes(b'{"config":' + DEEP)
    for command in (("verify",), ("verify", "--json"), ("inspect",), ("report",)):
        done = sofdata(command[0], d, *command[1:])
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("sofdata: dataset.json in ")
    with pytest.raises(ConfigError, match="does not fit schema version 1"):
        load(d)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda values: values["config"]["windows"].update(length=10**9), "config.windows.length"),
        (lambda values: values["config"]["windows"].update(size="64"), "config.windows.size"),
        (lambda values: values.update(config={}), "config.windows.length"),
        (lambda values: values.update(flow={}), "flow.mean_px"),
        (lambda values: values.update(provenance={}), "provenance.estimator"),
        (lambda values: values["counts"].update(reasons={"a": "x"}), "counts.reasons"),
        (lambda values: values["flow"].update(p99_px=float("inf")), "p99_px is inf"),
        (lambda values: values["counts"].update(bytes=1 << 64), "bytes has more than 64 bits"),
    ],
)
def test_what_a_dataset_record_cannot_say_is_named(
    d: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], what: str
) -> None:
    rewrite(d / "dataset.json", change)
    for use in (findings, load, lambda folder: page(folder, tmp_path)):
        with pytest.raises(ConfigError, match=what):
            use(d)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda values: values["windows"][0].update(window=1 << 70),
            "window has more than 64 bits",
        ),
        (lambda values: values["windows"][0].update(start_s=float("inf")), "start_s is inf"),
        (lambda values: values["windows"][0].update(offset=-512), "an offset is negative"),
        (lambda values: values["shard"].update(size_bytes=-1), "shard: a number is negative"),
        (lambda values: values["statistics"].update(histogram={"99999": 1}), "no such bin"),
        (lambda values: values["statistics"].update(vectors=-1), "vectors is negative"),
        (lambda values: values.update(windows=[{}] * 90_000), "windows.0.key: Field required"),
    ],
)
def test_what_a_ledger_record_cannot_say_is_a_finding_that_runs_its_unit_again(
    d: Path, change: Callable[[dict[str, Any]], None], what: str
) -> None:
    record = Shard.first(d).record
    rewrite(record, change)
    found = [each for each in findings(d) if record.name in each.where]
    assert [each.remedy for each in found] == [Remedy.RERUN]
    assert what in found[0].what
    assert len(found[0].what) < 2000


def test_a_ledger_record_of_any_depth_is_a_finding(d: Path) -> None:
    Shard.first(d).record.write_bytes(b'{"videos":' + DEEP)
    assert "recursion limit exceeded" in problems(d)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"shardlist": [{}]}', '{"shardlist": 1}', "[" * 200_000, "{", ""]
)
def test_a_list_of_shards_that_is_none_is_refused(d: Path, text: str) -> None:
    (d / "shards" / "index.json").write_text(text)
    with pytest.raises(InputError, match="does not list the shards"):
        listed_shards(Tree(str(d)))
    assert "shards/index.json" in problems(d)


# Tables


def test_millions_of_rows_in_a_small_index_are_a_finding(d: Path, tmp_path: Path) -> None:
    """As of the 60 million rows in 170 KB that once took all memory."""
    table = pq.read_table(d / "index.parquet").slice(0, 1)
    part = table.take(pa.array(np.zeros(1_000_000, np.int32)))
    with pq.ParquetWriter(d / "index.parquet", part.schema) as writer:
        for _ in range(3):
            writer.write_table(part, row_group_size=1_000_000)
    assert os.path.getsize(d / "index.parquet") < 1_000_000
    assert "it claims 3000000 rows in" in problems(d)
    for use in (load, lambda f: show(f, tmp_path), lambda f: page(f, tmp_path)):
        with pytest.raises(InputError, match="it claims 3000000 rows in"):
            use(d)


def test_a_text_of_4_mb_is_a_finding_and_is_cut_on_the_page(d: Path, tmp_path: Path) -> None:
    set_cell(d / "index.parquet", "text", "t" * 4_000_000, row=-1)
    assert "index.parquet: rows from" in problems(d)
    made = page(d, tmp_path)
    assert "(3980000 more characters)" in made
    assert len(made) < 3_000_000


@pytest.mark.parametrize("offset", [-1, -(1 << 63), (1 << 63) - 1, 1 << 40, 511])
def test_an_offset_outside_of_the_shard_is_an_error_that_names_the_sample(
    d: Path, tmp_path: Path, offset: int
) -> None:
    set_cell(d / "index.parquet", "offset", offset)
    for use in (load, lambda folder: show(folder, tmp_path)):
        with pytest.raises(SofdataError, match=r"sofdata verify|start of its shard"):
            use(d)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300])
def test_times_that_cannot_be_do_not_size_a_batch_of_actions(
    robot: Path, tmp_path: Path, seconds: float
) -> None:
    shutil.copytree(robot, tmp_path / "d")
    set_cell(tmp_path / "d" / "index.parquet", "end_s", seconds)
    with pytest.raises(InputError, match="which no actions fill"):
        load(tmp_path / "d")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("labels", "[" * 200_000),
        ("labels", '["a"]'),
        ("id", ""),
        ("span_start_s", 1.0),
        ("labels", ""),
    ],
)
def test_a_row_of_the_plan_that_cannot_be_is_a_finding(d: Path, column: str, value: Any) -> None:
    set_cell(d / "plan.parquet", column, value)
    (found,) = findings(d)
    assert (found.where, found.remedy) == ("plan.parquet", Remedy.PLAN)
    assert "plan.parquet" in found.what


# Other things in the place of files


@pytest.mark.parametrize(
    "name",
    ["dataset.json", "index.parquet", "videos.parquet", "plan.parquet", "a shard", "a record"],
)
@pytest.mark.parametrize("what", ["pipe", "folder", "link to itself"])
def test_a_pipe_a_folder_or_a_loop_in_the_place_of_a_file_is_told_at_once(
    d: Path, tmp_path: Path, name: str, what: str
) -> None:
    shard = Shard.first(d)
    path = {"a shard": shard.path, "a record": shard.record}.get(name, d / name)
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.name)
    ends = []
    for use in (findings, load, lambda f: show(f, tmp_path), lambda f: page(f, tmp_path)):
        try:
            ends.append(bool(use(d)))
        except SofdataError as error:
            ends.append(path.name in str(error) or "plan" in str(error))
    assert ends[0]
    assert False not in ends[:1]


# Sources


def test_a_text_that_no_record_can_hold_is_a_rejected_row(corpus: Path, tmp_path: Path) -> None:
    clips = sorted(corpus.rglob("*.webm"))[:2]
    (tmp_path / "s").mkdir()
    for number, clip in enumerate(clips):
        shutil.copyfile(clip, tmp_path / "s" / f"{number}.webm")
    rows = f"uri,text\n0.webm,{'t' * 1_000_000}\n1.webm,push\n"
    put(tmp_path / "s", "manifest.csv", data=rows.encode())
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    found = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert {row["id"]: row["reason"] for row in found}["0.webm"] == "text_too_long"
    assert not findings(tmp_path / "d")


def test_a_table_of_videos_that_claims_millions_of_rows_in_no_bytes_is_refused(
    tmp_path: Path,
) -> None:
    put(tmp_path / "s", "a.mp4")
    part = pa.table({"uri": pa.repeat("a.mp4", 1_000_000)})
    with pq.ParquetWriter(tmp_path / "s" / "manifest.parquet", part.schema) as writer:
        for _ in range(3):
            writer.write_table(part, row_group_size=1_000_000)
    with pytest.raises(ConfigError, match="it claims 3000000 rows in"):
        ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, corpus="manifest")
