"""Towards one class at a time: the nearest boundary of the linearised scores need not be the nearest one."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.numerics.boxes import nearest_on_hyperplane
from assay.numerics.norms import inner, norm
from assay.searches.smallest.deepfool import OVERSHOOT
from assay.searches.smallest.nearest import Nearest

GIVEN_UP_AT = 1.5           # a rival whose boundary seems this much farther than the best is left alone


def visit(state: Nearest, index: Tensor, *, count: int, rounds: int = 4) -> None:
    """For the `count` rivals nearest by the scores linearised at x, other than the one found: `approach` each in turn."""
    order = _order(state, index)
    for j in range(min(count, order.shape[1] - 1)):
        approach(state, index, order[:, j], rounds=rounds)


def _order(state: Nearest, index: Tensor) -> Tensor:
    """The rivals by distance of their linearised boundary in the box, the class already found last."""
    start = torch.zeros_like(state.x[index])
    rivals = state.rivals[index]
    difference, gradient = state.differences(index, start, rivals)
    n, k = difference.shape
    low, high = (None if side is None else side[:, None].expand_as(gradient).flatten(0, 1)
                 for side in state.room(index))
    moves, reachable = nearest_on_hyperplane(gradient.flatten(0, 1), -difference.flatten(), low, high, kind=state.kind)
    cost = torch.where(reachable, norm(moves, state.kind).double(), torch.inf).reshape(n, k)
    cost = torch.where(rivals == state.new[index][:, None], torch.inf, cost)
    return rivals.gather(1, cost.argsort(dim=1, stable=True))


def approach(state: Nearest, index: Tensor, rival: Tensor, *, rounds: int) -> None:
    """r ← argmin ‖r'‖ over ⟨w, r'⟩ = (1 + overshoot)(⟨w, r⟩ − f) in the box, f = s_rival − s_decision, w = ∇f at x + r.

    The recursion of Hasofer and Lind (1974) and Rackwitz and Fiessler, Computers & Structures 9 (1978): its fixed points
    are the points of {f = 0} whose normal points at x. An example leaves where r is much longer than the best flip.
    """
    r = torch.zeros_like(state.x[index])
    for _ in range(rounds):
        difference, gradient = state.differences(index, r, rival[:, None])
        w, f = gradient[:, 0], difference[:, 0].double()
        goal = (1 + OVERSHOOT / 4) * (inner(w.double(), r.double()) - f)
        r, reachable = nearest_on_hyperplane(w, goal, *state.room(index), kind=state.kind)
        near = norm(r.double(), state.kind) < GIVEN_UP_AT * state.size[index]
        alive = reachable & near & torch.isfinite(f)
        index, rival, r = index[alive], rival[alive], r[alive]
        if len(index) == 0:
            return
    state.look(index, r)
