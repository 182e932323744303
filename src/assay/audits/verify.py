"""Checking somebody's claim: hashes, label, expiry, model, then replaying the witnesses through the system. No search."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from assay.audits.prepare import session_from
from assay.audits.session import Session
from assay.checks.check import Bench, Check
from assay.metrics import protocol as metrics
from assay.metrics.protocol import Response
from assay.numerics.norms import norm
from assay.perturbations import registry
from assay.perturbations.protocol import Examples
from assay.records import Finding
from assay.searches.power_iteration import linearised
from assay.store import AuditFolder, StoreError, witness_key

TOLERANCE = 2e-3            # declared: float32, other thread counts and other processors move the last digits
PER_CHECK = 8               # rows replayed per check and system, the most harmful first


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that was checked."""

    claim: str
    holds: bool
    detail: str


def verify(folder: AuditFolder, *, label: dict[str, Any] | None = None, replay: bool = True, everything: bool = False,
           now: datetime | None = None, watch: Callable[[Claim], None] | None = None) -> list[Claim]:
    """Every claim of the folder (and of the label beside it), checked in order; stops after broken hashes."""
    claims: list[Claim] = []

    def say(claim: str, holds: bool, detail: str) -> bool:
        claims.append(Claim(claim=claim, holds=holds, detail=detail))
        if watch is not None:
            watch(claims[-1])
        return holds

    if not _hashes(folder, say):
        return claims
    if label is not None and not _label(folder, label, now or datetime.now(UTC), say):
        return claims
    if replay:
        _replay_all(folder, everything, say)
    return claims


def _hashes(folder: AuditFolder, say: Callable[[str, bool, str], bool]) -> bool:
    expected, found = folder.manifest, folder.hash_files()
    broken = [f"{name}: bytes differ" for name in expected if name in found and found[name] != expected[name]]
    broken += [f"{name}: missing" for name in expected if name not in found]
    broken += [f"{name}: not in the manifest" for name in found if name not in expected]
    return say("files are those of the manifest", not broken, "; ".join(broken[:3]) or f"{len(found)} files")


def _label(folder: AuditFolder, label: dict[str, Any], now: datetime, say: Callable[[str, bool, str], bool]) -> bool:
    digest = label["provenance"]["audit_digest"]
    carried = digest["sha256"] if isinstance(digest, dict) else digest
    good = say("the label belongs to this audit", carried == folder.manifest_digest,
               f"manifest {folder.manifest_digest[:16]}…")
    until = datetime.fromisoformat(label["valid_until"].replace("Z", "+00:00"))
    return say("the label has not expired", now <= until, f"valid until {until:%Y-%m-%d}") and good


def _replay_all(folder: AuditFolder, everything: bool, say: Callable[[str, bool, str], bool]) -> None:
    header = folder.header
    if not header.get("recipe"):
        say("the system can be built again", False, "it was audited from memory; call assay.verify with the system")
        return
    session = session_from(header["recipe"])
    digests = {r["name"]: r["digest"] for r in header["systems"]}
    for loaded in session.systems:
        name = loaded.record.name
        say(f"{name} is the system that was audited", loaded.record.digest == digests.get(name),
            f"sha256 {loaded.record.digest[:16]}…")
    if not say("the data are those that were audited", session.data.record.digest == header["data"]["digest"],
               f"sha256 {session.data.record.digest[:16]}…"):
        return
    start, count, wrong = time.perf_counter(), 0, []
    for finding, numbers in replays(folder, session, everything=everything):
        count += 1
        for field, value in numbers.items():
            recorded = getattr(finding, field)
            if recorded is None or not abs(value - recorded) <= TOLERANCE * max(abs(recorded), 1e-6):
                wrong.append(f"{finding.check}, {finding.system}, {finding.sample}: {field} recorded {recorded}, "
                             f"replayed {value:.6g}")
        if finding.level is not None and numbers.get("size", 0.0) > finding.level * (1 + TOLERANCE):
            wrong.append(f"{finding.check}, {finding.system}, {finding.sample}: a witness of size {numbers['size']:.6g} "
                         f"at level {finding.level:g}")
    say("replayed witnesses give the recorded numbers", not wrong,
        "; ".join(wrong[:3]) or f"{count} numbers in {time.perf_counter() - start:.1f} s")


def replays(folder: AuditFolder, session: Session, *, everything: bool = False,
            ) -> Iterator[tuple[Finding, dict[str, float]]]:
    """Each chosen row beside its numbers recomputed from the stored perturbation."""
    bench, checks = session.bench(), session.checks()
    stored = {(check, name): value for check, tensors in folder.witnesses() for name, value in tensors.items()}
    position = {sample: i for i, sample in enumerate(session.data.ids)}
    for row in _chosen(folder.findings(), everything):
        p = stored.get((row.check, witness_key(vars(row))))
        if p is None or row.sample not in position:
            raise StoreError(f"finding {row.check}, {row.sample}: its witness is missing from the folder")
        x = session.data.fetch((position[row.sample],))
        yield row, _numbers(checks[row.check], row, bench, x, torch.from_numpy(p.copy())[None])


def _chosen(findings: list[Finding], everything: bool) -> list[Finding]:
    """Rows with a witness; unless `everything`, the most harmful few of each check, system and origin."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for row in findings:
        if row.witness is not None and row.worst is not None:
            groups.setdefault((row.check, row.system, row.origin), []).append(row)
    sign = {"lower": -1.0, "higher": 1.0}
    return [row for group in groups.values()
            for row in sorted(group, key=lambda r: sign[r.better] * (r.worst or 0.0))
            [: None if everything else PER_CHECK]]


def _numbers(check: Check, row: Finding, bench: Bench, x: Examples, p: Tensor) -> dict[str, float]:
    """The row's `worst`, `size` and `normal` at the stored perturbation, by one evaluation of the system each."""
    target, metric = bench.systems[row.system], metrics.find(check.metric)
    if check.method == "local-gain":
        apply, _ = linearised(target, x.inputs)
        return {"worst": float(norm(apply(p / norm(p))))}
    within = registry.build(check.perturbation, row.level or 0.0, x)
    with torch.no_grad():
        changed, normal = within.apply(x, p), target(x.inputs)
        response = Response(output=target(changed.inputs), changed=changed, normal=normal, original=x)
        found = {"worst": float(metric.compute(response)), "size": float(within.size(x, p))}
        if metric.has_normal:
            found["normal"] = float(metric.compute(Response(output=normal, changed=x, normal=normal, original=x)))
        return found


