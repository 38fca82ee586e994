"""The libraries that compute: what decides a unit's bytes beside its videos and configuration.

Two processes with the same entries give the same bytes. Versions alone do not decide: OpenCV takes
other code where Intel's IPP is switched off (OPENCV_IPP) or a processor lacks instructions, and
FFmpeg is built in many ways. So the state of both is among the entries, and the hashes of two small
things that are computed here by the same functions as everything else.

The digest of these entries stands in each ledger record, the entries in `dataset.json`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from sofdata.errors import ConfigError
from sofdata.flow.dis import coarsest_octave
from sofdata.flow.learned import PREFIX
from sofdata.flow.opencv import load_cv2
from sofdata.flow.quality import DisSettings
from sofdata.ingest.config import IngestConfig
from sofdata.shards.schema import DatasetRecord
from sofdata.system.digests import json_digest
from sofdata.system.versions import __version__, installed

Libraries = dict[str, str]

UNKNOWN = ""  # the digest of units that were made before there were digests
JOINT = "+"  # between the digests of a unit whose videos were computed under several
FLAG = "--other-libraries"
NOTE = "made under "  # what the note of a dataset with several sets begins with
_DIGITS = 16
_HASH_DIGITS = 12
_FFMPEG = ("libavcodec", "libavformat", "libavutil", "libswscale")
_SIDE = 64  # of the clip of five frames that is computed here, px
_WINDOWS = {"length": 2, "stride": 2, "size": 32, "static_px": 0, "min_texture": 0}
# Entries whose value says nothing by itself, and where the difference comes from.
_HINTS = {
    "a scaled picture": "FFmpeg computes otherwise here: another processor or build",
    "flow and windows": "OpenCV, NumPy, Pillow or sofdata compute otherwise here: another "
    "processor, build or variable such as OPENCV_IPP or OPENCV_CPU_DISABLE",
}
# What older datasets call their packages; OpenCV's fourth number is that of the package alone.
_OLDER = {
    "numpy": "numpy",
    "pillow": "pillow",
    "av": "av",
    "decord": "decord",
    "ptlflow": "ptlflow",
    "torch": "torch",
    "opencv-python-headless": "opencv",
}


def used_libraries(config: IngestConfig) -> Libraries:
    """What this process would compute a unit with, by name; only what this configuration uses.

    config: with its flow resolved. Costs a tenth of a second, once a process.
    """
    import av
    import numpy as np

    cv2 = load_cv2()
    found = {
        "sofdata": __version__,
        "machine": platform.machine(),
        "numpy": np.__version__,
        **_pillow(),
        "opencv": cv2.__version__,
        "opencv ipp": _ipp(cv2),
        "av": av.__version__,
        **_ffmpeg(),
    }
    if config.flow.keep:
        found["zlib"] = zlib.ZLIB_RUNTIME_VERSION
    names = ["decord"] if config.video.decoder == "decord" else []
    estimator = config.flow.estimator
    if estimator.startswith(PREFIX):
        names += ["ptlflow", "torch"]
        found["flow device"] = config.flow.device
        estimator = "dis"  # a learned one is named by its versions and its weights
    computed = _computed(estimator, config.flow.dis_settings(), config.windows.camera_fit)
    return {**found, **installed(*names), **computed}


def libraries_digest(libraries: Mapping[str, str]) -> str:
    """16 hexadecimal digits that stand for these entries."""
    return json_digest(libraries, _DIGITS)


def own_digest(config: IngestConfig, allowed: Mapping[str, Libraries], where: str = "") -> str:
    """The digest of this process, for the record of a unit that it has computed.

    allowed: what may be committed, by digest; empty for anything. where: the node, for messages.
    Raises `ConfigError` that names what differs if this process may not commit.
    """
    own = used_libraries(config)
    digest = libraries_digest(own)
    if allowed and digest not in allowed:
        known = "; ".join(differences(own, allowed.values(), "the driver"))
        place = f"node {where}" if where else "this process"
        raise ConfigError(
            f"{place} computes with other libraries than the driver: {known}. Which node runs a "
            "unit would then decide its bytes: use one image, or one environment, on all nodes"
        )
    return digest


def join_digests(*digests: str) -> str:
    """The digest of a unit that holds videos computed under all these, each named once."""
    return JOINT.join(sorted({each for joint in digests for each in joint.split(JOINT)}))


def split_digests(joint: str) -> list[str]:
    """The digests of a unit, one for most."""
    return joint.split(JOINT)


def differences(
    own: Mapping[str, str], others: Iterable[Mapping[str, str]], there: str
) -> list[str]:
    """Each entry that differs from all or some of `others`, in words, with the values of both.

    What only one side has is passed over where the other is an older dataset's, which knew less.
    """
    found = []
    others = list(others)
    for name in sorted(own.keys() | {key for other in others for key in other}):
        theirs = sorted({other[name] for other in others if name in other})
        if name not in own or not theirs or theirs == [own[name]]:
            continue
        hint = f" ({_HINTS[name]})" if name in _HINTS else ""
        found.append(f"{name} is {own[name]} here, {' or '.join(theirs)} in {there}{hint}")
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """This process beside the libraries that a dataset was made with so far.

    own: what this process computes with. stored: what the dataset was, by digest.
    differing: in words, empty if this process may go on as it is. name: of the dataset.
    """

    own: Libraries
    stored: dict[str, Libraries]
    differing: tuple[str, ...]
    name: str

    def check(self, accept: bool) -> None:
        """Raise `ConfigError` if they differ, unless that is accepted. Call it before any work."""
        if not self.differing or accept:
            return
        raise ConfigError(
            f"{self.name} was made with other libraries: {'; '.join(self.differing)}. The same "
            "videos may give other bytes now. Resume with the libraries that it was made with; or "
            f"add '{FLAG}' to mix them, which every record then says; or use another destination"
        )

    def allowed(self, accept: bool) -> dict[str, Libraries]:
        """What units may be committed with, by digest."""
        mine = {libraries_digest(self.own): self.own}
        known = {digest: each for digest, each in self.stored.items() if digest != UNKNOWN}
        return {**known, **mine} if accept else mine


def compare_libraries(
    stored: DatasetRecord | None, config: IngestConfig, name: str, committed: bool
) -> Comparison:
    """Compare this process with a dataset.

    stored: its `dataset.json`, None if there is none yet. name: of the dataset, for messages.
    committed: whether any unit is; else there is nothing to differ from.
    """
    own = used_libraries(config)
    before = known_libraries(stored) if stored and committed else {}
    digest = libraries_digest(own)
    others = [each for key, each in before.items() if key != digest]
    unlike = [each for each in others if differences(own, [each], name)]
    differing = () if digest in before else tuple(differences(own, unlike, name))
    return Comparison(own, before, differing, name)


def known_libraries(stored: DatasetRecord) -> dict[str, Libraries]:
    """The libraries of a dataset by digest; an older one has versions only."""
    if stored.libraries:
        return dict(stored.libraries)
    return {UNKNOWN: older_libraries(stored.provenance)}


def with_stored(
    stored: DatasetRecord | None, libraries: Mapping[str, Libraries]
) -> dict[str, Libraries]:
    """The libraries that `dataset.json` has to explain while more units are made with these."""
    return {**(known_libraries(stored) if stored else {}), **libraries}


def older_libraries(provenance: Mapping[str, Any]) -> Libraries:
    """What the provenance of a dataset says of its libraries."""
    found = {key: str(provenance[key]) for key in ("sofdata", "machine") if key in provenance}
    for package, version in provenance.get("packages", {}).items():
        if name := _OLDER.get(package):
            parts = str(version).split(".")
            found[name] = ".".join(parts[:3]) if name == "opencv" else str(version)
    return found


def recorded(stored: DatasetRecord, digests: Iterable[str]) -> dict[str, Libraries]:
    """The libraries of the digests that stand in a dataset's ledger.

    A digest that nobody can explain any more has no entries.
    """
    known = dict(stored.libraries)
    known.setdefault(UNKNOWN, older_libraries(stored.provenance))
    return {digest: known.get(digest, {}) for digest in sorted(set(digests))}


def merged_provenance(
    before: Mapping[str, Any], libraries: Mapping[str, Libraries]
) -> dict[str, Any]:
    """The provenance of a dataset whose units were made with these libraries.

    before: as `dataset.json` has it; what `libraries` does not name stays as it is. Where sets of
    libraries differ, their values stand beside each other: "18.1.0; 19.0.0".
    """
    merged = dict(before)
    packages = dict(before.get("packages", {}))
    for name in ("sofdata", "machine"):
        merged[name] = _joined(libraries, name) or merged.get(name, "")
    for package, name in _OLDER.items():
        if package in packages or package != "opencv-python-headless":
            value = _joined(libraries, name)
            keeps = name == "opencv" and str(packages[package]).startswith(f"{value}.")
            if value and not keeps:
                packages[package] = value
    merged["packages"] = packages
    return merged


def sets_note(libraries: Mapping[str, Libraries]) -> str:
    """A sentence for a dataset that was made with several sets of libraries, "" for any other."""
    kinds = [each for digest, each in sorted(libraries.items()) if digest != UNKNOWN]
    older = libraries.get(UNKNOWN)
    if older is not None and not any(_fits(older, kind) for kind in kinds):
        kinds.append(older)
    if len(kinds) < 2:
        return ""
    names = sorted({name for kind in kinds for name in kind})
    values = {name: sorted({kind[name] for kind in kinds if name in kind}) for name in names}
    parts = [f"{name} {', '.join(v)}" for name, v in values.items() if len(v) > 1]
    differing = "; ".join(parts) or "dataset.json does not tell all of them"
    return f"{NOTE}{len(kinds)} sets of libraries ({differing})"


def with_sets_note(notes: Iterable[str], libraries: Mapping[str, Libraries]) -> list[str]:
    """The notes of a dataset, with that on its libraries if there is one."""
    others = [note for note in notes if not note.startswith(NOTE)]
    note = sets_note(libraries)
    return [*others, note] if note else others


def _fits(one: Libraries, other: Libraries) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _joined(libraries: Mapping[str, Libraries], name: str) -> str:
    return "; ".join(sorted({each[name] for each in libraries.values() if name in each}))


def _pillow() -> Libraries:
    """Pillow, and the JPEG library that it was built with; nothing else of it writes samples."""
    import PIL
    from PIL import features

    turbo = features.version("libjpeg_turbo")
    jpeg = f"turbo {turbo}" if turbo else str(features.version("jpg"))
    return {"pillow": PIL.__version__, "libjpeg": jpeg}


def _ipp(cv2: Any) -> str:
    """Intel's library in OpenCV, which gives other flow than OpenCV's own code; "off" without."""
    ipp = getattr(cv2, "ipp", None)
    if ipp is None or not ipp.useIPP():
        return "off"
    version = str(ipp.getIppVersion())
    found = re.search(r"\b\d{4}\.\d+(\.\d+)?\b", version)  # the rest names the processor and a date
    return found.group() if found else version


def _ffmpeg() -> Libraries:
    """The FFmpeg that PyAV was built with: its versions, and a hash of how it was configured."""
    import av
    from av import _core

    versions = [
        f"{name.removeprefix('lib')} {'.'.join(map(str, av.library_versions[name]))}"
        for name in _FFMPEG
        if name in av.library_versions
    ]
    meta = getattr(_core, "library_meta", {})
    built = json.dumps([str(meta.get(name, {}).get("configuration", "")) for name in _FFMPEG])
    return {
        "ffmpeg": f"{av.ffmpeg_version_info}: {', '.join(versions)}",
        "ffmpeg build": hashlib.sha256(built.encode()).hexdigest()[:_HASH_DIGITS],
    }


@cache
def _computed(estimator: str, dis: DisSettings, camera_fit: str) -> Libraries:
    """Hashes of what this process makes of a picture and of a clip, both made of whole numbers.

    By the same ways as the dataset, so that those of one made before there were others stay.
    """
    windows = _windows(estimator, dis, camera_fit)
    return {"a scaled picture": _scaled(), "flow and windows": windows}


def _scaled() -> str:
    """Hash of a picture as the reader scales it, in 8 bits and in 16."""
    import av
    from av.video.reformatter import VideoReformatter

    digest = hashlib.sha256()
    stored = _pattern(1, 144, 96)[0, ..., 0]  # yuv420p: half as many rows again as the picture has
    frame = av.VideoFrame.from_ndarray(stored, format="yuv420p")
    for kind in ("rgb24", "rgb48le"):
        small: Any = VideoReformatter().reformat(
            frame, width=64, height=64, format=kind, interpolation="BICUBIC", threads=1
        )
        digest.update(small.to_ndarray().tobytes())
    return digest.hexdigest()[:_HASH_DIGITS]


def _windows(estimator: str, dis: DisSettings, camera_fit: str) -> str:
    """Hash of all samples of a clip of five frames."""
    import numpy as np

    from sofdata.flow.estimator import make_estimator
    from sofdata.ingest.stages import LocalFlow, cut_windows, estimate_flow
    from sofdata.shards.sample import Jpegs, VideoContext, encode_sample
    from sofdata.types import Frames, RejectedWindow, VideoRef

    finest = max(0, min(dis.finest_scale, coarsest_octave(_SIDE, _SIDE, dis.patch_size)))
    settings = {**asdict(dis), "finest_scale": finest}
    config = IngestConfig.parse(
        {
            "flow": {"estimator": estimator, "size": _SIDE, "dis": settings},
            "windows": {**_WINDOWS, "camera_fit": camera_fit},
        }
    )
    frames = Frames(_pattern(5, _SIDE, _SIDE), np.array([0.0, 0.125, 0.25, 0.375, 0.5]))
    flow = LocalFlow(make_estimator(config.flow))
    context = VideoContext(
        VideoRef("a clip", "a clip", 0, ""), flow.name, (_SIDE, _SIDE), "stretch"
    )
    digest = hashlib.sha256()
    for window in cut_windows(estimate_flow([frames], flow, config), config.windows):
        if not isinstance(window, RejectedWindow):
            sample = encode_sample(window, context, config.codec, Jpegs(config.images))
            for suffix, member in sorted(sample.members.items()):
                digest.update(f"{suffix} {len(member)}\n".encode() + member)
            digest.update(window.flow.tobytes())
    return digest.hexdigest()[:_HASH_DIGITS]


def _pattern(count: int, height: int, width: int) -> Any:
    """Textured frames uint8 [count,height,width,3] that move by (2, 1) px a frame."""
    import numpy as np

    number, y, x, channel = np.ogrid[:count, :height, :width, :3]
    x, y = x + 2 * number, y + number
    waves = np.abs((x * x + 3 * y * y + 5 * x * y) // 97 % 254 - 127) + 17 * channel
    grain = (x * 7919 + y * 104729 + x * y * 31) % 23
    return np.ascontiguousarray(waves + grain + 32, dtype=np.uint8)
