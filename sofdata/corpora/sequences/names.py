"""What names of folders and of pictures say that they show, and who took them.

Optical flow, depth and segmentation are stored as numbered pictures, too, and their motion is that
of no thing: EPIC-KITCHENS has flow in flow_frames/P01_01/u and v, Bridge depth in depth_images0,
TSN's tools write flow_x_00001.jpg. The last name in a path that says anything decides.
"""

from __future__ import annotations

import re

DEPTH, SEGMENTATION, FLOW = "depth", "segmentation", "flow"
_WORDS = {
    **dict.fromkeys(("depth", "depths", "depthmap", "disparity"), DEPTH),
    **dict.fromkeys(("seg", "segm", "segmentation", "segmentations"), SEGMENTATION),
    **dict.fromkeys(("semantic", "semantics", "mask", "masks"), SEGMENTATION),
    **dict.fromkeys(("flow", "flows", "opticalflow"), FLOW),
    **dict.fromkeys(("rgb", "color", "colour", "bgr"), ""),
}
_LAST = 2  # folders, from the last one on, whose names may say what is shown
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_FLOW_PARTS = ("u", "v")  # folders of the two components
# What phones and cameras call photos: IMG_1234.JPG, DSC00012.JPG, P1010023.JPG, PXL_20260101_...;
# frames that programs write are called img_00001.jpg.
_PHOTO = re.compile(
    r"((IMG|DSC|DSCN|DSCF|PICT|CIMG|SAM|GOPR|GX|MVI|PXL|P)[-_]?|_DSC|_MG_)"
    r"([0-9]{8}[-_](WA)?)?\*.*|(Screenshot|WhatsApp).*"
)
# Folders of one camera of a recording that is the folder above: Bridge has images0, images1, ...
_CAMERA = re.compile(
    r"(images?|cam|camera|view|left|right|wrist|front|top|side|head|hand|gripper|ego|exo|rgb)"
    r"([-_ ]?(images?|cam|camera|view|rgb|left|right|\d{1,4}))*",
    re.IGNORECASE,
)


def shown(folder: str, pattern: str) -> str:
    """What else than light pictures show by their names: "depth", ...; "" for nothing else."""
    names = [*folder.split("/")[-_LAST:], pattern.rpartition(".")[0]]
    if folder.rpartition("/")[2] in _FLOW_PARTS:
        return FLOW
    for name in reversed(names):
        for word in reversed(_WORD.findall(name)):
            if (kind := _WORDS.get(word.lower())) is not None:
                return kind
    return ""


def is_photo(pattern: str) -> bool:
    """Whether a name is one that cameras and phones give to photos, which are no film."""
    return bool(_PHOTO.fullmatch(pattern)) or " " in pattern


def recording_and_camera(folder: str) -> tuple[str, str]:
    """The folder of a recording, and the camera in it that a folder's own name tells of, or "".

    "" for the recording, too, where that is the source itself.
    """
    above, _, name = folder.rpartition("/")
    if _CAMERA.fullmatch(name):
        return above, name
    return folder, ""
