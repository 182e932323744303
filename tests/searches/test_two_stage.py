"""From harm in a larger set to harm in the set: where the nearest member of what was found outside does none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.searches import two_stage as searched
from assay.searches.two_stage import two_stage

X = Examples(ids=tuple(f"s{i}" for i in range(8)), inputs=torch.zeros(8, 2))
SMALL, LARGE = (InputBall(ball=Ball(norm="linf", radius=radius, relative=False)) for radius in (1.0, 3.0))


def valley(p: Tensor) -> Tensor:
    """Harm along p₁ = p₂²/2 where p₂ > 0.8: far out lies more of it, whose nearest corner (1, 1) does none."""
    return 20 * (0.1 - (p[:, 0] - p[:, 1] ** 2 / 2) ** 2 - (0.8 - p[:, 1]).clamp_min(0))


def found(steps: int = 120) -> Tensor:
    result = two_stage(valley, SMALL, larger=LARGE, x=X, generators=[stream(0, name) for name in X.ids], steps=steps,
                       done=lambda harm: harm > 0, starts=[torch.tensor([[2.9, 2.4]]).expand(8, 2)])
    assert bool((result.parameters.abs() <= 1).all()) and torch.allclose(result.value, valley(result.parameters).double())
    assert result.backward <= steps * 2
    return result.value > 0


def test_harm_far_outside_is_brought_into_the_set():
    assert float(valley(torch.tensor([[3.0, 2.45]]))) > 0 > float(valley(torch.tensor([[1.0, 1.0]])))
    assert bool(found().all())


def test_without_the_second_stage_or_its_weight_none_is_found(monkeypatch):
    monkeypatch.setattr(searched, "SHARE", 1.0)
    assert not bool(found().any())
    monkeypatch.setattr(searched, "SHARE", 0.25)
    for name in ("FIRST", "LEAST", "MOST"):
        monkeypatch.setattr(searched, name, 0.0)
    assert not bool(found().all())


def test_no_step_is_refused():
    with pytest.raises(InputError, match="steps ≥ 1"):
        found(steps=0)
