"""What `import sofdata` offers beside values: the commands of `sofdata` as functions.

Each does what the command of its name does, with the same defaults, and returns a typed result
where the command prints one. None prints anything or ends the process: errors are raised, progress
goes to `on_event` or `on_progress`, and notes to the logger "sofdata".

No script needs an `if __name__ == "__main__"` for them: Ray, decoding processes and the loader's
workers (forked, as torch does on Linux) do not import the script again. It does need one where it
sets `torch.multiprocessing.set_start_method("spawn")` and loads with `workers`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sofdata.errors import ConfigError

if TYPE_CHECKING:
    from sofdata.export.record import ExportRecord
    from sofdata.ingest.config import IngestConfig
    from sofdata.ingest.estimate.estimate import Estimate, NoEstimate
    from sofdata.ingest.events import Event
    from sofdata.ingest.run import Summary
    from sofdata.ingest.verify import Verdict
    from sofdata.loading.loader import Loader
    from sofdata.loading.selection import Split
    from sofdata.loading.where import Where
    from sofdata.models.policy import Policy
    from sofdata.train.config import What
    from sofdata.train.loop import TrainingProgress
    from sofdata.train.pipeline import Trained

Location = str | os.PathLike[str]
Settings = Mapping[str, object] | Iterable[str]

_log = logging.getLogger("sofdata")


def ingest(
    source: Location,
    dest: Location,
    *,
    recipe: Location | None = None,
    settings: Settings = (),
    corpus: str = "auto",
    engine: Literal["auto", "ray", "processes", "inline"] | None = None,
    workers: int | None = None,
    with_actions: bool = False,
    update: bool = False,
    retry_quarantined: bool = False,
    yes: bool = False,
    other_libraries: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Summary:
    """Turn videos into shards of skill windows, as `sofdata ingest` does.

    Interrupted at any moment, the same call continues from what is committed; where nothing is left
    to do it does nothing, and says so by `Summary.units_run == 0`.

    Args:
        source: videos: a folder, one file, or an fsspec URL.
        dest: where the dataset goes: a path or an fsspec URL.
        recipe: a YAML file, or the name of a recipe that sofdata carries; None for the defaults.
            The `dataset.json` of a dataset is the settings that it was made with.
        settings: overrides of the recipe, {"flow.step_s": 0.1} or ["flow.step_s=0.1"];
            schemas/config.schema.json lists them all.
        corpus: what the source is: "auto", or a name of `sofdata corpora`.
        engine: "processes" or "ray" for worker processes, "inline" for this process alone;
            "auto", the default, is processes unless the work is long and Ray is installed.
        workers: worker processes; None for one each core.
        with_actions: store the actions of demonstrations, too.
        update: take in what has changed in the source since the dataset was made.
        retry_quarantined: try quarantined videos again.
        yes: update even if less than half of the videos remain or some cannot be used any more;
            replace a damaged result even by a worse one.
        other_libraries: continue although the dataset was made with other versions of libraries.
        on_event: called with every `sofdata.ingest.events.Event`, from this thread.

    Returns:
        What was done. `summary.dataset.counts` is the account of all videos: quarantined ones are
        counted there, and raise nothing.

    Raises:
        ConfigError: the settings are wrong, or `dest` holds something else: nothing was done.
        StorageError: `source` or `dest` cannot be read or written; call again to resume.
        TransientError: workers failed repeatedly; call again to resume.
        WorseError: what a damaged dataset still holds is better than what its videos give now.

    Example:
        >>> import sofdata
        >>> summary = sofdata.ingest("videos", "windows", engine="inline")
        >>> summary.dataset.counts.videos
        3
        >>> sofdata.ingest("videos", "windows", engine="inline").units_run  # all is done already
        0
    """
    from sofdata.ingest.engines.choice import may_start_early
    from sofdata.ingest.engines.crew import early_workers
    from sofdata.ingest.mode import Mode
    from sofdata.ingest.run import Summary, execute, prepare, working_on
    from sofdata.storage.tree import Tree

    config = _ingest_config(recipe, settings, engine, workers, with_actions)
    begin, end = Tree(place(source, "source")), Tree(place(dest, "dest"))
    is_early = may_start_early(config.run, end)
    with (
        early_workers(config.run.workers, wanted=is_early) as early,
        working_on(begin, end, config),
    ):
        prepared = prepare(
            begin,
            end,
            config,
            corpus,
            mode=Mode.of(update=update, retry=retry_quarantined, force=yes),
            other_libraries=other_libraries,
        )
        for note in prepared.plan.extras.notes:
            _log.warning("%s: %s", begin.name, note)
        if prepared.complete:
            units = len(prepared.plan.units)
            return Summary(prepared.complete, 0, units, frames=0, start_up_s=0.0, work_s=0.0)
        return execute(prepared, on_event or _ignore, early)


def estimate(
    source: Location,
    dest: Location,
    *,
    sample: int = 20,
    seed: int = 0,
    recipe: Location | None = None,
    settings: Settings = (),
    corpus: str = "auto",
    engine: Literal["auto", "ray", "processes", "inline"] | None = None,
    workers: int | None = None,
    with_actions: bool = False,
    update: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Estimate | NoEstimate:
    """What an ingest would take and give, as `sofdata ingest --dry-run` says it. Writes nothing.

    A sample of the videos that are not yet done is run and thrown away, as many at once as the
    ingest would keep busy. What is committed at `dest` counts as done.

    Args:
        source, dest, recipe, settings, corpus, engine, with_actions, update: as of `ingest`.
        sample: how many videos are measured; of each that lasts more than a minute twice 10 s.
        seed: which ones.
        workers: for how many the wall time is estimated; None for one each core.
        on_progress: called with how many are measured, and of how many.

    Returns:
        Hours of video, windows, bytes, CPU and GPU hours, each with its range at 95 %, and the wall
        time; or a `NoEstimate`, whose `why` says why there is none.

    Raises:
        ConfigError: the settings are wrong, or `dest` holds something else.
        StorageError: `source` or `dest` cannot be read.
        TransientError: a process that measured has died.

    Example:
        >>> import sofdata
        >>> price = sofdata.estimate("videos", "elsewhere", engine="inline")
        >>> price.videos, price.windows.low == price.windows.high  # all three were measured
        (3, True)
    """
    import time

    from sofdata.ingest.estimate.estimate import estimate
    from sofdata.ingest.mode import Mode
    from sofdata.ingest.run import prepare
    from sofdata.storage.tree import Tree

    if sample < 1:
        raise ConfigError(f"sample is {sample}: an estimate needs a video at least")
    began_s = time.monotonic()
    config = _ingest_config(recipe, settings, engine, workers, with_actions)
    prepared = prepare(
        Tree(place(source, "source")),
        Tree(place(dest, "dest")),
        config,
        corpus,
        mode=Mode.of(update=update),
        dry_run=True,
    )
    planning_s = time.monotonic() - began_s
    return estimate(prepared, sample, seed, planning_s, on_progress or _ignore)


def verify(dest: Location, *, fast: bool = False) -> Verdict:
    """Check a dataset: hashes, every sample, and that all sums balance. Changes nothing.

    Args:
        dest: the dataset: a path or an fsspec URL.
        fast: check sizes, records and tables, and read no shard.

    Returns:
        What was found: `verdict.whole`, and `verdict.findings` where it is not.

    Raises:
        ConfigError: there is no dataset.
        StorageError: it cannot be read.

    Example:
        >>> import sofdata
        >>> verdict = sofdata.verify("dataset")
        >>> verdict
        Verdict(whole: 3 videos, ... windows in 3 shards)
        >>> verdict.whole
        True
    """
    from sofdata.ingest.verify import verify
    from sofdata.storage.tree import Tree

    return verify(Tree(place(dest, "dest")), fast)


def load(
    url: Location | Sequence[Location],
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    rank: int | None = None,
    world: int | None = None,
    where: Where = "",
    columns: Iterable[str] = (),
    split: Split | None = None,
    drop_last: bool = False,
    cache_dir: Location | None = None,
    cache_bytes: int = 8 << 30,
    buffer_shards: int = 8,
    options: Mapping[str, Any] | None = None,
) -> Loader:
    """Batches of one dataset, or of several that fit each other; docs/loading.md has all of it.

    Args:
        url: a path or fsspec URL, or several.
        batch_size: windows in a batch, over all ranks together.
        shuffle: False for the order of the index, the same in every epoch.
        seed: of the shuffle; every epoch has another order.
        workers: processes that read and decode; 0 for a thread. The batches are the same.
        rank, world: this process of so many that share each batch; by default as
            `torch.distributed` says, where it is initialised.
        where: a filter on the columns of the index, such as "motion > 0.5 and text != ''", or an
            expression of `pyarrow.compute` (docs/loading.md).
        columns: columns of the index, whose numbers batches have as `Batch.columns`, such as
            ["blur", "start_s"].
        split: ("train", 0.1) leaves out a tenth of the files, ("held_out", 0.1) gives only these;
            "train" and "held_out" are the sides of the split that is stored with the data.
        drop_last: leave out a last batch that is not full.
        cache_dir, cache_bytes: where copies of remote shards are kept, and how large they grow
            together; by default 8 GiB in the temporary folder.
        buffer_shards: how many shards are mixed with each other by the shuffle.
        options: for the file systems of `url`, such as a key for a store.

    Returns:
        A `Loader`. Iterating it gives the batches of epoch 0, each time; `Loader.epoch` and
        `Loader.set_epoch` give others, `Loader.state_dict` where it stands.

    Raises:
        ConfigError: no torch, no such dataset, one that is not complete, several that do not fit,
            a filter that selects nothing, a batch that the ranks cannot share.

    Example:
        >>> import sofdata
        >>> loader = sofdata.load("dataset", batch_size=8)
        >>> batch = next(iter(loader))
        >>> batch.flow.shape, batch.flow.dtype  # [B,L,2,h,w]
        (torch.Size([8, 8, 2, 64, 64]), torch.float32)
    """
    from sofdata.loading.loader import Loader

    return Loader(
        url,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        workers=workers,
        rank=rank,
        world=world,
        where=where,
        columns=columns,
        split=split,
        drop_last=drop_last,
        cache_dir=cache_dir,
        cache_bytes=cache_bytes,
        buffer_shards=buffer_shards,
        options=None if options is None else dict(options),
    )


def train(
    *,
    data: Location | Sequence[Location] = (),
    demos: Location | Sequence[Location] = (),
    out: Location = "models",
    what: What = "all",
    recipe: Location | None = None,
    settings: Settings = (),
    restart: bool = False,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> Trained:
    """Train the skill VAE, the planner and the action decoder, as `sofdata train` does.

    Stopped at any moment, the same call continues from the last checkpoint; stages that are up to
    date are skipped. With `machine.workers` Ray Train trains, else this process does.

    Args:
        data: datasets of `ingest` for the skill model and the planner.
        demos: datasets made with `with_actions`, for the action decoder. Without any, "all" leaves
            the decoder out.
        out: a local folder for the models, their metrics, pictures and checkpoints.
        what: "skill", "planner", "decoder", or "all" in this order.
        recipe: a YAML file, or the name of a recipe that sofdata carries; None for the defaults.
        settings: overrides of the recipe, {"skill.optim.steps": 500} or ["skill.optim.steps=500"];
            schemas/train.schema.json lists them all.
        restart: throw away an earlier training of these stages.
        on_progress: called with a `sofdata.train.loop.TrainingProgress` from time to time.

    Returns:
        Where the models lie, and of each stage held-out metrics and what they come to in words.
        A page with curves and pictures, train_report.html, lies beside them.

    Raises:
        ConfigError: the settings or data are wrong, packages of the extra "train" are missing, or
            another command trains into `out`.

    Example:
        >>> import sofdata
        >>> tiny = {"skill.model.width": 32, "skill.model.channels": [8, 12, 16]}
        >>> short = {"skill.optim.steps": 4, "skill.optim.warmup_steps": 1}
        >>> few = {"skill.data.batch_size": 4, "skill.data.held_out": 0.4}
        >>> trained = sofdata.train(
        ...     data="dataset", out="models", what="skill", settings=tiny | short | few
        ... )
        >>> trained.out, trained.stages[0].name, trained.report.name
        (PosixPath('models'), 'skill', 'train_report.md')
    """
    from sofdata.system.extras import require

    require(("torch", "webdataset", "tensorboard", "matplotlib"), "train", "training")
    from sofdata.config.overrides import once
    from sofdata.report.training import write_training_page
    from sofdata.train.config import load_train_config, stages_of
    from sofdata.train.pipeline import train_stages

    videos, demonstrations = _several(data), _several(demos)
    config = load_train_config(_text(recipe), once(overrides(settings)))
    stages = stages_of(what, videos, demonstrations)
    if what == "all" and "decoder" not in stages:
        _log.info("no demos: the action decoder is left out")
    trained = train_stages(
        stages,
        config,
        data=videos,
        demos=demonstrations,
        out=place(out, "out"),
        on_progress=on_progress or _ignore,
        restart=restart,
    )
    write_training_page(trained.out)
    return trained


def load_policy(folder: Location, *, device: str = "cpu") -> Policy:
    """The models that `train` has written, as a policy that plans and acts.

    Args:
        folder: the local folder of the models.
        device: where they compute: "cpu", "cuda", "cuda:1".

    Returns:
        A `Policy`. Planner or decoder may be missing; what needs them then says so.

    Raises:
        ConfigError: there is no skill model, or the models do not belong together.

    Example:
        >>> import numpy as np, sofdata
        >>> policy = sofdata.load_policy("policy")
        >>> image = np.zeros((64, 64, 3), np.uint8)
        >>> plan = policy.plan(image, "push the disc to the left")
        >>> policy.act(image, plan)  # a chunk of actions, to be carried out one after the other
        Actions(values=float32 [1,8,3])
    """
    from sofdata.system.extras import require

    require("torch", "train", "a policy")
    from sofdata.models.saved import load

    return load(Path(place(folder, "folder"))).to(device)


def export(
    dest: Location,
    out: Location,
    to: Literal["lerobot", "hf"],
    *,
    of: Literal["windows", "videos"] = "windows",
    action: Literal["actions", "skill", "flow"] | None = None,
    skills: str = "",
    source: Location | None = None,
    licence: str = "",
    on_progress: Callable[[int, int], None] | None = None,
) -> ExportRecord:
    """Write a dataset in the format of others, as `sofdata export` does; docs/export.md.

    Interrupted at any moment, the same call goes on; where all is there it does nothing.

    Args:
        dest: the dataset: a path or an fsspec URL.
        out: where the export goes: a path or an fsspec URL.
        to: "lerobot", LeRobot's format v3.0, or "hf", a folder for `datasets.load_dataset`.
        of: of LeRobot's format: a row a window with its first frame, or a row a sampled frame of
            the videos, which are decoded again.
        action: what LeRobot's `action` holds: actions of demonstrations, the skill, or statistics
            of the flow; None for the first of these that there is.
        skills: which file of `skills/`; by default the only one.
        source: where the videos are now; None for where the last ingest found them.
        licence: to be stated in the card, such as "cc-by-4.0".
        on_progress: called with how much is done, and of how much.

    Returns:
        What was exported, and in `left_out` what was not and why.

    Raises:
        ConfigError: there is no complete dataset, the settings do not fit it, or `out` holds
            something else.
        InputError: the dataset is damaged.
        StorageError: `dest` or `out` cannot be read or written; call again to go on.

    Example:
        >>> import sofdata
        >>> record = sofdata.export("dataset", "exported", "lerobot")
        >>> record.account["windows_exported"] == record.account["windows"], record.left_out
        (True, [])
    """
    from sofdata.export.run import ExportSettings
    from sofdata.export.run import export as run
    from sofdata.storage.tree import Tree

    record, _ = run(
        Tree(place(dest, "dest")),
        Tree(place(out, "out")),
        ExportSettings(to, of, action, skills, licence),
        source=None if source is None else place(source, "source"),
        on_progress=on_progress or _ignore,
    )
    return record


def _ingest_config(
    recipe: Location | None,
    settings: Settings,
    engine: str | None,
    workers: int | None,
    with_actions: bool,
) -> IngestConfig:
    """A recipe, the settings over it, and those arguments of a function that are settings, too."""
    from sofdata.config.overrides import once
    from sofdata.ingest.config import load_config

    options: dict[str, object] = {"run.engine": engine, "run.workers": workers}
    if with_actions:
        options["with_actions"] = True
    given = {name: value for name, value in options.items() if value is not None}
    return load_config(_text(recipe), once([*overrides(settings), *overrides(given)]))


def overrides(settings: Settings) -> list[str]:
    """Settings as the command line takes them, `key=value`."""
    if isinstance(settings, Mapping):
        return [f"{key}={_yaml(value, key)}" for key, value in settings.items()]
    if isinstance(settings, Iterable) and not isinstance(settings, str | bytes):
        given = list(settings)
        if all(isinstance(each, str) for each in given):
            return given
    raise ConfigError(f"settings are a mapping or a list of 'key=value', got {settings!r:.60}")


def _yaml(value: object, key: str) -> str:
    """A value in one line of YAML. JSON is none: YAML takes 1e-05 for a text."""
    import yaml

    if isinstance(value, str | os.PathLike):
        return json.dumps(os.fspath(value))
    plain = list(value) if isinstance(value, tuple | set | frozenset) else value
    try:
        text: str = yaml.safe_dump(plain, default_flow_style=True, width=1 << 20)
    except yaml.YAMLError:
        raise ConfigError(
            f"'{key}' is {value!r:.60}, which YAML cannot hold: give a plain number, text or list"
        ) from None
    return text.removesuffix("...\n").strip()


def _several(given: Location | Sequence[Location]) -> list[str]:
    """One place or several as a list of texts."""
    each = [given] if isinstance(given, str | os.PathLike) else list(given)
    return [os.fspath(place) for place in each]


def place(given: Location, name: str) -> str:
    """A place as text. An empty one would be the current folder, which "." is."""
    text = os.fspath(given)
    if not text.strip():
        raise ConfigError(f"{name} is empty; give a path or a URL ('.' is this folder)")
    return text


def _text(place: Location | None) -> str | None:
    return None if place is None else os.fspath(place)


def _ignore(*_: object) -> None:
    """The follower where there is none."""
