"""Average, noise, probabilistic and worst-case risk of a decision, and the gaps between them, from rows alone.

With L = 1 where the decision is wrong, B(x) the changes that a check allows and μ_x its random changes of the same size:

    R = E L(x)      R_μ = E_x E_{x' ~ μ_x} L(x')      R_ρ = E 1{P_{μ_x}(L = 1) > ρ}      R_adv = E sup_{x' in B(x)} L(x')

All samples count, those decided wrongly without any change as well. A search gives a lower bound of R_adv, and only a
certificate an upper one.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.numerics.intervals import clopper_pearson, mean_interval, samples_needed, upper_bound_at_zero
from assay.records import Finding, Verdict
from assay.reports.comparison import Comparison, Estimate, rows_of
from assay.verdicts import apart

RHO = 0.01              # of a sample's random changes: beyond this share it counts in R_ρ
CONTAINING = frozenset({"affine", "added-sound", "codes", "field-ball", "fields", "inputs", "mistyped",
                        "substitutions"})   # sets that hold the unchanged input, so that the worst is never better than it


@dataclass(frozen=True, kw_only=True)
class Risks:
    """The risks of one system under one check. `least` and `most` bound R_ρ as far as `draws` draws can tell.

    `resolution` is the greatest share of wrong random changes that so many draws without one leave possible (95 %), and
    `needed` how many draws would bring it down to ρ.
    """

    check: str
    title: str
    system: str
    level: float | None
    unit: str
    draws: int
    average: Estimate           # R
    noise: Estimate             # R_μ
    probabilistic: float | None
    least: float | None
    most: float | None
    worst: Estimate             # R_adv, from below
    ceiling: float | None       # R_adv of these samples, from above; None where a certificate is missing for one of them
    adversary: Estimate         # R_adv − R
    chance: Estimate            # R_μ − R
    between: Estimate           # R_adv − R_μ
    resolution: float | None
    rho: float = RHO

    @property
    def needed(self) -> int:
        return samples_needed(self.rho)


def risks(rows: Sequence[Comparison], findings: Sequence[Finding]) -> list[Risks]:
    """The risks of every bounded check of decisions, of the audited system and of the established method beside it."""
    return [found for row in rows if row.check.get("method") == "worst-case" and row.audited.metric == "error-rate"
            for verdict in (row.audited, row.established) if verdict is not None
            if (found := _of(row.check, row.title, verdict, rows_of(findings, verdict), findings)) is not None]


def _of(check: Mapping[str, Any], title: str, verdict: Verdict, own: Sequence[Finding],
        findings: Sequence[Finding]) -> Risks | None:
    told = [f for f in own if f.normal is not None and f.worst is not None and f.origin_sample == f.sample]
    level = max((f.level for f in told if f.level is not None), default=None)
    told = [f for f in told if f.level == level]
    if not told:
        return None
    holds = check.get("perturbation", {}).get("kind") in CONTAINING
    normal = [f.normal or 0.0 for f in told]
    worst = [max(f.worst or 0.0, f.normal or 0.0) if holds else f.worst or 0.0 for f in told]
    drawn = [f for f in told if f.average is not None and f.controls]
    noise, without = [f.average or 0.0 for f in drawn], [f.normal or 0.0 for f in drawn]
    under = [w for w, f in zip(worst, told, strict=True) if f.average is not None and f.controls]
    draws = min((f.controls for f in drawn), default=0)
    ends = [clopper_pearson(round((f.average or 0.0) * f.controls), f.controls) for f in drawn]
    return Risks(
        check=verdict.check, title=title, system=verdict.system, level=level, unit=verdict.unit, draws=draws,
        average=_estimate(normal), noise=_estimate(noise), worst=_estimate(worst),
        ceiling=_ceiling(told, level, findings),
        probabilistic=statistics.fmean(p > RHO for p in noise) if drawn else None,
        least=statistics.fmean(low > RHO for low, _ in ends) if drawn else None,
        most=statistics.fmean(high > RHO for _, high in ends) if drawn else None,
        adversary=_difference(worst, normal), chance=_difference(noise, without), between=_difference(under, noise),
        resolution=upper_bound_at_zero(draws) if draws else None)


def _ceiling(told: Sequence[Finding], level: float | None, findings: Sequence[Finding]) -> float | None:
    """The share of the samples that are wrong, or not proved to hold at the level: no search can find more."""
    held = {f.sample: (f.worst or 0.0) if not apart(f) else 0.0 for f in findings if f.metric == "certified-radius"
            and f.system == told[0].system and f.unit == told[0].unit}
    if level is None or not {f.sample for f in told} <= held.keys():
        return None
    return statistics.fmean(held[f.sample] < level or f.normal == 1 for f in told)


def _estimate(values: Sequence[float]) -> Estimate:
    if not values:
        return Estimate(value=None, low=None, high=None, n=0)
    low, high = mean_interval(values) if len(values) > 1 else (None, None)
    return Estimate(value=statistics.fmean(values), low=low, high=None if high is None else min(high, 1.0), n=len(values))


def _difference(more: Sequence[float], less: Sequence[float]) -> Estimate:
    """The mean of paired differences, each of the same sample: an interval of the difference, not of two means."""
    return _estimate([a - b for a, b in zip(more, less, strict=True)])


def data(found: Risks) -> dict[str, Any]:
    """The same for `--format json`."""
    def told(estimate: Estimate) -> dict[str, Any]:
        return {"value": estimate.value, "ci95": None if estimate.low is None else [estimate.low, estimate.high]}

    return {"check": found.check, "system": found.system, "level": found.level, "unit": found.unit, "n": found.average.n,
            "average": told(found.average), "noise": told(found.noise), "draws": found.draws,
            "probabilistic": {"rho": found.rho, "value": found.probabilistic, "least": found.least, "most": found.most,
                              "resolution": found.resolution, "draws_needed": found.needed},
            "worst_found": told(found.worst), "worst_at_most": found.ceiling,
            "gaps": {"worst_minus_average": told(found.adversary), "noise_minus_average": told(found.chance),
                     "worst_minus_noise": told(found.between)}}
