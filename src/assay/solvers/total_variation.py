"""Total variation for sampled Fourier data of one coil: ADMM whose image step is diagonal in Fourier space.

min_x ½‖A x − y‖² + λ‖∇x‖₂,₁ (isotropic; or anisotropic, ‖∇x‖₁; periodic differences, complex images). Rudin, Osher and
Fatemi, Physica D 60 (1992); alternating directions with the Fourier-diagonal step: Wang, Yang, Yin and
Zhang, SIAM J. Imaging Sci. 1 (2008).
"""

from __future__ import annotations

import torch
from jaxtyping import Complex
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.numerics.norms import norm
from assay.operators.finite_difference import FiniteDifference
from assay.operators.fourier import MaskedFourier
from assay.solvers.fixed_point import State, solve
from assay.solvers.result import Solution

RELAXATION = 1.8            # over-relaxation of ADMM, Eckstein and Bertsekas (1992): between 1.5 and 1.8
SHRINK = 1 / 50             # threshold λ/ρ as a share of the image's peak ‖Aᴴy‖_∞; 1/10 to 1/50 agree to 0.03 dB


def total_variation(y: Complex[Tensor, "batch m"], operator: MaskedFourier, *, weight: float, iterations: int = 400,
                    tolerance: float = 3e-4, penalty: float | None = None, adjoint_iterations: int = 30,
                    isotropic: bool = True) -> Solution:
    """argmin_x ½‖A x − y‖² + λ‖∇x‖₂,₁ with λ = `weight`, in the units of the image; ‖∇x‖₁ unless `isotropic`.

    The penalty ρ follows each example's own scale (unless `penalty` fixes it), so the solver is equivariant: data s·y
    with weight s·λ give s·x in as many iterations, and the stopping rule means the same for every unit of the data.
    Stops, for each example alone, when the relative change of the splitting variable per iteration is below
    `tolerance`. Differentiable with respect to y: the gradient is that of the minimiser, by the fixed point's adjoint
    iteration (`adjoint_iterations` steps), with memory that does not grow with the number of iterations.
    """
    if operator.maps is not None:
        raise InputError("the Fourier-diagonal step is for one coil without maps; use the primal-dual solver")
    with torch.no_grad():
        peak = operator.adjoint(y).abs().flatten(1).amax(1)
        peak = torch.where(peak > 0, peak, torch.ones_like(peak))
        threshold = SHRINK * peak if penalty is None else torch.full_like(peak, weight / penalty)
    problem = _Problem(operator, weight / threshold, threshold, isotropic)
    return solve(problem, y, iterations=iterations, tolerance=tolerance, every=5, adjoint_iterations=adjoint_iterations)


class _Problem:
    """The splitting z = ∇x in one variable w = z + u (Douglas–Rachford form): w ← T(w), image X(w)."""

    def __init__(self, operator: MaskedFourier, penalty: PerExample, threshold: PerExample, isotropic: bool) -> None:
        self.isotropic, self.differences = isotropic, FiniteDifference(operator.domain)
        self.operator, self.penalty, self.threshold = operator, penalty[:, None, None], threshold[:, None, None]
        mask = operator.mask.to(penalty.dtype)
        mask = torch.fft.ifftshift(mask) if operator.centred else mask
        spectrum = self.differences.spectrum().to(mask.dtype)
        self.inverse = 1 / (mask + self.penalty * spectrum).clamp_min(1e-6)
        self.filter = torch.complex(self.penalty * self.inverse, torch.zeros_like(self.inverse))

    def only(self, kept: Tensor) -> _Problem:
        """The problem of the kept examples alone."""
        return _Problem(self.operator, self.penalty[kept, 0, 0], self.threshold[kept, 0, 0], self.isotropic)

    def data(self, y: Tensor) -> Tensor:
        """Fᴴ-side right-hand side in un-centred order, already divided by the diagonal."""
        grid = self.operator.embed(y)
        return (torch.fft.ifftshift(grid, dim=(-2, -1)) if self.operator.centred else grid) * self.inverse

    def shrink(self, w: Tensor) -> Tensor:
        """Factor of the proximal map of the norm: max(0, 1 − t/‖w‖₂) over the two differences, or over each alone."""
        length = w.real.square() + w.imag.square()
        if self.isotropic:
            length = length.sum(1, keepdim=True)
        return (1 - self.threshold[:, None] * length.clamp_min(1e-30).rsqrt()).clamp_min(0)

    def start(self, data: Tensor) -> State:
        return (self.differences.forward(torch.fft.ifft2(data, norm="ortho")),)

    def image(self, state: State, data: Tensor) -> Tensor:
        (w,) = state
        x = self._image(w, self.shrink(w) * w, data)
        return torch.fft.fftshift(x, dim=(-2, -1)) if self.operator.centred else x

    def _image(self, w: Tensor, shrunk: Tensor, data: Tensor) -> Tensor:
        """X(w) from w and its shrunk z: the reflection 2z − w is what the data see."""
        spectrum = torch.fft.fft2(self.differences.adjoint(2 * shrunk - w), norm="ortho")
        return torch.fft.ifft2(torch.addcmul(data, self.filter, spectrum), norm="ortho")

    def step(self, state: State, data: Tensor) -> State:
        """w + R (∇X(w) − z): over-relaxed Douglas–Rachford."""
        (w,) = state
        shrunk = self.shrink(w) * w
        return (w + RELAXATION * (self.differences.forward(self._image(w, shrunk, data)) - shrunk),)

    def residual(self, state: State, following: State, data: Tensor) -> PerExample:
        """‖T(w) − w‖ / ‖T(w)‖."""
        return norm(following[0] - state[0]) / norm(following[0]).clamp_min(1e-30)
