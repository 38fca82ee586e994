"""What a run says of its account: before it, as it ends, in its tables and on the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sofdata.ui.text import printable
from tests.helpers import sofdata
from tests.videos import cut_off, moving_square, write_video

SETTINGS = ("--engine", "inline", "--set", "flow.size=64", "--set", "windows.size=32")
TABLE = """file,start_s,end_s,text
whole,0,2,push
whole,0,2,push again
whole,3,3,nothing
beyond,1,100,pull
cut,,,lift
away,,,not here
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, and files of which some are short, of no row, or no videos."""
    root = tmp_path_factory.mktemp("account") / "source"
    (root / "videos").mkdir(parents=True)
    for name in ("whole", "beyond", "stranger"):
        write_video(root / "videos" / f"{name}.mp4", moving_square(60), 15)
    whole = write_video(root.parent / "whole.mkv", moving_square(90), 15, options={"g": "10"})
    cut_off(whole, 0.6, root / "videos" / "cut.mkv")
    (root / "clips.csv").write_text(TABLE)
    (root / "README.md").write_text("read me")
    return root


def run(source: Path, dest: Path, *more: str) -> tuple[str, str]:
    """What an ingest prints to standard output and to standard error."""
    mapped = ("--set", "manifest.table=clips.csv", "--set", "manifest.uri=videos/{file}")
    found = sofdata("ingest", source, dest, *SETTINGS, *mapped, *more)
    assert found.returncode == 0, found.stderr
    return found.stdout, found.stderr


def test_a_dry_run_says_what_is_rejected_unused_and_ignored(source: Path, tmp_path: Path) -> None:
    out, progress = run(source, tmp_path / "d", "--dry-run", "--json")
    assert "plan: 5 videos" in progress
    assert "1 label files" in progress
    assert "2 videos rejected as they are listed (bad_span 1, duplicate_id 1)" in progress
    assert "2 other files ignored (.md 1, video of no row 1)" in progress
    assert "1 rows unused (row of clips.csv without a file here 1)" in progress
    assert json.loads(out)["reasons"] == {"duplicate_id": 1, "bad_span": 1}
    assert not (tmp_path / "d").exists()


def test_summary_tables_and_page_say_all_that_was_not_done_lost_or_left_out(
    source: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "d"
    out, progress = run(source, dest)
    rows = {line[:15].strip(): line[15:].split(maxsplit=1) for line in out.splitlines()}
    assert rows["videos"] == ["5", rows["videos"][1]]
    assert "bad_span 1" in rows["videos"][1]
    assert "duplicate_id 1" in rows["videos"][1]
    assert rows["done"][0] == "3"
    assert rows["done"][1].split(", ")[0] == "salvaged 2"
    assert rows["label files"] == ["1"]
    assert rows["ignored files"][0] == "2"
    assert rows["unused rows"][0] == "1"
    assert "the file ends at 4.00 s, the span at 100.00 s" in out
    last = [line for line in progress.splitlines() if line.startswith("videos ")][-1]
    assert "videos 5/5" in last
    assert "not done 2" in last

    counts = json.loads((dest / "dataset.json").read_text())["counts"]
    files = [path for path in source.rglob("*") if path.is_file()]
    used = 3  # files that rows name
    assert len(files) == used + counts["label_files"] + sum(counts["ignored_files"].values())
    assert counts["videos"] == counts["done"] + counts["rejected"] + counts["quarantined"]

    assert sofdata("report", dest).returncode == 0
    page = " ".join((dest / "report.html").read_text().split())
    assert "2 were salvaged" in page
    assert "2 videos end before their span" in page
    assert "Label files, which hold no video: 1." in page
    assert printable("row of clips.csv without a file here") in page
    assert "video of no row" in page
    assert "duplicate_id" in page
