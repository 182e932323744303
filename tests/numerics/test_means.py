"""Tests of a mean: level on symmetric and on skewed values, power, an independent drawing; sign flips alone are the twin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from assay.numerics.means import mean_above, mean_differs, weighted_above
from assay.numerics.paired import sign_flip, sign_flip_above

Draw = Callable[[np.random.Generator, int], np.ndarray]
SYMMETRIC: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "of differing scale": lambda rng, n: rng.normal(size=n) * np.exp(0.8 * rng.normal(size=n)),
}
SKEWED: dict[str, Draw] = {                             # all of mean 0, a few values far below it
    "exponential": lambda rng, n: 1 - rng.exponential(size=n),
    "lognormal": lambda rng, n: math.exp(0.125) - np.exp(0.5 * rng.normal(size=n)),
    "strongly lognormal": lambda rng, n: math.exp(0.32) - np.exp(0.8 * rng.normal(size=n)),
}


def share(test: Callable[..., float], draw: Draw, n: int, *, repeats: int = 1500, alpha: float = 0.01) -> float:
    """How often the test says so at the level."""
    rng = np.random.default_rng(n)
    return float(np.mean([test(draw(rng, n).tolist(), draws=999) <= alpha for _ in range(repeats)]))


@pytest.mark.parametrize("n", [8, 20])
@pytest.mark.parametrize("name", SYMMETRIC)
def test_of_symmetric_values_the_level_holds(name: str, n: int) -> None:
    assert share(mean_above, SYMMETRIC[name], n) <= 0.015


@pytest.mark.parametrize(("name", "n", "most"), [("exponential", 8, 0.01), ("lognormal", 8, 0.01), ("lognormal", 20, 0.02),
                                                 ("exponential", 20, 0.03), ("strongly lognormal", 8, 0.01)])
def test_of_skewed_values_it_is_wrong_less_than_half_as_often_as_sign_flips(name: str, n: int, most: float) -> None:
    flips, ours = (share(test, SKEWED[name], n) for test in (sign_flip_above, mean_above))
    assert ours <= most and flips > 0.02 and ours < 0.5 * flips


@pytest.mark.parametrize(("spread", "n", "least"), [(0.0, 7, 1.0), (0.1, 8, 0.95), (1.0, 20, 0.6), (1.0, 40, 0.98)])
def test_it_finds_a_mean_that_is_there(spread: float, n: int, least: float) -> None:
    assert share(mean_above, lambda rng, n: 1 + spread * rng.normal(size=n), n, repeats=200) >= least


def drawn(values: Sequence[float], rng: np.random.Generator, draws: int = 200_000) -> float:
    """An independent second implementation: weights drawn from the simplex."""
    z = np.array([-np.abs(values).max(), *values])
    return float((rng.dirichlet(np.ones(len(z)), size=draws) @ z <= 0).mean())


@pytest.mark.parametrize("n", [1, 3, 8, 30])
def test_the_integral_is_what_drawn_weights_give(n: int) -> None:
    rng = np.random.default_rng(n)
    for shift in (0.2, 0.6):
        values = (rng.normal(size=n) + shift).tolist()
        if sum(values) > 0:
            assert weighted_above(values) == pytest.approx(drawn(values, rng), abs=0.005)


def test_equal_values_have_the_p_of_equal_signs() -> None:
    for n in (1, 7, 8, 13):
        assert weighted_above([3.0] * n) == pytest.approx(2.0**-n, rel=1e-6)
        assert mean_above([3.0] * n) == pytest.approx(2.0**-n, rel=1e-6)
    assert weighted_above([1.0] * 40) >= 2.0**-40


def test_the_unit_does_not_matter_and_zeros_say_nothing() -> None:
    values = [0.3, -0.1, 0.8, 0.4, 0.2]
    assert weighted_above([1e-12 * v for v in values]) == pytest.approx(weighted_above(values))
    assert weighted_above([*values, 0.0, 0.0]) == pytest.approx(weighted_above(values))
    assert mean_above([0.0, 0.0]) == mean_above([]) == mean_above([-1.0]) == 1.0
    for test in (mean_above, mean_differs, weighted_above):
        with pytest.raises(ValueError, match="finite"):
            test([1.0, math.nan])


def test_two_sided_is_no_less_than_sign_flips_and_turns_with_the_sign() -> None:
    rng = np.random.default_rng(1)
    for n in (5, 12, 30):
        values = (rng.normal(size=n) + 0.5).tolist()
        assert mean_differs(values) == pytest.approx(mean_differs([-v for v in values]), abs=1e-9)
        assert mean_differs(values) >= sign_flip(values)
    assert mean_differs([0.5] * 9) == pytest.approx(sign_flip([0.5] * 9))
