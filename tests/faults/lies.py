"""Datasets that strangers have altered: every mutation of a file follows from its seed.

What lies behind a hash is altered with the hash made right again, so that the checks after it are
reached, too.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sofdata.shards.tar import BLOCK, TarWriter, read_samples
from tests.faults.lying_tables import INTS, TABLE_CHANGES, Rng, pick

Members = dict[str, bytes]

TABLES = ("index.parquet", "rejects.parquet", "videos.parquet", "plan.parquet")
# Written into JSON as they are, whatever the JSON was.
RAW = (
    *(
        "1e400",
        "-1e400",
        "NaN",
        "-Infinity",
        "-1",
        "0",
        "9223372036854775807",
        "18446744073709551616",
    ),
    *("1" * 400, "1" * 5000, "0.5", "null", "true", "[]", "{}", '""', '"\\ud800"', '"\\u0000"'),
    *(
        '"../../etc/passwd"',
        '"NaN"',
        "[[[[]]]]",
        '{"a":{"b":[1]}}',
        "[" * 200_000,
        '{"a":' * 50_000,
    ),
    *('"' + "x" * 4_000_000 + '"', "[" + "0," * 300_000 + "0]", "{" + '"a":0,' * 9 + '"a":1}'),
)


def mutate(folder: Path, seed: int, number: int) -> str:
    """Alter a dataset in place; returns what was done to which file."""
    rng = np.random.default_rng((seed, number))
    name, alter = KINDS[number % len(KINDS)]
    return f"{name}: {alter(folder, rng)}"


# Bytes, whatever the file


def _any_file(folder: Path, rng: Rng) -> Path:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    kinds = sorted({_kind(folder, path) for path in found})
    kind = pick(rng, kinds)
    return Path(pick(rng, [path for path in found if _kind(folder, path) == kind]))


def _kind(folder: Path, path: Path) -> str:
    rel = path.relative_to(folder)
    return rel.parts[0] + path.suffix if len(rel.parts) > 1 else rel.name


def _bytes(folder: Path, rng: Rng) -> str:
    path = _any_file(folder, rng)
    data = bytearray(path.read_bytes())
    start, end = sorted(int(place) for place in rng.integers(len(data) + 1, size=2))
    how = pick(
        rng, ("bits", "few bits", "cut", "dropped", "doubled", "zeroed", "spliced", "number")
    )
    if how.endswith("bits"):
        for place in rng.integers(
            len(data), size=int(10 ** rng.uniform(0, 3 if how == "bits" else 0.5))
        ):
            data[place] ^= 1 << int(rng.integers(8))
    elif how == "cut":
        del data[start:]
    elif how == "dropped":
        del data[start:end]
    elif how == "doubled":
        data[end:end] = data[start:end]
    elif how == "zeroed":
        data[start:end] = bytes(end - start)
    elif how == "spliced":
        data[start:] = _any_file(folder, rng).read_bytes()[: 1 << 20]
    else:
        width = pick(rng, (1, 2, 4, 8))
        value = pick(rng, INTS) % (1 << (8 * width))
        data[start : start + width] = value.to_bytes(width, pick(rng, ("big", "little")))
    path.write_bytes(data)
    return f"{how} in {path.relative_to(folder)}"


def _instead(folder: Path, rng: Rng) -> str:
    """Something else in the place of a file."""
    path = _any_file(folder, rng)
    how = pick(rng, ("folder", "empty", "link to nothing", "link to itself", "huge hole", "other"))
    other = _any_file(folder, rng).read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how.startswith("link"):
        path.symlink_to("nowhere" if how == "link to nothing" else path.name)
    elif how == "huge hole":
        with path.open("wb") as handle:
            handle.truncate(1 << 36)
    else:
        path.write_bytes(other if how == "other" else b"")
    return f"{how} instead of {path.relative_to(folder)}"


# JSON


def altered_json(data: bytes, rng: Rng) -> bytes:
    """A JSON text with one or two of its values altered."""
    value = json.loads(data)
    raw: dict[str, str] = {}
    for number in range(int(rng.integers(1, 3))):
        places = list(_places(value))
        if not places:
            break
        holder, key = places[int(rng.integers(len(places)))]
        mark = f"@{number}@"
        how = pick(
            rng, ("raw", "raw", "raw", "dropped", "renamed", "doubled", "swapped", "wrapped")
        )
        if how == "raw":
            holder[key], raw[mark] = mark, pick(rng, RAW)
        elif how == "dropped":
            del holder[key]
        elif how == "renamed" and isinstance(holder, dict):
            holder[key + "x"] = holder.pop(key)
        elif how == "doubled" and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif how == "wrapped":
            holder[key] = pick(rng, ([holder[key]], {"a": holder[key]}, str(holder[key])))
        else:
            other, at = places[int(rng.integers(len(places)))]
            holder[key] = json.loads(json.dumps(other[at]))
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    for mark, instead in raw.items():
        text = text.replace(f'"{mark}"', instead)
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> Any:
    """Every (container, key) in a JSON value, each list by its first few elements."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from _places(inner)
    elif isinstance(value, list):
        for at, inner in enumerate(value[:3]):
            yield value, at
            yield from _places(inner)


