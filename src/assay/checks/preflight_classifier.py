"""What else must hold before a classifier's searches are believed: real scores, true gradients, decisions that vary."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from assay.arrays import per_example
from assay.checks.training_mode import training_layers
from assay.checks.whole_range import whole_range_flags
from assay.metrics.classification import decision
from assay.metrics.losses import margin
from assay.numerics.norms import norm
from assay.perturbations.protocol import Examples, stream
from assay.records import Access, Flag
from assay.systems.metered import Metered

STEPS = (1e-2, 1e-3)        # of the finite differences, shares of the range of the inputs
SOFTER = 0.1                # for sounds, shares of their own norm instead, and so many times smaller
AGREE = 0.5                 # least cosine-like agreement of gradient and differences that is believed
AWAY = 0.1                  # the gradient is judged at the inputs and this share of the range (of a sound's norm) from them
SAME = 1e-3                 # greatest relative difference of scores with and without a gradient being asked for
DIRECTIONS = 6
LOOKS = 2 * len(STEPS) * DIRECTIONS     # forward evaluations of one comparison of gradient and differences


def classifier_flags(target: Metered, x: Examples, scores: Tensor, *, seed: int, check: str) -> list[list[Flag]]:
    """For each example, the flags of a system whose outputs should be scores of classes."""
    assert x.truth is not None
    layers = training_layers(target, x.inputs)
    shared = _of_all(x, scores) + [Flag(id="training-mode", detail="; ".join(layers)[:200])] * bool(layers)
    flags: list[list[Flag]] = [[*shared] for _ in x.ids]
    if target.access >= Access.GRADIENT:
        _judge_gradients(target, x, flags, seed=seed, check=check)
    wide = whole_range_flags(target, x, scores, seed=seed, check=check)
    return [[*mine, *more] for mine, more in zip(flags, wide, strict=True)]


def _judge_gradients(target: Metered, x: Examples, flags: list[list[Flag]], *, seed: int, check: str) -> None:
    """Gradients at the images, and a little away from them if they have a range: a search takes its second step there."""
    directions = [_normal_numbers(x, seed, check, "difference", k) for k in range(DIRECTIONS)]
    places = [("at the image", x)]
    if x.box is not None:
        low, high = x.box
        noise = _normal_numbers(x, seed, check, "away").tanh()
        whole = per_example(norm(x.inputs), noise) / noise[0].numel() ** 0.5 if x.decibels else high - low
        away = (x.inputs + AWAY * whole * noise).clamp(low, high)
        places.append(("beside the image", replace(x, inputs=away)))
    for where, at in places:
        watched = _watched(target, at)
        exact, measured = gradient_slopes(target, at, directions)
        for i in range(len(x)):
            raised = _of_gradient(exact[:, i], measured[:, :, i], float(watched[i]), where)
            if raised is not None and raised.id not in {flag.id for flag in flags[i]}:
                flags[i].append(raised)


def misled(target: Metered, x: Examples, *, seed: int, check: str, where: str) -> list[Flag | None]:
    """For each example `gradient-mismatch` where the gradient at these inputs points away from the slope, else None.

    For the place where a search ended: a gradient that is true at the data may be wrong just where a search spends its
    steps. Searches end on ridges too, where a true gradient and differences agree less: a sign is asked for, no more. Costs
    `LOOKS` forward evaluations and one gradient.
    """
    directions = [_normal_numbers(x, seed, check, "difference", k) for k in range(DIRECTIONS)]
    exact, measured = gradient_slopes(target, x, directions)
    seen = [agreement(exact[:, i], measured[:, :, i]) for i in range(len(x))]
    return [Flag(id="gradient-mismatch", detail=f"agreement {one:.2f} with finite differences {where}") if one < 0 else None
            for one in seen]


def _of_gradient(exact: Tensor, measured: Tensor, watched: float, where: str) -> Flag | None:
    """The flag of one example's slopes by gradient (directions,) and by differences (steps, directions), if any."""
    if not bool(torch.isfinite(measured).all()) or not bool(torch.isfinite(exact).all()):
        return Flag(id="non-finite", detail=f"scores or gradient {where}")
    if watched > SAME:
        return Flag(id="gradient-mismatch", detail=f"other scores where the gradient is asked for: relative {watched:.1e}")
    if bool((exact == 0).all()):
        return Flag(id="zero-gradient", detail=f"the margin's gradient {where}")
    if (seen := agreement(exact, measured)) < AGREE:
        return Flag(id="gradient-mismatch", detail=f"agreement {seen:.2f} with finite differences {where}")
    return None


def _watched(target: Metered, x: Examples) -> Tensor:
    """Relative difference of the scores where a gradient is asked for and where none is, beyond that of two calls."""
    with torch.no_grad():
        plain, again = target(x.inputs).double(), target(x.inputs).double()
    with torch.enable_grad():
        traced = target(x.inputs.detach().clone().requires_grad_(True)).detach().double()
    scale = norm(plain).clamp_min(1e-30)
    restless = norm(again - plain) / scale > SAME
    return torch.where(restless, 0.0, (norm(traced - plain) / scale).nan_to_num())


def _normal_numbers(x: Examples, seed: int, check: str, *words: object) -> Tensor:
    return torch.stack([torch.randn(x.inputs.shape[1:], dtype=x.inputs.dtype, generator=stream(seed, check, *words, sample))
                        for sample in x.ids])


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
                h = share * _length(x)
                ahead, behind = (margin(target(x.inputs + s * per_example(h, unit) * unit), x.truth) for s in (1, -1))
                row.append((ahead - behind) / (2 * h))
            measured.append(torch.stack(row))
    return torch.stack(exact), torch.stack(measured, dim=1)


def _length(x: Examples) -> Tensor:
    """What a step is a share of, (batch,): the norm of a change of every value by the whole range; of sounds their own."""
    if x.decibels:
        return SOFTER * norm(x.inputs)
    low, high = x.box or (0.0, 1.0)
    return torch.full((len(x),), (high - low) * x.inputs[0].numel() ** 0.5, dtype=x.inputs.dtype)


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
