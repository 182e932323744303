"""Are the rows that an audit counts apart, as decided wrongly without any change, those that its systems decide wrongly?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.audits.session import Session
from assay.checks.check import PER_CLASS, Bench
from assay.metrics import protocol as metrics
from assay.metrics.classification import wrong
from assay.perturbations.protocol import Examples
from assay.records import Finding
from assay.verdicts.criteria import apart

NEAR = 1e-4             # of the greatest score: two that lie nearer may change places on another processor
BATCH = 64
OUTSIDE = PER_CLASS     # methods whose rows are of classes, not of samples


@dataclass(frozen=True, kw_only=True)
class Unchanged:
    """What one system decides of the audited samples as they are, by sample: whether wrongly, and which are close."""

    wrongly: dict[str, bool]
    near: frozenset[str]


def counted_apart_wrongly(findings: Sequence[Finding], session: Session, bench: Bench) -> tuple[int, list[str]]:
    """How many rows say whether their sample was decided rightly without change, and which of them say it falsely.

    A row that is counted apart is judged by nothing, so that harm could be hidden behind one word. Also told are rows that
    leave the word out where other rows of their check and system have it, and labels that are not those of the data.
    """
    checks, told = session.checks(), [f for f in findings if "already-wrong" in f.extra]
    if not told or not session.data.fetch((0,)).labelled:
        return 0, [f"{f.check}, {f.system}, {f.sample}: nothing is decided wrongly in these data" for f in told if apart(f)]
    known: dict[str, Unchanged] = {}
    asked = {(f.check, f.system) for f in told}
    judged = {name for name, c in checks.items() if c.method not in OUTSIDE and not metrics.find(c.metric).of_all}
    rows = [f for f in findings if (f.check, f.system) in asked and f.check in judged and f.origin == f.system]
    position = {sample: i for i, sample in enumerate(session.data.ids)}
    wanted = sorted({position[f.sample] for f in rows if f.sample in position})
    labels: dict[str, int] = {}
    found = [f"{f.check}, {f.system}, {f.sample}: its check counts nothing apart" for f in told
             if f.check not in judged or f.origin != f.system]
    for row in rows:
        if row.sample not in position:
            found.append(f"{row.check}, {row.system}, {row.sample}: no sample of the data")
            continue
        if row.system not in known:
            known[row.system] = _unchanged(bench, row.system, wanted, labels)
        line = _differing(row, known[row.system], labels)
        found += [f"{row.check}, {row.system}, {row.sample}: {line}"] if line else []
    return len(rows), found


def _differing(row: Finding, known: Unchanged, labels: dict[str, int]) -> str:
    if "already-wrong" not in row.extra:
        return "" if row.worst is None else "it does not say whether it was wrong without change"
    if row.extra.get("label", labels[row.sample]) != labels[row.sample]:
        return f"its label is {labels[row.sample]}, not {row.extra['label']:g}"
    if row.sample in known.near or apart(row) is known.wrongly[row.sample]:
        return ""
    decided = "wrongly" if known.wrongly[row.sample] else "rightly"
    return f"it was decided {decided} without change, and the row says otherwise"


def _unchanged(bench: Bench, system: str, wanted: Sequence[int], labels: dict[str, int]) -> Unchanged:
    wrongly: dict[str, bool] = {}
    near: set[str] = set()
    for x, scores in _scored(bench, system, wanted):
        assert x.truth is not None
        labels |= dict(zip(x.ids, x.truth.tolist(), strict=True))
        mistaken = [False] * len(x) if scores is None else wrong(scores, x.truth).bool().tolist()
        wrongly |= dict(zip(x.ids, mistaken, strict=True))
        close = [True] * len(x) if scores is None else _close(scores).tolist()
        near |= {sample for sample, is_near in zip(x.ids, close, strict=True) if is_near}
    return Unchanged(wrongly=wrongly, near=frozenset(near))


def _scored(bench: Bench, system: str, wanted: Sequence[int]) -> Iterator[tuple[Examples, Tensor | None]]:
    """Batches of samples with the system's scores; one by one where it refuses a batch, None where it refuses the sample."""
    for start in range(0, len(wanted), BATCH):
        here = tuple(wanted[start: start + BATCH])
        for positions in (here, *((i,) for i in here)):
            x = bench.fetch(positions)
            try:
                with torch.no_grad():
                    scores = bench.systems[system](x.inputs)
            except Exception:               # as in the audit: a system's own failure on a sample is a row that says so
                if len(positions) == 1:
                    yield x, None
                continue
            yield x, scores
            if len(positions) == len(here):
                break


def _close(scores: Tensor) -> Tensor:
    if scores.shape[1] < 2:
        return torch.zeros(len(scores), dtype=torch.bool)
    first, second = scores.double().topk(2, dim=1).values.unbind(1)
    return ~(first - second > NEAR * scores.double().abs().amax(1))
