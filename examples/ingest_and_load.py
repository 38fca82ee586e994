"""Videos to shards, and shards to batches of windows for a model.

    python examples/ingest_and_load.py                     # on a few clips that it renders itself
    python examples/ingest_and_load.py my/videos --dest my-dataset

Takes about ten seconds for the rendered clips on two cores, and writes below 10 MB.
"""

import argparse
import tempfile
from pathlib import Path

import sofdata
from sofdata.scenes import write_ssv2_corpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", help="a folder of videos; default: rendered clips")
    parser.add_argument("--dest", help="where the dataset goes; default: a temporary folder")
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="sofdata-example-"))
    source, dest = given.source or scratch / "clips", given.dest or scratch / "dataset"
    if not given.source:
        write_ssv2_corpus(source, videos=8, seconds=3.0)

    # "inline" works in this process. Leave it out for one worker process a core (Ray). The same
    # call again resumes an ingest that was interrupted, or finds that nothing is left to do.
    summary = sofdata.ingest(source, dest, engine="inline", settings={"windows.size": 32})
    counts = summary.dataset.counts
    print(f"{counts.done} of {counts.videos} videos gave {counts.windows} windows")
    print("not done:", counts.reasons or "none")

    # Every hash, every sample and every sum. Cheap here; on a large dataset `fast=True` is, too.
    print(sofdata.verify(dest))

    # Whole videos are held out, so that no window of a training video is measured on.
    train = sofdata.load(
        dest, batch_size=given.batch_size, shuffle=True, split=("train", 0.25), where="motion > 0.1"
    )
    held_out = sofdata.load(dest, batch_size=given.batch_size, split=("held_out", 0.25))
    print(train)
    print(held_out)
    for epoch in range(2):
        for batch in train.epoch(epoch):  # in an order of its own, which follows from the seed
            speed_px = batch.flow[batch.mask].norm(dim=1).mean()  # padding is masked
            print(f"epoch {epoch}: {len(batch)} windows, {speed_px:.2f} px a step on average")
    print(batch)
    print("dataset:", dest)


if __name__ == "__main__":
    main()
