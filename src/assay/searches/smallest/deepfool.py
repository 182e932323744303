"""DeepFool: steps to the nearest of the linearised boundaries, until the decision changes."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.numerics.boxes import distance_to_hyperplane, nearest_on_hyperplane
from assay.numerics.norms import inner, norm
from assay.searches.smallest.nearest import Nearest, spread
from assay.searches.smallest.result import Box, Scores, Smallest

OVERSHOOT = 0.02
CLIPPED, GAINED = 10, 0.1   # steps that may be clipped to the box, and the share of the gap that such a step must close
FURTHER = 1e-3              # of the distance from x: what a clipped step goes beyond, or it may near the boundary for ever


def deepfool(scores: Scores, x: Tensor, decision: Tensor, *, norm: str = "l2", steps: int = 50,
             overshoot: float = OVERSHOOT, classes: int | None = None, box: Box | None = None) -> Smallest:
    """Until the decision flips: r ← r + argmin ‖δ‖ over ⟨w_l, δ⟩ = −f_l, l the class with the smallest such ‖δ‖.

    f_k = s_k − s_decision and w_k = ∇f_k at x + (1 + overshoot) r. ℓ2: δ = |f_l| w_l/‖w_l‖₂²; ℓ∞: δ = |f_l|
    sign(w_l)/‖w_l‖₁. `scores` are those before softmax; `decision` (batch,) is the class to leave; `classes` how many
    classes of greatest score take part (None: all up to 50 classes, else 10). As published there is no box: the changed
    input may leave the range of the data. With `box` = (least, greatest), (1 + overshoot) δ is clipped to the box; where
    that keeps less than a tenth of the way to the linearised boundary, and after ten steps, δ is the smallest step within
    the box, so that entries at the edge of the box cannot stall it. It is not the smallest flip: see `cascade`. Raises
    `InputError` for bad arguments. Source: Moosavi-Dezfooli, Fawzi and Frossard, CVPR 2016, algorithm 2 and section 3.3;
    overshoot inside the loop as in the authors' code.

    >>> found = deepfool(lambda x: torch.cat((0 * x[:, :1], x @ torch.tensor([[3.0], [4.0]]) - 5), 1), torch.zeros(1, 2),
    ...                  torch.tensor([0]))
    >>> round(float(found.size), 4), int(found.decision), int(found.backward)
    (1.02, 1, 1)
    """
    if steps < 1 or overshoot < 0:
        raise InputError(f"need steps ≥ 1 and overshoot ≥ 0, got steps={steps}, overshoot={overshoot}")
    state = Nearest(scores, x, decision, kind=norm, box=box, classes=classes, stage="deepfool")
    index = state.open()
    walk(state, index, torch.zeros_like(state.x[index]), steps=steps, overshoot=overshoot, clipping=True)
    return state.result()


def walk(state: Nearest, index: Tensor, start: Tensor, *, steps: int, overshoot: float = OVERSHOOT,
         clipping: bool = False) -> Tensor:
    """DeepFool from x + start on the examples of `index`; returns where each ended (n, …), flipped or not.

    With a box, each step is the smallest within it and aims past the linearised boundary by `overshoot` of its distance
    from x, so that none ends short of it by rounding; `clipping`: see `_clipped`.
    """
    beyond = overshoot if state.box is None else 0.0           # with a box, each step already aims past the boundary
    r, end = start.clone(), start.clone()
    active = torch.arange(len(index), device=index.device)
    for step in range(steps):
        at = index[active]
        difference, gradient = state.differences(at, (1 + beyond) * r[active], state.rivals[at])
        if clipping and state.box is not None and step < CLIPPED:
            move, usable = _clipped(state, at, r[active], difference, gradient, overshoot)
        else:
            move, usable, _ = _step(state, at, r[active], difference, gradient, overshoot, boxed=state.box is not None)
        r[active] += move
        r[active] = state.clip(at, r[active])
        end[active] = (1 + beyond) * r[active]
        margin = state.look(at, end[active])
        moved = norm(move) > torch.finfo(move.dtype).eps * norm(state.x[at])
        state.stalled[at] = ~moved
        active = active[(margin <= 0) & torch.isfinite(margin) & usable & moved]
        if len(active) == 0:
            break
    return end


def _clipped(state: Nearest, index: Tensor, r: Tensor, difference: Tensor, gradient: Tensor,
             overshoot: float) -> tuple[Tensor, Tensor]:
    """The step without the box, clipped; where that closes less than `GAINED` of the gap, the step within the box."""
    move, usable, nearest = _step(state, index, r, difference, gradient, overshoot, boxed=False)
    longer = overshoot + FURTHER * norm(r, state.kind) / norm(move, state.kind).clamp_min(torch.finfo(r.dtype).tiny)
    move = state.clip(index, r + spread(1 + longer, move) * move) - r
    rows = torch.arange(len(index), device=index.device)
    gained = inner(gradient[rows, nearest].double(), move.double())
    short = usable & (gained < GAINED * difference[rows, nearest].abs())
    if bool(short.any()):
        move[short] = _step(state, index[short], r[short], difference[short], gradient[short], overshoot, boxed=True)[0]
    return move, usable


def _step(state: Nearest, index: Tensor, r: Tensor, difference: Tensor, gradient: Tensor, overshoot: float, *,
          boxed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The smallest of the steps to the linearised boundaries, whether any boundary has a slope, and which was nearest."""
    nearest_of = _nearest_in_box if boxed and state.box is not None else _nearest_anywhere
    moves, nearest, usable = nearest_of(state, index, r, -difference.double(), gradient, overshoot)
    return torch.where(spread(usable, r) > 0, moves, 0.0), usable, nearest


