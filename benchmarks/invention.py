"""How often the check `hallucination` fires where nothing is invented, and where something is: 100 audits of each kind.

Images of 60 values are seen through 20 of them; reconstructions are written down, so that what each of them does in the
kernel is known. Run: python benchmarks/invention.py
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from assay.checks import hallucination  # noqa: F401 - registers the method
from assay.checks.asked_once import asked_positions
from assay.checks.check import Bench, Check, run_check
from assay.operators.algebra import Matrix
from assay.perturbations.protocol import Examples, stream
from assay.profiles.load import load
from assay.records import Outcome
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from assay.verdicts import judge

SIZE, SEEN = 60, 20
A = Matrix(torch.eye(SEEN, SIZE, dtype=torch.float64))      # what it cannot see are the values after the first SEEN
ITEM = next(c for c in load("research", task="reconstruction")["checks"] if c["id"] == "hallucination")
CHECK = Check(**{f.name: ITEM[f.name] for f in dataclasses.fields(Check) if f.name in ITEM})


def draw(*words: object) -> Callable[..., Tensor]:
    g = stream(*words)
    return lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=g)


def contraction(v: Tensor, normal: Callable[..., Tensor]) -> Tensor:
    """S v, 0 ≤ S ≤ 1, of random directions and values."""
    q, _ = torch.linalg.qr(normal(v.shape[1], v.shape[1]))
    return v @ (q * normal(v.shape[1]).sigmoid()) @ q.T


KINDS: dict[str, Callable[[Tensor, Callable[..., Tensor], Tensor], Tensor]] = {         # (v, normal, mean of v) → w
    "filled with 0": lambda v, normal, m: 0 * v,
    "half of it": lambda v, normal, m: v / 2,
    "a contraction": lambda v, normal, m: contraction(v, normal),
    "soft threshold": lambda v, normal, m: v.sign() * (v.abs() - 0.5).clamp_min(0),
    "exact": lambda v, normal, m: v,
    "exact, with scatter": lambda v, normal, m: v + 0.5 * normal(*v.shape),
    "soft threshold, with scatter": lambda v, normal, m: v.sign() * (v.abs() - 0.3).clamp_min(0) + 0.3 * normal(*v.shape),
    "content of one sign left out": lambda v, normal, m: v.clamp_min(0),
    "the same, with scatter": lambda v, normal, m: v.clamp_min(0) + 0.5 * normal(*v.shape),
    "the mean of all such images": lambda v, normal, m: m.expand_as(v),
}


def fires(kind: str, n: int, planted: float, seed: int, *, skewed: bool = False, rare: bool = False) -> tuple[bool, float]:
    """Whether the verdict is "unstable", and the share of rows that count; `planted` is a share of the mean ‖v‖.

    `rare`: each hidden value is −1, or 9 in a tenth of the places.
    """
    normal = draw("invention", kind, n, seed, skewed, *(["rare"] * rare))
    middle = normal(SIZE)
    x = middle + normal(n, SIZE)
    if skewed:                                              # brightness differs between images by a factor of e^(0.8 z)
        x = x * (0.8 * normal(n, 1)).exp() / 1.377          # of mean 1
    if rare:
        x[:, SEEN:] = torch.where(normal(n, SIZE - SEEN) > 1.2816, 9.0, -1.0).double()
        middle = torch.zeros_like(middle)                   # −1 · 0.9 + 9 · 0.1
    v, w = x[:, SEEN:], KINDS[kind](x[:, SEEN:], normal, middle[SEEN:])
    d = normal(SIZE - SEEN)
    image = torch.cat([x[:, :SEEN], w + planted * v.norm(dim=1).mean() * d / d.norm()], 1)

    def fetch(positions: Sequence[int]) -> Examples:
        some = x[list(positions)]
        return Examples(ids=tuple(map(str, positions)), inputs=A.forward(some), truth=some, operator=A)

    system = FunctionSystem(lambda y: image[torch.cdist(y, x[:, :SEEN]).argmin(1)])
    bench = Bench(systems={"net": Metered(system, name="net")}, roles={"net": "audited"}, seed=seed, families={},
                  fetch=fetch, count=n)
    rows = run_check(CHECK, "net", bench, fetch(asked_positions(CHECK, n, labelled=False))).findings
    verdict = judge(rows, ITEM, "net", role="audited")
    return verdict.outcome is Outcome.UNSTABLE, verdict.harmed / verdict.n


def main(audits: int = 100) -> None:
    torch.set_num_threads(1)
    print(f"unstable verdicts of {audits} audits (mean share of images that count, of those)")
    print(f"{'what is done in the kernel':30}" + "".join(f"{text:>22}" for text in (
        "16 images", "40 images", "40, skewed", "40, rare", "16, planted ½", "40, planted ½", "40, planted 1")))
    for kind in KINDS:
        cells = []
        for n, planted, content in ((16, 0.0, ""), (40, 0.0, ""), (40, 0.0, "skewed"), (40, 0.0, "rare"), (16, 0.5, ""),
                                    (40, 0.5, ""), (40, 1.0, "")):
            asked = [fires(kind, n, planted, seed, skewed=content == "skewed", rare=content == "rare")
                     for seed in range(audits)]
            found = [share for fired, share in asked if fired]
            mean = f" ({100 * sum(found) / len(found):.0f} %)" if found else ""
            cells.append(f"{len(found)}{mean}")
        print(f"{kind:30}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
