"""Decisions against the right class: wrong or right, and the numbers that say how far from the boundary."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.metrics import losses
from assay.metrics.protocol import Metric, Response, register
from assay.numerics.norms import norm
from assay.perturbations.protocol import Examples


def decision(scores: Tensor) -> Tensor:
    """The class of greatest score, (batch, classes) -> (batch,); of equal ones the first.

    >>> import torch
    >>> decision(torch.tensor([[0.1, 0.7], [2.0, 2.0]])).tolist()
    [1, 0]
    """
    return scores.argmax(1)


def confidence(scores: Tensor) -> PerExample:
    """The greatest softmax probability, max_k exp(z_k) / Σ_j exp(z_j), (batch,) in [1/classes, 1].

    >>> import torch
    >>> confidence(torch.tensor([[0.0, 0.0]])).tolist()
    [0.5]
    """
    return scores.double().softmax(1).amax(1)


def wrong(scores: Tensor, label: Tensor) -> PerExample:
    """1 where the decision is not the label, else 0; its mean is the error rate.

    >>> import torch
    >>> wrong(torch.tensor([[0.1, 0.7]]), torch.tensor([0])).tolist()
    [1.0]
    """
    return (decision(scores) != label).double()


def positive_score(scores: Tensor) -> PerExample:
    """log(p₁ / (1 − p₁)), p = softmax(z): the log odds of class 1, z₁ − z₀ of two classes, (batch, classes) -> (batch,).

    Infinite ones become the greatest finite number of single precision: only their order matters, and rows hold finite
    numbers. NaN stays NaN.

    >>> import torch
    >>> positive_score(torch.tensor([[1.0, 3.0], [0.5, 0.0]])).tolist()
    [2.0, -0.5]
    """
    one = torch.ones(len(scores), dtype=torch.int64, device=scores.device)
    return (-losses.log_odds(scores.double(), one)).clamp(-GREATEST, GREATEST)


def probability_shift(scores: Tensor, normal: Tensor) -> PerExample:
    """½ Σ_k |p_k − q_k|, p and q the softmax of both scores: the total variation distance, (batch,) in [0, 1].

    >>> import torch
    >>> round(float(probability_shift(torch.tensor([[0.0, 200.0]]), torch.tensor([[0.0, 0.0]]))), 6)
    0.5
    """
    return (scores.double().softmax(1) - normal.double().softmax(1)).abs().sum(1) / 2


def scored(response: Response) -> tuple[Tensor, Tensor]:
    """Scores and right classes; `InputError` where the output is not scores of the classes of the labels."""
    scores, label = response.output, response.truth
    if scores.ndim != 2 or scores.is_complex() or not scores.is_floating_point():
        raise InputError(f"a classifier returns real scores (batch, classes), this one {scores.dtype} of shape "
                         f"{tuple(scores.shape)}; wrap it so that it does")
    if scores.shape[1] == 1:
        raise InputError("the system returns one number for each input, and a classifier one for each class; wrap it: "
                         "assay.systems.torch.TwoClass(module)")
    if label.ndim != 1 or label.is_floating_point():
        raise InputError(f"the right classes must be whole numbers (batch,), got {label.dtype} of shape "
                         f"{tuple(label.shape)}")
    if int(label.max()) >= scores.shape[1]:
        raise InputError(f"label {int(label.max())} is out of range: the system has {scores.shape[1]} classes, 0 to "
                         f"{scores.shape[1] - 1}; check that it was made for these data")
    return scores, label


def _changed(response: Response) -> PerExample:
    """Margin of the decision for the unchanged input: positive where the decision is another one."""
    return losses.margin(response.output, decision(response.normal))


def flip_distance(response: Response, kind: str = "l2") -> PerExample:
    """‖x′ − x‖₂ / ‖x‖₂ (ℓ∞: a share of the range of the inputs) where the decision on x′ is wrong, else infinity."""
    original = response.original
    moved = norm(response.changed.inputs - original.inputs, kind).double()
    return torch.where(wrong(*scored(response)).bool(), moved / input_scale(original, kind), torch.inf)


def input_scale(x: Examples, kind: str) -> PerExample:
    """What relative sizes of a change are a share of: ‖x‖₂ for ℓ2, the range of the inputs for ℓ∞."""
    if kind == "l2":
        return norm(x.inputs).double().clamp_min(1e-38)
    if x.box is None:
        raise InputError("a change of every value by at most a share of the range needs inputs with a range; say range=")
    return torch.full((len(x),), x.box[1] - x.box[0], dtype=torch.float64)


def _rival(response: Response, place: int) -> PerExample:
    """s_k − s_y, k the class in that place among the wrong ones by the unchanged input's scores (the last, if fewer).

    The targeted losses of Croce and Hein (ICML 2020) without their quotient: each pulls another way from the start.
    """
    scores, label = scored(response)
    others = response.normal.detach().scatter(1, label[:, None], -torch.inf)
    target = others.topk(min(place, scores.shape[1] - 1), dim=1).indices[:, -1]
    return losses.targeted_margin(scores, label, target)


GREATEST = torch.finfo(torch.float32).max
RIVALS = 9                  # how many wrong classes have a number to climb of their own
CLIMBS: dict[str, Callable[[Response], PerExample]] = {
    "margin": lambda r: losses.margin(*scored(r)),
    "log-odds": lambda r: losses.log_odds(*scored(r)),
    "dlr": lambda r: (losses.dlr if r.output.shape[-1] > 2 else losses.margin)(*scored(r)),      # of two there is no third
    **{f"rival-{place}": functools.partial(_rival, place=place) for place in range(1, RIVALS + 1)},
}
ERROR_RATE = register(Metric(
    id="error-rate", name="Wrong decisions", unit="share of the inputs", better="lower", least=0.0, greatest=1.0,
    compute=lambda r: wrong(*scored(r)), rank=CLIMBS["margin"], climbs=CLIMBS, goal=0.0, needs_truth=True))
CHANGED_DECISIONS = register(Metric(
    id="changed-decisions", name="Changed decisions", unit="share of the inputs", better="lower", least=0.0, greatest=1.0,
    compute=lambda r: wrong(r.output, decision(r.normal)), rank=_changed, climbs={"margin": _changed}, goal=0.0))
INCONSISTENT = register(Metric(
    id="inconsistent-decisions", name="Equivalent records decided differently", unit="share of the records",
    better="lower", least=0.0, greatest=1.0, compute=lambda r: wrong(r.output, decision(r.normal)), rank=_changed,
    climbs={"margin": _changed}, goal=0.0, of_all=True))
PROBABILITY_SHIFT = register(Metric(
    id="probability-shift", name="Change of the probabilities", unit="share", better="lower", least=0.0, greatest=1.0,
    compute=lambda r: probability_shift(r.output, r.normal)))
CONFIDENCE = register(Metric(
    id="confidence", name="Confidence in the decision", unit="share", better="lower", least=0.0, greatest=1.0,
    compute=lambda r: confidence(r.output)))
POSITIVE_SCORE = register(Metric(
    id="score", name="Score of class 1", unit="log odds", better="higher", least=-math.inf, greatest=math.inf,
    keeps_draws=True, compute=lambda r: positive_score(r.output)))
MARGIN = register(Metric(
    id="margin", name="Lead of the best wrong class", unit="scores", better="lower", least=-math.inf, greatest=math.inf,
    keeps_draws=True, needs_truth=True, compute=lambda r: losses.margin(*scored(r))))
DECISION = register(Metric(
    id="decision", name="Number of the class decided for", unit="", better="lower", least=0.0, greatest=math.inf,
    compute=lambda r: decision(r.output).double()))
FLIP_DISTANCE = {kind: register(Metric(
    id=f"flip-distance-{kind}", name="Smallest change that flips the decision", unit=unit, better="higher", least=0.0,
    greatest=math.inf, has_normal=False, needs_truth=True, compute=functools.partial(flip_distance, kind=kind)))
    for kind, unit in (("l2", "share of the input's norm"), ("linf", "share of the range of grey levels"))}
