"""How often a decision changes between neighbours on a grid of harmless changes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.arrays import InputError, PerExample

Decisions = Int[Tensor, "batch *grid"]


def jaggedness(decisions: Decisions, *, axes: Sequence[int] | None = None) -> PerExample:
    """P(the decision changes between adjacent grid points), for each example.

    The share of pairs of points one step apart along one of the `axes` (counted from 0 after the batch; all if None)
    whose decisions differ: 0 for a constant decision, 1 for a chessboard. In [0, 1]. Raises `InputError` where the grid
    has no such pair.

    >>> jaggedness(torch.tensor([[0, 0, 1, 0], [2, 2, 2, 2]])).tolist()
    [0.6666666666666666, 0.0]
    """
    _check(decisions)
    dims = range(1, decisions.ndim) if axes is None else [axis + 1 for axis in axes]
    if any(not 1 <= dim < decisions.ndim for dim in dims):
        raise InputError(f"axes: the grid has {decisions.ndim - 1} axes, got {tuple(axes or ())}")
    changed = torch.zeros(len(decisions), dtype=torch.float64)
    pairs = 0
    for dim in dims:
        differs = decisions.diff(dim=dim) != 0
        changed += differs.flatten(1).sum(1)
        pairs += differs[:1].numel()
    if not pairs:
        raise InputError(f"decisions: no two adjacent points on a grid of shape {tuple(decisions.shape[1:])}; "
                         "give at least two points along an axis")
    return changed / pairs


def one_pixel_change(decisions: Int[Tensor, "batch rows columns"], *, shift: tuple[int, int] = (0, 1)) -> PerExample:
    """P(the top-1 decision changes under a shift of one pixel), over all placements, for each example.

    decisions[i, r, c] is the decision where image i stands at row r and column c of a larger canvas; the statistic is
    the share of placements with decisions[i, r, c] ≠ decisions[i, r + dr, c + dc] for the `shift` (dr, dc). In [0, 1];
    the mean over images is the published number. Azulay and Weiss, J. Mach. Learn. Res. 20 (2019), "P(Top-1 change)",
    with the image on a black canvas; they draw the placement, here all given placements count.

    >>> one_pixel_change(torch.tensor([[[0, 1, 1], [0, 0, 0]]])).tolist()
    [0.25]
    """
    _check(decisions)
    if decisions.ndim != 3:
        raise InputError(f"decisions: need (batch, rows, columns), got shape {tuple(decisions.shape)}")
    before, after = _overlap(decisions, shift[0], 1), _overlap(decisions, shift[1], 2)
    start = decisions[:, before[0], :][:, :, after[0]]
    moved = decisions[:, before[1], :][:, :, after[1]]
    if not any(shift) or not start[:1].numel():
        raise InputError(f"shift {shift}: no placement on a grid of {tuple(decisions.shape[1:])} has one so far away")
    return (start != moved).double().flatten(1).mean(1)


def flip_size(changed: Float[Tensor, "batch members"] | Tensor, sizes: Float[Tensor, "batch members"]) -> PerExample:
    """The least size at which a decision changes, for each example; infinite where none does (censored).

    `changed` says of each member whether the decision differs from the one for the unchanged input.

    >>> flip_size(torch.tensor([[False, True, True]]), torch.tensor([[0.1, 0.4, 0.2]])).tolist()
    [0.20000000298023224]
    """
    if changed.shape != sizes.shape:
        raise InputError(f"changed and sizes must have one shape, got {tuple(changed.shape)} and {tuple(sizes.shape)}")
    return torch.where(changed.bool(), sizes, torch.inf).double().amin(1)


def _check(decisions: Tensor) -> None:
    if decisions.is_floating_point() or decisions.is_complex() or decisions.ndim < 2:
        raise InputError(f"decisions: need whole numbers (batch, *grid), got {decisions.dtype} of shape "
                         f"{tuple(decisions.shape)}; take the argmax of scores first")


def _overlap(decisions: Tensor, step: int, dim: int) -> tuple[slice, slice]:
    """Where a placement has one `step` further along `dim`, and where that one is."""
    length = decisions.shape[dim]
    return slice(max(0, -step), length - max(0, step)), slice(max(0, step), length + min(0, step))
