"""What else must hold before a classifier's searches are believed: real scores, true gradients, decisions that vary."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import per_example
from assay.metrics.classification import decision
from assay.metrics.losses import margin
from assay.numerics.norms import norm
from assay.perturbations.protocol import Examples, stream
from assay.records import Access, Flag
from assay.systems.metered import Metered

STEPS = (1e-2, 1e-3)        # of the finite differences, shares of the range of the inputs
AGREE = 0.5                 # least cosine-like agreement of gradient and differences that is believed
DIRECTIONS = 6


def classifier_flags(target: Metered, x: Examples, scores: Tensor, *, seed: int, check: str) -> list[list[Flag]]:
    """For each example, the flags of a system whose outputs should be scores of classes."""
    assert x.truth is not None
    flags: list[list[Flag]] = [[] for _ in x.ids]
    shared = _of_all(x, scores)
    directions = [torch.stack([torch.randn(x.inputs.shape[1:], dtype=x.inputs.dtype, generator=g) for g in
                               [stream(seed, check, "difference", k, sample) for sample in x.ids]])
                  for k in range(DIRECTIONS)]
    slopes = gradient_slopes(target, x, directions) if target.access >= Access.GRADIENT else None
    for i in range(len(x)):
        flags[i] += shared
        if slopes is not None:
            exact, measured = slopes[0][:, i], slopes[1][:, :, i]
            if bool((exact == 0).all()) and not bool((measured == 0).all()):
                flags[i].append(Flag(id="zero-gradient", detail="the margin's gradient, while its differences are not zero"))
            elif (seen := agreement(exact, measured)) < AGREE:
                flags[i].append(Flag(id="gradient-mismatch", detail=f"agreement {seen:.2f} with finite differences"))
    return flags


def _of_all(x: Examples, scores: Tensor) -> list[Flag]:
    """Flags of the whole batch: probabilities instead of scores, one decision for all classes."""
    found = []
    if bool((scores >= 0).all()) and bool(((scores.double().sum(1) - 1).abs() < 1e-3).all()):
        found.append(Flag(id="probabilities", detail="every output is between 0 and 1 and they sum to 1"))
    assert x.truth is not None
    if len(x.truth.unique()) > 1 and len(decision(scores).unique()) == 1:
        found.append(Flag(id="constant-decision", detail=f"class {int(decision(scores)[0])} for every sample looked at"))
    return found


def gradient_slopes(target: Metered, x: Examples, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
    """⟨∇m, d⟩ and [m(x + h d) − m(x − h d)] / 2h for unit d: (directions, batch) and (steps, directions, batch).

    m is the margin. Where the range leaves room on one side only, the difference still spans 2h around x: nothing says
    that a system is defined there, but every search asks it there too.
    """
    assert x.truth is not None
    low, high = x.box or (0.0, 1.0)
    inputs = x.inputs.detach().requires_grad_(True)
    value = margin(target(inputs), x.truth)
    gradient = torch.zeros_like(inputs)
    if value.requires_grad:
        (found,) = torch.autograd.grad(value.sum(), inputs, allow_unused=True)
        gradient = gradient if found is None else found
    exact, measured = [], []
    with torch.no_grad():
        for d in directions:
            unit = d / per_example(norm(d), d)
            exact.append((gradient * unit).flatten(1).sum(1))
            row = []
            for share in STEPS:
                h = share * (high - low) * x.inputs[0].numel() ** 0.5
                ahead, behind = (margin(target(x.inputs + s * h * unit), x.truth) for s in (1, -1))
                row.append((ahead - behind) / (2 * h))
            measured.append(torch.stack(row))
    return torch.stack(exact), torch.stack(measured, dim=1)


def agreement(exact: Tensor, measured: Tensor) -> float:
    """The best cosine, over step sizes, between slopes by gradient (directions,) and by differences (steps, directions).

    1 where the gradient is the derivative, about 0 where it has nothing to do with it, −1 where its sign is wrong.

    >>> round(agreement(torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 2.0], [5.0, 0.0]])), 6)
    1.0
    """
    exact, measured = exact.double(), measured.double()
    dot = (measured * exact).sum(1)
    size = measured.norm(dim=1) * exact.norm()
    return float(torch.where(size > 0, dot / size.clamp_min(1e-300), torch.ones_like(dot)).amax())
