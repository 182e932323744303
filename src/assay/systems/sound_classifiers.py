"""Established classifiers of sounds: cepstra with logistic regression, and the nearest template after time warping.

Both are `nn.Module`s from waveforms to scores, so every search that follows gradients can be used on them too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.arrays import InputError
from assay.systems.sound_features import MelCepstrum

RATE, HOP, LENGTH = 16_000, 320, 640
COEFFICIENTS, MELS, HIGHEST = 13, 26, 7600.0
FLOOR = 1e-6


class Cepstra(nn.Module):
    """Thirteen mel cepstra every 20 ms, less their mean over the clip: a constant factor and filter of the sound cancel.

    (batch, samples) -> (batch, frames, 13). Furui, IEEE Trans. Acoust. Speech Signal Process. 29 (1981).
    """

    def __init__(self) -> None:
        super().__init__()
        self.cepstra = MelCepstrum(rate=RATE, length=LENGTH, hop=HOP, mels=MELS, high=HIGHEST, coefficients=COEFFICIENTS,
                                   floor=FLOOR)

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames coefficients"]:
        found = self.cepstra(waves)
        return found - found.mean(1, keepdim=True)


class CepstraRegression(nn.Module):
    """W c + b of all cepstra of a clip: multinomial logistic regression."""

    def __init__(self, *, values: int, classes: int) -> None:
        super().__init__()
        self.cepstra = Cepstra()
        self.linear = nn.Linear(values, classes)

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch classes"]:
        rows = self.rows(waves)
        if rows.shape[1] != self.linear.in_features:
            raise InputError(f"sounds of {waves.shape[1]} samples have {rows.shape[1]} cepstra, this regression was fitted "
                             f"to {self.linear.in_features}; cut or pad the recordings to the length it was fitted to")
        return self.linear(rows)

    def rows(self, waves: Tensor) -> Tensor:
        """What the regression sees of each sound."""
        return self.cepstra(waves).flatten(1)


class NearestTemplate(nn.Module):
    """Score of a class: minus the least distance of the sound to the class's templates after dynamic time warping.

    `templates` (n, frames, 13) are cepstra, `labels` (n,) their classes. Sakoe and Chiba, IEEE Trans. Acoust. Speech Signal
    Process. 26 (1978): the symmetric form without a slope constraint.
    """

    templates: Tensor
    labels: Tensor

    def __init__(self, *, templates: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.cepstra = Cepstra()
        self.register_buffer("templates", templates)
        self.register_buffer("labels", labels)
        self.classes = int(labels.max()) + 1

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch classes"]:
        distances = warped(self.cepstra(waves), self.templates)
        return torch.stack([-distances[:, self.labels == c].amin(1) for c in range(self.classes)], dim=1)


def warped(sounds: Float[Tensor, "batch frames features"],
           templates: Float[Tensor, "templates others features"]) -> Float[Tensor, "batch templates"]:
    """The least mean distance along a warping path between every sound and every template.

    D(i, j) = min(D(i−1, j) + d, D(i, j−1) + d, D(i−1, j−1) + 2d), d = ‖s_i − t_j‖, divided by the sum n + m of the weights;
    one antidiagonal after another, all pairs at once. Differentiable.

    >>> a, b = torch.tensor([[[0.0], [0.0], [1.0]]]), torch.tensor([[[0.0], [1.0], [1.0]], [[0.0], [0.0], [3.0]]])
    >>> warped(a, b).tolist()
    [[0.0, 0.5]]
    """
    exact = "donot_use_mm_for_euclid_dist"          # products of matrices would leave a template a distance to itself
    costs = torch.cdist(sounds[:, None], templates[None], compute_mode=exact)       # (batch, templates, n, m)
    n, m = costs.shape[2:]
    far = torch.full((*costs.shape[:2], 1), torch.inf, dtype=costs.dtype)
    previous = older = torch.full((*costs.shape[:2], n), torch.inf, dtype=costs.dtype)
    rows = torch.arange(n)
    for diagonal in range(n + m - 1):
        columns = diagonal - rows
        inside = (columns >= 0) & (columns < m)
        d = torch.where(inside, costs[:, :, rows, columns.clamp(0, m - 1)], torch.inf)
        if diagonal == 0:
            reached = 2 * d
        else:
            above = torch.cat((far, previous[:, :, :-1]), 2)        # D(i−1, j) lies on the diagonal before, a row higher
            across = torch.cat((far, older[:, :, :-1]), 2)          # D(i−1, j−1) on the one before that
            reached = torch.minimum(torch.minimum(above, previous) + d, across + 2 * d)
        older, previous = previous, reached
    return previous[:, :, n - 1] / (n + m)


def build_cepstra_regression(state: Mapping[str, Tensor]) -> CepstraRegression:
    """The classifier whose weights these are."""
    classes, values = state["linear.weight"].shape
    return CepstraRegression(values=values, classes=classes)


def build_nearest_template(state: Mapping[str, Tensor]) -> NearestTemplate:
    """The classifier whose templates these are."""
    return NearestTemplate(templates=state["templates"], labels=state["labels"].long())
