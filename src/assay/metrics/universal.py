"""What one change does to many inputs, and why there is one: decisions changed, dominant labels, the span of the normals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.arrays import InputError
from assay.numerics.norms import norm

Decisions = Int[Tensor, "n"]
Changes = Float[Tensor, "n *shape"]
Rows = Float[Tensor, "rows d"]
Values = Float[Tensor, "k"]


def fooling_rate(before: Decisions, after: Decisions) -> float:
    """Share of inputs whose decision changed, (1/n) Σ 1[after_i ≠ before_i], in [0, 1]; no right class is used.

    Moosavi-Dezfooli, Fawzi, Fawzi and Frossard, CVPR 2017, section 3. Raises `InputError` unless both are class numbers
    of the same inputs.

    >>> fooling_rate(torch.tensor([0, 1, 2, 3]), torch.tensor([0, 5, 5, 3]))
    0.5
    """
    _check(before, after)
    return float((before != after).double().mean())


@dataclass(frozen=True, kw_only=True)
class Dominant:
    """The class that most changed decisions end in, its share of them, and the entropy of where they end, in bits."""

    label: int
    share: float
    entropy: float


def dominant(before: Decisions, after: Decisions) -> Dominant | None:
    """The dominant new class among the changed decisions; None where none changed.

    With p_k the share of the changed decisions that became class k: max_k p_k and −Σ p_k log₂ p_k (0 bits: all end in
    one class; log₂ K bits: evenly in K classes). Of equal classes the one of least number. Same paper, section 5
    ("dominant labels"). Raises `InputError` as `fooling_rate`.

    >>> dominant(torch.tensor([0, 1, 2, 3]), torch.tensor([8, 8, 8, 0]))
    Dominant(label=8, share=0.75, entropy=0.8112781244591328)
    >>> dominant(torch.tensor([0, 1]), torch.tensor([0, 1])) is None
    True
    """
    _check(before, after)
    new = after[before != after]
    if not len(new):
        return None
    labels, counts = new.unique(return_counts=True)
    p = counts.double() / len(new)
    most = int(p.argmax())
    return Dominant(label=int(labels[most]), share=float(p[most]), entropy=float(-(p * p.log2()).sum()) + 0.0)


def unit_normals(perturbations: Changes) -> Rows:
    """The rows r_i / ‖r_i‖₂ of the smallest flips r_i found (by DeepFool): unit normals of the boundary near each input.

    Flips of size 0 or not finite have no direction and are left out, so there may be fewer rows than inputs. Same paper,
    section 4.

    >>> unit_normals(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    rows = perturbations.flatten(1)
    size = norm(rows)
    kept = torch.isfinite(size) & (size > 0)
    return rows[kept] / size[kept][:, None]


def random_units(n: int, d: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
    """n unit vectors of d entries, uniform on the sphere: what the normals are compared with."""
    rows = torch.randn(n, d, generator=generator)
    return rows / norm(rows)[:, None]


def singular_values(rows: Rows) -> Values:
    """Singular values of the matrix of rows, falling; with rows of norm 1 their squares sum to n.

    Normals that share few directions have values that fall faster than those of `random_units` of the same shape. Same
    paper, figure 9.

    >>> singular_values(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).tolist()
    [1.4142135381698608, 0.0]
    """
    if rows.ndim != 2 or not len(rows):
        raise InputError(f"rows: need a matrix (n, d) with at least one row, got shape {tuple(rows.shape)}")
    return torch.linalg.svdvals(rows)


def directions_for(values: Values, energy: float = 0.9) -> int:
    """The least m with Σ_{i≤m} σ_i² ≥ energy · Σ σ_i²: how many singular directions hold that part of the energy.

    >>> directions_for(torch.tensor([3.0, 1.0, 0.0]), 0.9), directions_for(torch.tensor([3.0, 1.0, 0.0]), 0.91)
    (1, 2)
    """
    if not 0 < energy <= 1:
        raise InputError(f"energy must be a share in (0, 1], got {energy}")
    held = values.double().square().cumsum(0)
    if not len(held) or not math.isfinite(float(held[-1])) or float(held[-1]) <= 0:
        raise InputError("values: need finite singular values that are not all 0")
    reached = held >= energy * held[-1] * (1 - 1e-12)           # 0.9 of 10 is 9, whatever the rounding
    return int(reached.double().argmax()) + 1


def share_of_directions(values: Values, energy: float = 0.9) -> float:
    """`directions_for` as a share of all singular directions, in (0, 1]: near `energy` if no direction is favoured.

    >>> share_of_directions(torch.ones(10), 0.9)
    0.9
    """
    return directions_for(values, energy) / len(values)


def leading_span(rows: Rows, count: int) -> Float[Tensor, "count d"]:
    """The `count` leading right singular vectors of the matrix of rows: an orthonormal basis, one vector a row.

    >>> leading_span(torch.tensor([[0.0, 2.0], [0.0, -1.0]]), 1).abs().tolist()
    [[0.0, 1.0]]
    """
    if rows.ndim != 2 or not 1 <= count <= min(rows.shape):
        raise InputError(f"count must be from 1 to the lesser side of the matrix {tuple(rows.shape)}, got {count}")
    return torch.linalg.svd(rows, full_matrices=False).Vh[:count]


def cosines(perturbations: Changes) -> Float[Tensor, "n n"]:
    """⟨v_i, v_j⟩ / (‖v_i‖₂ ‖v_j‖₂) of all pairs, in [−1, 1]; 0 with a perturbation that is 0.

    Same paper, section 3: perturbations from different orders of the inputs had at most 0.1.

    >>> cosines(torch.tensor([[1.0, 0.0], [3.0, 4.0]])).tolist()
    [[1.0, 0.6000000238418579], [0.6000000238418579, 1.0]]
    """
    rows = perturbations.flatten(1)
    units = rows / norm(rows).clamp_min(1e-38)[:, None]
    return units @ units.T


def _check(before: Tensor, after: Tensor) -> None:
    for name, decisions in (("before", before), ("after", after)):
        if decisions.ndim != 1 or not len(decisions) or decisions.is_floating_point() or decisions.is_complex():
            raise InputError(f"{name}: need the number of the class decided for, one for each input, got {decisions.dtype} "
                             f"of shape {tuple(decisions.shape)}")
    if len(before) != len(after):
        raise InputError(f"before and after must be of the same inputs, got {len(before)} and {len(after)}")
