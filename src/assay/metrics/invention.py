"""What a reconstruction adds in the kernel of the measurement, told apart from what it leaves out.

w is the part of an output in the kernel, v that of the truth, e = w − v the error. For w = S v with any symmetric S between
0 and 1 (zeros filled in, shrinkage, a projection: what leaves out and adds nothing) Re⟨w, e⟩ ≤ 0. Where each coefficient
of w lies between 0 and that of v, whatever decides where between them, `beyond_shrinkage` is 0 or less.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.metrics.protocol import Metric, Response, register
from assay.numerics.norms import inner

LEAST_PLACES = 0.05         # of the structure's energy: of fewer places a sum says little but chance


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


def beyond_shrinkage(shown: Tensor, truth: Tensor, structure: Tensor, places: Tensor) -> PerExample:
    """Σ (a_k − max(0, t_k)) / Σ |d_k|², a_k = Re(w_k d̄_k), t_k = Re(v_k d̄_k), over places k of coefficients (batch, n).

    Where each w_k lies between 0 and v_k no a_k is above max(0, t_k), so that it is 0 or less in every image, whatever the
    shrinkage and whatever the places, as long as these know nothing of w. It is linear in w: where w scatters about such
    values the same holds in the mean. 1 where the structure is all there is at places where t_k ≤ 0, or is added to the
    truth at places where t_k ≥ 0. 0 where less than a twentieth of the structure's energy lies at the places.

    >>> import torch
    >>> d, v = torch.tensor([1.0, 1.0]), torch.tensor([[2.0, -2.0]])
    >>> [float(beyond_shrinkage(w, v, d, v * d >= 0)) for w in (v / 2, v + d, d[None])]
    [-1.0, 1.0, -1.0]
    >>> [float(beyond_shrinkage(w, v, d, v * d <= 0)) for w in (v / 2, v + d, d[None])]
    [-1.0, -1.0, 1.0]
    """
    energy = torch.where(places, structure.abs().square(), 0).double().sum(1)
    excess = torch.where(places, along(shown, structure) - along(truth, structure).clamp_min(0), 0).double().sum(1)
    enough = energy >= LEAST_PLACES * structure.abs().square().double().sum().clamp_min(1e-300)
    return torch.where(enough, excess / energy.clamp_min(1e-300), 0.0)


def along(x: Tensor, structure: Tensor) -> Tensor:
    """Re(x_k d̄_k), place by place.

    >>> import torch
    >>> along(torch.tensor([[2.0j, 3.0]]), torch.tensor([1.0j, -1.0])).tolist()
    [[2.0, -3.0]]
    """
    return (x * structure.conj()).real if x.is_complex() else x * structure


def invention(shown: Tensor, truth: Tensor, others_shown: Tensor, others_truth: Tensor) -> PerExample:
    """½ Re(⟨w, e′⟩ + ⟨w′, e⟩) for two images each: its mean over independent pairs is ‖E w‖² − Re⟨E w, E v⟩.

    Above 0 what outputs have in common in the kernel is not backed by what the truths have in common there: no symmetric S
    between 0 and 1 takes the truths' mean to the outputs'. One linear shrinkage for all images, filling with 0 and exact
    answers give 0 or less. A nonlinear shrinkage that treats rare content otherwise than common content may give more:
    `beyond_shrinkage` tells it apart.
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
