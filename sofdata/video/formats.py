"""The containers that can be read, listed once: for finding files, and for what FFmpeg may open.

Each holds its frames in itself and gives them times. Left out are playlists (hls, dash, concat),
image sequences and network formats, which make FFmpeg open whatever they name; and bare streams of
one codec (`BARE_SUFFIXES`), in which frames have no times: FFmpeg would invent 25 frames/s. MPEG-1
and MPEG-2 streams state their rate, so they are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 1024

_IMAGE_BRANDS = (b"avif", b"avis", b"crx ", b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevx")
_OTHER_BRANDS = {*_IMAGE_BRANDS, b"jxl ", b"mif1", b"msf1", b"M4A ", b"M4B ", b"M4P "}  # and audio
# A QuickTime file from before ftyp existed begins with one of these boxes.
_FIRST_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_MXF_PARTITION = bytes.fromhex("060e2b34020501010d01020101")  # SMPTE 377, behind a run-in
_OGG_VIDEO = (b"\x80theora", b"OVP80", b"BBCD\x00", b"\x01video")
_DV_HEADER = 0x1F07003F  # a DIF header block (IEC 61834), but for the bit of its system
_DV_SYSTEM = 0x00000080


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of container.

    demuxers: as FFmpeg calls them. suffixes: of files that are meant as such whatever they hold;
    one that other kinds of files have too (".ts", ".nut", ".mod") is left to the content.
    is_head: whether a file that begins with these `HEAD_BYTES` is of this kind.
    """

    name: str
    demuxers: tuple[str, ...]
    suffixes: tuple[str, ...]
    is_head: Callable[[bytes], bool]


def _iso_bmff(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] not in _OTHER_BRANDS


def _quicktime(head: bytes) -> bool:
    # The size of a box that comes first is small, which keeps text with these letters out.
    return head[4:8] in _FIRST_BOXES and head[:2] == b"\x00\x00"


def _avi(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"AVI "


def _ogg(head: bytes) -> bool:
    return head[:4] == b"OggS" and any(codec in head for codec in _OGG_VIDEO)


def _dv(head: bytes) -> bool:
    return int.from_bytes(head[:4], "big") & ~_DV_SYSTEM == _DV_HEADER


def _transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes that each begin with 0x47; Blu-ray puts 4 bytes before each."""
    return any(
        len(head) > start + 3 * step and all(head[start + i * step] == 0x47 for i in range(4))
        for start, step in ((0, 188), (4, 192))
    )


def _begins(magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


_MP4 = ("mov", "mp4", "m4a", "3gp", "3g2", "mj2")

# In this order a head is tried, the weakest sign last.
FORMATS = (
    Format(
        "iso-bmff", _MP4, (".3g2", ".3gp", ".f4v", ".m4v", ".mj2", ".mov", ".mp4", ".qt"), _iso_bmff
    ),
    Format("quicktime", _MP4, (".mov", ".qt"), _quicktime),
    Format("avi", ("avi",), (".avi", ".divx"), _avi),
    Format("ogg", ("ogg",), (".ogm", ".ogv"), _ogg),
    Format("ebml", ("matroska", "webm"), (".mk3d", ".mkv", ".webm"), _begins(b"\x1aE\xdf\xa3")),
    Format("flv", ("flv",), (".flv",), _begins(b"FLV\x01")),
    Format("asf", ("asf",), (".asf", ".wmv"), _begins(_ASF)),
    Format("mpeg-ps", ("mpeg",), (".mpe", ".mpeg", ".mpg", ".vob"), _begins(b"\x00\x00\x01\xba")),
    Format("mpeg-es", ("mpegvideo",), (".m1v", ".m2v", ".mpv"), _begins(b"\x00\x00\x01\xb3")),
    Format("y4m", ("yuv4mpegpipe",), (".y4m",), _begins(b"YUV4MPEG2")),
    Format("mxf", ("mxf",), (".mxf",), lambda head: _MXF_PARTITION in head),
    Format("nut", ("nut",), (), _begins(b"nut/multimedia container\0")),
    Format("ivf", ("ivf",), (".ivf",), _begins(b"DKIF")),
    Format("realmedia", ("rm",), (".rm", ".rmvb"), _begins(b".RMF")),
    Format("dv", ("dv",), (".dv",), _dv),
    Format("mpeg-ts", ("mpegts",), (".m2t", ".m2ts", ".mts"), _transport_stream),
)

DEMUXERS = tuple(dict.fromkeys(name for each in FORMATS for name in each.demuxers))
SUFFIXES = frozenset(suffix for each in FORMATS for suffix in each.suffixes)

# Streams without a container, whose frames have no times: rejected as such, never opened.
BARE_SUFFIXES = {
    ".264": "H.264",
    ".avc": "H.264",
    ".h264": "H.264",
    ".265": "H.265",
    ".h265": "H.265",
    ".hevc": "H.265",
    ".266": "H.266",
    ".vvc": "H.266",
    ".obu": "AV1",
    ".mjpeg": "MJPEG",
    ".mjpg": "MJPEG",
}


def container(head: bytes) -> str:
    """The format that a file's first `HEAD_BYTES` belong to, or "" for none."""
    return next((each.name for each in FORMATS if each.is_head(head)), "")
