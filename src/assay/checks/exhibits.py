"""The pictures a unit leaves for the report: of what went in and what came out, for a few samples."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from assay.checks.check import Bench, key
from assay.perturbations.details import Details
from assay.perturbations.field_ball import FieldBall
from assay.perturbations.field_changes import FieldChanges
from assay.perturbations.protocol import Examples, PerturbationSet

KINDS = (2, 3)          # axes of one picture: grey (height, width), colour (height, width, 3)


def pictures_of(system: str, within: PerturbationSet, x: Examples, changed: Examples, own: Tensor, normal: Tensor,
                others: Mapping[str, Tensor], others_normal: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """Panels by name: original and changed, and what each system made of both where its outputs are images.

    A row is shown as the text of its fields. A drawn detail also leaves the mask of its pixels, so that the report can
    frame it.
    """
    if isinstance(within, (FieldBall, FieldChanges)):
        return {"original": within.texts(x), "changed": within.texts(changed)}
    if x.labelled:
        return {"original": x.inputs, "changed": changed.inputs}
    found = {f"worst:{system}": own, f"normal:{system}": normal, "original": x.truth, "changed": _shown(changed, x)}
    if isinstance(within, Details) and x.truth is not None and changed.truth is not None and not within.kernel:
        found["detail"] = changed.truth != x.truth
    found |= {f"worst:{name}": output for name, output in others.items()}
    return found | {f"normal:{name}": output for name, output in others_normal.items()}


def exhibit(pictures: Mapping[str, Tensor | None], bench: Bench, system: str, x: Examples, level: float | None, *,
            worst: int | None = None) -> dict[str, Tensor]:
    """The pictures of the samples that are exhibited, by `origin|sample|level|panel`, in half precision.

    These are the bench's, the same ones for every system, and the example in place `worst`: else a rare harm would not
    be seen.
    """
    found = {}
    for i, sample in enumerate(x.ids):
        if sample in bench.exhibits or i == worst:
            for panel, picture in pictures.items():
                shown = None if picture is None else _drawn(picture[i])
                if shown is not None:
                    found[f"{key(system, sample, level)}|{panel}"] = shown
    return found


def _drawn(picture: Tensor) -> Tensor | None:
    """(height, width) or (height, width, 3) of moduli; (1 or 3, height, width) is turned; anything else is no picture.

    A text is kept as its code points, a sound as 16-bit samples.
    """
    if picture.ndim == 1 and picture.is_floating_point():
        return (picture * 2**15).round().clamp(-(2**15), 2**15 - 1).to(torch.int16)
    if picture.ndim == 1 and picture.dtype == torch.int32:
        return picture.contiguous()
    if picture.ndim == 3 and picture.shape[0] in (1, 3):
        picture = picture[0] if picture.shape[0] == 1 else picture.movedim(0, -1)
    if picture.ndim not in KINDS:
        return None
    return picture.contiguous() if picture.dtype == torch.bool else picture.abs().half().contiguous()


def _shown(changed: Examples, x: Examples) -> Tensor | None:
    """What a faithful method should show: the changed truth, or the adjoint image of changed data."""
    if changed.truth is not None and changed.truth is not x.truth:
        return changed.truth
    if x.truth is not None and x.operator is not None:
        return x.truth + x.operator.adjoint(changed.inputs - x.inputs)
    return None
