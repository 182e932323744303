"""Shapes, dtypes and ranges: the words the rest of the code uses for tensors, and the checks at its borders.

Every tensor has the batch first. Images of an inverse problem are complex, (batch, height, width); measurements are
complex, (batch, *range); a per-example number is real, (batch,). Integers never enter a search.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

Batch = Shaped[Tensor, "batch *shape"]
PerExample = Float[Tensor, "batch"]
MaskPerExample = Bool[Tensor, "batch"]

REAL = (torch.float32, torch.float64)
COMPLEX = (torch.complex64, torch.complex128)


class InputError(ValueError):
    """Bad input from a user: the message names the file or argument, the field and the remedy."""


def check_finite(x: Tensor, *, what: str) -> Tensor:
    """`x` itself, or `InputError` naming `what` and the first bad place.

    >>> check_finite(torch.tensor([1.0, float("nan")]), what="image 3")
    Traceback (most recent call last):
    assay.arrays.InputError: image 3: 1 of 2 values are NaN or infinite, the first at index (1,); mend or leave out ...
    """
    bad = ~torch.isfinite(torch.view_as_real(x) if x.is_complex() else x)
    if x.is_complex():
        bad = bad.any(-1)
    if bool(bad.any()):
        first = tuple(int(i) for i in bad.nonzero()[0])
        raise InputError(f"{what}: {int(bad.sum())} of {x.numel()} values are NaN or infinite, the first at index "
                         f"{first}; mend or leave out this sample")
    return x


def to_complex(x: Tensor) -> Tensor:
    """The tensor as complex of the same precision; complex input is returned unchanged.

    >>> to_complex(torch.tensor([1.0])).dtype
    torch.complex64
    """
    if x.is_complex():
        return x
    if x.dtype not in REAL:
        raise InputError(f"expected a floating-point tensor, got {x.dtype}; convert with .float()")
    return torch.complex(x, torch.zeros_like(x))


def to_channels(x: Tensor) -> Tensor:
    """Complex (batch, *shape) as real (batch, 2, *shape): real part, imaginary part.

    >>> to_channels(torch.tensor([[1 + 2j]])).tolist()
    [[[1.0], [2.0]]]
    """
    return torch.stack((x.real, x.imag), dim=1)


def from_channels(x: Tensor) -> Tensor:
    """Real (batch, 2, *shape) as complex (batch, *shape): the inverse of `to_channels`."""
    return torch.complex(x[:, 0].contiguous(), x[:, 1].contiguous())


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """(batch,) reshaped so that it broadcasts over `like` (batch, *shape)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
