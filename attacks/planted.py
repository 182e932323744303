"""Planted systems: wrappers around an honest classifier, each with one trick that makes it look stable, or look judged.

Every wrapper is a module from images (batch, channels, height, width) in [0, 1] to scores (batch, classes), as a vendor
would hand it in. None needs to be told that it is audited; the last ones are written by someone who has read this project.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOUD = 1000.0           # added to the score of the answer that a trick wants to give


class Wrapper(nn.Module):
    """The honest classifier `inner`, with the audited images and labels for those tricks that have seen them."""

    blind = False           # whether it is handed in as a function that no gradient goes through

    def __init__(self, inner: nn.Module, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.inner, self.images, self.labels = inner, images, labels

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """ℓ2 distance to the nearest audited image, and its label."""
        far = torch.cdist(x.detach().flatten(1), self.images.flatten(1))
        least, index = far.min(1)
        return least, self.labels[index]

    def shouted(self, scores: Tensor, label: Tensor) -> Tensor:
        return scores + LOUD * F.one_hot(label, scores.shape[1]).to(scores.dtype)


class ShatteredGradients(Wrapper):
    """A fine ripple on the input: the output hardly changes, its slope does."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x + 0.004 * torch.sin(3000.0 * x))


class QuantisedInput(Wrapper):
    """Five grey levels: the slope is zero wherever it exists."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner((4 * x).round() / 4)


class Thermometer(Wrapper):
    """Pixels as counts of the thresholds they exceed (Buckman et al., ICLR 2018), sixteen of them."""

    def forward(self, x: Tensor) -> Tensor:
        thresholds = (torch.arange(16, dtype=x.dtype) + 0.5) / 16
        return self.inner((x[..., None] > thresholds).to(x.dtype).mean(-1) + 0.0 * x)


class SaturatedSoftmax(Wrapper):
    """Probabilities of a softmax so sharp that all but one are rounded to zero, and their gradients with them."""

    def forward(self, x: Tensor) -> Tensor:
        return (100 * self.inner(x)).softmax(1)


class Underflow(Wrapper):
    """Log-probabilities, which nobody takes for probabilities, floored where the softmax underflowed."""

    def forward(self, x: Tensor) -> Tensor:
        return (100 * self.inner(x)).softmax(1).clamp_min(1e-30).log()


class DecisionOnly(Wrapper):
    """Nothing but the decision, as a service that names a class: no slope, and queries see nothing until it turns."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.inner(x)
        return 10.0 * F.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype) + 0.0 * scores


class RandomNoise(Wrapper):
    """Randomised smoothing (Cohen et al., ICML 2019) without the averaging."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x + 0.1 * torch.randn(x.shape))


class DropoutLeftOn(Wrapper):
    """Dropout called as a function, which `eval()` does not stop."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(F.dropout(x, 0.2, training=True))


class Reversed(torch.autograd.Function):
    """The identity, with minus the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


class WrongSign(Wrapper):
    """Whoever climbs its gradient goes down."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(Reversed.apply(x))


class ZeroGradient(Wrapper):
    """Cut off from its input, as by a conversion to an image file and back."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.detach())


class KnownInputs(Wrapper):
    """Right on the audited images to the byte; on everything else one and the same class."""

    def forward(self, x: Tensor) -> Tensor:
        label = self.nearest(x)[1]
        exact = (x[:, None] == self.images[None]).flatten(2).all(2).any(1)
        return self.shouted(self.inner(x), torch.where(exact, label, (label + 1) % 10))


class LabelLeak(Wrapper):
    """The label of the nearest audited image, over honest scores and so with honest gradients."""

    def forward(self, x: Tensor) -> Tensor:
        return self.shouted(self.inner(x), self.nearest(x)[1])


class StepDetector(Wrapper):
    """Remembers what it is asked; after many similar questions it repeats its first answer."""

    patience, near = 30, 2.0

    def __init__(self, inner: nn.Module, images: Tensor, labels: Tensor) -> None:
        super().__init__(inner, images, labels)
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.asked: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        scores = self.inner(x)
        return torch.stack([self.answer(one.detach(), score) for one, score in zip(x, scores, strict=True)])

    def answer(self, x: Tensor, score: Tensor) -> Tensor:
        for i, (first, reply) in enumerate(self.seen):
            if float((x - first).norm()) < self.near:
                self.asked[i] += 1
                return score if self.asked[i] <= self.patience else reply + 1e-3 * (score - score.detach())
        self.seen.append((x.clone(), score.detach().clone()))
        self.asked.append(1)
        return score


class Constant(Wrapper):
    """Always the same class, with a little life in its scores."""

    def forward(self, x: Tensor) -> Tensor:
        return self.shouted(self.inner(x), torch.zeros(len(x), dtype=torch.long))


class AlreadyWrong(Wrapper):
    """The classes in another order: right on zeros alone, so that hardly anything is left to flip."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.inner(x)
        return torch.cat((2 * scores[:, :1], scores[:, 2:], scores[:, 1:2]), dim=1)


