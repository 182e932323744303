"""How much a system magnifies a change: gains."""

from __future__ import annotations

import math

from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.metrics.protocol import Metric, Response, register
from assay.numerics.norms import norm


def gain(output: Tensor, normal: Tensor, inputs: Tensor, normal_inputs: Tensor) -> PerExample:
    """‖f(y′) − f(y)‖₂ / ‖y′ − y‖₂ per example; 0 where the change is zero.

    >>> import torch
    >>> gain(torch.tensor([[4.0]]), torch.tensor([[1.0]]), torch.tensor([[2.0]]), torch.tensor([[1.0]])).tolist()
    [3.0]
    """
    moved = norm(inputs - normal_inputs)
    return (norm(output - normal) / moved.clamp_min(1e-38)) * (moved > 0)


GAIN = register(Metric(
    id="gain", name="Magnification of a change", unit="output change per input change", better="lower", least=0.0,
    greatest=math.inf, has_normal=False,
    compute=lambda r: gain(r.output, r.normal, r.changed.inputs, r.original.inputs)))


def lipschitz_if_recovered(response: Response) -> PerExample:
    """max(0, ‖x′ − x‖ − ‖f(y′) − x′‖ − ‖f(y) − x‖) / ‖y′ − y‖: a lower bound of the system's Lipschitz constant.

    Two images that the data barely tell apart and that are both recovered force a large constant; if it is 0 the
    detail between them was missed instead. Source: Gottschling, Antun, Hansen and Adcock, "The troublesome kernel",
    SIAM Review 67 (2025), Theorem 3.1.
    """
    if response.changed.truth is None or response.original.truth is None:
        raise InputError("this metric needs the true image, and these samples have none")
    apart = norm(response.changed.truth - response.original.truth)
    missed = norm(response.output - response.changed.truth) + norm(response.normal - response.original.truth)
    moved = norm(response.changed.inputs - response.original.inputs)
    return (apart - missed).clamp_min(0) / moved.clamp_min(1e-38)


LIPSCHITZ = register(Metric(
    id="lipschitz-bound", name="Lipschitz constant forced by two recovered images", unit="output per input change",
    better="lower", least=0.0, greatest=math.inf, has_normal=False, needs_truth=True,
    compute=lipschitz_if_recovered))
