"""The smallest change that flips a decision, by several searches in turn: the default."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.numerics.norms import norm as norm_of
from assay.records import Stop
from assay.searches.smallest.bisection import bisect, cross
from assay.searches.smallest.bounded_check import climb, random_start
from assay.searches.smallest.ddn import turn
from assay.searches.smallest.deepfool import project_onto_boundary
from assay.searches.smallest.fmn import follow
from assay.searches.smallest.nearest import TOP_CLASSES, Nearest
from assay.searches.smallest.result import Box, Scores, Smallest
from assay.searches.smallest.rivals import visit
from assay.searches.smallest.superdeepfool import alternate

CHECKED_AT = 0.95
AHEAD = (0.0, 0.003, 0.01, 0.03, 0.1)        # how far past the linearised boundary, as a share of its distance


def smallest_change(scores: Scores, x: Tensor, decision: Tensor, *, norm: str = "l2", box: Box | None = None,
                    generators: Sequence[torch.Generator], classes: int | None = None, refine_steps: int = 40,
                    check_steps: int = 20, restarts: int = 1, draws: int = 8, polish_rounds: int = 5,
                    other_rivals: int = 3, fresh_steps: int = 40, towards: bool = False) -> Smallest:
    """argmin ‖p‖ over x + p in the box with max_{k ≠ decision} s_k > s_decision, as small as several searches find it.

    1. SuperDeepFool, each step within the box. 2. What has not crossed is pushed across; all are brought back to the edge
    along their own line. 3. The `other_rivals` classes next nearest are approached too; the best is refined by DDN (ℓ2)
    or FMN (ℓ∞). 4. FMN starts afresh from the input, within the size found: it sees all rivals at once. 5. The best is
    polished: projected onto the linearised boundary, pushed across, brought back. 6. An ascent on the softened margin at
    0.95 of the size found, from the best point and `restarts` random ones (each the best of `draws` by margin); where it
    flips, brought back and polished. 7. The smallest flip of all; `winner` names the search.

    x (batch, …); decision (batch,) the class to leave; `norm` "l2" or "linf"; `box` (least, greatest) value of an entry;
    `generators` one per example; `classes` the classes of greatest score whose gradients are taken (the
    decision among them; 10, or all of fewer); `towards`: the decision is a class to reach (a targeted change), not to
    leave, and the condition s_decision > max_{k ≠ decision} s_k. Examples away from `decision` have size 0. Where nothing is
    found the size is infinite (censored), and `stop` says why: never "robust". A size found is an upper bound on the
    smallest. Raises `InputError` for bad arguments. Sources: those of the searches; the order: AttackBench (Cinà et al.,
    arXiv 2404.19460) finds no single best one.

    >>> found = smallest_change(lambda x: torch.cat((0 * x[:, :1], x @ torch.tensor([[3.0], [4.0]]) - 5), 1),
    ...                         torch.zeros(1, 2), torch.tensor([0]), generators=[torch.Generator()])
    >>> round(float(found.size), 3)
    1.0
    """
    if len(generators) != len(x):
        raise InputError(f"one generator for each of the {len(x)} examples, got {len(generators)}")
    if min(refine_steps, check_steps, restarts, polish_rounds, other_rivals, fresh_steps) < 0 or draws < 1:
        raise InputError("refine_steps, check_steps, restarts, polish_rounds, other_rivals, fresh_steps must be ≥ 0, "
                         "draws ≥ 1")
    state = Nearest(scores, x, decision, kind=norm, box=box, classes=TOP_CLASSES if classes is None else classes,
                    stage="superdeepfool", towards=towards)
    index = state.open()
    if len(index):
        _begin(state, index, generators, draws)
        index = index[state.found[index]]
    if len(index):
        state.stage = "other rivals"
        visit(state, index, count=other_rivals)
        _refine(state, index, refine_steps)
        _start_afresh(state, index, fresh_steps)
        polish(state, index, polish_rounds)
        _check_below(state, index, generators, check_steps, restarts, draws, polish_rounds)
    return state.result(unfinished=Stop.BUDGET)


def _begin(state: Nearest, index: Tensor, generators: Sequence[torch.Generator], draws: int) -> None:
    """SuperDeepFool; what has not crossed is pushed on, then climbs in growing balls; all back to the edge."""
    end = alternate(state, index, rounds=3, steps=20)
    left = ~state.found[index]
    if bool(left.any()):
        state.stage = "crossing"
        cross(state, index[left], end[left])
        _climb_wider(state, index[~state.found[index]], generators, 4 * draws)
    _back(state, index[state.found[index]])


def _climb_wider(state: Nearest, index: Tensor, generators: Sequence[torch.Generator], draws: int) -> None:
    """Ascents on the margin in balls that grow fourfold, up to one that holds the box (or 100 times the inputs' norm)."""
    if len(index) == 0:
        return
    greatest = _greatest_size(state, index)
    for share in (1 / 64, 1 / 16, 1 / 4, 1.0):
        index, greatest = index[~state.found[index]], greatest[~state.found[index]]
        if len(index) == 0:
            return
        start = random_start(state, index, share * greatest, generators, draws)
        climb(state, index, start, share * greatest, steps=20)


def _greatest_size(state: Nearest, index: Tensor) -> Tensor:
    if state.low is None or state.high is None:
        return 100 * norm_of(state.x[index].double(), state.kind).clamp_min(1e-2)
    return norm_of(torch.maximum(-state.low[index], state.high[index]).double(), state.kind)


def _back(state: Nearest, index: Tensor) -> None:
    if len(index):
        bisect(state, index, state.perturbation[index])


def _start_afresh(state: Nearest, index: Tensor, steps: int) -> None:
    if steps:
        state.stage = "fmn afresh"
        follow(state, index, torch.zeros_like(state.x[index]), steps=steps)
        _back(state, index)


def _refine(state: Nearest, index: Tensor, steps: int) -> None:
    if steps == 0:
        return
    if state.kind == "l2":
        state.stage = "ddn"
        turn(state, index, state.perturbation[index], state.size[index], steps=steps, step_length=0.3, fading=True)
    else:
        state.stage = "fmn"
        follow(state, index, state.perturbation[index], steps=steps)
    _back(state, index)


def polish(state: Nearest, index: Tensor, rounds: int) -> None:
    """From the best point: to the linearised boundary's nearest point, across, back; while it gets smaller."""
    stage, state.stage = state.stage, "polish"
    for _ in range(rounds):
        before, p = state.size[index], state.perturbation[index]
        _, w = state.nearest_rival(index, p)
        end, flips = _just_across(state, index, p, w)
        if bool(flips.any()):
            bisect(state, index[flips], end[flips])
        index = index[state.size[index] < (1 - 1e-3) * before]
        if len(index) == 0:
            break
    state.stage = stage


def _just_across(state: Nearest, index: Tensor, p: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest point a little past the linearised boundary, further until it flips or is no smaller than the best."""
    end, flips = p.clone(), torch.zeros(len(index), dtype=torch.bool, device=index.device)
    trying = torch.arange(len(index), device=index.device)
    for ahead in AHEAD:
        nearer = state.clip(index[trying], project_onto_boundary(state, index[trying], p[trying], w[trying], ahead))
        smaller = norm_of(nearer.double(), state.kind) < state.size[index[trying]]
        trying, nearer = trying[smaller], nearer[smaller]
        if len(trying) == 0:
            break
        margin = state.look(index[trying], nearer)
        end[trying], flips[trying] = nearer, margin > 0
        trying = trying[margin <= 0]
    return end, flips


def _check_below(state: Nearest, index: Tensor, generators: Sequence[torch.Generator], steps: int, restarts: int,
                 draws: int, polish_rounds: int) -> None:
    if steps == 0:
        return
    state.stage = "bounded check"
    for restart in range(1 + restarts):
        radius = CHECKED_AT * state.size[index]
        start = (CHECKED_AT * state.perturbation[index] if restart == 0
                 else random_start(state, index, radius, generators, draws))
        end, flips = climb(state, index, start, radius, steps=steps)
        if bool(flips.any()):
            bisect(state, index[flips], end[flips])
            polish(state, index[flips], polish_rounds)
