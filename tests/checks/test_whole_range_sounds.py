"""Preflight on sounds: a true jump is seen, the logarithm of a power is none, and slopes are taken in steps of the sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from assay.checks.preflight_classifier import agreement, gradient_slopes
from assay.checks.whole_range import whole_range_flags
from assay.perturbations.protocol import Examples, stream
from assay.records import Access
from assay.systems.metered import Metered


class Ears:
    access = Access.GRADIENT

    def __init__(self, scores: Callable[[Tensor], Tensor]) -> None:
        self.scores = scores

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.scores(inputs)


def log_power(inputs: Tensor) -> Tensor:
    """Two classes, told apart by the logarithm of the power of either half: what every log-mel front end computes."""
    return torch.stack([part.square().mean(1).clamp_min(1e-12).log() for part in inputs.chunk(2, dim=1)], dim=1)


def jumping(inputs: Tensor) -> Tensor:
    """The same with a detector: what is not as soft in its second half as the recordings are is answered otherwise."""
    scores = log_power(inputs)
    found = inputs[:, 50:].abs().amax(1, keepdim=True) > 2e-5
    return torch.where(found, -scores + 30 * torch.tensor([-1.0, 1.0]), scores)


def sounds() -> Examples:
    loud = torch.stack([torch.randn(50, generator=stream("loud", i)) for i in range(4)]) * 0.1
    soft = torch.stack([torch.rand(50, generator=stream("soft", i)) for i in range(4)]) * 1e-5
    waves = torch.cat((loud, soft), 1).clamp(-1, 1)
    return Examples(ids=tuple("abcd"), inputs=waves, truth=torch.zeros(4, dtype=torch.int64), box=(-1.0, 1.0), rate=1000)


def flags(scores: Callable[[Tensor], Tensor], x: Examples) -> list[set[str]]:
    target = Metered(Ears(scores), name="ears")
    raised = whole_range_flags(target, x, scores(x.inputs), seed=0, check="preflight")
    return [{flag.id for flag in found} for found in raised]


def test_the_logarithm_of_a_power_is_no_jump_of_a_sound():
    assert flags(log_power, sounds()) == [set()] * 4


def test_along_a_straight_line_it_would_seem_one():
    assert all("jumps" in found for found in flags(log_power, replace(sounds(), rate=0)))


def test_a_true_jump_is_seen():
    assert all("jumps" in found for found in flags(jumping, sounds()))


@pytest.mark.parametrize(("rate", "agrees"), [(1000, True), (0, False)])
def test_slopes_are_taken_in_steps_of_the_sound(rate, agrees):
    x = replace(sounds(), rate=rate)
    directions = [torch.stack([torch.randn(100, generator=stream("way", k, i)) for i in range(4)]) for k in range(6)]
    exact, measured = gradient_slopes(Metered(Ears(log_power), name="ears"), x, directions)
    assert all((agreement(exact[:, i], measured[:, :, i]) > 0.5) == agrees for i in range(4))
