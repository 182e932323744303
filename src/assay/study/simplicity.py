"""How many samples, steps and units does it take with the structure, and how many without? Learning curves of small
networks; and how many samples the simple learner needs of the structure alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from assay.perturbations.protocol import stream
from assay.structures.protocol import Editable, neutral
from assay.study.learner import fit
from assay.study.material import Material
from assay.study.small_net import STEPS as TRAINING
from assay.study.small_net import WIDTH, SmallNet, accuracy, trained
from assay.study.statistics import Estimate, balanced

SEEDS, SIZES, TESTED = 5, 5, 400
STEPS = (5, 10, 20, 40, 80, TRAINING)   # of a training on all samples, after which it is asked
WIDTHS = (2, 4, 8, 16, WIDTH)           # units of the last layer, trained on all samples
SIMPLER = 2.0           # times fewer samples with the structure than without
SPREAD = 0.1            # least standard deviation of a logarithm of N90
REACHED = 0.9           # of the final accuracy with the structure, above chance


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Balanced accuracy by number of samples, for each seed: `accuracy[seed][i]` at `sizes[i]`; and with all samples by
    number of steps, `by_step[seed][i]` at `STEPS[i]`, and by width, `by_width[seed][i]` at `WIDTHS[i]`."""

    sizes: tuple[int, ...]
    accuracy: tuple[tuple[float, ...], ...]
    by_step: tuple[tuple[float, ...], ...] = ()
    by_width: tuple[tuple[float, ...], ...] = ()


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
    test, sizes = (tx, ty), sizes_for(data)
    rows, steps, widths = [], [], []
    for k in range(SEEDS):
        order = torch.randperm(len(x), generator=stream(seed, "order", k))
        x_k, y_k, words = x[order], y[order], (data.classes, seed, k)
        by_step = _by_step(x_k, y_k, test, *words, len(x))
        rows.append((*(accuracy(trained(x_k[:n], y_k[:n], *words, n), *test) for n in sizes[:-1]), by_step[-1]))
        narrow = [accuracy(trained(x_k, y_k, *words, len(x), width=width), *test) for width in WIDTHS[:-1]]
        steps.append(by_step)
        widths.append((*narrow, by_step[-1]))
    return Curve(sizes=sizes, accuracy=tuple(rows), by_step=tuple(steps), by_width=tuple(widths))


def _by_step(x: Tensor, y: Tensor, test: tuple[Tensor, Tensor], *words: Any) -> tuple[float, ...]:
    """The accuracy of one training after each of `STEPS`."""
    found: list[float] = []

    def watch(step: int, net: SmallNet) -> None:
        if step in STEPS:
            found.append(accuracy(net, *test))

    trained(x, y, *words, steps=STEPS[-1], watch=watch)
    return tuple(found)


def alone(features: Tensor, tested: Tensor, data: Material, *, seed: int) -> dict[str, Any]:
    """The learner's balanced accuracy by number of samples, from the structure's numbers of the fitting and of the judged
    half.

    `n90` is the fewest that reach 90 % of its own final accuracy above chance, the geometric mean over seeds; None where the
    final accuracy is no better than chance.
    """
    y, jy, sizes = data.y[data.fit], data.y[data.judged], sizes_for(data)
    orders = [torch.randperm(len(y), generator=stream(seed, "order", k)) for k in range(SEEDS)]
    rows = [[balanced(fit(features[order[:n]], y[order[:n]], data.classes)(tested).argmax(1) == jy, jy) for n in sizes]
            for order in orders]
    final, chance = sum(row[-1] for row in rows) / len(rows), 1 / data.classes
    n90 = math.exp(float(logs(sizes, rows, chance + REACHED * (final - chance)).mean()))
    return {"sizes": list(sizes), "accuracy": rows, "n90": n90 if final > chance else None}


def enough(sizes: Sequence[float], values: Sequence[float], goal: float) -> float:
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
    goal = _goal(present, classes)
    return _ratio(logs(present.sizes, present.accuracy, goal), logs(absent.sizes, absent.accuracy, goal))


def needed(present: Curve, absent: Curve, classes: int) -> dict[str, Any]:
    """Samples, and with all of these steps of training and width: what it takes with the structure and without, geometric
    means over seeds, and their ratio as in `simplicity`."""
    goal, told = _goal(present, classes), {}
    for name, own_grid, own, grid, other in (
            ("samples", present.sizes, present.accuracy, absent.sizes, absent.accuracy),
            ("steps", STEPS, present.by_step, STEPS, absent.by_step),
            ("width", WIDTHS, present.by_width, WIDTHS, absent.by_width)):
        with_it, without = logs(own_grid, own, goal), logs(grid, other, goal)
        told[name] = {**asdict(_ratio(with_it, without)), "with": math.exp(float(with_it.mean())),
                      "without": math.exp(float(without.mean()))}
    return told


def _goal(present: Curve, classes: int) -> float:
    final = sum(row[-1] for row in present.accuracy) / len(present.accuracy)
    return 1 / classes + REACHED * (final - 1 / classes)


def logs(grid: Sequence[int], rows: Sequence[Sequence[float]], goal: float) -> Tensor:
    """The logarithm of where each row of the grid reaches the goal, (rows,)."""
    return torch.tensor([math.log(enough(grid, row, goal)) for row in rows], dtype=torch.float64)


def _ratio(present: Tensor, absent: Tensor) -> Estimate:
    """exp of the mean difference of logarithms, its interval, and p of "at most 2", by a paired t."""
    from scipy.special import stdtr, stdtrit

    difference = absent - present
    n, mean = len(difference), float(difference.mean())
    error = max(float(difference.std()) if n > 1 else 0.0, SPREAD) / math.sqrt(n)
    freedom = max(n - 1, 1)
    half = float(stdtrit(freedom, 0.975)) * error
    return Estimate(value=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half), n=n,
                    p=float(stdtr(freedom, -(mean - math.log(SIMPLER)) / error)))
