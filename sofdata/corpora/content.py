"""Is a file a video? Its suffix tells where that is decisive, and else its first bytes.

Names cannot be trusted to name the right container, so nothing here picks a decoder.
"""

from __future__ import annotations

from sofdata.corpora.base import suffix
from sofdata.storage import Tree

HEAD_BYTES = 1024

_VIDEO = """
    .3g2 .3gp .asf .avi .divx .f4v .flv .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv
    .qt .vob .webm .wmv .y4m
"""
_OTHER = """
    .aac .avif .bmp .csv .flac .gif .gz .h5 .hdf5 .heic .htm .html .ini .jpeg .jpg .json .jsonl
    .lock .log .m4a .md .mka .mp3 .npy .npz .oga .opus .parquet .pdf .pkl .png .pt .pth .py .rar
    .safetensors .sh .srt .svg .tar .tfrecord .tgz .tiff .toml .tsv .txt .vtt .wav .webp .wma
    .xml .yaml .yml .zip
"""
VIDEO_SUFFIXES = frozenset(_VIDEO.split())
# Known not to be video, so never opened: a corpus may hold millions of these, and each look at a
# file in an object store is a request. Any other suffix, ".ts" say, is decided by the content.
OTHER_SUFFIXES = frozenset(_OTHER.split())

_IMAGE_BRANDS = (b"avif", b"avis", b"crx ", b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevx")
_OTHER_BRANDS = {*_IMAGE_BRANDS, b"jxl ", b"mif1", b"msf1", b"M4A ", b"M4B ", b"M4P "}  # and audio
# A QuickTime file from before ftyp existed begins with one of these boxes.
_FIRST_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_OGG_VIDEO = (b"\x80theora", b"OVP80", b"BBCD\x00")
_MAGIC = (
    b"\x1aE\xdf\xa3",
    b"FLV\x01",
    _ASF,
    b"\x00\x00\x01\xba",
    b"\x00\x00\x01\xb3",
    b"YUV4MPEG2",
)


def is_video(tree: Tree, rel: str, size_bytes: int) -> bool:
    """Whether a readable file is meant as a video. Opens it only where the suffix leaves doubt."""
    end = suffix(rel)
    if end in VIDEO_SUFFIXES:
        return True
    if end in OTHER_SUFFIXES or size_bytes == 0:
        return False
    try:
        with tree.open(rel) as handle:
            return bool(container(handle.read(HEAD_BYTES)))
    except OSError:  # it vanished or went bad since it was listed; by its name it is no video
        return False


def container(head: bytes) -> str:
    """The video container that a file's first `HEAD_BYTES` belong to, or "" for none."""
    if head[4:8] == b"ftyp":
        return "" if head[8:12] in _OTHER_BRANDS else "iso-bmff"
    # The size of a box that comes first is small, which keeps text with these letters out.
    if head[4:8] in _FIRST_BOXES and head[:2] == b"\x00\x00":
        return "quicktime"
    if head[:4] == b"RIFF":
        return "avi" if head[8:12] == b"AVI " else ""
    if head[:4] == b"OggS":
        return "ogg" if any(codec in head for codec in _OGG_VIDEO) else ""
    for magic, name in zip(
        _MAGIC, ("ebml", "flv", "asf", "mpeg-ps", "mpeg-es", "y4m"), strict=True
    ):
        if head.startswith(magic):
            return name
    return "mpeg-ts" if _is_transport_stream(head) else ""


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes that each begin with 0x47; Blu-ray puts 4 bytes before each."""
    return any(
        len(head) > start + 3 * step and all(head[start + i * step] == 0x47 for i in range(4))
        for start, step in ((0, 188), (4, 192))
    )
