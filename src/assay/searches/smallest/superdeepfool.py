"""SuperDeepFool: DeepFool to the boundary, then back towards the input along the normal of that boundary."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.searches.smallest.deepfool import OVERSHOOT, project_onto_boundary, walk
from assay.searches.smallest.nearest import Nearest, spread
from assay.searches.smallest.result import Box, Scores, Smallest


def superdeepfool(scores: Scores, x: Tensor, decision: Tensor, *, norm: str = "l2", rounds: int = 5, steps: int = 50,
                  overshoot: float = OVERSHOOT, classes: int | None = None, box: Box | None = None) -> Smallest:
    """SDF(∞, 1): r̃ ← DeepFool from r; w ← ∇(s_new − s_decision) at x + r̃; r ← (⟨w, r̃⟩/‖w‖²) w; until r itself flips.

    At the smallest flip, r is parallel to the normal of the boundary; DeepFool alone does not see to that. The projection
    is the nearest point to x of the hyperplane through r̃ with normal w: for ℓ∞ and in a box it is taken in that norm and
    box, which the paper does not. Arguments as for `deepfool`; `rounds` projections at most. Source: Abdolahpourrostam,
    Abroshan and Moosavi-Dezfooli, arXiv 2303.12481, algorithm 2.

    >>> found = superdeepfool(lambda x: torch.cat((0 * x[:, :1], x @ torch.tensor([[3.0], [4.0]]) - 5), 1),
    ...                       torch.zeros(1, 2), torch.tensor([0]))
    >>> round(float(found.size), 4)
    1.02
    """
    if steps < 1 or rounds < 1 or overshoot < 0:
        raise InputError(f"need steps ≥ 1, rounds ≥ 1 and overshoot ≥ 0, got {steps}, {rounds}, {overshoot}")
    state = Nearest(scores, x, decision, kind=norm, box=box, classes=classes, stage="superdeepfool")
    alternate(state, state.open(), rounds=rounds, steps=steps, overshoot=overshoot)
    return state.result()


def alternate(state: Nearest, index: Tensor, *, rounds: int, steps: int, overshoot: float = OVERSHOOT) -> Tensor:
    """The rounds, on the examples of `index`; returns the last point of each (n, …), flipped or not."""
    end = torch.zeros_like(state.x[index])
    active = torch.arange(len(index), device=index.device)
    start = end.clone()
    for _ in range(rounds):
        at = index[active]
        reached = walk(state, at, start[active], steps=steps, overshoot=overshoot)
        end[active] = reached
        flips = state.found[at]
        active, at, reached = active[flips], at[flips], reached[flips]
        if len(active) == 0:
            break
        _, w = state.nearest_rival(at, reached)
        ahead, beyond = (0.0, overshoot) if state.box is None else (overshoot, 0.0)
        start[active] = project_onto_boundary(state, at, reached, w, ahead)
        point = (1 + beyond) * start[active]
        margin = state.look(at, point)
        end[active] = torch.where(spread(margin > 0, point) > 0, point, reached)
        active = active[(margin <= 0) & torch.isfinite(margin)]
        if len(active) == 0:
            break
    return end
