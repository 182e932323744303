"""How much a system magnifies a change: gains, in units in which the forward model has norm 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.arrays import PerExample
from assay.metrics.protocol import Metric, Response, register
from assay.numerics.norms import norm
from assay.operators.spectral_norm import operator_norm
from assay.perturbations.protocol import Examples


def gain(output: Tensor, normal: Tensor, inputs: Tensor, normal_inputs: Tensor) -> PerExample:
    """‖f(y′) − f(y)‖₂ / ‖y′ − y‖₂ per example; 0 where the change is zero; NaN for texts.

    >>> import torch
    >>> gain(torch.tensor([[4.0]]), torch.tensor([[1.0]]), torch.tensor([[2.0]]), torch.tensor([[1.0]])).tolist()
    [3.0]
    """
    if not (inputs.is_floating_point() or inputs.is_complex()):
        return torch.full((len(inputs),), math.nan)             # texts have no distance
    moved = norm(inputs - normal_inputs)
    return (norm(output - normal) / moved.clamp_min(1e-38)) * (moved > 0)


def input_unit(x: Examples) -> float:
    """‖A‖, or 1 without a forward model: a gain times ‖A‖ does not know in which unit the data were recorded."""
    return 1.0 if x.operator is None else operator_norm(x.operator)


GAIN = register(Metric(
    id="gain", name="Magnification of a change", unit="output change per input change", better="lower", least=0.0,
    greatest=math.inf, has_normal=False,
    compute=lambda r: input_unit(r.original) * gain(r.output, r.normal, r.changed.inputs, r.original.inputs)))


def lipschitz_bound(response: Response) -> PerExample:
    """‖A‖ · max(0, Re⟨f(y′) − f(y), d⟩) / (‖d‖ ‖y′ − y‖), d = x′ − x: a lower bound of the system's Lipschitz constant.

    The part of the output's change along the detail d, so by Cauchy and Schwarz at most ‖f(y′) − f(y)‖. A detail that
    the data barely show is either missed, or recovered at the price of a large constant. Source: Gottschling, Antun,
    Hansen and Adcock, "The troublesome kernel", SIAM Review 67 (2025), Theorem 3.1, whose bound
    (‖d‖ − ‖f(y′) − x′‖ − ‖f(y) − x‖)/‖y′ − y‖ uses the errors of the whole image and is 0 for any detail smaller than they.
    """
    detail = response.detail
    shown = ((response.output - response.normal).flatten(1) * detail.flatten(1).conj()).sum(1).real.clamp_min(0)
    return input_unit(response.original) * shown / (norm(detail) * _moved(response)).clamp_min(1e-38)


def lipschitz_ceiling(response: Response) -> PerExample:
    """‖A‖ ‖d‖ / ‖y′ − y‖: `lipschitz_bound` of a system that shows the detail in full.

    Where it is below a threshold, the detail is too visible in the data to say anything about that threshold.
    """
    return input_unit(response.original) * norm(response.detail) / _moved(response).clamp_min(1e-38)


def _moved(response: Response) -> PerExample:
    return norm(response.changed.inputs - response.original.inputs)


LIPSCHITZ = register(Metric(
    id="lipschitz-bound", name="Lipschitz constant forced by a recovered detail", unit="output per input change",
    better="lower", least=0.0, greatest=math.inf, has_normal=False, needs_truth=True, compute=lipschitz_bound))
LIPSCHITZ_CEILING = register(Metric(
    id="lipschitz-ceiling", name="The same for a system that shows the detail in full", unit="output per input change",
    better="lower", least=0.0, greatest=math.inf, has_normal=False, needs_truth=True, compute=lipschitz_ceiling))