def _json(folder: Path, rng: Rng) -> str:
    ledger = sorted((folder / "ledger").iterdir())
    path = pick(rng, (folder / "dataset.json", pick(rng, ledger), folder / "shards" / "index.json"))
    path.write_bytes(altered_json(path.read_bytes(), rng))
    return str(path.relative_to(folder))


# Tables


def _table(folder: Path, rng: Rng) -> str:
    name = pick(rng, TABLES)
    table = pq.read_table(folder / name)
    how = pick(rng, list(TABLE_CHANGES))
    options: dict[str, Any] = {}
    table = TABLE_CHANGES[how](table, rng, options)
    pq.write_table(table, folder / name, **options)
    return f"{how} in {name}"


# Shards, whose hashes are made right again


@dataclass
class Shard:
    """A shard to be altered, and the record that lists it."""

    path: Path
    record: Path
    samples: dict[str, Members]

    @classmethod
    def first(cls, folder: Path) -> Shard:
        """The shard of the first record that has one."""
        return cls.of(folder, cls.records(folder)[0])

    @classmethod
    def choose(cls, folder: Path, rng: Rng) -> Shard:
        """Any of a dataset's."""
        return cls.of(folder, pick(rng, cls.records(folder)))

    @staticmethod
    def records(folder: Path) -> list[Path]:
        """The records that have a shard."""
        found = sorted((folder / "ledger").iterdir())
        return [path for path in found if b'"shard":{' in path.read_bytes()]

    @classmethod
    def of(cls, folder: Path, record: Path) -> Shard:
        """The shard of a record."""
        path = folder / "shards" / json.loads(record.read_bytes())["shard"]["name"]
        with path.open("rb") as stream:
            samples = {key: members for key, _, members in read_samples(stream, path.name)}
        return cls(path, record, samples)

    def write(self, folder: Path) -> None:
        """Write the samples anew, with offsets and hashes that fit."""
        self.path.unlink()
        writer = TarWriter(str(self.path))
        offsets = {key: writer.add(key, members) for key, members in self.samples.items()}
        writer.finish()
        self.agree(folder, offsets)

    def agree(self, folder: Path, offsets: dict[str, int]) -> None:
        """Make ledger, index and the list of shards agree with the file."""
        data = self.path.read_bytes()
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        record = json.loads(self.record.read_bytes())
        told = {"sha256": hashlib.sha256(data).hexdigest(), "md5": md5, "size_bytes": len(data)}
        record["shard"] |= told
        for row in record["windows"]:
            row["offset"] = offsets.get(row["key"], row["offset"])
        self.record.write_text(json.dumps(record, sort_keys=True, separators=(",", ":")))
        listed = json.loads((folder / "shards" / "index.json").read_bytes())
        for shard in listed["shardlist"]:
            if shard["url"] == self.path.name:
                shard |= {"filesize": len(data), "md5sum": md5}
        text = json.dumps(listed, sort_keys=True, indent=1)
        (folder / "shards" / "index.json").write_text(text)
        table = pq.read_table(folder / "index.parquet")
        rows = table.to_pylist()
        for row in rows:
            row["offset"] = offsets.get(row["key"], row["offset"])
        pq.write_table(pa.Table.from_pylist(rows, table.schema), folder / "index.parquet")


def _member(folder: Path, rng: Rng) -> str:
    """One member of a sample, behind hashes that are right."""
    shard = Shard.choose(folder, rng)
    key = pick(rng, sorted(shard.samples))
    members = shard.samples[key]
    suffix = pick(rng, sorted(members))
    if suffix == "json" or rng.random() < 0.2:
        suffix, how = "json", "altered"
        members["json"] = altered_json(members["json"], rng)
    elif suffix.endswith(".npy") and rng.random() < 0.8:
        how = "lying header"
        members[suffix] = lying_npy(members[suffix], rng)
    elif suffix.endswith(".jpg") and rng.random() < 0.7:
        how = "lying size"
        members[suffix] = lying_jpeg(members[suffix], rng)
    else:
        how = pick(rng, ("gone", "empty", "bits", "other", "twice as long"))
        data = bytearray(members[suffix])
        for place in rng.integers(len(data), size=8):
            data[place] ^= 1 << int(rng.integers(8))
        other = members[pick(rng, sorted(members))]
        made = {"empty": b"", "bits": bytes(data), "other": other, "twice as long": bytes(data) * 2}
        del members[suffix]
        if how != "gone":
            members[suffix] = made[how]
    shard.write(folder)
    return f"{suffix} {how} in {shard.path.name}"


