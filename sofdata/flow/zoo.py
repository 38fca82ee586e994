"""What ptlflow offers: its models by name, their checkpoints, and what keeps some from running.

ptlflow takes several seconds to import and prints as it does; both happen only in here.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from sofdata.errors import ConfigError
from sofdata.flow.opencv import load_cv2
from sofdata.system.extras import install, is_installed, require

# Found by building and running each model of ptlflow 0.4.2, on a CPU, on two frames of 128 px:
# TROUBLE keeps a model from running, HINTS say what it wants.
TROUBLE = {
    "liteflownet": "fails in ptlflow 0.4.2 itself",
    "liteflownet2": "fails in ptlflow 0.4.2 itself",
    "liteflownet2_pseudoreg": "fails in ptlflow 0.4.2 itself",
    "matchflow": "needs QuadTreeAttention, compiled from its sources",
    "matchflow_raft": "needs QuadTreeAttention, compiled from its sources",
    "memfof": "fetches an image model when it is built; meant for three frames",
    "scv4": "needs the package torch_scatter",
    "scv8": "needs the package torch_scatter",
    "separableflow": "needs GANet, compiled from its sources",
    "splatflow": "needs the package cupy",
    "streamflow": "takes four frames at a time, not two",
    "waft_dinov3_a2": "needs a checkout of DINOv3",
}
HINTS = dict.fromkeys(("dicl", "vcn", "vcn_small"), "set flow.model_size to [256, 256] or more")


def installed() -> bool:
    """Whether ptlflow can be found; does not import it."""
    return is_installed("ptlflow")


def load_ptlflow() -> ModuleType:
    """Import ptlflow without its chatter; raise `ConfigError` that says how to repair a failure."""
    require("ptlflow", "ptlflow", "learned flow", "use flow.estimator=dis")
    load_cv2()
    try:
        with quiet():
            import ptlflow
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            f"ptlflow is installed but does not import: {error}. Its torch, torchvision and "
            "lightning must fit together: try a new environment with "
            f"{install('ptlflow')}, or use flow.estimator=dis"
        ) from error
    module: ModuleType = ptlflow
    return module


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what ptlflow and its models print and warn on import and when they are built."""
    sink = io.StringIO()
    with (
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def model_names() -> list[str]:
    """Names of all models that ptlflow lists, sorted."""
    return list(load_ptlflow().get_model_names())


def checkpoint_urls(model: str) -> dict[str, str]:
    """ptlflow's checkpoints of a model, name to URL; empty for a model that has none."""
    reference = load_ptlflow().get_model_reference(model)
    return dict(getattr(reference, "pretrained_checkpoints", None) or {})


def build(model: str, arguments: dict[str, Any]) -> Any:
    """Construct a model, in eval mode, with weights drawn from a fixed seed.

    Raises `ConfigError` with the model's own complaint when it cannot be built here.
    """
    import torch

    reference = load_ptlflow().get_model_reference(model)
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return reference(**arguments).eval()
    except Exception as error:  # models complain with any class of exception
        given = f" with flow.model_args {arguments}" if arguments else ""
        raise ConfigError(f"ptlflow:{model} cannot be built here{given}: {error}") from error
