"""The established methods as systems: total variation, wavelet ℓ1, Tikhonov, zero-filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.operators.fourier import MaskedFourier
from assay.operators.protocol import LinearOperator
from assay.operators.spectral_norm import operator_norm
from assay.operators.wavelet import Wavelet
from assay.records import Access
from assay.solvers import linear, primal_dual, wavelet_l1
from assay.solvers.result import Solution
from assay.solvers.total_variation import total_variation
from assay.systems.protocol import SystemFamily

FURTHER = 6                     # steps beyond the candidates: a factor of 729

Solver = Callable[[Tensor], Solution]


@dataclass(frozen=True, eq=False)
class BoundMethod:
    """A method with its forward model: `solve(y)` says why it stopped, calling it gives the image alone.

    `linear` where the image is W y + b, so that the gain has a greatest value that can be written out.
    """

    name: str
    solver: Solver
    access: Access = Access.GRADIENT
    linear: bool = False

    def solve(self, inputs: Tensor) -> Solution:
        with torch.no_grad():
            return self.solver(inputs)

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.solver(inputs).x


@dataclass(frozen=True)
class _Method:
    """What the methods share: they are classical, differentiable, and known by their settings."""

    name: ClassVar[str]
    kind: ClassVar[str] = "classical"
    access: ClassVar[Access] = Access.GRADIENT
    one_operator: ClassVar[bool] = False

    @property
    def settings(self) -> Mapping[str, Any]:
        return asdict(self)

    def weight_unit(self, operator: LinearOperator, inputs: Tensor) -> float:
        """What a weight is a multiple of: the median over the data of max|Aᴴy|.

        With A → cA, y → csy the minimiser of ½‖Ax − y‖² + λ·seminorm(x) is s times the old one for λ → c²sλ, and
        max|Aᴴy| grows by c²s too: so a weight in this unit means the same for every unit of data and image.
        """
        return float(operator.adjoint(inputs).abs().flatten(1).amax(1).median())


@dataclass(frozen=True)
class TotalVariation(_Method):
    """Total variation, min ½‖Ax − y‖² + λ‖∇x‖₂,₁ (Rudin, Osher and Fatemi 1992)."""

    weight: float = 2e-3
    iterations: int = 400
    tolerance: float = 3e-4
    isotropic: bool = True
    name: ClassVar[str] = "total-variation"

    def bind(self, operator: LinearOperator) -> BoundMethod:
        if isinstance(operator, MaskedFourier) and operator.maps is None:
            return BoundMethod(self.name, lambda y: total_variation(
                y, operator, weight=self.weight, iterations=self.iterations, tolerance=self.tolerance,
                isotropic=self.isotropic))
        if not self.isotropic:
            raise InputError("anisotropic total variation is solved for one coil without maps; use the isotropic form")
        # the residual is another one: ten times the tolerance leaves either solver within 0.1 % of the minimiser
        return BoundMethod(self.name, lambda y: primal_dual.total_variation_primal_dual(
            y, operator, weight=self.weight, iterations=max(self.iterations, 600), tolerance=10 * self.tolerance))


@dataclass(frozen=True)
class WaveletL1(_Method):
    """Wavelet ℓ1: LASSO min ½‖Ax − y‖² + λ‖Wx‖₁, or constrained min ‖Wx‖₁ s.t. ‖Ax − y‖ ≤ η‖y‖."""

    weight: float = 2e-3
    family: str = "db4"
    levels: int = 4
    form: Literal["lasso", "constrained"] = "lasso"
    iterations: int = 600
    tolerance: float = 3e-5         # at 3e-4 a search finds data-space gains of 1.002, above the 1 of the minimiser
    name: ClassVar[str] = "wavelet"

    def weight_unit(self, operator: LinearOperator, inputs: Tensor) -> float:
        return 1.0 if self.form == "constrained" else super().weight_unit(operator, inputs)      # η is relative already

    def bind(self, operator: LinearOperator) -> BoundMethod:
        wavelet = Wavelet(domain=operator.domain, family=self.family, levels=self.levels)
        if self.form == "lasso":
            top = operator_norm(operator)
            return BoundMethod(self.name, lambda y: wavelet_l1.lasso(
                y, operator, wavelet, weight=self.weight, iterations=self.iterations, tolerance=self.tolerance,
                norm_bound=top if top == 1.0 else 1.01 * top))
        if not isinstance(operator, MaskedFourier) or operator.maps is not None:
            raise InputError("the constrained form needs an operator with orthonormal rows (one coil, no maps)")
        return BoundMethod(self.name, lambda y: wavelet_l1.constrained(
            y, operator, wavelet, noise=self.weight, iterations=self.iterations, tolerance=self.tolerance))


@dataclass(frozen=True)
class Tikhonov(_Method):
    """Tikhonov, (AᴴA + λ)⁻¹Aᴴy: linear, so its worst gain is known exactly."""

    weight: float = 1e-2
    name: ClassVar[str] = "tikhonov"

    def weight_unit(self, operator: LinearOperator, inputs: Tensor) -> float:
        """‖A‖²: λ is compared with the squares of singular values."""
        return operator_norm(operator) ** 2

    def bind(self, operator: LinearOperator) -> BoundMethod:
        return BoundMethod(self.name, lambda y: linear.tikhonov(y, operator, weight=self.weight), linear=True)


@dataclass(frozen=True)
class ZeroFilled(_Method):
    """Zero-filled, Aᴴy: linear, its worst gain is ‖A‖."""

    name: ClassVar[str] = "zero-filled"

    def bind(self, operator: LinearOperator) -> BoundMethod:
        return BoundMethod(self.name, lambda y: linear.zero_filled(y, operator), linear=True)


TUNED: dict[str, type[TotalVariation] | type[WaveletL1] | type[Tikhonov]] = {
    family.name: family for family in (TotalVariation, WaveletL1, Tikhonov)}


def choose_weight(family: Callable[[float], SystemFamily], candidates: Sequence[float], operator: LinearOperator,
                  truths: Tensor, measurements: Tensor) -> tuple[float, dict[str, float]]:
    """The candidate with the least mean relative error on held-out images, and the whole table for the record.

    While the best is at an end of the candidates, another, three times further, is tried (at most `FURTHER`). The images
    must not be among the audited ones: the caller sees to that, and the record names them.
    """
    def error(weight: float) -> float:
        image = family(weight).bind(operator)(measurements)
        return float(((image - truths).flatten(1).norm(dim=1) / truths.flatten(1).norm(dim=1)).mean())

    with torch.no_grad():
        errors = {weight: error(weight) for weight in sorted(candidates)}
        for _ in range(FURTHER):
            best = min(errors, key=lambda weight: errors[weight])
            if best not in (min(errors), max(errors)):
                break
            beyond = best / 3 if best == min(errors) else best * 3
            errors[beyond] = error(beyond)
    best = min(errors, key=lambda weight: errors[weight])
    return best, {f"{weight:.4g}": errors[weight] for weight in sorted(errors)}
