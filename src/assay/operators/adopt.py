"""A forward model made elsewhere (deepinv's `LinearPhysics`, or anything with `A` and `A_adjoint`) as an operator."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from assay.arrays import InputError, from_channels, to_channels
from assay.operators.protocol import dot_test
from assay.records import digest_of


@runtime_checkable
class Physics(Protocol):
    """What deepinv calls a linear physics: a map, and its adjoint, of channel-first batches."""

    def A(self, x: Tensor) -> Tensor: ...

    def A_adjoint(self, y: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class AdoptedOperator:
    """A physics whose images are (batch, *image) as an operator on images (height, width).

    One channel is dropped; two channels are one complex image, and two-channel measurements complex likewise. Entries
    that no image reaches (a grid of Fourier coefficients with zeros where nothing was sampled) are left out, so that a
    change of the data can only touch what is measured; measurements are then vectors. Made by `adopt_operator`, which
    applies the dot test.
    """

    physics: Physics
    image: tuple[int, ...]
    name: str
    dtype: torch.dtype = field(init=False)
    domain: tuple[int, ...] = field(init=False)
    range: tuple[int, ...] = field(init=False)
    _grid: tuple[int, ...] = field(init=False, repr=False)                  # measurements as the physics gives them
    _index: Tensor | None = field(init=False, repr=False)                   # those entries that an image can reach

    def __post_init__(self) -> None:
        measured = self.physics.A(torch.randn(4, *self.image, generator=torch.Generator().manual_seed(0)))
        if not isinstance(measured, Tensor):
            raise InputError(f"operator {self.name!r}: expected one tensor of measurements, got {type(measured).__name__}; "
                             "stacked physics are not adopted")
        pair = len(self.image) == 3 and self.image[0] == 2 and measured.ndim >= 3 and measured.shape[1] == 2
        single = len(self.image) == 3 and self.image[0] == 1
        object.__setattr__(self, "dtype", torch.complex64 if pair else measured.dtype)
        object.__setattr__(self, "domain", self.image[1:] if pair or single else self.image)
        values = torch.complex(measured[:, 0], measured[:, 1]) if pair else measured
        reached = (values != 0).any(0).flatten()
        if not bool(reached.any()):
            raise InputError(f"operator {self.name!r}: four random images all gave zero measurements; nothing is measured")
        object.__setattr__(self, "_grid", tuple(values.shape[1:]))
        object.__setattr__(self, "_index", None if bool(reached.all()) else reached.nonzero().squeeze(1))
        object.__setattr__(self, "range", self._grid if self._index is None else (len(self._index),))

    @property
    def digest(self) -> str:
        """sha256 of the physics' tensors and class, and of the image shape."""
        state = self.physics.state_dict() if isinstance(self.physics, nn.Module) else {}
        tensors = {name: hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
                   for name, value in state.items() if isinstance(value, Tensor)}
        return digest_of({"class": type(self.physics).__qualname__, "image": list(self.image), "tensors": tensors})

    def forward(self, x: Tensor) -> Tensor:
        return self.from_measured(self.physics.A(self.to_image(x)))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.from_image(self.physics.A_adjoint(self.to_measured(y)))

    def to_image(self, x: Tensor) -> Tensor:
        """Our images as the physics wants them."""
        return to_channels(x) if self.dtype.is_complex else x.reshape(len(x), *self.image)

    def from_image(self, x: Tensor) -> Tensor:
        return from_channels(x) if self.dtype.is_complex else x.reshape(len(x), *self.domain)

    def to_measured(self, y: Tensor) -> Tensor:
        """Our measurements as the physics wants them."""
        if self._index is not None:
            zeros = y.new_zeros((len(y), math.prod(self._grid)))
            y = zeros.index_copy(1, self._index, y).unflatten(1, self._grid)
        return torch.stack((y.real, y.imag), dim=1) if self.dtype.is_complex else y

    def from_measured(self, y: Tensor) -> Tensor:
        y = torch.complex(y[:, 0], y[:, 1]) if self.dtype.is_complex else y
        return y if self._index is None else y.flatten(1)[:, self._index]


def adopt_operator(physics: Any, image: tuple[int, ...], *, name: str = "", tolerance: float = 1e-4) -> AdoptedOperator:
    """The physics as an operator on images of shape `image` (channels, height, width), once it passed the dot test.

    Raises `InputError` if there is no `A` and `A_adjoint`, if the adjoint is not the adjoint (relative defect above
    `tolerance`), or if the map is not linear. Noise models are not applied: the audit adds its own, seeded by sample.

    >>> class Halve:
    ...     def A(self, x): return x / 2
    ...     def A_adjoint(self, y): return y / 2
    >>> adopt_operator(Halve(), (1, 4, 4)).domain
    (4, 4)
    """
    if not isinstance(physics, Physics):
        raise InputError(f"{type(physics).__name__} is not a linear physics: it needs the methods A and A_adjoint")
    with torch.no_grad():
        operator = AdoptedOperator(physics, tuple(image), name or type(physics).__name__)
        dot_test(operator, generator=torch.Generator().manual_seed(0), tolerance=tolerance)
    return operator