def _nearest_anywhere(state: Nearest, index: Tensor, r: Tensor, goal: Tensor, gradient: Tensor,
                      overshoot: float) -> tuple[Tensor, Tensor, Tensor]:
    """The step (n, …), which of the k boundaries it goes to, and whether any has a slope. Only that step is made: how far
    the others are is |f_l| over the dual norm of w_l."""
    n, k = goal.shape
    cost = distance_to_hyperplane(gradient.flatten(0, 1), goal.flatten(), kind=state.kind).reshape(n, k)
    cost = cost.nan_to_num(torch.inf, torch.inf)
    nearest = cost.argmin(1)
    rows = torch.arange(n, device=index.device)
    moves, _ = nearest_on_hyperplane(gradient[rows, nearest], goal[rows, nearest], kind=state.kind)
    return moves, nearest, torch.isfinite(cost).any(1)


def _nearest_in_box(state: Nearest, index: Tensor, r: Tensor, goal: Tensor, gradient: Tensor,
                    overshoot: float) -> tuple[Tensor, Tensor, Tensor]:
    """The same within the box, aiming past the boundary: ⟨w, r + δ⟩ = (1 + overshoot)(⟨w, r⟩ + |f|). Boundaries that the
    box does not reach come last."""
    n, k = goal.shape
    along = (gradient.double() * r.double()[:, None]).flatten(2).sum(2)
    goal = goal + overshoot * torch.where(along + goal > 0, along + goal, goal)
    low, high = (None if side is None else side[:, None].expand_as(gradient).flatten(0, 1) for side in state.room(index, r))
    moves, reachable = nearest_on_hyperplane(gradient.flatten(0, 1), goal.flatten(), low, high, kind=state.kind)
    sloped = gradient.flatten(2).abs().amax(2) > 0
    far = torch.finfo(torch.float64).max / 4
    cost = torch.where(reachable.reshape(n, k), norm(moves, state.kind).reshape(n, k).double(), far)
    nearest = torch.where(sloped, cost, torch.inf).argmin(1)
    return moves.unflatten(0, (n, k))[torch.arange(n, device=index.device), nearest], nearest, sloped.any(1)


def project_onto_boundary(state: Nearest, index: Tensor, r: Tensor, w: Tensor, ahead: float = 0.0) -> Tensor:
    """argmin ‖r'‖ over ⟨w, r'⟩ = (1 + ahead)⟨w, r⟩ in the box: the point nearest to x of the boundary through r."""
    goal = (1 + ahead) * inner(w.double(), r.double())
    return nearest_on_hyperplane(w, goal, *state.room(index), kind=state.kind)[0]
