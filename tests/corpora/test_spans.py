"""`sofdata.corpora.spans`: what lies in a folder is a video or is counted, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path

from sofdata.corpora.spans import find_videos
from sofdata.storage.tree import Tree
from tests.videos import moving_square, write_video


def test_a_folder_that_cannot_be_read_is_kept_as_an_input(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/odd\xfe")
    for name in ("a.mp4", "notes.txt", "table.csv", ".hidden"):
        (tmp_path / name).touch()
    found = find_videos(Tree(str(tmp_path)), lambda item: item.rel == "table.csv")
    assert [item.rel for item in found.claimed] == ["table.csv"]
    assert list(found.by_stem) == ["a"]
    assert found.ignored == {".txt": 1, "hidden": 1}
    assert [item.rel for item in found.ignored.unread] == ["odd\\xfe"]


def test_videos_are_found_by_content_where_their_names_do_not_say(tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", moving_square(4), 10, options={"bf": "0"})
    (tmp_path / "b.ts").write_text("export const a = 1;\n")
    found = find_videos(Tree(str(tmp_path)))
    assert list(found.by_stem) == ["a"]
    assert found.ignored == {".ts": 1}
