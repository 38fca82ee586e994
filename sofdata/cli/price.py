"""The part of `sofdata ingest --dry-run` that comes after the plan: what it will take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sofdata.ui.console import print_json, stderr, stdout

if TYPE_CHECKING:
    from sofdata.ingest.estimate.estimate import Estimate, NoEstimate
    from sofdata.ingest.run import Prepared


def price_of(
    prepared: Prepared, sample: int | None, seed: int, quiet: bool
) -> Estimate | NoEstimate | None:
    """Measure a sample; None if none is wanted.

    sample: how many videos; None for the default, 0 for none.
    """
    if sample == 0:
        return None
    from sofdata.ingest.estimate.estimate import SAMPLE, estimate

    asked, console = SAMPLE if sample is None else sample, stderr()
    if quiet or not console.is_terminal:
        return estimate(prepared, asked, seed, _since_start_s())
    with console.status("reading headers") as status:
        return estimate(
            prepared,
            asked,
            seed,
            _since_start_s(),
            lambda done, total: status.update(f"measuring a sample: {done} of {total} parts"),
        )


def print_price(price: Estimate | NoEstimate | None, plan: dict[str, Any], as_json: bool) -> None:
    """Print what was found. plan: the counts of the plan, which JSON holds as well."""
    if price is None:
        if as_json:
            print_json({**plan, "estimate": None})
        return
    from sofdata.report.estimate import estimate_summary, print_estimate

    if as_json:
        print_json({**plan, "estimate": estimate_summary(price)})
    else:
        print_estimate(stdout(), price)


def _since_start_s() -> float:
    """How long this command has been running."""
    import time

    import psutil

    began_s: float = psutil.Process().create_time()
    return max(0.0, time.time() - began_s)
