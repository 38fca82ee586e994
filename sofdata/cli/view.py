"""`sofdata view` and `sofdata movie`: thin layers, as those in `sofdata.cli.app`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sofdata.cli.options import LOCAL, Dataset, LastSource, Quiet, examples
from sofdata.ui.console import counting, note, say, stderr, stdout

VIEW_EXAMPLES = examples(
    "sofdata view dataset",
    "sofdata view s3://bucket/dataset --source /mnt/videos",
    "sofdata view dataset --port 8080 --no-open",
)
MOVIE_EXAMPLES = examples(
    "sofdata movie dataset 10001",
    "sofdata movie dataset 10001 film.mp4 --source /mnt/videos",
    "sofdata movie dataset 10001 film.rrd",
)


def view(
    dest: Dataset,
    source: LastSource = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0: any that is free.")
    ] = 0,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address, and open no browser.")
    ] = False,
) -> None:
    """Look at a dataset in the browser: windows, skills, what was set aside, the account.

    Runs until Ctrl-C. Serves this machine alone, to whoever has the address that
    is printed.
    """
    from sofdata.storage.tree import Tree
    from sofdata.view.run import open_browser, serve

    console = stdout()

    def started(address: str, why_no_frames: str) -> None:
        say(console, f"view: {address}")
        if why_no_frames:
            note(console, f"frames of the videos are not shown: {why_no_frames}")
        say(console, "Ctrl-C ends it")
        sys.stdout.flush()  # whoever started this may read it through a pipe
        if not no_open and not open_browser(address):
            note(console, "there is no desktop here to open a browser on: open the address")

    serve(Tree(dest), source, port, started)
    say(stderr(), "the view has ended")


def movie(
    dest: Dataset,
    video: Annotated[str, typer.Argument(help="Id of the video, as in videos.parquet.")],
    out: Annotated[
        str,
        typer.Argument(help="Local file: .mp4, or .rrd for Rerun.", callback=LOCAL),
    ] = "movie.mp4",
    source: LastSource = None,
    quiet: Quiet = False,
) -> None:
    """Write a video as a film: its frames, its flow, its windows and what is said of them."""
    from sofdata.storage.tree import Tree
    from sofdata.view.movie import write_movie

    with counting(stderr(), "seconds of video", quiet) as follow:
        made = write_movie(Tree(dest), video, out, source, follow)
    if made.why_no_frames:
        note(stdout(), f"without the frames of the video: {made.why_no_frames}")
    say(stdout(), f"film: {out}, {made.seconds:.1f} s with {made.windows} windows")
