"""A universal patch: one round picture for many images, at a random place, size and angle in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.geometric import check_images
from assay.perturbations.viewing import Images, bilinear


@dataclass(frozen=True, kw_only=True, eq=False)
class Placements:
    """One row per image: (scale, degrees, right, down), (images, 4); scale is the diameter in shorter sides of the image."""

    table: Tensor


@dataclass(frozen=True, kw_only=True)
class Placing:
    """Uniform draws: scale between the two, angle within ± rotation degrees, shift within the margin that is left free.

    The defaults are those of the released code of Finlayson et al. (Science 363, 2019): scale 0.1 to 1, ±22.5°.
    """

    scale: tuple[float, float] = (0.1, 1.0)
    rotation: float = 22.5

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1 or self.rotation < 0:
            raise InputError(f"need 0 < scale ≤ 1 and rotation ≥ 0, got {self.scale} and {self.rotation}")

    def draw(self, images: Images, generators: Sequence[torch.Generator]) -> Placements:
        """A place in each image, from its own generator."""
        height, width = check_images(images).shape[2:]
        draws = torch.stack([torch.rand(4, dtype=torch.float64, generator=g) for g in generators])
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[:, 0]
        sides = 2 * draws - 1
        free = [(n - scale * min(height, width)) / 2 for n in (width, height)]
        return Placements(table=torch.stack([scale, self.rotation * sides[:, 1], free[0] * sides[:, 2],
                                             free[1] * sides[:, 3]], dim=1))


def placed(images: Images, patch: Images, placements: Placements) -> Images:
    """x (1 − m) + patch · m, m the disc 1 − clip((u² + v²)⁴⁰, 0, 1), (u, v) in [−1, 1] across the patch; (batch, …).

    `patch` is (1, channels, side, side), read bilinearly. Differentiable in images and patch. Source: Brown et al.,
    "Adversarial patch" (2017, arXiv 1712.09665); the soft disc is that of Finlayson et al.'s released code.
    """
    height, width = check_images(images).shape[2:]
    if patch.ndim != 4 or len(patch) != 1 or patch.shape[1] != images.shape[1]:
        raise InputError(f"patch: need (1, {images.shape[1]}, side, side), got {tuple(patch.shape)}")
    scale, degrees, right, down = (placements.table[:, k, None, None] for k in range(4))
    rows, columns = torch.meshgrid(torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
                                   torch.arange(width, dtype=torch.float64) - (width - 1) / 2, indexing="ij")
    turn, half = torch.deg2rad(degrees), scale * min(height, width) / 2
    u = (turn.cos() * (columns - right) - turn.sin() * (rows - down)) / half
    v = (turn.sin() * (columns - right) + turn.cos() * (rows - down)) / half
    disc = (1 - (u.square() + v.square()).clamp_max(1.1).pow(40).clamp(0, 1)).to(images.dtype)[:, None]
    side_rows, side_columns = patch.shape[2:]
    shown = bilinear(patch.expand(len(images), *patch.shape[1:]), (v + 1) * side_rows / 2 - 0.5,
                     (u + 1) * side_columns / 2 - 0.5)
    return images * (1 - disc) + shown * disc
