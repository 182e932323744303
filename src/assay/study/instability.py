"""How small a change undoes the structure, and the system's decision, beside how far the truth is: and do the two go
together?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.perturbations.protocol import stream
from assay.searches.smallest.cascade import smallest_change
from assay.searches.smallest.result import Smallest
from assay.structures.protocol import Structure
from assay.study.learner import Learner
from assay.study.material import Material
from assay.study.statistics import Estimate, mean_of, median_ratio

Scores = Callable[[Tensor], Tensor]
ASKED = 100             # right decisions whose smallest flips are searched
UNSTABLE = 0.1          # of the truth's own margin
LINKED = 5.0            # times the share of energy that chance puts along the structure, or half way from it to all


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Right decisions: their inputs, the smallest change found of each, its ℓ2 size, and half the way to another class."""

    x: Tensor
    y: Tensor
    change: Tensor
    size: Tensor
    truth: Tensor


@dataclass(frozen=True, kw_only=True)
class Instability:
    """ρ_m/ρ_t, ρ_g/ρ_t, and the share A_g of the energy of the system's flips along the structure, beside that by chance."""

    system: Estimate
    structure: Estimate
    alignment: Estimate
    chance: float


def flips(scores: Scores, data: Material, *, seed: int) -> Flips:
    """The smallest flips of the first right decisions, in ℓ2, by the cascade with few rounds (sizes are upper bounds)."""
    x, y = data.part(data.judged)
    order = torch.randperm(len(x), generator=stream(seed, "flips"))
    x, y = x[order], y[order]
    with torch.no_grad():
        right = (scores(x).argmax(1) == y).nonzero().flatten()[:ASKED]
    x, y = x[right], y[right]
    if len(x) == 0:
        empty = torch.zeros(0)
        return Flips(x=x, y=y, change=x, size=empty, truth=empty)
    found = _smallest(scores, x, y, data, seed)
    return Flips(x=x, y=y, change=found.perturbation, size=found.size.double(), truth=half_way(x, y, data))


def _smallest(scores: Scores, x: Tensor, y: Tensor, data: Material, *words: object) -> Smallest:
    """The cascade with few rounds: a study needs the scale of a median, not each size to a per cent."""
    return smallest_change(scores, x, y, norm="l2", box=data.box, refine_steps=10, check_steps=5, restarts=0, fresh_steps=10,
                           polish_rounds=2, other_rivals=1, generators=[stream("flip", *words, i) for i in range(len(x))])


def half_way(x: Tensor, y: Tensor, data: Material) -> Tensor:
    """Half the distance of each input to the nearest one of another class: within it, no input of the data says otherwise.

    >>> data = Material(x=torch.tensor([[0.0], [4.0]]), y=torch.tensor([0, 1]), classes=2, box=None,
    ...                 fit=torch.tensor([0]), judged=torch.tensor([1]))
    >>> half_way(data.x[:1], data.y[:1], data).tolist()
    [2.0]
    """
    distance = torch.cdist(x.flatten(1).double(), data.x.flatten(1).double())
    distance[y[:, None] == data.y[None]] = float("inf")
    return distance.amin(1) / 2


def instability(g: Structure, learner: Learner, found: Flips, data: Material, *, seed: int) -> Instability:
    """The ratios of medians over the same inputs, and the alignment of the system's flips with ∇g."""
    def of_structure(x: Tensor) -> Tensor:
        return learner(g.features(x)).to(x.dtype)

    with torch.no_grad():
        says = of_structure(found.x).argmax(1)
    own = _smallest(of_structure, found.x, says, data, seed, g.id)
    share, chance = alignment(g, found)
    return Instability(system=median_ratio(found.size, found.truth, UNSTABLE, seed, "system"),
                       structure=median_ratio(own.size.double(), found.truth, UNSTABLE, seed, g.id),
                       alignment=mean_of(share, min(LINKED * chance, (1 + chance) / 2), seed, g.id), chance=chance)


def reference(data: Material, *, seed: int) -> Estimate:
    """ρ of the simplest classifier there is, the nearest class mean, on its right decisions: what the yardstick says of it.

    ρ_t is a distance between inputs and grows with all that varies in them: of two Gaussians three deviations apart in 3,072
    dimensions even the best classifier has a ratio of 0.08. Where this one is below a tenth too, the ratio tells nothing.
    """
    fx, fy = data.part(data.fit)
    means = torch.stack([fx[fy == c].flatten(1).mean(0) for c in range(data.classes)])

    def nearest(x: Tensor) -> Tensor:
        rows = x.flatten(1)
        return 2 * rows @ means.T - means.square().sum(1)

    found = flips(nearest, data, seed=seed)
    return median_ratio(found.size, found.truth, UNSTABLE, seed, "reference")


def alignment(g: Structure, found: Flips) -> tuple[Tensor, float]:
    """‖Q Qᵀ r‖²/‖r‖² for each flip r, Q an orthonormal basis of the gradients of g's numbers at the input; and the mean of
    m/d, m the rank of Q and d the number of values: the share for a direction by chance.
    """
    x = found.x.double().requires_grad_(True)
    features = g.features(x)
    rows = [torch.autograd.grad(column.sum(), x, retain_graph=True, allow_unused=True)[0] for column in features.unbind(1)]
    jacobian = torch.stack([torch.zeros_like(x) if r is None else r for r in rows], 1).flatten(2)       # (n, k, d)
    _, singular, basis = torch.linalg.svd(jacobian, full_matrices=False)
    kept = (singular > 1e-8 * singular.amax(1, keepdim=True)) & (singular > 0)
    r = found.change.double().flatten(1)
    along = (basis @ r[..., None])[..., 0] * kept
    share = along.square().sum(1) / r.square().sum(1).clamp_min(1e-300)
    return share, float(kept.double().sum(1).mean()) / r.shape[1]
