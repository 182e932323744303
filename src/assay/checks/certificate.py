"""Certificates: within which size of change is each right decision proved to hold? Searches bound it from above only.

Small networks that are chains of known layers are bounded by intervals and backward linear bounds, exactly where they are
linear; a smoothed classifier by its votes. Of any other system nothing is proved, and the plan says why.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.bounds.layers import Chain
from assay.bounds.radius import HALVINGS, certified_radius, margins_over
from assay.bounds.region import around
from assay.bounds.rounding import output_error
from assay.bounds.smoothing import smoothed_radius
from assay.checks.asked_again import changed_with_use, remember
from assay.checks.check import Bench, Check, UnitResult, key, method
from assay.metrics import protocol as metrics
from assay.metrics.classification import confidence, decision, wrong
from assay.perturbations.balls import Ball
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Flag, Stop
from assay.systems.branches import NoChain
from assay.systems.chains import chain_of
from assay.systems.metered import Metered
from assay.systems.smoothed import Smoothed

MOST = 1.0              # greatest size that is tried, in the check's unit, unless it says
LARGEST = 2000          # values of a layer: beyond it the bounds take minutes for each sample, and prove next to nothing
ALPHA, DRAWS, CHOOSING = 0.001, 10_000, 100     # of smoothing: failure probability of all samples together, votes
EDGE = 1e-6             # a stored radius is proved again this share inside it: other machines round otherwise


@method("certificate")
def certificate(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the size, in the check's unit, within which a right decision is proved to hold; 0 where none is.

    Nothing is searched, and no change is found: what is stored as witness is the radius in the unit of the inputs, which
    `assay verify` proves again. Wrong decisions are counted apart.
    """
    target = bench.systems[system]
    remember(system, bench, x)
    with torch.no_grad():
        normal = target(x.inputs)
    assert x.truth is not None
    right = ~wrong(normal, x.truth).bool()
    scale = ball(check, x).scale(x.inputs).double()
    radius, told = proved(check, target, bench, x, scale)
    used = changed_with_use(system, bench, x)
    rows = tuple(_row(check, system, bench, x, i, normal, float(radius[i] / scale[i].clamp_min(1e-300)), bool(right[i]),
                      told[i], used[i]) for i in range(len(x)))
    kept = {key(system, x.ids[i], None): radius[i:i + 1].clone() for i in range(len(x)) if bool(right[i] & (radius[i] > 0))}
    return UnitResult(findings=rows, witnesses=kept)


def ball(check: Check, x: Examples) -> Ball:
    """The ball whose radius is asked for, at radius 1 of the check's unit."""
    words = check.perturbation
    if words.get("kind") != "inputs":
        raise InputError(f"check {check.id!r}: a certificate is of kind = \"inputs\", a ball of changes of the inputs")
    return Ball(norm=words.get("norm", "l2"), radius=1.0, relative=words.get("relative", True), box=x.box)


def proved(check: Check, target: Metered, bench: Bench, x: Examples, scale: Tensor) -> tuple[Tensor, list[dict[str, float]]]:
    """The proved radius (batch,) in the unit of the inputs, and what each row tells of how."""
    assert x.truth is not None
    if isinstance(target.system, Smoothed):
        return _by_votes(check, target.system, bench, x)
    chain = _compared(target, x)
    most = float(check.search.get("most", MOST)) * scale
    radius = certified_radius(chain, x.inputs, x.truth, kind=ball(check, x).norm, most=most, box=x.box,
                              halvings=int(check.search.get("halvings", HALVINGS)))
    return radius, [{f"bound.{'exact' if chain.linear else 'crown'}": 1.0}] * len(x)


