"""An audit made of formulas, with the attributes that reports read: six samples, two systems, the research profile."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.profiles.load import load
from assay.records import Finding, Flag, Role, Stop, Verdict, digest_of
from assay.verdicts import judge_all

NETWORK, ESTABLISHED = "deep-cascade", "total-variation"
ROLES: dict[str, Role] = {NETWORK: "audited", ESTABLISHED: "established"}
# Extra error per size of change: worst found, and average of random changes.
STRENGTH = {NETWORK: (5.0, 1.2), ESTABLISHED: (1.3, 0.9)}
NORMAL = {NETWORK: 0.062, ESTABLISHED: 0.048}
HOSTILE = '<script>alert("x")</script>&../\x1b[31m\u202e'


@dataclass
class SyntheticFolder:
    """What `assay.store.AuditFolder` shows, held in memory."""

    path: Path
    header: dict[str, Any]
    rows: list[Finding]
    pictures: list[tuple[str, dict[str, np.ndarray]]]
    done: tuple[int, int] = (20, 20)
    manifest_digest: str = "ab" * 32
    skipped: tuple[dict[str, str], ...] = ()

    def findings(self) -> list[Finding]:
        return self.rows

    def exhibits(self) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        yield from self.pictures

    def verdicts(self) -> list[Verdict]:
        return judge_all(self.rows, self.header["profile"], systems=ROLES, skipped=self.skipped)


def make(path: Path, *, samples: tuple[str, ...] | None = None, network: float = 5.0, established: float = 1.3,
         side: int = 48, data_simulated: bool = True, description: str = "MNI152 brain slices, held out") -> SyntheticFolder:
    """A finished audit; `network` and `established` are the worst growths of their errors per size of change."""
    samples = samples or tuple(f"slice-{80 + 4 * i}" for i in range(6))
    profile = load("research", budget="demo")
    strength = {NETWORK: (network, min(1.2, network)), ESTABLISHED: (established, min(0.9, established))}
    rows = [f for check in profile["checks"] for sample in samples for f in _rows(check, sample, strength)]
    pictures = [(check["id"], _pictures(check, samples[:2], system, side)) for check in profile["checks"]
                if check["method"] == "worst-case" for system in ROLES]
    return SyntheticFolder(path=path, header=_header(profile, samples, data_simulated, description), rows=rows,
                           pictures=pictures)


def _jitter(*words: str) -> float:
    """A number in [0.85, 1.15] that depends on the words alone."""
    return 0.85 + 0.3 * (zlib.crc32("|".join(words).encode()) % 1000) / 999


def _rows(check: dict[str, Any], sample: str, strength: dict[str, tuple[float, float]]) -> list[Finding]:
    found = []
    if check["method"] == "preflight":
        return []
    for level in check.get("levels") or (None,):
        for system in ROLES:
            for origin in ROLES if check["method"] != "sampling" else (system,):
                found.append(_row(check, sample, level, system, origin, strength))
    return found


def _row(check: dict[str, Any], sample: str, level: float | None, system: str, origin: str,
         strength: dict[str, tuple[float, float]]) -> Finding:
    worst_rate, average_rate = strength[system]
    own, wobble = system == origin, _jitter(check["id"], sample, system)
    normal: float | None = NORMAL[system] * _jitter(sample)
    size = level or 0.0
    if check["id"] == "noise":
        worst_rate = average_rate * 1.05
    worst = (normal or 0) + size * worst_rate * wobble * (1.0 if own else 0.8)
    average: float | None = (normal or 0) + size * average_rate * wobble * 0.25
    if check["metric"] in ("detail-lost", "lipschitz-bound"):
        normal, worst, average = None, min(1.0, 0.11 * worst_rate * wobble), 0.08 * average_rate
    elif check["metric"] == "gain":
        normal, worst, average = None, 1.8 * worst_rate * wobble, 1.1 * average_rate
    elif check["id"] == "sampling":
        worst, average = (normal or 0) * (1.3 - size), (normal or 0) * (1.32 - size)
    stop = Stop.BUDGET if check["id"].startswith("tiny") else Stop.EXHAUSTED
    extra = {f"psnr.{name}": 20 * float(np.log10(4.2 / v)) for name, v in
             (("normal", normal), ("average", average), ("worst", worst)) if v} if "psnr" in check.get(
                 "extra_metrics", ()) else {}
    return Finding(
        check=check["id"], system=system, role=ROLES[system], sample=sample, origin=origin, origin_sample=sample,
        level=level, unit=check.get("unit", ""), metric=check["metric"], better="lower", normal=normal,
        average=average if own else None, average_low=average * 0.9 if own else None,
        average_high=average * 1.12 if own else None, worst=worst, size=level, control_size=level if own else None,
        controls=2 if own else 0, gain=worst_rate * wobble, forward=24, backward=12 if own else 0, stop=stop,
        extra=extra,
        witness=f"witnesses/{check['id']}.safetensors#{origin}|{sample}" if own else None)


def _header(profile: dict[str, Any], samples: tuple[str, ...], simulated: bool, description: str) -> dict[str, Any]:
    systems = [
        {"name": NETWORK, "role": "audited", "kind": "network", "description": "five cascades of five convolutions",
         "digest": "12" * 32, "access": 2, "loader": "deep-cascade", "options": {"cascades": 5, "width": 64},
         "files": {"deep_cascade.safetensors": "34" * 32}},
        {"name": ESTABLISHED, "role": "established", "kind": "classical",
         "description": "total variation, solved to convergence", "digest": "56" * 32, "access": 2,
         "loader": "total-variation", "options": {"weight": 0.002, "iterations": 150}, "files": {}}]
    data = {"id": "bundled:brain", "digest": "78" * 32, "n": len(samples), "licence": "MNI152 licence (notice bundled)",
            "simulated": simulated, "description": description,
            "operator": "Fourier samples of 33 % of the lines, 128×128, one coil", "noise": 0.01,
            "samples": {s: digest_of(s) for s in samples}, "options": {}}
    return {"format": 1, "name": f"{NETWORK} on bundled:brain", "profile": profile, "seed": 0, "systems": systems,
            "data": data, "provenance": {
                "tool_version": "0.1.0", "seed": 0, "versions": {"python": "3.11.9", "torch": "2.13.0"}, "commit": "",
                "dirty": False, "hardware": "x86_64, 2 threads", "precision": "float32"}}


def _pictures(check: dict[str, Any], samples: tuple[str, ...], origin: str, side: int) -> dict[str, np.ndarray]:
    y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    rng = np.random.default_rng(1)
    head = (1.0 * (x**2 / 0.55 + y**2 / 0.8 < 1) - 0.5 * (x**2 / 0.4 + y**2 / 0.62 < 1)
            + 0.3 * ((x - 0.2)**2 + (y + 0.1)**2 < 0.04)).clip(0)
    found = {}
    for i, sample in enumerate(samples):
        image = np.roll(head, 2 * i, 0)
        for level in check.get("levels") or ():
            ripple = np.sin(25 * x + 9 * y) * image
            key = f"{origin}|{sample}|{level:.6g}"
            found |= {f"{key}|original": image, f"{key}|changed": image + level * 0.3 * rng.normal(size=image.shape)}
            for system in ROLES:
                found[f"{key}|normal:{system}"] = image + 0.01 * rng.normal(size=image.shape)
                found[f"{key}|worst:{system}"] = np.abs(image + STRENGTH[system][0] * level * ripple)
            if check["id"] == "structure":
                found[f"{key}|detail"] = ((x + 0.3)**2 + (y - 0.2)**2) < 0.01
    return {name: a if a.dtype == bool else np.abs(a).astype(np.float16) for name, a in found.items()}


SIGNALS = ("WARNING", "CAUTION", "NOTICE", "NONE FOUND", "BOUND PROVED")
PROOF: dict[str, Any] = {
    "id": "proved-gain", "title": "Greatest gain, proved", "question": "By how much can any change be magnified?",
    "method": "certificate", "metric": "gain-bound", "sources": ["synthetic"], "noun": "forward models",
    "plain": "any change of the measured signal,",
    "criterion": {"kind": "certifies", "at_most": 3.0, "sentence": "no change is magnified more than three times"}}


def with_signal(word: str, path: Path = Path("audit")) -> SyntheticFolder:
    """The fixed audit whose findings earn this signal."""
    if word == "WARNING":
        return make(path)
    if word == "CAUTION":
        return make(path, established=5.0)                      # which fails as badly
    stable = make(path, network=1.2)
    if word == "NOTICE":
        return with_flag(stable, "not-converged", check="tiny-data", system=NETWORK)
    return stable if word == "NONE FOUND" else _proved(stable)


def _proved(folder: SyntheticFolder) -> SyntheticFolder:
    profile = {**folder.header["profile"], "headline": PROOF["id"], "checks": [*folder.header["profile"]["checks"], PROOF]}
    rows = [replace(Finding.empty(check=PROOF["id"], system=NETWORK, role="audited", sample=sample, unit="",
                                  metric=PROOF["metric"], better="lower", stop=Stop.CONVERGED),
                    worst=2.4 * _jitter(sample, "proof")) for sample in folder.header["data"]["samples"]]
    return replace(folder, header={**folder.header, "profile": profile}, rows=[*folder.rows, *rows])


def with_flag(folder: SyntheticFolder, flag: str, *, check: str, system: str) -> SyntheticFolder:
    """The same audit with a flag on every row of one check and system."""
    rows = [replace(f, flags=(Flag(id=flag, detail="seen in the test"),)) if (f.check, f.system) == (check, system)
            else f for f in folder.rows]
    return replace(folder, rows=rows)
