"""Losses of a classifier: closed forms, invariances, gradients that do not vanish, and twins that break each."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.metrics.losses import cross_entropy, dlr, log_odds, margin, targeted_dlr, targeted_margin

PLAIN = {"cross_entropy": cross_entropy, "log_odds": log_odds, "margin": margin, "dlr": dlr}
TARGETED = {"targeted_margin": targeted_margin, "targeted_dlr": targeted_dlr}
LOSSES = PLAIN | TARGETED
SCALE_FREE = ("dlr", "targeted_dlr")


def scores(batch: int = 40, classes: int = 6, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return 3 * torch.randn(batch, classes, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def arguments(name: str, z: Tensor, seed: int = 1) -> tuple[Tensor, ...]:
    label = torch.randint(z.shape[1], (len(z),), generator=torch.Generator().manual_seed(seed))
    return (label, (label + 1) % z.shape[1]) if name in TARGETED else (label,)


def by_hand(name: str, z: list[float], y: int, t: int) -> float:
    """One example, in plain Python."""
    others = [value for k, value in enumerate(z) if k != y]
    falling = sorted(z, reverse=True)
    return {
        "cross_entropy": lambda: math.log(sum(math.exp(v) for v in z)) - z[y],
        "log_odds": lambda: math.log(sum(math.exp(v) for v in others)) - z[y],
        "margin": lambda: max(others) - z[y],
        "dlr": lambda: -(z[y] - max(others)) / (falling[0] - falling[2]),
        "targeted_margin": lambda: z[t] - z[y],
        "targeted_dlr": lambda: -(z[y] - z[t]) / (falling[0] - (falling[2] + falling[3]) / 2),
    }[name]()


@pytest.mark.parametrize("name", LOSSES)
def test_closed_forms(name):
    z = scores()
    given = arguments(name, z)
    expected = [by_hand(name, row, int(given[0][i]), int(given[-1][i])) for i, row in enumerate(z.tolist())]
    assert torch.allclose(LOSSES[name](z, *given), torch.tensor(expected, dtype=torch.float64), rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_shifts_change_nothing_and_factors_only_where_they_should(name):
    z = scores()
    given, f = arguments(name, z), LOSSES[name]
    assert torch.allclose(f(z + 7.0, *given), f(z, *given), rtol=1e-9)
    free = torch.allclose(f(1e3 * z, *given), f(z, *given), rtol=1e-9) and torch.allclose(f(1e-9 * z, *given), f(z, *given))
    assert free == (name in SCALE_FREE)


@pytest.mark.parametrize("name", ["log_odds", "margin", "dlr", "targeted_margin", "targeted_dlr"])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, 1e6])
def test_gradients_in_single_precision_never_vanish_and_point_as_in_double(name, size):
    z = size * scores()
    given = arguments(name, z)
    if name == "dlr":                                               # constant where the label ranks third, see below
        moving = rank(z, given[0]) != 2
        z, given = z[moving], (given[0][moving],)
    single, double = (gradient(LOSSES[name], z.to(dtype), given) for dtype in (torch.float32, torch.float64))
    assert bool((single.norm(dim=1) > 0).all())
    cosine = torch.nn.functional.cosine_similarity(single.double(), double, eps=1e-300)
    assert float(cosine.min()) > 1 - 1e-4


def rank(z: Tensor, label: Tensor) -> Tensor:
    return (z > z.gather(1, label[:, None])).sum(1)


def test_dlr_is_constant_where_the_label_ranks_third():
    z = scores()
    (label,) = arguments("dlr", z)
    third = rank(z, label) == 2
    assert bool(third.any()) and bool((dlr(z, label)[third] == 1).all())
    assert float(gradient(dlr, z, (label,))[third].abs().max()) < 1e-12
    assert bool((margin(z, label)[third] > 0).all())


def gradient(f, z: Tensor, given: tuple[Tensor, ...]) -> Tensor:
    z = z.clone().requires_grad_(True)
    (g,) = torch.autograd.grad(f(z, *given).sum(), z)
    return g


def points_as_the_log_odds(f, certainty: float) -> None:
    """A sure classifier in single precision: the gradient of the cross-entropy has the direction it has in double."""
    z = torch.tensor([[certainty, 0.0, -0.5]])
    exact = gradient(log_odds, z.double(), (torch.tensor([0]),))
    g = gradient(f, z, (torch.tensor([0]),)).double()
    assert float(torch.nn.functional.cosine_similarity(g, exact, eps=1e-300)) > 1 - 1e-6


def test_cross_entropy_keeps_its_direction_where_softmax_is_one_in_single_precision():
    def plain(z: Tensor, y: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(z, y, reduction="none")

    for certainty in (5.0, 30.0, 80.0):
        points_as_the_log_odds(cross_entropy, certainty)
    with pytest.raises(AssertionError):
        points_as_the_log_odds(plain, 30.0)


def test_log_odds_climb_on_where_the_cross_entropy_underflows():
    z, label = torch.tensor([[400.0, 0.0, -1.0]]), (torch.tensor([0]),)
    assert float(gradient(cross_entropy, z, label).abs().max()) == 0.0
    assert float(gradient(log_odds, z, label).norm()) > 1


def test_cross_entropy_is_a_monotone_function_of_the_log_odds():
    z = scores()
    (label,) = arguments("margin", z)
    assert torch.allclose(cross_entropy(z, label), torch.log1p(log_odds(z, label).exp()))
    assert torch.allclose(cross_entropy(1e4 * z, label), (1e4 * margin(z, label)).clamp_min(0), atol=2)


@pytest.mark.parametrize("name", LOSSES)
def test_larger_is_worse(name):
    """Raising the target (the rival) and lowering the label's score never makes a loss smaller."""
    z = torch.tensor([[4.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    given = (torch.tensor([0]), torch.tensor([1])) if name in TARGETED else (torch.tensor([0]),)
    values = [float(LOSSES[name](z + a * torch.tensor([[-1.0, 1.0, 0.0, 0.0]]), *given)) for a in (0.0, 0.5, 1.0, 2.0, 3.0)]
    assert values == sorted(values) and values[-1] > values[0]


@pytest.mark.parametrize("name", SCALE_FREE)
def test_equal_scores_give_a_finite_quotient(name):
    for z in (torch.zeros(1, 5), torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]])):
        given = (torch.tensor([4]), torch.tensor([0])) if name in TARGETED else (torch.tensor([4]),)
        assert bool(torch.isfinite(LOSSES[name](z, *given)).all())
        assert bool(torch.isfinite(gradient(LOSSES[name], z, given)).all())


