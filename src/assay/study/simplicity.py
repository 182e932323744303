"""How many samples does it take with the structure, and how many without? Learning curves of small networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.perturbations.protocol import stream
from assay.structures.protocol import Editable, neutral
from assay.study.material import Material
from assay.study.small_net import accuracy, trained
from assay.study.statistics import Estimate

SEEDS, SIZES, TESTED = 5, 5, 400
SIMPLER = 2.0           # times fewer samples with the structure than without
SPREAD = 0.1            # least standard deviation of a logarithm of N90
REACHED = 0.9           # of the final accuracy with the structure, above chance


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Accuracy by number of samples, for each seed: `accuracy[seed][i]` at `sizes[i]`."""

    sizes: tuple[int, ...]
    accuracy: tuple[tuple[float, ...], ...]


def sizes_for(data: Material) -> tuple[int, ...]:
    """From two samples of a class to all of the half that is fitted to, by equal factors."""
    most, least = len(data.fit), 2 * data.classes
    return tuple(sorted({round(least * (most / least) ** (i / (SIZES - 1))) for i in range(SIZES)}))


def curve(data: Material, g: Editable | None, *, seed: int) -> Curve:
    """Small networks trained on the first N of a random order of the fitting half; with `g` its structure is neutral in all
    inputs, those of the test too."""
    x, y = data.part(data.fit)
    tx, ty = (v[:TESTED] for v in data.part(data.judged[torch.randperm(len(data.judged), generator=stream(seed, "curve"))]))
    if g is not None:
        x, tx = neutral(g, x, data.x[data.fit]), neutral(g, tx, data.x[data.fit])
    rows = []
    for k in range(SEEDS):
        order = torch.randperm(len(x), generator=stream(seed, "order", k))
        rows.append(tuple(accuracy(trained(x[order[:n]], y[order[:n]], data.classes, seed, k, n), tx, ty)
                          for n in sizes_for(data)))
    return Curve(sizes=sizes_for(data), accuracy=tuple(rows))


def enough(sizes: Sequence[int], values: Sequence[float], goal: float) -> float:
    """The fewest samples at which the curve reaches the goal, between sizes by their logarithms; the most where it never
    does.

    >>> round(enough((10, 1000), (0.0, 1.0), 0.5)), enough((10, 1000), (0.0, 0.2), 0.5)
    (100, 1000.0)
    """
    for i, value in enumerate(values):
        if value >= goal:
            if i == 0 or value == values[i - 1]:
                return float(sizes[i])
            share = (goal - values[i - 1]) / (value - values[i - 1])
            return math.exp(math.log(sizes[i - 1]) + max(share, 0.0) * math.log(sizes[i] / sizes[i - 1]))
    return float(sizes[-1])


def simplicity(present: Curve, absent: Curve, classes: int) -> Estimate:
    """N90 without the structure over N90 with it: ratio of geometric means; interval and p of "at most 2" by a paired t.

    Both curves share seeds, orders and first weights, so the logarithms are compared seed by seed; a spread below a tenth
    counts as a tenth, for the sizes are a grid. N90 is the fewest samples that reach chance + 90 % of (final accuracy *with*
    the structure − chance), in both. A curve that never does counts as reaching it with all samples, so the ratio is then a
    lower bound: with each its own final accuracy, data that teach nothing once the structure is gone would count as taught
    at once.

    >>> c = Curve(sizes=(10, 1000), accuracy=((1.0, 1.0),) * 5)
    >>> d = Curve(sizes=(10, 1000), accuracy=((0.5, 0.5),) * 5)
    >>> round(simplicity(c, d, 2).value)
    100
    """
    final = sum(row[-1] for row in present.accuracy) / len(present.accuracy)
    goal = 1 / classes + REACHED * (final - 1 / classes)

    def logs(c: Curve) -> Tensor:
        return torch.tensor([math.log(enough(c.sizes, row, goal)) for row in c.accuracy], dtype=torch.float64)

    from scipy.special import stdtr, stdtrit

    difference = logs(absent) - logs(present)
    n, mean = len(difference), float(difference.mean())
    error = max(float(difference.std()) if n > 1 else 0.0, SPREAD) / math.sqrt(n)
    freedom = max(n - 1, 1)
    half = float(stdtrit(freedom, 0.975)) * error
    return Estimate(value=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half), n=n,
                    p=float(stdtr(freedom, -(mean - math.log(SIMPLER)) / error)))
