"""How well a skill model does on held-out windows, and how well it would trivially."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sofdata.models.common.gaussian import kl_nats, split
from sofdata.models.skill.vae import SkillVAE
from sofdata.pictures.colour import flow_to_rgb
from sofdata.types import Batch

SHOWN_WINDOWS, SHOWN_STEPS = 6, 4
ACTIVE = 0.01
_GAP = 2


class SkillEvaluation:
    """Sums over held-out batches; every real step and pixel counts the same.

    flow_energy_explained: 1 - sum|f - f'|^2 / sum|f|^2 (Eq. 15 of docs/models.md); 0 for zero
        flow.
    flow_energy_explained_mean_flow: what the mean flow field of these very windows gets, a step
        and pixel each: a baseline that knows the mean of the answers.
    epe_px: mean end-point error at the stored size; epe_zero_px: of zero flow.
    codes_used_share: codes of the codebook that occur at all, and code_perplexity: e to the entropy
        of their frequencies (fsq).
    active_units: dimensions whose posterior mean varies by more than 0.01 over windows (Burda et
        al., arXiv 1509.00519), of `units`; kl_nats a window (kl).
    """

    def __init__(self, model: SkillVAE) -> None:
        self._model = model
        steps, size = model.shape.steps, model.shape.size
        self._energy = self._missed = self._error_px = self._zero_px = self._pixels = 0.0
        self._flow_sum = torch.zeros(steps, 2, size, size, dtype=torch.float64)
        self._flow_count = torch.zeros(steps, dtype=torch.float64)
        self._uses = torch.zeros(max(model.codebook_size, 1), dtype=torch.int64)
        self._means: list[Tensor] = []
        self._nats: list[Tensor] = []
        self._shown: list[tuple[NDArray[np.uint8], Tensor, Tensor]] = []

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Count a batch."""
        model = self._model
        skill = model.encode(batch.flow, batch.first, batch.mask)
        predicted = model.decode(skill.codes, batch.first)[:, : batch.flow.shape[1]]
        real = batch.mask[:, :, None, None, None]
        flow, predicted = batch.flow * real, predicted * real
        missed = predicted - flow
        self._energy += float(flow.double().square().sum())
        self._missed += float(missed.double().square().sum())
        self._error_px += float(missed.square().sum(2).sqrt().double().sum())
        self._zero_px += float(flow.square().sum(2).sqrt().double().sum())
        self._pixels += float(batch.mask.sum()) * flow.shape[-1] * flow.shape[-2]
        length = flow.shape[1]
        self._flow_sum[:length] += flow.double().sum(0).cpu()
        self._flow_count[:length] += batch.mask.sum(0).cpu()
        self._count_codes(batch, skill.tokens, skill.codes)
        for row in range(min(len(flow), SHOWN_WINDOWS - len(self._shown))):
            picture = batch.first[row].permute(1, 2, 0).cpu().numpy()
            self._shown.append((picture, flow[row].cpu(), predicted[row].cpu()))

    def _count_codes(self, batch: Batch, tokens: Tensor, codes: Tensor) -> None:
        if self._model.codebook_size:
            self._uses += torch.bincount(tokens.flatten().cpu(), minlength=len(self._uses))
            return
        self._means.append(codes.flatten(1).cpu())
        mean, logvar = split(self._model.posterior(batch.flow, batch.first, batch.mask))
        self._nats.append(kl_nats(mean, logvar).flatten(1).sum(1).cpu())

    def result(self) -> dict[str, float]:
        """The metrics, by name."""
        energy, pixels = max(self._energy, 1e-12), max(self._pixels, 1.0)
        mean = self._flow_sum / self._flow_count.clamp(min=1)[:, None, None, None]
        explained = float((mean.square() * self._flow_count[:, None, None, None]).sum())
        found = {
            "flow_energy_explained": 1 - self._missed / energy,  # Eq. 15
            "flow_energy_explained_mean_flow": explained / energy,
            "flow_energy_over_mean_flow": 1 - self._missed / max(energy - explained, 1e-12),
            "epe_px": self._error_px / pixels,
            "epe_zero_px": self._zero_px / pixels,
        }
        if self._model.codebook_size:
            share = self._uses.double() / self._uses.sum().clamp(min=1)
            entropy = float(-torch.special.xlogy(share, share).sum())
            found["codes_used_share"] = float((self._uses > 0).double().mean())
            found["code_perplexity"] = math.exp(entropy)
        elif self._means:
            means = torch.cat(self._means)
            found["active_units"] = float((means.var(0) > ACTIVE).sum())
            found["units"] = float(means.shape[1])
            found["kl_nats"] = float(torch.cat(self._nats).mean())
        return found

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """First frame, then for some steps the true flow (above) and the decoded flow (below)."""
        rows = [_row(*shown) for shown in self._shown]
        return {"reconstructions": np.concatenate(rows)} if rows else {}


def _row(picture: NDArray[np.uint8], flow: Tensor, predicted: Tensor) -> NDArray[np.uint8]:
    from PIL import Image

    size = flow.shape[-1]
    steps = np.linspace(0, len(flow) - 1, min(SHOWN_STEPS, len(flow))).round().astype(int)
    longest_px = max(float(flow.square().sum(1).max().sqrt()), 1e-6)
    first = np.asarray(Image.fromarray(picture).resize((size, size)))
    columns = [np.concatenate([_framed(first), _framed(np.full_like(first, 255))])]
    for step in steps:
        pair = [_framed(_coloured(part[step], longest_px)) for part in (flow, predicted)]
        columns.append(np.concatenate(pair))
    return np.concatenate(columns, 1)


def _coloured(flow: Tensor, longest_px: float) -> NDArray[np.uint8]:
    return flow_to_rgb(flow.permute(1, 2, 0).numpy(), longest_px)


def _framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(picture, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
