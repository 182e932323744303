"""Two planes at a known angle: classifiers between which changes carry over by its cosine, and points at known distances."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from assay.checks.check import Bench, Check, run_check
from assay.perturbations.protocol import Examples
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem

N, D, EPSILON = 40, 9, 0.1
CARRIED = {"kind": "transfer", "steps": 12, "climb": "margin"}
UNION = {"kind": "bounded", "steps": 10, "restarts": 1, "climbs": ["margin"], "query": 0, "transfer": 12}


class Plane(nn.Module):
    """Scores (0, 2 ⟨w, x − ½⟩): class 1 where x lies on the side of w."""

    def __init__(self, normal: Tensor) -> None:
        super().__init__()
        self.normal = nn.Parameter(normal)

    def forward(self, x: Tensor) -> Tensor:
        height = 2 * ((x.flatten(1) - 0.5) @ self.normal)
        return torch.stack([torch.zeros_like(height), height], dim=1)


class Masked(Plane):
    """The same decisions without a slope."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sign().detach() + 0 * super().forward(x)


def normals(angle: float) -> tuple[Tensor, Tensor]:
    """Two unit vectors at that angle."""
    basis = torch.linalg.qr(torch.randn(D, 2, generator=torch.Generator().manual_seed(5)))[0]
    one, two = basis[:, 0], basis[:, 1]
    return one, math.cos(angle) * one + math.sin(angle) * two


def examples(normal: Tensor) -> Examples:
    """Points at known distances from the plane of `normal`, on both sides, far from the ends of the range."""
    g = torch.Generator().manual_seed(2)
    aside = torch.randn(N, D, generator=g)
    aside = 0.05 * (aside - (aside @ normal)[:, None] * normal)
    height = torch.linspace(-0.1475, 0.1475, N)
    x = 0.5 + aside + height[:, None] * normal
    return Examples(ids=tuple(f"s{i}" for i in range(N)), inputs=x.reshape(N, 1, 3, 3), truth=(height > 0).long(),
                    box=(0.0, 1.0))


def bench(first: nn.Module | object, second: nn.Module | None, x: Examples, *, surrogate: bool = True) -> Bench:
    def metered(system: object, name: str) -> Metered:
        return Metered(TorchSystem(system, name=name) if isinstance(system, nn.Module) else system, name=name)

    others = {} if second is None else {"other": metered(second, "other")}
    judged = {"net": metered(first, "net"), **({} if surrogate else others)}
    return Bench(systems=judged, roles={"net": "audited", "other": "established"}, seed=0, families={},
                 surrogates=others if surrogate else {}, fetch=lambda positions: x)


def asked(angle: float, search: dict, *, first: type = Plane, batch: int | None = None, levels=(EPSILON,),
          second: nn.Module | None = None, controls: int = 3):
    """The check's rows of the first plane, its points' heights, and the check; changes are found on `second`."""
    one, two = normals(angle)
    x = examples(one)
    check = Check(id="carried", title="", question="", method="worst-case", metric="error-rate", sources=(), unit="ℓ2",
                  criterion={"kind": "grows", "level": EPSILON, "absolute": 0.5, "sentence": "s"}, levels=levels,
                  perturbation={"kind": "inputs", "norm": "l2", "relative": False}, search=search, controls=controls,
                  extra_metrics=("margin",))
    found = run_check(check, "net", bench(first(one), second or Plane(two), x), x, batch=batch)
    height = ((x.inputs.flatten(1) - 0.5).double() @ one.double())
    return found, height, check
