"""Which few pixels does a system look at? A mask by sparse changes (the first stage of RP2, without a target), and what it
can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from assay.metrics.losses import log_odds
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.stickers import Sticker
from assay.searches.expectation import expectation_ascent, l1_change
from assay.study.instability import Flips
from assay.study.simplicity import enough
from assay.study.statistics import DRAWS, Estimate

MOST, LEVELS = 0.3, 6               # of the pixels; numbers of pixels tried, from one, by equal factors
HALF = 0.5                          # of the right decisions, turned
LOTS = 2                            # orders of pixels by lot for each input, its own
SPARSE_STEPS, STEPS = 40, 12
CHUNK = 50                          # inputs asked at once
PRICE = 0.3                         # of the greatest slope: what a pixel must do to be changed
MOVED = 0.01                        # of the greatest change of an input, below which a pixel counts as left alone

Scores = Callable[[Tensor], Tensor]


def spatial_mask(scores: Scores, found: Flips, box: tuple[float, float], *, seed: int) -> dict[str, Any]:
    """A map of pixels from each half of the right decisions, and how many of the other half its first pixels can turn.

    `map` (height, width) sums to 1: the mean over inputs of ‖r‖ over channels, as shares, r the sparse change of each.
    `moved` is the mean share of pixels that r changes. `turned` and `random` are the shares of decisions that turn where the
    first pixels of the other half's map, or as many in `LOTS` orders drawn by lot for each input, may take any value; what
    few pixels turn, more that hold these turn too. `shares` are those tried, from one pixel; `half` says which of them turn
    half of the decisions, and `fewer` how many times fewer the map needs: see `halves_of`.
    """
    n = len(found.x)
    cut = n // 2
    if cut == 0:
        return {"n": 0}
    weights = sparse_map(scores, found.x, found.y, box, seed=seed)
    pixels = weights[0].numel()
    counts = sorted({round(max(1, MOST * pixels) ** (i / (LEVELS - 1))) for i in range(LEVELS)})
    first, second = (w.mean(0).flatten().argsort(descending=True, stable=True) for w in (weights[:cut], weights[cut:]))
    mapped = torch.stack([second] * cut + [first] * (n - cut))
    by_lot = [torch.stack([torch.randperm(pixels, generator=stream(seed, "random pixels", k, i)) for i in range(n)])
              for k in range(LOTS)]
    levels = [_levels(scores, found, order, counts, box, seed).reshape(n) for order in (mapped, *by_lot)]
    shares = [count / pixels for count in counts]
    most = weights.flatten(1).amax(1).clamp_min(1e-38)
    moved = (weights.flatten(1) > MOVED * most[:, None]).double().mean(1)
    turned, random = levels[0][:, None], torch.stack(levels[1:], 1)
    return {"map": weights.mean(0).tolist(), "moved": float(moved.mean()), "shares": shares, "n": n, "orders": n * LOTS,
            "turned": _rates(turned, len(counts)), "random": _rates(random, len(counts)),
            **halves_of(turned, random, shares, seed)}


def halves_of(turned: Tensor, random: Tensor, shares: Sequence[float], seed: int) -> dict[str, Any]:
    """The share of pixels that turns half of the decisions, by the map and by lot, and the ratio of the second to the first.

    `turned` (n, 1) and `random` (n, lots) hold for each input the place in `shares` that first turned it, len(shares) where
    none did. Half is reached between shares by their logarithms; where it is not, it counts as the greatest share, and the
    value is None. Intervals: inputs drawn again, with all that was asked of each. p is of "no fewer than by lot".
    """
    n, told = len(turned), {}
    again = torch.randint(n, (DRAWS, n), generator=stream("mask", seed, "again"))
    reached: dict[str, Tensor] = {}
    for name, levels in (("turned", turned), ("random", random)):
        own, drawn = _rates(levels, len(shares)), _rates_of(levels, again, len(shares))
        reached[name] = torch.tensor([enough(shares, row, HALF) for row in (own, *drawn)], dtype=torch.float64)
        low, high = _middle(reached[name][1:])
        told[name] = {"value": float(reached[name][0]) if own[-1] >= HALF else None, "low": low, "high": high, "n": n}
    ratio = reached["random"] / reached["turned"]
    low, high = _middle(ratio[1:])
    p = float(1 + (ratio[1:] <= 1).sum()) / (1 + DRAWS)
    return {"half": told, "fewer": asdict(Estimate(value=float(ratio[0]), low=low, high=high, n=n, p=p))}


def _middle(draws: Tensor) -> tuple[float, float]:
    """The middle 95 % of draws."""
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
    return low, high


def _rates(levels: Tensor, count: int) -> list[float]:
    """The share of (inputs, orders) turned at each of the levels or before."""
    return [float((levels <= i).double().mean()) for i in range(count)]


def _rates_of(levels: Tensor, again: Tensor, count: int) -> list[list[float]]:
    """The same of inputs drawn again, (draws, n)."""
    by_input = torch.stack([(levels <= i).double().mean(1) for i in range(count)], 1)
    found: list[list[float]] = by_input[again].mean(1).tolist()
    return found


def sparse_map(scores: Scores, x: Tensor, y: Tensor, box: tuple[float, float], *, seed: int,
               price: float = PRICE) -> Tensor:
    """Where the sparse change of each input lies, (n, height, width), each with sum 1; `price` 0 asks for no sparsity."""
    within = Sticker(mask=torch.ones((1, *x.shape[2:]), dtype=torch.bool, device=x.device), box=box)
    examples = _examples(x, y, box)

    def harm(p: Tensor, _: Sequence[torch.Generator]) -> Tensor:
        return -softplus(-log_odds(scores(within.apply(examples, p).inputs), y))

    change = l1_change(harm, within, x=examples,
                       generators=[stream("mask", seed, i) for i in range(len(x))], steps=SPARSE_STEPS, share=price,
                       grouped=True)
    size = change.double().square().sum(1).sqrt()
    return size / size.sum((1, 2), keepdim=True).clamp_min(1e-300)


def _levels(scores: Scores, found: Flips, orders: Tensor, counts: Sequence[int], box: tuple[float, float],
            seed: int) -> Tensor:
    """The first level at which each input turns where the first pixels of its order (n, pixels) may take any value; the
    number of levels where none does. An input that has turned is not asked again."""
    level = torch.full((len(found.x),), len(counts))
    rank = orders.argsort(1).reshape(len(orders), *found.x.shape[2:])
    for i, count in enumerate(counts):
        open_ = (level == len(counts)).nonzero().flatten()
        for chunk in open_.split(CHUNK) if len(open_) else ():
            turned = _turned(scores, found.x[chunk], found.y[chunk], rank[chunk] < count, box, chunk.tolist(), seed)
            level[chunk[turned]] = i
    return level


def _turned(scores: Scores, x: Tensor, y: Tensor, masks: Tensor, box: tuple[float, float], places: Sequence[int],
            seed: int) -> Tensor:
    """Whether each decision turns where the pixels of its mask may take any value."""
    within, examples = Sticker(mask=masks, box=box), _examples(x, y, box)

    def harm(p: Tensor, _: Sequence[torch.Generator]) -> Tensor:
        return log_odds(scores(within.apply(examples, p).inputs), y)

    found = expectation_ascent(harm, within, x=examples, steps=STEPS,
                               generators=[stream("mask", seed, i) for i in places])
    with torch.no_grad():
        return scores(within.apply(examples, found.parameters).inputs).argmax(1) != y


def _examples(x: Tensor, y: Tensor, box: tuple[float, float]) -> Examples:
    return Examples(ids=tuple(map(str, range(len(x)))), inputs=x, truth=y, box=box)
