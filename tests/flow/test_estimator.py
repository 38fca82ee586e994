"""The classical estimators find known motion, and estimators are found by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sofdata.errors import ConfigError, ContractError
from sofdata.flow.config import DisConfig, FlowConfig
from sofdata.flow.estimator import Estimator, available, make_estimator, resolve
from sofdata.flow.opencv import REMEDY
from sofdata.scenes import moving_texture

CLASSICAL = ["dis", "farneback"]


@pytest.fixture(params=CLASSICAL)
def estimator(request: pytest.FixtureRequest) -> Estimator:
    return make_estimator(FlowConfig(estimator=request.param))


def moved(dx: float, dy: float, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A pair [1,128,128,3] whose texture moves by (dx, dy) px."""
    film = moving_texture(dx, dy, 2, (128, 128), seed=seed)
    return film[:1], film[1:]


def read_flo(path: Path) -> NDArray[np.float32]:
    """Middlebury's format: a magic number, width, height, then (dx, dy) row by row."""
    data = path.read_bytes()
    assert np.frombuffer(data, "<f4", 1)[0] == np.float32(202021.25)
    width, height = np.frombuffer(data, "<i4", 2, offset=4)
    return np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2)


@pytest.mark.parametrize(("dx", "dy"), [(3, -2), (0, 0), (-1.5, 0.5)])
def test_a_moved_texture_gives_its_motion(estimator: Estimator, dx: float, dy: float) -> None:
    flow = estimator.estimate(*moved(dx, dy))
    assert flow.shape == (1, 128, 128, 2)
    assert flow.dtype == np.float32
    inner = flow[0, 16:-16, 16:-16]
    assert np.abs(inner.mean(axis=(0, 1)) - [dx, dy]).max() < 0.05
    assert np.linalg.norm(inner - [dx, dy], axis=-1).mean() < 0.15


@pytest.mark.shared
def test_dis_is_within_0_3_px_of_the_true_flow_of_a_real_pair(shared_flow_gt: Path) -> None:
    first, second = (
        np.asarray(Image.open(shared_flow_gt / f"rubberwhale{k}.png").convert("RGB"))[None]
        for k in (1, 2)
    )
    truth = read_flo(shared_flow_gt / "flow_gt.flo")
    known = np.abs(truth).max(axis=-1) < 1e6
    flow = make_estimator(FlowConfig(estimator="dis")).estimate(first, second)[0]
    assert known.mean() > 0.9
    assert np.linalg.norm(flow - truth, axis=-1)[known].mean() < 0.3


def test_dis_as_tuned_is_no_worse_than_its_preset_where_motion_is_below_a_pixel() -> None:
    preset = DisConfig(
        finest_scale=1, gradient_descent_iterations=25, variational_refinement_alpha=20.0
    )
    error = {}
    for name, dis in {"tuned": DisConfig(), "preset": preset}.items():
        flow = make_estimator(FlowConfig(estimator="dis", dis=dis)).estimate(*moved(0.4, -0.3))
        error[name] = np.linalg.norm(flow[0] - [0.4, -0.3], axis=-1).mean()
    assert error["tuned"] < error["preset"]


def test_dis_follows_motion_through_a_change_of_exposure() -> None:
    first, second = moved(2, 1)
    brighter = np.clip(second * 1.03 + 4, 0, 255).astype(np.uint8)
    flow = make_estimator(FlowConfig(estimator="dis")).estimate(first, brighter)
    assert np.abs(flow[0, 16:-16, 16:-16].mean(axis=(0, 1)) - [2, 1]).max() < 0.1


def test_a_pair_gives_the_same_bytes_whatever_came_before_or_beside_it(
    estimator: Estimator,
) -> None:
    pairs = [moved(dx, 1, seed=dx) for dx in range(4)]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    together = estimator.estimate(first, second)
    assert np.array_equal(together, estimator.estimate(first, second))
    backwards = estimator.estimate(first[::-1], second[::-1])[::-1]
    assert np.array_equal(together, backwards)
    fresh = make_estimator(FlowConfig(estimator=estimator.name))
    for index, pair in enumerate(pairs):
        assert np.array_equal(together[index], fresh.estimate(*pair)[0])


def test_no_pairs_give_no_flow(estimator: Estimator) -> None:
    nothing = np.empty((0, 64, 64, 3), np.uint8)
    assert estimator.estimate(nothing, nothing).shape == (0, 64, 64, 2)


@pytest.mark.parametrize("side", [32, 45, 128])
def test_frames_of_any_size_the_config_allows_have_flow(estimator: Estimator, side: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 1, side, side, 3), np.uint8)
    assert estimator.estimate(frames[0], frames[1]).shape == (1, side, side, 2)


def test_arrays_that_are_no_pairs_are_refused(estimator: Estimator) -> None:
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(ContractError, match=r"first must be uint8 \[N, H, W, 3\], got float64"):
        estimator.estimate(frames.astype(float), frames)
    with pytest.raises(ContractError, match="must have one shape"):
        estimator.estimate(frames, frames[:1])


def test_auto_is_dis_on_a_cpu_and_resolving_twice_changes_nothing() -> None:
    once = resolve(FlowConfig(device="cpu"))
    assert (once.estimator, once.device) == ("dis", "cpu")
    assert resolve(once) == once
    assert make_estimator(FlowConfig(device="cpu")).name == "dis"


def test_an_unknown_estimator_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'farnback' is unknown; did you mean 'farneback'"):
        resolve(FlowConfig(estimator="farnback"))


def test_a_classical_estimator_is_refused_on_cuda() -> None:
    with pytest.raises(ConfigError, match="'dis' runs on a CPU only"):
        resolve(FlowConfig(estimator="dis", device="cuda"))


def test_without_ptlflow_a_learned_estimator_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ptlflow", None)  # what Python keeps for a missing module
    with pytest.raises(ConfigError, match=r"pip install 'sofdata\[ptlflow\]'"):
        resolve(FlowConfig(estimator="ptlflow:raft"))
    assert resolve(FlowConfig()).estimator == "dis"
    row = available()[-1]
    assert (row.kind, row.runs_here) == ("learned", False)
    assert "pip install 'sofdata[ptlflow]'" in row.note


def test_the_classical_estimators_run_here() -> None:
    rows = {row.name: row for row in available()}
    for name in CLASSICAL:
        assert rows[name].kind == "classical"
        assert rows[name].runs_here


def test_a_cv2_that_lacks_libgl_is_named_with_the_command_that_repairs_it(tmp_path: Path) -> None:
    broken = tmp_path / "cv2"
    broken.mkdir()
    reason = "libGL.so.1: cannot open shared object file: No such file or directory"
    (broken / "__init__.py").write_text(f"raise ImportError({reason!r})\n")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from sofdata.errors import ConfigError\n"
        "from sofdata.flow.config import FlowConfig\n"
        "from sofdata.flow.estimator import resolve\n"
        "try:\n    resolve(FlowConfig(estimator='dis'))\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert reason in done.stdout, done.stderr
    assert REMEDY in done.stdout