def test_two_classes_are_first_class():
    z, label = torch.tensor([[2.0, -1.0], [0.0, 3.0]]), torch.tensor([0, 0])
    assert margin(z, label).tolist() == log_odds(z, label).tolist() == [-3.0, 3.0]
    assert targeted_margin(z, label, 1 - label).tolist() == [-3.0, 3.0]
    with pytest.raises(InputError, match="use margin"):
        dlr(z, label)
    with pytest.raises(InputError, match="use targeted_margin"):
        targeted_dlr(scores(2, 3), label, 1 - label)


@pytest.mark.parametrize(("z", "label", "words"), [
    (torch.zeros(2, 3), torch.tensor([0, 3]), r"label: example 1 has class 3"),
    (torch.zeros(2, 3), torch.tensor([-1, 0]), r"label: example 0 has class -1"),
    (torch.zeros(2, 3), torch.tensor([0.0, 1.0]), "whole numbers"),
    (torch.zeros(2, 3), torch.tensor([0]), "one for each of 2 examples"),
    (torch.zeros(2, 1), torch.tensor([0, 0]), "at least 2 classes"),
    (torch.zeros(2, 3, dtype=torch.complex64), torch.tensor([0, 0]), "real"),
])
def test_bad_scores_and_labels_are_refused(z, label, words):
    for f in PLAIN.values():
        with pytest.raises(InputError, match=words):
            f(z, label)


def test_bad_targets_are_refused():
    z = torch.zeros(2, 4)
    with pytest.raises(InputError, match="equals its label"):
        targeted_margin(z, torch.tensor([0, 1]), torch.tensor([1, 1]))
    with pytest.raises(InputError, match="target: example 0 has class 9"):
        targeted_dlr(z, torch.tensor([0, 1]), torch.tensor([9, 0]))
