"""‖A‖ of a linear operator by the power method, with the residual that says how well it is known."""

from __future__ import annotations

import weakref

import torch

from assay.arrays import per_example
from assay.numerics.norms import norm
from assay.operators.fourier import MaskedFourier
from assay.operators.protocol import LinearOperator, random_element


def spectral_norm(operator: LinearOperator, *, iterations: int = 100, tolerance: float = 1e-6,
                  seed: int = 0) -> tuple[float, float]:
    """(‖A‖ estimated from below, relative residual ‖AᴴA v − σ² v‖ / σ²).

    Source: Golub and Van Loan, "Matrix Computations" (4th ed.), section 8.2.

    >>> from assay.operators.algebra import Matrix
    >>> round(spectral_norm(Matrix(torch.diag(torch.tensor([2.0, 1.0]))))[0], 4)
    2.0
    """
    generator = torch.Generator().manual_seed(seed)
    v = random_element(operator.domain, dtype=operator.dtype, generator=generator)
    v = v / norm(v)
    value, residual = 0.0, float("inf")
    for _ in range(iterations):
        image = operator.forward(v)
        value = float(norm(image))
        back = operator.adjoint(image)
        residual = float(norm(back - value**2 * v)) / max(value**2, 1e-38)
        if residual < tolerance:
            break
        v = back / per_example(norm(back).clamp_min(1e-38), back)
    return value, residual


_KNOWN: weakref.WeakKeyDictionary[LinearOperator, float] = weakref.WeakKeyDictionary()


def operator_norm(operator: LinearOperator) -> float:
    """‖A‖: 1 where the rows are orthonormal (sampled Fourier data of one coil), else by the power method, once.

    >>> operator_norm(MaskedFourier(mask=torch.ones(2, 2, dtype=torch.bool)))
    1.0
    """
    if isinstance(operator, MaskedFourier) and operator.maps is None:
        return 1.0
    try:
        if operator not in _KNOWN:
            _KNOWN[operator] = spectral_norm(operator)[0]
        return _KNOWN[operator]
    except TypeError:                   # an operator of the user's that cannot be a key
        return spectral_norm(operator)[0]
