"""How much of what a system says can be said from candidate structures alone? A sparse surrogate, chosen step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from assay.perturbations.protocol import stream
from assay.structures.protocol import Editable, Structure
from assay.study.learner import fit
from assay.study.material import Material
from assay.study.use import donors

MOST = 4                # structures in the surrogate
WORTH = 0.01            # of fidelity, that one more must add


def surrogate(candidates: Sequence[Structure], decide: Callable[[Tensor], Tensor], data: Material, *,
              seed: int) -> dict[str, Any]:
    """Greedy forward choice: the structure whose numbers, joined to those chosen, best predict the system's own decisions.

    Fidelity is the share of held-out inputs on which surrogate and system decide alike, over what always naming the system's
    commonest decision gives: κ-like, 0 for nothing learnt and 1 for all: (agree − base)/(1 − base). Also on conflict inputs,
    in which the first structure comes from an input of another class.
    """
    fx, fy = data.part(data.fit)
    x, y = data.part(data.judged)
    own, asked = decide(fx), decide(x)
    base = float(torch.bincount(asked, minlength=data.classes).max()) / len(asked)
    fit_rows = {g.id: g.features(fx) for g in candidates}
    rows = {g.id: g.features(x) for g in candidates}
    chosen: list[str] = []
    steps: list[dict[str, Any]] = []
    best = 0.0
    while len(chosen) < MOST:
        scored = {}
        for g in candidates:
            if g.id in chosen:
                continue
            names = [*chosen, g.id]
            learner = fit(torch.cat([fit_rows[n] for n in names], 1), own, data.classes)
            agree = float((learner(torch.cat([rows[n] for n in names], 1)).argmax(1) == asked).double().mean())
            scored[g.id] = (agree - base) / max(1 - base, 1e-9)
        if not scored or max(scored.values()) < best + WORTH:
            break
        name = max(scored, key=scored.__getitem__)
        best = scored[name]
        chosen.append(name)
        steps.append({"structure": name, "fidelity": best})
    conflict = _on_conflict(candidates, chosen, fit_rows, own, decide, data, fx, fy, x, y, seed) if chosen else None
    return {"steps": steps, "base": base, "conflict": conflict}


def _on_conflict(candidates: Sequence[Structure], chosen: Sequence[str], fit_rows: dict[str, Tensor], own: Tensor,
                 decide: Callable[[Tensor], Tensor], data: Material, fx: Tensor, fy: Tensor, x: Tensor, y: Tensor,
                 seed: int) -> float | None:
    """Agreement of surrogate and system on inputs whose first editable structure comes from another class."""
    kept = [g for g in candidates if g.id in chosen]
    edited = next((g for name in chosen for g in kept if g.id == name and isinstance(g, Editable)), None)
    if edited is None:
        return None
    place, there = donors(fy, fy, y, stream(seed, "surrogate"), same=False)
    moved = edited.given(x[there], edited.content(fx[place[there]]))
    learner = fit(torch.cat([fit_rows[n] for n in chosen], 1), own, data.classes)
    named = {g.id: g for g in kept}
    says = learner(torch.cat([named[n].features(moved) for n in chosen], 1)).argmax(1)
    return float((says == decide(moved)).double().mean())
