"""Slices of the MNI152 T1 template that nilearn installs: for training recipes; sixteen of them are bundled.

One average, left-right symmetric head, so slices are split by position: audited planes lie at least four planes from
any training plane, and the planes used to choose regularisation lie apart from both. The head is an average of 152
people, smoother than any one of them: accuracy on it is optimistic for real heads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError

FILE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
AUDITED = tuple(range(70, 101, 2))                    # 16 axial planes, 2 mm apart
VALIDATION = (109, 111, 113, 115)
TRAINING = (*range(20, 66), *range(120, 146))         # ≥ 5 planes from audited and validation planes
FIELD_OF_VIEW = 192                                   # mm = voxels of the template; the brain measures 143 × 180


def volume() -> Float[Tensor, "x y z"]:
    """The template, 197×233×189 voxels of 1 mm, grey values 0..1. Needs nilearn and nibabel (extra `train`)."""
    try:
        import nibabel
        import nilearn
    except ImportError as error:
        raise InputError(f"the MNI152 template comes with nilearn, and {error.name} is missing: "
                         "pip install 'assay[train]'") from error
    path = Path(nilearn.__file__).parent / "datasets" / "data" / FILE
    return torch.from_numpy(np.asarray(nibabel.load(path).dataobj, dtype=np.float32) / 255)  # type: ignore[attr-defined]


def axial(template: Tensor, plane: int) -> Float[Tensor, "fov fov"]:
    """One axial plane at 1 mm, front up, centred in a square field of view."""
    image = template[:, :, plane].T.flip(0)
    box = template.amax(2).T.flip(0) > 0                               # the same centre for every plane
    rows, columns = box.any(1).nonzero(), box.any(0).nonzero()
    top = int(rows.min() + rows.max()) // 2 - FIELD_OF_VIEW // 2
    left = int(columns.min() + columns.max()) // 2 - FIELD_OF_VIEW // 2
    padded = F.pad(image, (FIELD_OF_VIEW,) * 4)
    return padded[top + FIELD_OF_VIEW: top + 2 * FIELD_OF_VIEW, left + FIELD_OF_VIEW: left + 2 * FIELD_OF_VIEW]


def shrink(image: Tensor, size: int) -> Tensor:
    """(…, fov, fov) resampled to (…, size, size) with an anti-aliased triangle filter, greatest value scaled to 1."""
    flat = image.reshape(-1, 1, *image.shape[-2:])
    small = F.interpolate(flat, size=(size, size), mode="bilinear", antialias=True)[:, 0].clamp_min(0)
    small = small / small.amax((-2, -1), keepdim=True).clamp_min(1e-6)
    return small.reshape(*image.shape[:-2], size, size)


def slices(planes: tuple[int, ...], size: int) -> Float[Tensor, "slices size size"]:
    """The given axial planes at size × size, each with greatest value 1."""
    template = volume()
    return torch.stack([shrink(axial(template, plane), size) for plane in planes])
