"""Outputs and true images split into what measurements show and what they cannot, and their means over independent units.

A unit is one image, or all images of a group (a patient, a scene, a volume), which are alike and count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.checks.asked_once import asked_once, asked_positions, fit_positions
from assay.checks.check import Bench, Check
from assay.numerics.norms import inner, norm
from assay.operators.algebra import RealImages
from assay.operators.protocol import LinearOperator
from assay.perturbations.protocol import Examples
from assay.solvers.kernel import kernel_part
from assay.systems.metered import Metered

BATCH = 8                   # images in memory at once
IMAGINARY = 1e-5            # of an image's norm: a smaller imaginary part is rounding

Units = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Of a batch of images: w and v, the parts of outputs and truths in the kernel, and both whole (batch, …).

    Outputs are divided by their scale s = Re⟨q̂, q⟩/‖q‖², of the visible part q̂ of the output on that of the truth, where
    it is above 1: a scale that the data show is no structure. Below 1 it leaves out, which is blamed on nobody.
    """

    shown: Tensor
    truth: Tensor
    output: Tensor
    image: Tensor


@dataclass(frozen=True, kw_only=True)
class Means:
    """Means over the images of each unit (units, …): w, v, and what is visible of outputs and truths; numbers (units,)."""

    shown: Tensor
    truth: Tensor
    visible_shown: Tensor
    visible_truth: Tensor
    error: Tensor           # ‖e‖²
    energy: Tensor          # ‖x‖²
    kept: Tensor            # Re⟨w, v⟩
    hidden: Tensor          # ‖v‖²


def units(positions: Sequence[int], groups: Sequence[str]) -> Units:
    """The positions one by one, or group by group, in the order of their first images.

    >>> units((3, 0, 1), ("a", "b", "b", "a")), units((1, 2), ())
    (((3, 0), (1,)), ((1,), (2,)))
    """
    if not groups:
        return tuple((i,) for i in positions)
    found: dict[str, list[int]] = {}
    for i in positions:
        found.setdefault(groups[i], []).append(i)
    return tuple(map(tuple, found.values()))


def halves(check: Check, count: int, groups: Sequence[str]) -> tuple[Units, Units]:
    """The units that a structure is found on, and those that are judged; no group has images in both."""
    return (units(fit_positions(check, count, groups), groups),
            units(asked_positions(check, count, labelled=False, groups=groups), groups))


def parts(output: Tensor, x: Examples, *, real: bool) -> Parts:
    """Raises `InputError` for outputs of another shape, and where the kernel is not found."""
    assert x.truth is not None
    if output.shape != x.truth.shape:
        raise InputError(f"outputs have shape {tuple(output.shape[1:])}, the true images {tuple(x.truth.shape[1:])}")
    operator = forward_model(x, real=real)
    images = torch.cat([output.real, x.truth.real] if real else [output, x.truth]).to(operator.dtype)
    (shown, truth), (output, image) = kernel_part(images, operator).split(len(x)), images.split(len(x))
    visible = image - truth
    scale = (inner(output - shown, visible) / norm(visible).square().clamp_min(1e-30)).clamp_min(1)
    by = per_example(scale, shown)
    return Parts(shown=shown / by, truth=truth, output=output / by, image=image)


def means(target: Metered, bench: Bench, asked: Units, *, real: bool) -> Means:
    """Over each unit's images, at most `BATCH` of them in memory at once."""
    found = [_of_one(target, bench, unit, real=real) for unit in asked] if any(len(u) > 1 for u in asked) else [
        _told(parts_at(target, bench, tuple(i for (i,) in asked[start: start + BATCH]), real=real))
        for start in range(0, len(asked), BATCH)]
    return Means(**{name: torch.cat([one[name] for one in found]) for name in found[0]})


def parts_at(target: Metered, bench: Bench, positions: tuple[int, ...], *, real: bool) -> Parts:
    x = bench.fetch(positions)
    return parts(output_of(target, x), x, real=real)


def _of_one(target: Metered, bench: Bench, unit: tuple[int, ...], *, real: bool) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    for start in range(0, len(unit), BATCH):
        told = _told(parts_at(target, bench, unit[start: start + BATCH], real=real))
        sums = {name: values.sum(0, keepdim=True) + sums.get(name, 0) for name, values in told.items()}
    return {name: total / len(unit) for name, total in sums.items()}


def _told(x: Parts) -> dict[str, Tensor]:
    return {"shown": x.shown, "truth": x.truth, "visible_shown": x.output - x.shown, "visible_truth": x.image - x.truth,
            "error": norm(x.shown - x.truth).square(), "energy": norm(x.image).square(),
            "kept": inner(x.shown, x.truth), "hidden": norm(x.truth).square()}


def forward_model(x: Examples, *, real: bool) -> LinearOperator:
    """The forward model as a map of the images there are: real ones are determined by fewer measurements."""
    assert x.operator is not None
    return RealImages(x.operator) if real and x.operator.dtype.is_complex else x.operator


def is_real(x: Examples) -> bool:
    """Whether the imaginary parts of the true images are nothing but rounding."""
    assert x.truth is not None
    return not x.truth.is_complex() or bool((norm(x.truth.imag) <= IMAGINARY * norm(x.truth)).all())


def all_real(bench: Bench) -> bool:
    return asked_once(("real images",), bench, lambda: all(is_real(bench.fetch((i,))) for i in range(bench.count)))


def output_of(target: Metered, x: Examples) -> Tensor:
    """Raises `InputError` for an output that is no number."""
    with torch.no_grad():
        output = target(x.inputs)
    if not bool(torch.isfinite(output.abs()).all()):
        raise InputError(f"system {target.name!r} returned NaN or infinity on one of {', '.join(x.ids)}")
    return output
