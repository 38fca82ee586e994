"""A trained policy in a control loop: look, plan skills, carry out the first one, look again.

Where it looks again before a chunk of actions is carried out, the chunks overlap and are averaged.

    python examples/policy_in_a_loop.py                       # trains tiny models first, 15 s
    python examples/policy_in_a_loop.py --models models       # those of `sofdata train`

The world is `pushing`, sofdata's own toy suite: a gripper pushes a disc, seen from above. Models
that have trained for seconds hardly ever succeed; the loop is the same for good ones.
"""

import argparse
import tempfile
from pathlib import Path

import sofdata
from sofdata.bench.envs.registry import find_suite
from sofdata.scenes.pushing import write_pushing_corpus, write_pushing_demonstrations

# A few seconds each on one core. For real ones leave the settings out, or see `sofdata recipes`.
WINDOWS = {"flow.size": 64, "windows.size": 32, "windows.length": 4}
TINY = {
    "skill.model.width": 32,
    "skill.model.channels": [8, 12, 16],
    "skill.model.heads": 2,
    "planner.model.prior.width": 32,
    "planner.model.dynamics.width": 32,
    "decoder.model.width": 32,
    "decoder.model.layers": 1,
}
SHORT = {
    f"{stage}.{key}": value
    for stage in ("skill", "planner", "decoder")
    for key, value in (
        ("optim.steps", 10),
        ("optim.warmup_steps", 2),
        ("data.batch_size", 16),
        ("data.held_out", 0.2),
        ("data.loaders", 0),  # no process is worth its start here
        ("run.pictures", False),
    )
}


def train_tiny_models(folder: Path) -> Path:
    """Videos without actions teach skills and planning; few demonstrations teach the actions."""
    write_pushing_corpus(folder / "videos", episodes=10)
    write_pushing_demonstrations(folder / "demos", episodes_per_task=1)
    data, demos, models = folder / "videos-dataset", folder / "demos-dataset", folder / "models"
    sofdata.ingest(folder / "videos", data, engine="inline", settings=WINDOWS)
    sofdata.ingest(folder / "demos", demos, engine="inline", settings=WINDOWS, with_actions=True)
    trained = sofdata.train(data=data, demos=demos, out=models, settings=TINY | SHORT)
    for stage in trained.stages:
        print(f"trained {stage.name} in {stage.seconds:.0f} s")
    return trained.out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="a folder of `sofdata train`")
    parser.add_argument("--task", default="push-left", help="of the suite pushing")
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--execute", type=int, default=4, help="actions between two looks")
    parser.add_argument("--ensemble", type=float, default=0.01, help="average overlapping chunks")
    given = parser.parse_args()
    models = given.models or train_tiny_models(Path(tempfile.mkdtemp(prefix="sofdata-example-")))

    policy = sofdata.load_policy(models)
    print(policy)
    suite = find_suite("pushing")
    task = next(task for task in suite.tasks if task.name == given.task)
    env = suite.make(task, 128)
    for episode in range(given.episodes):
        env.reset(seed=episode)
        control = policy.control(task.text, execute=given.execute, ensemble=given.ensemble)
        done = False
        while not done and control.steps < task.max_steps:
            image = env.image() if control.looks else None  # uint8 [128,128,3], as of a camera
            done = env.step(control.action(image, env.state()))
        print(f"episode {episode}: {'done' if done else 'not done'} after {control.steps} steps")
    # The same by hand, for several robots at once, or with a goal image:
    image = env.image()
    plan = policy.plan(image, task.text)  # skills, of which the first counts
    print(plan)
    print(policy.act(image, plan, task.text, env.state()))  # float32 [1,N,A], in the demos' units
    env.close()


if __name__ == "__main__":
    main()
