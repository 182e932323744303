"""Whether a sound is heard as a word that was hidden in it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.metrics import losses
from assay.metrics.classification import decision, scored
from assay.metrics.protocol import Metric, Response, register
from assay.numerics.norms import norm
from assay.perturbations.masking import above_threshold
from assay.perturbations.protocol import Examples, stream


def hidden_word(x: Examples, classes: int) -> Tensor:
    """The class to be heard instead of each sound's own, (batch,): one of the others, drawn by the sound's name alone.

    >>> x = Examples(ids=("a", "b"), inputs=torch.zeros(2, 4), truth=torch.tensor([0, 1]))
    >>> hidden_word(x, 2).tolist()
    [1, 0]
    """
    if x.truth is None or not x.labelled:
        raise InputError("a hidden word is another than the right one, and the right classes are not known")
    if classes < 2:
        raise InputError("a hidden word is another than the right one, and the system has one class only")
    others = [1 + int(torch.randint(classes - 1, (1,), generator=stream("hidden word", sample))) for sample in x.ids]
    return (x.truth + torch.tensor(others)) % classes


def _target(response: Response) -> Tensor:
    scores, _ = scored(response)
    return hidden_word(response.original, scores.shape[1])


def heard_as(scores: Tensor, target: Tensor) -> PerExample:
    """1 where the decision is the target, else 0; its mean is the success rate of a targeted change.

    >>> heard_as(torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([1, 1])).tolist()
    [1.0, 0.0]
    """
    return (decision(scores) == target).double()


HEARD_AS = register(Metric(
    id="heard-as", name="Heard as the given other answer", unit="share of the sounds", better="lower", least=0.0,
    greatest=1.0, compute=lambda r: heard_as(r.output, _target(r)), rank=lambda r: -losses.margin(r.output, _target(r)),
    climbs={"log-odds": lambda r: -losses.log_odds(r.output, _target(r)),
            "margin": lambda r: -losses.margin(r.output, _target(r))}, goal=0.0, needs_truth=True))


def heard_distance(response: Response) -> PerExample:
    """dB_x(δ) of the change where the hidden word is heard, else infinity: what a search for the softest sound lowers."""
    moved = norm(response.changed.inputs - response.original.inputs, "linf").double()
    loudness = 20 * (moved / norm(response.original.inputs, "linf").double()).clamp_min(SOFTEST).log10()
    return torch.where(heard_as(response.output, _target(response)).bool(), loudness, torch.inf)


SOFTEST = 1e-10             # ratio of amplitudes told as −200 dB
HEARD_DISTANCE = register(Metric(
    id="heard-distance", name="Softest sound that makes the other answer heard", unit="dB", better="higher", least=-200.0,
    greatest=math.inf, has_normal=False, needs_truth=True, compute=heard_distance))
HEARD_IN_ROOMS = register(Metric(
    id="heard-in-rooms", name="Heard as the given other answer in rooms held out", unit="share of the rooms", better="lower",
    least=0.0, greatest=1.0, compute=lambda r: heard_as(r.output, _target(r)), goal=0.0, needs_truth=True,
    rank=lambda r: -losses.margin(r.output, _target(r)), climbs=HEARD_AS.climbs))


def signal_to_noise(x: Tensor, changed: Tensor) -> PerExample:
    """20 log₁₀ (‖x‖₂ / ‖x′ − x‖₂) in dB: how far the change lies below the sound as a whole; infinite without one.

    >>> signal_to_noise(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.5, 4.0]])).tolist()
    [20.0]
    """
    return 20 * (norm(x).double() / norm(changed - x).double()).log10()


SIGNAL_TO_NOISE = register(Metric(
    id="signal-to-noise", name="Signal-to-noise ratio of the change", unit="dB", better="lower", least=-200.0,
    greatest=math.inf, has_normal=False, compute=lambda r: signal_to_noise(r.original.inputs, r.changed.inputs)))
ABOVE_THRESHOLD = register(Metric(
    id="above-threshold", name="The change above the masking threshold, at most", unit="dB", better="lower", least=-200.0,
    greatest=math.inf, has_normal=False, compute=lambda r: above_threshold(r.original, r.changed.inputs)))
