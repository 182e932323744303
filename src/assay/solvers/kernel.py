"""The kernel of a forward model: the part of an image that its measurements cannot show."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.numerics.norms import norm
from assay.operators.protocol import LinearOperator, random_element
from assay.records import Stop
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


def kernel_part(x: Tensor, operator: LinearOperator, *, iterations: int = ITERATIONS,
                tolerance: float = TOLERANCE) -> Tensor:
    """`unseen`'s image alone. Raises `InputError` where conjugate gradients did not get to the tolerance.

    >>> from assay.operators.algebra import Identity
    >>> kernel_part(torch.tensor([[3.0, 4.0]]), Identity((2,), dtype=torch.float32))
    tensor([[0., 0.]])
    """
    found = unseen(x, operator, iterations=iterations, tolerance=tolerance)
    if late := [i for i, stop in enumerate(found.stop) if stop not in (Stop.CONVERGED, Stop.EXHAUSTED)]:
        worst = float(found.residual[late].max())
        raise InputError(f"the kernel of the forward model {operator.name!r} was not found: after {found.iterations} steps "
                         f"of conjugate gradients the residual of {len(late)} of {len(x)} images is up to {worst:.1g}, and "
                         f"{tolerance:.0g} is asked for; give a better conditioned forward model, or double precision")
    return found.x


def kernel_share(operator: LinearOperator, *, generator: torch.Generator) -> float:
    """About dim ker A / dim of the images: the mean of ‖P r‖²/‖r‖² over normal r, P the projection onto the kernel.

    Directions that the steps of `unseen` do not find count as the kernel; of normal r, unlike images, there are some.

    >>> from assay.operators.algebra import Identity
    >>> kernel_share(Identity((8, 8)), generator=torch.Generator()) < 1e-6
    True
    """
    r = random_element(operator.domain, dtype=operator.dtype, generator=generator, batch=PROBES)
    return float((norm(unseen(r, operator).x) / norm(r)).square().mean())
