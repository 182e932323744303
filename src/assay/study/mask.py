"""Which few pixels does a system look at? A mask by sparse changes (the first stage of RP2, without a target), and what it
can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

MOST, LEVELS = 0.3, 6               # of the pixels; numbers of pixels tried, from one, by equal factors
HALF = 0.5                          # of the right decisions, turned
SPARSE_STEPS, STEPS = 40, 12
PRICE = 0.3                         # of the greatest slope: what a pixel must do to be changed
MOVED = 0.01                        # of the greatest change of an input, below which a pixel counts as left alone

Scores = Callable[[Tensor], Tensor]


def spatial_mask(scores: Scores, found: Flips, box: tuple[float, float], *, seed: int) -> dict[str, Any]:
    """A map of pixels from half of the right decisions, and how many of the other half its first pixels can turn.

    `map` (height, width) sums to 1: the mean over inputs of ‖r‖ over channels, as shares, r the sparse change of each.
    `moved` is the mean share of pixels that r changes. `turned` and `random` are the shares of decisions that turn where the
    first pixels of the map, or as many drawn at random, may take any value; `half` the shares of pixels that turn half of
    them, by interpolation of logarithms, None where 30 % of the pixels do not. `shares` are those tried, from one pixel.
    """
    cut = len(found.x) // 2
    if cut == 0:
        return {"n": 0}
    weights = sparse_map(scores, found.x[:cut], found.y[:cut], box, seed=seed)
    order = weights.mean(0).flatten().argsort(descending=True, stable=True)
    by_chance = torch.randperm(len(order), generator=stream(seed, "random pixels"))
    x, y, side = found.x[cut:], found.y[cut:], found.x.shape[2:]
    counts = sorted({round(max(1, MOST * len(order)) ** (i / (LEVELS - 1))) for i in range(LEVELS)})
    rates = {name: [_turned(scores, x, y, _first(places, count, side), box, seed) for count in counts]
             for name, places in (("turned", order), ("random", by_chance))}
    shares = [count / len(order) for count in counts]
    most = weights.flatten(1).amax(1).clamp_min(1e-38)
    moved = (weights.flatten(1) > MOVED * most[:, None]).double().mean(1)
    return {"map": weights.mean(0).tolist(), "moved": float(moved.mean()), "shares": shares, "n": len(x), **rates,
            "half": {name: enough(shares, v, HALF) if v[-1] >= HALF else None for name, v in rates.items()}}


def sparse_map(scores: Scores, x: Tensor, y: Tensor, box: tuple[float, float], *, seed: int,
               price: float = PRICE) -> Tensor:
    """Where the sparse change of each input lies, (n, height, width), each with sum 1; `price` 0 asks for no sparsity."""
    within, examples = _any(torch.ones(x.shape[2:], dtype=torch.bool, device=x.device), box), _examples(x, y, box)

    def harm(p: Tensor, _: Sequence[torch.Generator]) -> Tensor:
        return -softplus(-log_odds(scores(within.apply(examples, p).inputs), y))

    change = l1_change(harm, within, x=examples, generators=_generators(len(x), seed), steps=SPARSE_STEPS, share=price,
                       grouped=True)
    size = change.double().square().sum(1).sqrt()
    return size / size.sum((1, 2), keepdim=True).clamp_min(1e-300)


def _turned(scores: Scores, x: Tensor, y: Tensor, mask: Tensor, box: tuple[float, float], seed: int) -> float:
    """The share of inputs whose decision turns where the pixels of the mask may take any value."""
    within, examples = _any(mask, box), _examples(x, y, box)

    def harm(p: Tensor, _: Sequence[torch.Generator]) -> Tensor:
        return log_odds(scores(within.apply(examples, p).inputs), y)

    found = expectation_ascent(harm, within, x=examples, steps=STEPS, generators=_generators(len(x), seed))
    with torch.no_grad():
        return float((scores(within.apply(examples, found.parameters).inputs).argmax(1) != y).double().mean())


def _first(order: Tensor, count: int, side: torch.Size) -> Tensor:
    """The first pixels of the order, (height, width)."""
    mask = torch.zeros(len(order), dtype=torch.bool)
    mask[order[:count]] = True
    return mask.reshape(side)


def _any(mask: Tensor, box: tuple[float, float]) -> Sticker:
    return Sticker(mask=mask[None], box=box)


def _examples(x: Tensor, y: Tensor, box: tuple[float, float]) -> Examples:
    return Examples(ids=tuple(map(str, range(len(x)))), inputs=x, truth=y, box=box)


def _generators(n: int, seed: int) -> list[torch.Generator]:
    return [stream("mask", seed, i) for i in range(n)]
