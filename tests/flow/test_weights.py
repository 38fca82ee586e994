"""Weights are found by name or path, hashed, and never unpickled."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest

from sofdata.errors import ConfigError
from sofdata.flow import weights

torch = pytest.importorskip("torch")

NAME = "ptlflow:toy"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch hub's cache of checkpoints, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def a_state() -> dict[str, object]:
    return {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.ones(2)}


def test_a_model_without_checkpoint_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"needs weights: .* \(things, sintel\)"):
        weights.locate(NAME, None, {"things": "u", "sintel": "v"})


def test_weights_that_cannot_be_fetched_are_named_with_url_and_place(hub: Path) -> None:
    url = "http://127.0.0.1:9/toy-things-0123abcd.ckpt"  # nothing listens on the discard port
    with pytest.raises(ConfigError) as caught:
        weights.locate(NAME, "things", {"things": url})
    assert f"Fetch {url} " in str(caught.value)
    assert str(hub / "toy-things-0123abcd.ckpt") in str(caught.value)
    assert "flow.checkpoint" in str(caught.value)


def test_weights_are_fetched_once_and_then_read_from_the_cache(hub: Path, tmp_path: Path) -> None:
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    source = tmp_path / f"toy-things-{digest[:8]}.ckpt"
    source.write_bytes(content)
    urls = {"things": source.as_uri()}
    path = weights.locate(NAME, "things", urls)
    assert path == hub / source.name
    assert weights.sha256(path) == digest
    source.unlink()
    assert weights.locate(NAME, "things", urls) == path


def test_a_damaged_file_in_the_cache_is_refused(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / "toy-things-0123abcd.ckpt").write_bytes(b"half of it")
    with pytest.raises(ConfigError, match="is damaged: its sha256 does not begin with 0123abcd"):
        weights.locate(NAME, "things", {"things": "http://127.0.0.1:9/toy-things-0123abcd.ckpt"})


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no file and no checkpoint name of ptlflow:toy"):
        weights.locate(NAME, str(tmp_path / "none.ckpt"), {"things": "u"})


def test_a_plain_and_a_wrapped_state_dict_are_both_read(tmp_path: Path) -> None:
    torch.save(a_state(), tmp_path / "plain.pkl")
    extra = {"mean": [1.0, 2.0]}
    wrapped = {"state_dict": a_state(), "hyper_parameters": {"extra_params": extra}}
    torch.save(wrapped, tmp_path / "wrapped.ckpt")
    plain, nothing = weights.load(tmp_path / "plain.pkl")
    state, parameters = weights.load(tmp_path / "wrapped.ckpt")
    assert weights.state_sha256(plain) == weights.state_sha256(state)
    assert (nothing, parameters) == ({}, extra)


def test_the_hash_of_a_state_tells_names_shapes_and_values_apart() -> None:
    def digest(**state: object) -> str:
        return weights.state_sha256(state)  # type: ignore[arg-type]

    ones = torch.ones(2, 3)
    different = {
        digest(a=ones),
        digest(b=ones),
        digest(a=ones.view(3, 2)),
        digest(a=ones * 2),
        digest(a=ones.double()),
    }
    assert len(different) == 5
    assert digest(a=ones, b=ones * 2) == digest(b=ones * 2, a=ones)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("evil"),))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, tmp_path / "torch.ckpt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("torch.ckpt", "plain.pkl"):
        with pytest.raises(ConfigError, match="weights_only=True"):
            weights.load(tmp_path / name)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.ckpt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"weights\.ckpt is no checkpoint"):
        weights.load(path)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], {"state_dict": {"a": 1}}])
def test_a_checkpoint_without_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.ckpt")
    with pytest.raises(ConfigError, match="expected a state dict"):
        weights.load(tmp_path / "weights.ckpt")
