"""Encodings of whole images that a search may evolve: genomes, and how they are drawn, changed, crossed and expressed.

Nothing here starts from a real image: what is expressed shows nothing, and a search tries to have it recognised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError


class Genomes(Protocol):
    """A population: its genomes are told apart by their position, and never changed in place."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Self:
        """The genomes at these positions, in their order; a position may be named twice."""
        ...

    def joined(self, other: Self) -> Self:
        """These genomes, then those of the other population."""
        ...


G = TypeVar("G", bound=Genomes)


class Encoding(Protocol[G]):
    """How genomes become images (n, *shape), and the random operators of an evolutionary search on them."""

    def random(self, n: int, generator: torch.Generator) -> G: ...

    def mutate(self, genomes: G, generator: torch.Generator) -> G: ...

    def cross(self, first: G, second: G, generator: torch.Generator) -> tuple[G, G]:
        """Two children of each pair (first[i], second[i])."""
        ...

    def express(self, genomes: G) -> Tensor: ...


def polynomial_mutation(genes: Tensor, generator: torch.Generator, *, rate: float, eta: float = 15.0,
                        low: float = 0.0, high: float = 1.0) -> Tensor:
    """Each gene, with probability `rate`, moves by (high − low) δ and is cut to [low, high]; new tensor of its shape.

    δ in (−1, 1) has the density (η + 1)/2 · (1 − |δ|)^η: δ = (2u)^{1/(η+1)} − 1 for u < ½, else 1 − (2(1 − u))^{1/(η+1)},
    u uniform. Source: Deb and Goyal, "A combined genetic adaptive search (GeneAS) for engineering design", 1996; η = 15 as
    in Nguyen, Yosinski and Clune, CVPR 2015. Raises `InputError` for a rate that is no probability.

    >>> g = torch.Generator().manual_seed(0)
    >>> polynomial_mutation(torch.tensor([0.3]), g, rate=0.0) == torch.tensor([0.3])
    tensor([True])
    """
    if not 0 <= rate <= 1 or eta <= 0 or not low < high:
        raise InputError(f"need 0 ≤ rate ≤ 1, eta > 0 and low < high, got rate={rate}, eta={eta}, low={low}, high={high}")
    chosen = torch.rand(genes.shape, generator=generator, dtype=genes.dtype) < rate
    u = torch.rand(genes.shape, generator=generator, dtype=genes.dtype)
    power = 1 / (eta + 1)
    delta = torch.where(u < 0.5, (2 * u) ** power - 1, 1 - (2 * (1 - u)) ** power)
    return torch.where(chosen, (genes + (high - low) * delta).clamp(low, high), genes)


def simulated_binary_crossover(first: Tensor, second: Tensor, generator: torch.Generator, *, eta: float = 10.0,
                               low: float = 0.0, high: float = 1.0) -> tuple[Tensor, Tensor]:
    """Children (p + q)/2 ± β (q − p)/2, gene by gene: the mean of the parents is that of the children.

    The spread β has the density (η + 1)/2 · β^η for β ≤ 1 and (η + 1)/2 · β^{−(η+2)} beyond, restricted to the β that
    leave both children within [low, high], so that nothing is cut off and the mean is kept. `first` and `second` lie in
    [low, high]. Source: Deb and Agrawal, "Simulated binary crossover for continuous search space", Complex Systems 9
    (1995); η = 10 as in Nguyen, Yosinski and Clune, CVPR 2015.

    >>> g = torch.Generator().manual_seed(0)
    >>> a, b = simulated_binary_crossover(torch.tensor([0.25]), torch.tensor([0.75]), g)
    >>> round(float(a + b), 6)
    1.0
    """
    middle, half = (first + second) / 2, (second - first) / 2
    room = torch.minimum(middle - low, high - middle).clamp_min(0)
    widest = torch.where(half.abs() > 0, room / half.abs().clamp_min(torch.finfo(half.dtype).tiny), torch.inf)
    below = torch.where(widest > 1, 1 - 0.5 * widest.clamp_min(1) ** -(eta + 1), 0.5)       # P(β ≤ widest), widest ≥ 1
    u = torch.rand(first.shape, generator=generator, dtype=first.dtype) * below
    spread = torch.where(u <= 0.5, 2 * u, 0.5 / (1 - u).clamp_min(torch.finfo(u.dtype).tiny)) ** (1 / (eta + 1))
    spread = torch.minimum(spread, widest)                                                  # what rounding leaves
    return (middle - spread * half).clamp(low, high), (middle + spread * half).clamp(low, high)


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Genomes of the direct encoding: grey levels as shares of the range, (n, *shape) in [0, 1]."""

    levels: Float[Tensor, "n ..."]

    def __len__(self) -> int:
        return len(self.levels)

    def take(self, index: Tensor) -> Pixels:
        return Pixels(levels=self.levels[index])

    def joined(self, other: Pixels) -> Pixels:
        return Pixels(levels=torch.cat((self.levels, other.levels)))


@dataclass(frozen=True, kw_only=True)
class Direct:
    """One gene for each value of the image, as in the irregular images of Nguyen, Yosinski and Clune, CVPR 2015.

    `shape` is that of one image and `box` the least and greatest value. A random genome is uniform; a value mutates with
    probability `rate`; a pair of parents is crossed with probability `crossover`. (The paper halves `rate` every 1,000
    generations, which no budget here reaches.)

    >>> noise = Direct(shape=(1, 2, 2))
    >>> noise.express(noise.random(3, torch.Generator().manual_seed(0))).shape
    torch.Size([3, 1, 2, 2])
    """

    shape: tuple[int, ...]
    box: tuple[float, float] = (0.0, 1.0)
    rate: float = 0.1
    crossover: float = 0.5
    eta_mutation: float = 15.0
    eta_crossover: float = 10.0

    def __post_init__(self) -> None:
        if math.prod(self.shape) < 1 or not self.box[0] < self.box[1]:
            raise InputError(f"need at least one value and a range, got shape {self.shape} and box {self.box}")

    def random(self, n: int, generator: torch.Generator) -> Pixels:
        return Pixels(levels=torch.rand(n, *self.shape, generator=generator))

    def mutate(self, genomes: Pixels, generator: torch.Generator) -> Pixels:
        return Pixels(levels=polynomial_mutation(genomes.levels, generator, rate=self.rate, eta=self.eta_mutation))

    def cross(self, first: Pixels, second: Pixels, generator: torch.Generator) -> tuple[Pixels, Pixels]:
        crossed = torch.rand(len(first), *[1] * len(self.shape), generator=generator) < self.crossover
        a, b = simulated_binary_crossover(first.levels, second.levels, generator, eta=self.eta_crossover)
        return (Pixels(levels=torch.where(crossed, a, first.levels)),
                Pixels(levels=torch.where(crossed, b, second.levels)))

    def express(self, genomes: Pixels) -> Float[Tensor, "n ..."]:
        low, high = self.box
        return low + (high - low) * genomes.levels
