"""How far a search among two classes goes: until the decision is wrong, and at the operating point that is told as well."""

from __future__ import annotations

import math

import torch

from assay.arrays import PerExample
from assay.checks.asked_once import asked_once, asked_positions
from assay.checks.check import Bench, Check
from assay.metrics.classification import ERROR_RATE, positive_score
from assay.numerics import binary
from assay.perturbations.protocol import Examples
from assay.systems.metered import Metered


def enough(check: Check, system: str, bench: Bench, x: Examples) -> PerExample | None:
    """(batch,) the margin beyond which no worse change is wanted; None where the metric's own goal stands.

    A classifier of two classes decides at the score 0, and as a test at the threshold t of `SPECIFICITY`: max(0, −t) of
    class 1, max(0, t) of class 0. A search that stopped at 0 would leave negatives just below t, and the specificity there
    would look better than what was searched for. t is chosen as reports choose it, on the unchanged samples of the check.
    """
    stops = check.search.get("kind") == "bounded" and check.metric == ERROR_RATE.id
    if not stops or x.truth is None or len(bench.classes) != 2 or not bench.count:
        return None
    threshold = asked_once(("operating point", check.samples, system), bench,
                           lambda: _threshold(check, system, bench, batch=len(x)))
    if not math.isfinite(threshold):
        return None
    return torch.where(x.truth == 1, -threshold, threshold).double().clamp_min(0.0)


def _threshold(check: Check, system: str, bench: Bench, *, batch: int) -> float:
    """Of all samples that the check is asked of, computed so many at once; NaN where they are of one class."""
    positions = asked_positions(check, bench.count, labelled=True)
    scores: list[float] = []
    labels: list[int] = []
    for start in range(0, len(positions), batch):
        some = bench.fetch(positions[start: start + batch])
        labels += [] if some.truth is None else some.truth.tolist()
        scores += _scores(bench.systems[system], some)
    if len(set(labels)) < 2:
        return math.nan
    known = binary.missing_as_wrong(scores, labels)
    return binary.sensitivity_at_specificity(known, labels, specificity=binary.SPECIFICITY).threshold


def _scores(system: Metered, x: Examples) -> list[float]:
    """The unchanged scores; NaN where the system raises on a sample alone."""
    try:
        with torch.no_grad():
            return positive_score(system(x.inputs)).tolist()
    except (MemoryError, OSError):
        raise
    except Exception:
        return [math.nan] if len(x) == 1 else [s for i in range(len(x)) for s in _scores(system, x.only(i))]
