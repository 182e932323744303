"""Direct encoding: the published densities of mutation and crossover by chi-square, range, mean, and broken operators."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.encodings import Direct, polynomial_mutation, simulated_binary_crossover

MANY, BINS = 40_000, 20


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def follows(values: Tensor, distribution) -> bool:
    """Chi-square of the values in bins that are equally likely under the cumulative distribution function given."""
    counts = torch.histc(distribution(values), BINS, 0, 1).numpy()
    assert counts.sum() == len(values)
    return stats.chisquare(counts).pvalue > 1e-4


def steps(eta: float):
    """P(δ ≤ d) for the density (η + 1)/2 · (1 − |δ|)^η."""
    return lambda d: torch.where(d < 0, 0.5 * (1 + d) ** (eta + 1), 1 - 0.5 * (1 - d) ** (eta + 1))


def spreads(eta: float, widest: float = float("inf")):
    """P(β ≤ b) for the density of the simulated binary crossover, restricted to β ≤ widest."""
    def below(b: Tensor) -> Tensor:
        return torch.where(b <= 1, 0.5 * b ** (eta + 1), 1 - 0.5 * b ** -(eta + 1))
    return lambda b: below(b) / below(torch.tensor(widest, dtype=b.dtype))


@pytest.mark.parametrize("eta", [15.0, 3.0])
def test_mutation_has_the_published_density(eta):
    x = torch.full((MANY,), 10.0, dtype=torch.float64)
    moved = (polynomial_mutation(x, g(), rate=1.0, eta=eta, low=-90.0, high=110.0) - 10) / 200
    inside = moved[moved.abs() < 0.5]                   # beyond, the range cuts
    assert len(inside) > MANY * (1 - 2 * 0.5 ** (eta + 1)) - 5 * MANY ** 0.5
    if eta == 15.0:
        assert follows(moved, steps(eta))
        assert not follows(moved, steps(eta + 1)), "another η is not caught"
        assert not follows(torch.randn(MANY, generator=g(), dtype=torch.float64)* moved.std(), steps(eta)), \
            "Gaussian steps are not caught"
    assert float(moved.abs().mean()) == pytest.approx(1 / (eta + 2), rel=0.05)


def test_mutation_stays_in_range_and_touches_its_share():
    x = torch.rand(50, 1, 30, 30, generator=g())
    x[:10], x[10:20] = 0.0, 1.0
    moved = polynomial_mutation(x, g(1), rate=0.1, eta=1.0)
    assert float(moved.min()) == 0 and float(moved.max()) == 1
    middle = moved[20:] != x[20:]
    assert float(middle.double().mean()) == pytest.approx(0.1, abs=0.01)


def test_crossover_keeps_the_mean_and_the_range():
    a, b = torch.rand(2, 500, 40, generator=g(), dtype=torch.float64)
    a[0], b[0], b[1] = 0.0, 1.0, a[1]                  # parents on the border, and equal ones
    c, d = simulated_binary_crossover(a, b, g(1), eta=2.0)
    assert torch.allclose(c + d, a + b, atol=1e-12)
    assert min(c.min(), d.min()) >= 0 and max(c.max(), d.max()) <= 1
    assert torch.allclose(c[1], a[1]) and not torch.allclose(c[2:], a[2:])


def test_crossover_that_cuts_instead_of_restricting_is_caught():
    a, b = torch.tensor([0.02, 0.02]), torch.tensor([0.9, 0.9])
    spread = torch.tensor([1.0, 1.3])                   # as drawn without a range, then cut
    middle, half = (a + b) / 2, (b - a) / 2
    c, d = ((middle - s * half).clamp(0, 1) for s in (spread, -spread))
    assert not torch.allclose(c + d, a + b)


@pytest.mark.parametrize(("low", "high"), [(-1e6, 1e6), (0.0, 1.0)])
def test_crossover_has_the_published_density(low, high):
    a, b = torch.full((MANY,), 0.1, dtype=torch.float64), torch.full((MANY,), 0.8, dtype=torch.float64)
    c, d = simulated_binary_crossover(a, b, g(), eta=10.0, low=low, high=high)
    widest = min(0.45 - low, high - 0.45) / 0.35
    assert follows((d - c) / 0.7, spreads(10.0, widest))
    assert not follows((d - c) / 0.7, spreads(8.0, widest))


def test_pairs_are_crossed_at_their_rate():
    encoding = Direct(shape=(3,), crossover=0.5)
    a, b = encoding.random(4000, g()), encoding.random(4000, g(1))
    c, _ = encoding.cross(a, b, g(2))
    assert float((c.levels != a.levels).any(1).double().mean()) == pytest.approx(0.5, abs=0.03)


def test_genomes_are_expressed_within_the_box_and_never_changed():
    encoding = Direct(shape=(1, 5, 4), box=(-2.0, 3.0))
    genomes = encoding.random(300, g())
    before = genomes.levels.clone()
    images = encoding.express(genomes)
    assert images.shape == (300, 1, 5, 4) and -2 <= float(images.min()) < -1.9 and 2.9 < float(images.max()) <= 3
    encoding.mutate(genomes, g(1))
    encoding.cross(genomes, genomes.take(torch.arange(299, -1, -1)), g(2))
    assert torch.equal(genomes.levels, before)
    assert torch.equal(genomes.take(torch.tensor([7, 7])).joined(genomes).levels[1:3], genomes.levels[[7, 0]])


def test_generators_are_obeyed():
    encoding = Direct(shape=(2, 3))
    a = encoding.random(5, g(3))
    assert torch.equal(a.levels, encoding.random(5, g(3)).levels)
    assert torch.equal(encoding.mutate(a, g(4)).levels, encoding.mutate(a, g(4)).levels)
    assert not torch.equal(encoding.mutate(a, g(4)).levels, encoding.mutate(a, g(5)).levels)


def test_bad_input():
    with pytest.raises(InputError, match="rate"):
        polynomial_mutation(torch.zeros(1), g(), rate=1.5)
    with pytest.raises(InputError, match="range"):
        Direct(shape=(3,), box=(1.0, 1.0))
