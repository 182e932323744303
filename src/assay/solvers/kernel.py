"""The kernel of a forward model: the part of an image that its measurements cannot show."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from assay.numerics.norms import norm
from assay.operators.protocol import LinearOperator, random_element
from assay.solvers.linear import tikhonov
from assay.solvers.result import Solution

ITERATIONS, TOLERANCE = 300, 1e-5
PROBES = 4


def unseen(x: Tensor, operator: LinearOperator, *, iterations: int = ITERATIONS, tolerance: float = TOLERANCE) -> Solution:
    """x − A⁺A x, the nearest image to x in the kernel of A, (batch, *domain).

    A⁺A x is found by conjugate gradients for AᴴA u = AᴴA x from u = 0, which never leave the range of Aᴴ; one step for a
    Fourier mask of one coil, three at most for one of real images. Stopped at a relative residual of `tolerance`; the
    solution says where that was not reached. Directions whose singular values are so small that the steps do not find them
    count as the kernel: little but noise is measured of them. Source: Hestenes and Stiefel, J. Res. NBS 49 (1952), section
    10.

    >>> from assay.operators.algebra import Matrix
    >>> unseen(torch.tensor([[3.0, 4.0]]), Matrix(torch.tensor([[2.0, 0.0]]))).x
    tensor([[0., 4.]])
    """
    with torch.no_grad():
        shown = tikhonov(operator.forward(x), operator, weight=0.0, iterations=iterations, tolerance=tolerance)
        return replace(shown, x=x - shown.x)


def kernel_share(operator: LinearOperator, *, generator: torch.Generator) -> float:
    """About dim ker A / dim of the images: the mean of ‖P r‖²/‖r‖² over normal r, P the projection onto the kernel.

    >>> from assay.operators.algebra import Identity
    >>> kernel_share(Identity((8, 8)), generator=torch.Generator()) < 1e-6
    True
    """
    r = random_element(operator.domain, dtype=operator.dtype, generator=generator, batch=PROBES)
    return float((norm(unseen(r, operator).x) / norm(r)).square().mean())
