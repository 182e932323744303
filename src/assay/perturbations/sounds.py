"""Changes of a waveform, measured in decibels beside the sound itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples

SILENT, LOUDEST = -200.0, 200.0         # dB told of no change at all, whose logarithm does not exist; the greatest level
ROUNDING = 1e-3             # of a step: a value that rounding left just short of a whole step is that step


def decibels(ratio: PerExample) -> PerExample:
    """20 log₁₀ of a ratio of amplitudes; −200 where it is 0.

    >>> decibels(torch.tensor([0.1, 1.0, 0.0])).round(decimals=4).tolist()
    [-20.0, 0.0, -200.0]
    """
    return 20 * ratio.double().clamp_min(10 ** (SILENT / 20)).log10()


def playable(p: Tensor) -> Tensor:
    """The change in whole steps of 16 bits, each value cut towards 0; the gradient goes through as if nothing was cut.

    A change that is softer than a step does not exist in a file of 16-bit samples.

    >>> (playable(torch.tensor([1.9, -1.9, 0.5]) / 2**15) * 2**15).tolist()
    [1.0, -1.0, 0.0]
    """
    steps = p.detach() * 2**15
    return p + ((steps + ROUNDING * steps.sign()).trunc() / 2**15 - p).detach()


def stored(waves: Tensor) -> Tensor:
    """The waveforms as a file of 16-bit samples holds them, each value the nearest step; the gradient goes through.

    >>> (stored(torch.tensor([1.4, -1.6]) / 2**15) * 2**15).tolist()
    [1.0, -2.0]
    """
    return waves + ((waves.detach() * 2**15).round() / 2**15 - waves).detach()


@dataclass(frozen=True, kw_only=True)
class AddedSound(InputBall):
    """Sounds δ added to a waveform x, x + δ within full scale, whose size is dB_x(δ) = dB(δ) − dB(x).

    dB(z) = 20 log₁₀ max_t |z_t| for the norm "linf" (Carlini and Wagner, "Audio adversarial examples", 2018), and
    20 log₁₀ ‖z‖₂ for "l2": minus the signal-to-noise ratio. −20 dB is a tenth. The `ball` is the set in the sound's unit.
    What is added and measured is `playable`: cut to whole steps of 16 bits.

    >>> x = Examples(ids=("a",), inputs=torch.tensor([[0.5, -0.25]]), box=(-1.0, 1.0))
    >>> AddedSound.at(-20.0, x).size(x, torch.tensor([[0.05, 0.0]])).round(decimals=2).tolist()
    [-20.0]
    """

    @classmethod
    def at(cls, level: float, x: Examples, norm: str = "linf") -> Self:
        """All sounds of at most so many decibels beside the examples; `InputError` if one of these is silent."""
        if bool((x.inputs == 0).flatten(1).all(1).any()):
            first = x.ids[int((x.inputs == 0).flatten(1).all(1).nonzero()[0])]
            raise InputError(f"{first}: silent throughout, and no sound is small beside nothing; leave it out")
        if not SILENT <= level <= LOUDEST:
            raise InputError(f"a level in dB is a number from {SILENT:g} to {LOUDEST:g}, got {level}")
        return cls(ball=Ball(norm=norm, radius=10 ** (level / 20), relative=True, box=x.box))

    @property
    def unit(self) -> str:
        return "dB"

    def apply(self, x: Examples, p: Tensor) -> Examples:
        return super().apply(x, playable(p))

    def sample(self, x: Examples, generators: Sequence[torch.Generator], size: PerExample | None = None) -> Tensor:
        """Random members, in whole steps; of ℓ2 the nearest, since soft noise cut towards 0 would be softer than asked."""
        p = super().sample(x, generators, None if size is None else 10 ** (size.double() / 20))
        if self.ball.norm == "linf":
            return playable(p)
        low, high = self.ball.room(x.inputs)
        return torch.minimum(torch.maximum(stored(p), low), high)

    def empty(self, x: Examples) -> Tensor:
        """Where no change but none is as soft, (batch,): not even one step of 16 bits."""
        return self.ball.radius * self.ball.scale(x.inputs) * 2**15 < 1 - ROUNDING

    def size(self, x: Examples, p: Tensor) -> PerExample:
        return decibels(super().size(x, playable(p)))

    def resized(self, radius: float) -> Self:
        return replace(self, ball=replace(self.ball, radius=10 ** (radius / 20)))
