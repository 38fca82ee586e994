"""Something-Something V2 as it is downloaded: an archive in parts, and label files in a zip."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

FOLDER = "20bn-something-something-v2"
LABELS = "20bn-something-something-download-package-labels.zip"


def tar_of(files: dict[str, bytes], extra: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """A tar of files in the order given, and then members without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        top = tarfile.TarInfo(FOLDER)
        top.type = tarfile.DIRTYPE
        tar.addfile(top)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return out.getvalue()


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def split(data: bytes, number: int) -> list[bytes]:
    """Equal parts, the last one smaller, as `split` makes them."""
    size = -(-len(data) // number)
    return [data[at : at + size] for at in range(0, len(data), size)]


def write_parts(
    root: Path, parts: Sequence[bytes], stem: str = f"{FOLDER}-", zipped: str = ""
) -> None:
    """Write parts as stem00, stem01, ...; zipped: "", "stored" or "deflated"."""
    root.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(parts):
        name = f"{stem}{number:02d}"
        if not zipped:
            (root / name).write_bytes(data)
            continue
        kind = zipfile.ZIP_DEFLATED if zipped == "deflated" else zipfile.ZIP_STORED
        with zipfile.ZipFile(root / f"{name}.zip", "w", kind) as archive:
            archive.writestr(name, data)


def write_archive(
    source: Path,
    root: Path,
    *,
    parts: int = 4,
    zipped: str = "",
    stem: str = f"{FOLDER}-",
    labels_zip: bool = True,
    pack: Callable[[bytes], bytes] = packed,
) -> Path:
    """Turn an unpacked corpus into one as it is downloaded. Returns `root`.

    Clips come in an order that is not that of their ids, as in the real archive.
    """
    clips = sorted((source / FOLDER).iterdir(), key=lambda path: path.stem[::-1])
    data = tar_of({f"{FOLDER}/{path.name}": path.read_bytes() for path in clips})
    write_parts(root, split(pack(data), parts), stem, zipped)
    labels = sorted((source / "labels").iterdir())
    if labels_zip:
        with zipfile.ZipFile(root / LABELS, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in labels:
                archive.write(path, f"labels/{path.name}")
    else:
        (root / "labels").mkdir()
        for path in labels:
            (root / "labels" / path.name).write_bytes(path.read_bytes())
    return root