def _compared(target: Metered, x: Examples) -> Chain:
    """The system's chain, which gives its answers at the inputs and halfway to the middle of their range, to rounding."""
    chain = chain_of(target, x.inputs.shape[1:])
    middle = x.inputs.mean() if x.box is None else (x.box[0] + x.box[1]) / 2
    for z in (x.inputs, (x.inputs + middle) / 2):
        with torch.no_grad():
            gap = (target(z).double() - chain(z)).abs()
        if not bool((gap <= output_error(chain, around(z, torch.zeros(len(z)), "linf", None))).all()):
            raise InputError(f"system {target.name!r} does not answer as its layers do (by {float(gap.max()):.2g}): nothing "
                             "can be proved of it")
    return chain


def _by_votes(check: Check, system: Smoothed, bench: Bench, x: Examples) -> tuple[Tensor, list[dict[str, float]]]:
    """Radii of the smoothed classifier; all samples together fail with probability at most alpha (Bonferroni)."""
    assert x.truth is not None
    alpha, draws = float(check.search.get("alpha", ALPHA)), int(check.search.get("draws", DRAWS))
    each = alpha / max(bench.count, len(x))
    radii, told = [], []
    for i, sample in enumerate(x.ids):
        g = stream(bench.seed, check.id, sample, "votes")
        chosen = int(system.votes(x.inputs[i:i + 1], int(check.search.get("choosing", CHOOSING)), g).argmax())
        votes = int(system.votes(x.inputs[i:i + 1], draws, g)[0, chosen])
        radius, p = smoothed_radius(votes, draws, sigma=system.sigma, alpha=each)
        radii.append(radius if chosen == int(x.truth[i]) else 0.0)
        told.append({"bound.smoothing": 1.0, "votes": float(votes), "p-low": p, "failure-probability": alpha})
    return torch.tensor(radii, dtype=torch.float64), told


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, stored: Tensor) -> dict[str, float]:
    """The row's number again: the stored radius where it can be proved anew, else 0."""
    target, scale = bench.systems[row.system], ball(check, x).scale(x.inputs).double()
    if isinstance(target.system, Smoothed):
        radius, told = _by_votes(check, target.system, bench, x)
        return {"worst": float(radius / scale), **told[0]}
    assert x.truth is not None
    radius = stored.double().reshape(1)
    margin = margins_over(_compared(target, x), x.inputs, x.truth, radius * (1 - EDGE), ball(check, x).norm, x.box)
    return {"worst": float(radius / scale) if float(margin) > 0 else 0.0}


def unprovable(check: Check, system: Any, x: Examples) -> str:
    """Why nothing can be proved of the system's decisions on inputs like these, or ""."""
    if not x.labelled or not x.inputs.is_floating_point():
        return "it bounds decisions on inputs that are real numbers"
    words = ball(check, x)
    if isinstance(system, Smoothed):
        return "" if words.norm == "l2" else "smoothing proves ℓ2 balls only"
    try:
        chain = chain_of(system, x.inputs.shape[1:])
    except NoChain as reason:
        return f"no bound can be proved: {reason}"
    if chain.widest <= LARGEST:
        return ""
    return f"no bound is proved of layers of {chain.widest} values; at most {LARGEST} are tried"


def _row(check: Check, system: str, bench: Bench, x: Examples, i: int, normal: Tensor, size: float, right: bool,
         told: dict[str, float], used: list[Flag]) -> Finding:
    assert x.truth is not None
    extra = {"decision.normal": float(decision(normal)[i]), "confidence.normal": float(confidence(normal)[i]),
             "already-wrong": float(not right), "label": float(x.truth[i]), **(told if right else {})}
    return Finding(
        check=check.id, system=system, role=bench.roles[system], sample=x.ids[i], origin=system, origin_sample=x.ids[i],
        level=None, unit=check.unit, metric=check.metric, better=metrics.find(check.metric).better, normal=None,
        average=None, average_low=None, average_high=None, worst=size if right else None, size=None, control_size=None,
        controls=0, forward=1 + (int(check.search.get("draws", DRAWS)) if "votes" in told else 0), stop=Stop.CONVERGED,
        extra=extra, flags=tuple(used), notes="" if right else "wrong without any change; nothing is proved of it")
