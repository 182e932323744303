"""A classifier whose every answer is known: three classes, linear, 6×6 images within (0, 1); and a cheap audit of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import assay
from assay.checks.catalogue import METHODS
from assay.checks.check import Bench, Check, UnitResult, run_check
from assay.datasets.labelled import LabelledImages, load_labelled
from assay.perturbations.protocol import Examples
from assay.records import Finding
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem

N, WRONG, CLASSES = 24, 3, 3        # the last WRONG samples carry another label than the classifier's decision
PROFILE = """
id = "small"
task = "classification"
title = "Small"
community = "research"
version = "0.1"
rate = 0.05
headline = "tiny-energy"
not_tested = ["Everything else"]
actions = ["Look at the numbers."]

[[checks]]
id = "preflight"
title = "Preflight"
question = "Can the system be judged at all?"
method = "preflight"
metric = "error-rate"
sources = ["a test"]
criterion = {{ kind = "reaches", threshold = 1e9, sentence = "flags only" }}

[[checks]]
id = "tiny-energy"
title = "Tiny change"
question = "How many decisions turn wrong?"
method = "worst-case"
perturbation = {{ kind = "inputs", norm = "l2", relative = false }}
unit = "ℓ2"
levels = [{low!r}, {level!r}]
search = {{ kind = "bounded", steps = 12, restarts = 1, climbs = ["log-odds", "margin"], query = 20 }}
metric = "error-rate"
extra_metrics = ["decision", "confidence"]
controls = 2
sources = ["a test"]
criterion = {{ kind = "grows", level = {level!r}, absolute = 0.5, sentence = "a right decision became wrong" }}

[[checks]]
id = "smallest-flip"
title = "Smallest flip"
question = "How small is the smallest change that flips?"
method = "smallest-change"
perturbation = {{ kind = "inputs", norm = "l2" }}
unit = "relative ℓ2"
search = {{ kind = "smallest", refine_steps = 10, check_steps = 5, restarts = 1 }}
metric = "flip-distance-l2"
controls = 3
sources = ["a test"]
criterion = {{ kind = "flips-within", within = {within!r}, over_random = 1.0, sentence = "a small change flipped it" }}

[[checks]]
id = "boundary"
title = "Geometry of the boundary"
question = "Is the boundary flat?"
method = "boundary"
unit = "dimensions of the random subspace"
levels = [1, 6]
search = {{ kind = "subspaces", refine_steps = 10, check_steps = 0, restarts = 0 }}
needs = "GRADIENT"
metric = "boundary-ratio"
controls = 5
sources = ["a test"]
criterion = {{ kind = "measures", level = 6, sentence = "nothing is called harm" }}
"""


class Linear(nn.Module):
    """W x + b, with attributes that a test may spoil."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(36, CLASSES)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.linear.weight.copy_(torch.randn(CLASSES, 36, generator=generator))
            self.linear.bias.copy_(-0.5 * self.linear.weight.sum(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.spoiled(x, self.linear(x.flatten(1)))

    def spoiled(self, x: Tensor, scores: Tensor) -> Tensor:
        return scores


def images() -> tuple[Tensor, Tensor]:
    """Images around mid-grey, far from both ends of the range, and the labels: the decision, but for the last few."""
    x = 0.5 + 0.08 * torch.randn(N, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    label = Linear()(x).argmax(1)
    label[-WRONG:] = (label[-WRONG:] + 1) % CLASSES
    return x, label


def distances() -> Tensor:
    """ℓ2 distance (N,) to the nearest of the planes around each decision, in double precision: the closed form."""
    x, _ = images()
    w, b = Linear().linear.weight.detach().double(), Linear().linear.bias.detach().double()
    scores = x.flatten(1).double() @ w.T + b
    decision = scores.argmax(1)
    gap = scores.amax(1, keepdim=True) - scores
    return torch.where(gap > 0, gap / (w[None] - w[decision][:, None]).norm(dim=2), torch.inf).amin(1)


def radius() -> float:
    """A radius that splits the distances in two and lies at least 3 % from each."""
    known = distances()[:-WRONG].sort().values
    middle = slice(len(known) // 3, 2 * len(known) // 3)
    step = (known[1:] / known[:-1])[middle].argmax() + middle.start
    assert float(known[step + 1] / known[step]) > 1.06
    return float((known[step] * known[step + 1]).sqrt())


def data(folder: Path) -> LabelledImages:
    x, label = images()
    np.savez(folder / "data.npz", images=x[:, 0].numpy(), labels=label.numpy())
    return load_labelled(folder / "data.npz")


def examples() -> Examples:
    x, label = images()
    return Examples(ids=tuple(f"s{i}" for i in range(N)), inputs=x, truth=label, box=(0.0, 1.0))


def profile(folder: Path) -> str:
    path = folder / "small.toml"
    path.write_text(PROFILE.format(low=round(radius() / 2, 6), level=round(radius(), 6), within=0.05), encoding="utf-8")
    return str(path)


def audited(system: Any, folder: Path, **options: Any) -> assay.Audit:
    """The small audit, end to end: report and label written."""
    return assay.audit(system, data(folder), profile=profile(folder), established=("none",), out=folder / "audit", **options)


def bench(system: Any = None) -> Bench:
    """A bench with one system, called "net"."""
    target = system if system is not None else TorchSystem(Linear(), name="net")
    return Bench(systems={"net": Metered(target, name="net")}, roles={"net": "audited"}, seed=0, families={"net": target},
                 fetch=lambda positions: examples())


def ask(system: Any = None, *, x: Examples | None = None, **changes: Any) -> UnitResult:
    """One check of one system, without an audit around it; `changes` are those of the check."""
    asked: dict[str, Any] = {"id": "asked", "title": "", "question": "", "metric": "error-rate", "criterion": {},
                             "sources": (), "perturbation": {"kind": "inputs", "norm": "l2"}, **changes}
    assert asked["method"] in METHODS
    return run_check(Check(**asked), "net", bench(system), examples() if x is None else x)


def rows(audit: assay.Audit, check: str) -> list[Finding]:
    return [f for f in audit.store.findings() if f.check == check]
