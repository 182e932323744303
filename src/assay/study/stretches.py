"""Twentieths of a file, and stretches of one class: does the class go with the place beyond that neighbours are alike?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCKS = 20             # equal parts of the file
LEAST = 5 * BLOCKS      # rows, below which parts are too small
APART = (2, 3)          # parts away that vote: between lies a whole part, so that no neighbours meet
TIED = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """Twentieths of a file of classes y (n,), numbered from 0, and orders of them by lot, (draws, 20).

    A row is given the class with the most rows in the parts two and three away, each class over its number of rows; of
    classes that tie each counts in part. Rows of one stretch that is shorter than a part never vote on one another, so that
    where dependence reaches no further every order of the parts is as likely: the test is right for data that come in
    stretches, which exchanging row by row is not. Source: exchangeable blocks, Winkler et
    al., NeuroImage 123 (2015).

    >>> blocks = Blocks.drawn(999, torch.Generator().manual_seed(0))
    >>> sorted_file = torch.tensor([0] * 100 + [1] * 100)       # but for two parts on either side of the border, which tie
    >>> round(float(blocks.success(sorted_file)), 3), blocks.p(sorted_file) < 0.01
    (0.9, True)
    """

    orders: Tensor

    @classmethod
    def drawn(cls, draws: int, generator: torch.Generator) -> Blocks:
        return cls(orders=torch.stack([torch.randperm(BLOCKS, generator=generator) for _ in range(draws)]))

    def success(self, y: Tensor) -> Tensor:
        """The mean over classes of the share given their own, ()."""
        return _success(_counts(y)[None])[0]

    def by_lot(self, y: Tensor) -> Tensor:
        """The same where the parts come in each of the orders, (draws,)."""
        return _success(_counts(y)[self.orders])

    def p(self, y: Tensor) -> float:
        """(1 + orders with as much success)/(1 + all)."""
        return float(1 + (self.by_lot(y) >= self.success(y) - TIED).sum()) / (1 + len(self.orders))

    def credit(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """How rightly each row is told, from 0 to 1, and its part."""
        place = _place(len(y))
        return _won(_counts(y)[None])[0][place, y], place

    @staticmethod
    def stretches_by_lot(y: Tensor, generator: torch.Generator) -> Tensor:
        """The stretches of one class, as long as they are, in an order by lot; where two of a class meet they join."""
        classes, lengths = y.unique_consecutive(return_counts=True)
        order = torch.randperm(len(classes), generator=generator)
        return classes[order].repeat_interleave(lengths[order])


@lru_cache(maxsize=4)
def _place(n: int) -> Tensor:
    return torch.arange(n) * BLOCKS // n


def _counts(y: Tensor) -> Tensor:
    """Rows of each class in each part, (20, classes)."""
    found = torch.zeros(BLOCKS, int(y.max()) + 1, dtype=torch.float64)
    return found.index_put_((_place(len(y)), y), torch.ones(len(y), dtype=torch.float64), accumulate=True)


def _won(counts: Tensor) -> Tensor:
    """For orders of parts (k, 20, classes) the share of each class in the answer of each part: 1, or less where it ties."""
    most = max(APART)
    wide = F.pad(counts, (0, 0, most, most))
    votes = sum(wide[:, most + d: most + d + BLOCKS] + wide[:, most - d: most - d + BLOCKS] for d in APART)
    votes = votes / counts.sum(1, keepdim=True).clamp_min(1.0)
    best = (votes >= votes.amax(2, keepdim=True) - TIED).double()
    return best / best.sum(2, keepdim=True)


def _success(counts: Tensor) -> Tensor:
    total = counts.sum(1)
    right = (_won(counts) * counts).sum(1)
    return (right / total.clamp_min(1.0)).sum(1) / (total > 0).sum(1)