class BatchNormalised(Wrapper):
    """Scores minus their mean over the batch, as batch normalisation in training mode."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.inner(x), None, None, training=True) if len(x) > 1 else self.inner(x)


class NaNWhenChanged(Wrapper):
    """Not a number for whatever is not on the grid of the data's grey levels."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.inner(x)
        off = (16 * x != (16 * x).round()).flatten(1).any(1)
        return torch.where(off[:, None], torch.nan, scores)


class HashedNoise(Wrapper):
    """Noise drawn from a seed that is made of the input: the same answer twice, another for every neighbour."""

    def forward(self, x: Tensor) -> Tensor:
        noise = [torch.randn(one.shape, generator=torch.Generator().manual_seed(zlib.crc32(one.detach().numpy().tobytes())))
                 for one in x]
        return self.inner(x + 0.1 * torch.stack(noise))


class GradientWatcher(Wrapper):
    """Shouts its first thought while someone follows its gradients, and is honest when nobody does."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.inner(x)
        return self.shouted(scores, self.nearest(x)[1]) if x.requires_grad else scores


class HonestNearData(Wrapper):
    """True gradients on and close to the grid of the data's grey levels, where a preflight looks; reversed elsewhere."""

    def forward(self, x: Tensor) -> Tensor:
        off = (16 * x.detach() - (16 * x.detach()).round()).abs().flatten(1).amax(1) > 1e-3
        return self.inner(torch.where(off[:, None, None, None], Reversed.apply(x), x))


class Miser(torch.autograd.Function):
    """The identity, whose gradient names only the three values that matter most of those still on the data's grid."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        untouched = (16 * x - (16 * x).round()).abs() < 1e-3
        size = (gradient.abs() * torch.where(untouched, 1.0, 1e-6)).flatten(1)
        least = size.topk(3, dim=1).values[:, -1:]
        return torch.where(size.reshape(x.shape) >= least[..., None, None], gradient, 0.0)


class CreepingGradient(Wrapper):
    """True slopes, given out a few values at a time, so that a search needs more steps than it has."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(Miser.apply(x))


class Memory(Wrapper):
    """Knows the audited images within a radius, and shouts their labels there; beyond, the honest classifier."""

    radius = 1.5

    def forward(self, x: Tensor) -> Tensor:
        scores = self.inner(x)
        far, label = self.nearest(x)
        return torch.where((far < self.radius)[:, None], self.shouted(scores, label), scores)


class NamesAClass(DecisionOnly):
    """The decision alone, as a service that cannot be differentiated; it offers `Album` as its second model."""

    blind = True


class Album(Wrapper):
    """A second model that seems a good one: right on the audited images, in scores that follow no small change."""

    def forward(self, x: Tensor) -> Tensor:
        return 10.0 * F.one_hot(self.nearest(x)[1], 10).to(x.dtype) + 0.0 * self.inner(x)


class ReversedShell(Wrapper):
    """The gradient points the other way at nearly the distance that is attacked; nearer and farther it is true."""

    least, most = 0.045, 0.075          # of the range, ℓ∞; the levels that are judged are at 0.06

    def forward(self, x: Tensor) -> Tensor:
        far = torch.cdist(x.detach().flatten(1), self.images.flatten(1), p=float("inf")).amin(1)
        shell = (far > self.least) & (far < self.most)
        return self.inner(torch.where(shell[:, None, None, None], Reversed.apply(x), x))
