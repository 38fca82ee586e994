"""Where the text of pictures lies, and whose it is, where a source is a recording itself."""

from __future__ import annotations

from pathlib import Path

from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.recordings import recording_of
from sofdata.corpora.sequences.frames import FrameFolders
from sofdata.storage.tree import Tree
from tests.sequences import write_frames


def listed(root: Path) -> dict[str, tuple[str, str]]:
    """Text and recording of each video."""
    found = FrameFolders(SequenceConfig(fps=10)).listing(Tree(str(root)))
    assert not found.ignored
    return {each.id: (each.text, recording_of("frames", each.labels)) for each in found.entries}


def test_the_text_of_pictures_at_the_top_of_a_source_lies_beside_them(tmp_path: Path) -> None:
    write_frames(tmp_path, range(10))
    (tmp_path / "caption.txt").write_text("pour tea")
    assert listed(tmp_path) == {"frame_*.jpg": ("pour tea", "recording .")}


def test_cameras_at_the_top_of_a_source_are_one_recording_with_its_text(tmp_path: Path) -> None:
    """As where a trajectory of Bridge is given alone."""
    for camera in range(2):
        write_frames(tmp_path / f"images{camera}", range(10))
    (tmp_path / "lang.txt").write_text("put the pot away\nconfidence: 1\n")
    assert listed(tmp_path) == {
        f"images{camera}": ("put the pot away", "recording .") for camera in range(2)
    }


def test_recordings_at_the_top_of_a_source_have_no_text_of_all(tmp_path: Path) -> None:
    for name in ("clip_1", "clip_2"):
        write_frames(tmp_path / name, range(10))
    (tmp_path / "clip_2.txt").write_text("stir")
    found = listed(tmp_path)
    assert found == {"clip_1": ("", "recording clip_1"), "clip_2": ("stir", "recording clip_2")}
