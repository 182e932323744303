"""How bad the worst of very many random uses would be, extrapolated from the losses of the draws that were made.

An estimate, never a verdict: it continues the tail of what chance did, and says nothing of an adversary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.numerics.extremes import Refusal, Tail, peaks_over_threshold
from assay.records import Finding, Verdict
from assay.reports.comparison import Comparison, rows_of
from assay.reports.wording import amount, significant
from assay.verdicts import apart

USES = 1e6
DRAWS = "margin.random."        # in a row's `extra`: the lead of the best wrong class at each random change
RESAMPLES, SEED = 100, 0        # of whole samples, since the draws of one sample hang together


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """The lead of the best wrong class exceeded once in `uses` random changes of rightly decided samples.

    `level` is positive where a wrong decision is to be expected among them; `low` and `high` are its 95 % interval by
    resampling samples; `wrong` is the share of uses extrapolated to be wrong, `counted` that of the draws made. `refused`
    says why there are no numbers.
    """

    check: str
    title: str
    system: str
    samples: int
    draws: int
    counted: float
    tail: Tail | None = None
    level: float | None = None
    low: float | None = None
    high: float | None = None
    wrong: float | None = None
    uses: float = USES
    refused: str = ""

    @property
    def sentence(self) -> str:
        """What is told."""
        made = f"{self.draws} random changes of {self.samples} rightly decided samples"
        if self.tail is None or self.level is None or self.low is None or self.high is None:
            return f"No extrapolation: {self.refused} (of {made})."
        expected = ("a wrong decision is to be expected" if self.low > 0 else "the decision is still expected to be right"
                    if self.high <= 0 else "it cannot be told whether a decision turns wrong")
        often = "" if self.wrong is None else (
            f"; about {amount(self.wrong, 'share')} of uses would turn wrong" if self.wrong > 0
            else "; the fitted tail ends before a wrong decision")
        return (f"In the worst of {USES:,.0f} such uses {expected}: the lead of the best wrong class would be "
                f"{significant(self.level)} (95 % interval {significant(self.low)} to {significant(self.high)}, in units of "
                f"the scores){often}. Fitted to the {self.tail.exceedances} largest of {made} (shape "
                f"{significant(self.tail.shape)}, distance of Kolmogorov and Smirnov {significant(self.tail.distance)}).")


def extrapolations(rows: Sequence[Comparison], findings: Sequence[Finding]) -> list[Extrapolation]:
    """One for each check whose rows hold the losses of their draws, of the audited system and the established method."""
    return [found for row in rows for verdict in (row.audited, row.established) if verdict is not None
            if (found := _of(row.title, verdict, rows_of(findings, verdict))) is not None]


def _of(title: str, verdict: Verdict, own: Sequence[Finding]) -> Extrapolation | None:
    level = max((f.level for f in own if f.level is not None), default=None)
    drawn: dict[str, list[float]] = {}
    for f in own:
        losses = [v for name, v in f.extra.items() if name.startswith(DRAWS)]
        if losses and f.level == level and f.extra.get("margin.normal", -1.0) < 0 and not apart(f):
            drawn.setdefault(f.sample, []).extend(losses)
    if not drawn:
        return None
    groups = [np.asarray(values) for values in drawn.values()]
    pooled = np.concatenate(groups)
    known: dict[str, Any] = {"check": verdict.check, "title": title, "system": verdict.system, "samples": len(groups),
                             "draws": len(pooled), "counted": float((pooled > 0).mean())}
    tail = peaks_over_threshold(pooled.tolist())
    if isinstance(tail, Refusal):
        return Extrapolation(**known, refused=tail.reason)
    generator, levels = np.random.default_rng(SEED), []
    for _ in range(RESAMPLES):
        again = peaks_over_threshold(np.concatenate(
            [groups[i] for i in generator.integers(len(groups), size=len(groups))]).tolist())
        levels.append(math.inf if isinstance(again, Refusal) else again.level(USES))
    low, high = np.quantile(levels, [0.025, 0.975], method="inverted_cdf")
    if not math.isfinite(high):
        return Extrapolation(**known, refused="fitted to other samples of the same kind the tail is too heavy or too short, "
                                              "so its end is not known")
    return Extrapolation(**known, tail=tail, level=tail.level(USES), low=float(low), high=float(high),
                         wrong=tail.share_beyond(0.0) if tail.threshold < 0 else None)


def data(found: Extrapolation) -> Mapping[str, Any]:
    """The same for `--format json`."""
    return {"check": found.check, "system": found.system, "samples": found.samples, "draws": found.draws,
            "uses": found.uses, "level": found.level, "ci95": None if found.level is None else [found.low, found.high],
            "wrong_counted": found.counted, "wrong_extrapolated": found.wrong,
            "shape": None if found.tail is None else found.tail.shape,
            "exceedances": None if found.tail is None else found.tail.exceedances,
            "ks_distance": None if found.tail is None else found.tail.distance, "refused": found.refused}