def lying_npy(data: bytes, rng: Rng) -> bytes:
    """An array whose header says something else."""
    end = 10 + int.from_bytes(data[8:10], "little")
    descr = pick(rng, ("<f2", "<f4", "<f8", "|O", ">f2", "<U9999999", "V8", "<c16"))
    shapes = ("(1000000000, 64, 64, 2)", "()", "(0,)", "(-1, 4)", "(4, 32, 32, 2)", "(" * 3000)
    shape = pick(rng, shapes)
    order = pick(rng, ("False", "True"))
    head = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    version = pick(rng, (1, 2, 3, 9))
    length = len(head).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + head + data[end:]


def lying_jpeg(data: bytes, rng: Rng) -> bytes:
    """A picture whose header claims another size, up to a gigapixel and more."""
    found = bytearray(data)
    place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    if place < 0:
        return data
    for at in (place + 5, place + 7):
        side = pick(rng, (0, 1, 63, 64, 65, 1000, 32_000, 65_500, 65_535))
        found[at : at + 2] = int(side).to_bytes(2, "big")
    return bytes(found)


def _header(folder: Path, rng: Rng) -> str:
    """A header in a shard, with its checksum and the hashes made right."""
    shard = Shard.choose(folder, rng)
    data = bytearray(shard.path.read_bytes())
    with io.BytesIO(bytes(data)) as stream:
        starts = [offset for _, offset, _ in read_samples(stream, shard.path.name)]
    at = pick(rng, starts)
    how = pick(rng, ("size", "type", "name", "checksum"))
    if how == "size":
        sizes: tuple[bytes, ...] = (
            b"00000000000\0",
            b"77777777777\0",
            b"00010000000\0",
            b"-0000000001\0",
        )
        sizes += (b"\x80" + b"\xff" * 11, b"           \0", b"0000_000_10\0")
        data[at + 124 : at + 136] = pick(rng, sizes)
    elif how == "type":
        data[at + 156 : at + 157] = pick(
            rng, (b"S", b"x", b"g", b"1", b"2", b"5", b"L", b"K", b"7")
        )
    elif how == "name":
        name = pick(rng, (b"../a.json", b"/etc/passwd", b"a", b"\xff.json", b"", b"a.json"))
        data[at : at + 100] = name.ljust(100, b"\0")
    if how != "checksum":
        block = data[at : at + BLOCK]
        total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
        data[at + 148 : at + 156] = b"%06o\0 " % total
    else:
        data[at + 148 : at + 156] = b"00000000"
    shard.path.write_bytes(data)
    shard.agree(folder, {})
    return f"{how} in {shard.path.name}"


def _samples(folder: Path, rng: Rng) -> str:
    """Whole samples moved about, behind hashes that are right."""
    shard = Shard.choose(folder, rng)
    keys = sorted(shard.samples)
    one, other = pick(rng, keys), pick(rng, keys)
    how = pick(rng, ("gone", "swapped", "renamed", "another's", "a member of its own"))
    if how == "gone":
        del shard.samples[one]
    elif how == "swapped":
        shard.samples[one], shard.samples[other] = shard.samples[other], shard.samples[one]
    elif how == "renamed":
        shard.samples["stranger-0"] = shard.samples.pop(one)
    elif how == "another's":
        shard.samples[one]["json"] = shard.samples[other]["json"]
    else:
        shard.samples[one]["extra"] = bytes(1 << 22)
    if not shard.samples:
        shard.samples["stranger-0"] = {"json": b"{}"}
    shard.write(folder)
    return f"sample {how} in {shard.path.name}"


KINDS: tuple[tuple[str, Callable[[Path, Rng], str]], ...] = (
    ("bytes of any file", _bytes),
    ("values of JSON", _json),
    ("a table", _table),
    ("a member, hashes right", _member),
    ("a header, hashes right", _header),
    ("values of JSON", _json),
    ("a table", _table),
    ("a member, hashes right", _member),
    ("samples, hashes right", _samples),
    ("another thing in its place", _instead),
)
