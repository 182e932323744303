"""What a reconstruction adds in the kernel of the measurement, told apart from what it leaves out.

w is the part of an output in the kernel, v that of the truth, e = w − v the error. For w = S v with any symmetric S between
0 and 1 (zeros filled in, shrinkage, a projection: what leaves out and adds nothing) Re⟨w, e⟩ ≤ 0.
"""

from __future__ import annotations

import math

from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.metrics.protocol import Metric, Response, register
from assay.numerics.norms import inner


def invented(shown: Tensor, truth: Tensor, structure: Tensor) -> PerExample:
    """min(a, a − t), a = Re⟨w, d⟩/‖d‖², t = Re⟨v, d⟩/‖d‖²: how much of the structure d an output shows and the truth lacks.

    1: all of it; 0: none. Below 0 where d is left out: a lies between 0 and t where content of the truth is shown in part.

    >>> import torch
    >>> d = torch.tensor([2.0])
    >>> [float(invented(torch.tensor([[w]]), torch.tensor([[v]]), d)) for w, v in ((2.0, 0.0), (0.0, -2.0), (1.0, 2.0))]
    [1.0, 0.0, -0.5]
    """
    whole = structure.abs().square().sum().double().clamp_min(1e-300)
    return inner(shown, structure[None]).minimum(inner(shown - truth, structure[None])).double() / whole


def added(shown: Tensor, truth: Tensor) -> Tensor:
    """w − c v, c = Re⟨w, v⟩/‖v‖² but at least 0 and at most 1: what w has beyond the nearest shrunk v. One image each.

    >>> import torch
    >>> v = torch.tensor([2.0, 0.0])
    >>> [added(torch.tensor(w), v).tolist() for w in ([1.0, 0.0], [1.0, 3.0], [3.0, 0.0], [-1.0, 0.0])]
    [[0.0, 0.0], [0.0, 3.0], [1.0, 0.0], [-1.0, 0.0]]
    """
    share = inner(shown[None], truth[None]) / truth.abs().square().sum().clamp_min(1e-30)
    return shown - share.clamp(0, 1).to(shown.dtype) * truth


def invention(shown: Tensor, truth: Tensor, others_shown: Tensor, others_truth: Tensor) -> PerExample:
    """½ Re(⟨w, e′⟩ + ⟨w′, e⟩) for two images each: its mean over independent pairs is ‖E w‖² − Re⟨E w, E v⟩.

    Above 0 what outputs have in common in the kernel is not backed by what the truths have in common there: no symmetric S
    between 0 and 1 takes the truths' mean to the outputs'. One linear shrinkage for all images, filling with 0 and exact
    answers give 0 or less. A nonlinear shrinkage that treats rare content otherwise than common content may give more.
    """
    return (inner(shown, others_shown - others_truth) + inner(others_shown, shown - truth)) / 2


def omission(shown: Tensor, truth: Tensor, others_shown: Tensor, others_truth: Tensor) -> PerExample:
    """−½ Re(⟨v, e′⟩ + ⟨v′, e⟩): with `invention` it sums to Re⟨e, e′⟩, the squared norm of the common error in the mean."""
    return -(inner(truth, others_shown - others_truth) + inner(others_truth, shown - truth)) / 2


def _of_a_structure(response: Response) -> PerExample:
    raise InputError('invented is measured along a structure found on other samples: ask with method = "hallucination"')


INVENTED = register(Metric(
    id="invented", name="Contrast of an invented structure", unit="share of the peak", better="lower", least=-math.inf,
    greatest=math.inf, has_normal=False, needs_truth=True, compute=_of_a_structure))
