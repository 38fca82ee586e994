"""Size, error and time of the flow codec on real videos, as Markdown tables.

    python benchmarks/codec.py FOLDER [--size 64 128] [--length 8]

Every video below FOLDER is decoded at 128 px about every 0.13 s, its flow is estimated with DIS,
reduced to each size and cut into windows of `length` steps one after the other. Bytes are those of
the flow member and of its share of the sample's JSON, mean of the windows. Errors are end-point
errors in px at the stored size: the mean over all windows, and the largest of all. A second table
shows what the flat quantisation table buys: q8 against the usual JPEG tables at the quality whose
bytes are nearest.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sofdata.errors import SofdataError
from sofdata.flow.codec import CodecConfig, EncodedFlow, decode, encode
from sofdata.flow.config import FlowConfig
from sofdata.flow.estimator import Estimator, make_estimator
from sofdata.types import Frames
from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.windows.steps import resize_flow

Q8 = CodecConfig()
FLOAT16 = CodecConfig(name="float16")
WORKING_PX = 128
STEP_S = 0.13
Window = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of videos")
    parser.add_argument("--size", type=int, nargs="+", default=[64, 128], help="stored sides, px")
    parser.add_argument("--length", type=int, default=8, help="steps in a window")
    args = parser.parse_args()
    flows = dict(estimate_all(args.folder))
    for size in args.size:
        windows = {name: cut(flow, size, args.length) for name, flow in flows.items()}
        windows = {name: some for name, some in windows.items() if some}
        print(f"\n## {size} px, windows of {args.length} steps\n")
        print_table(windows)
        print(f"\n### q8 and the usual JPEG tables, {size} px\n")
        print_comparison(windows)


def estimate_all(folder: Path) -> Iterator[tuple[str, Window]]:
    dis = make_estimator(FlowConfig(estimator="dis"))
    for path in sorted(entry for entry in folder.iterdir() if entry.is_file()):
        try:
            chunks = list(open_video(path, VideoConfig(), Sampling(WORKING_PX, STEP_S)))
        except SofdataError:
            continue  # not a video
        yield path.stem, np.concatenate([estimate(dis, chunk) for chunk in chunks])


def estimate(dis: Estimator, frames: Frames) -> Window:
    return dis.estimate(frames.rgb[:-1], frames.rgb[1:])


def cut(flow: Window, size: int, length: int) -> list[Window]:
    small = [resize_flow(step, size) for step in flow]
    starts = range(0, len(small) - length + 1, length)
    return [np.stack(small[start : start + length]) for start in starts]


def print_table(windows: dict[str, list[Window]]) -> None:
    print(
        "| clip | windows | motion px | float16 bytes | q8 bytes | ratio | mean error px "
        "| max error px | encode ms | decode ms |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, some in windows.items():
        exact = np.mean([size_of(encode(window, FLOAT16)) for window in some])
        started = time.perf_counter()
        encoded = [encode(window, Q8) for window in some]
        encode_ms = (time.perf_counter() - started) / len(some) * 1e3
        started = time.perf_counter()
        for one in encoded:
            decode(one.members, one.meta)
        decode_ms = (time.perf_counter() - started) / len(some) * 1e3
        small = np.mean([size_of(one) for one in encoded])
        motion = np.mean([np.linalg.norm(window, axis=-1).mean() for window in some])
        mean = np.mean([one.meta["error_mean_px"] for one in encoded])
        largest = max(one.meta["error_max_px"] for one in encoded)
        print(
            f"| {name} | {len(some)} | {motion:.2f} | {exact:.0f} | {small:.0f} "
            f"| {exact / small:.1f} | {mean:.3f} | {largest:.2f} "
            f"| {encode_ms:.2f} | {decode_ms:.2f} |"
        )


def size_of(encoded: EncodedFlow) -> int:
    return sum(map(len, encoded.members.values())) + len(json.dumps(encoded.meta))


def print_comparison(windows: dict[str, list[Window]]) -> None:
    print(
        "| clip | q8 bytes | mean error px | max error px | usual table | bytes | mean error px "
        "| max error px |\n|---|---|---|---|---|---|---|---|"
    )
    for name, some in windows.items():
        encoded = [encode(window, Q8) for window in some]
        flat = (
            np.mean([len(one.members["flow.jpg"]) for one in encoded]),
            np.mean([one.meta["error_mean_px"] for one in encoded]),
            max(one.meta["error_max_px"] for one in encoded),
        )
        tried = {quality: usual_jpeg(some, encoded, quality) for quality in range(80, 99)}
        quality = min(tried, key=lambda q: abs(tried[q][0] - flat[0]))
        usual = tried[quality]
        print(
            f"| {name} | {flat[0]:.0f} | {flat[1]:.3f} | {flat[2]:.2f} | quality {quality} "
            f"| {usual[0]:.0f} | {usual[1]:.3f} | {usual[2]:.2f} |"
        )


def usual_jpeg(
    windows: list[Window], encoded: list[EncodedFlow], quality: int
) -> tuple[float, float, float]:
    """Bytes, mean and largest error of the same levels in a JPEG with the usual tables."""
    sizes, means, largest = [], [], []
    for window, q8 in zip(windows, encoded, strict=True):
        steps, height, width, _ = window.shape
        step_px = np.array(q8.meta["step_px"], np.float32).reshape(-1, 1, 1, 1)
        levels = (np.rint(window / step_px) + 128).astype(np.uint8)
        mosaic = levels.transpose(0, 1, 3, 2).reshape(steps * height, 2 * width)
        out = io.BytesIO()
        Image.fromarray(mosaic).save(out, "JPEG", quality=quality, optimize=True)
        member = {"flow.jpg": out.getvalue()}
        error = np.linalg.norm(decode(member, q8.meta) - window, axis=-1)
        sizes.append(len(out.getvalue()))
        means.append(error.mean())
        largest.append(error.max())
    return float(np.mean(sizes)), float(np.mean(means)), float(max(largest))


if __name__ == "__main__":
    main()
