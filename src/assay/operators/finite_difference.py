"""The discrete gradient of an image: forward differences along rows and columns, with the exact adjoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError

BOUNDARIES = ("periodic", "neumann")


@dataclass(frozen=True)
class FiniteDifference:
    """∇x = (x(i+1, j) − x(i, j), x(i, j+1) − x(i, j)): images (batch, H, W) to (batch, 2, H, W), real or complex.

    "periodic" wraps around, so ∇ᴴ∇ is diagonal in Fourier space; "neumann" sets the difference across the last edge to
    zero. ‖∇‖² ≤ 8. Source: Chambolle, J. Math. Imaging Vis. 20 (2004), section 2 (Neumann); Wang, Yang, Yin and Zhang,
    SIAM J. Imaging Sci. 1 (2008), section 2 (periodic).

    >>> D = FiniteDifference((1, 3))
    >>> D.forward(torch.tensor([[[0.0, 1.0, 5.0]]]))[0, 1].tolist()
    [[1.0, 4.0, -5.0]]
    """

    domain: tuple[int, ...]
    boundary: str = "periodic"
    dtype: torch.dtype = torch.complex64
    name: str = "finite difference"
    range: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if len(self.domain) != 2:
            raise InputError(f"{self.name}: needs images (height, width), got shape {self.domain}")
        if self.boundary not in BOUNDARIES:
            raise InputError(f"{self.name}: unknown boundary {self.boundary!r}; known: {', '.join(BOUNDARIES)}")
        object.__setattr__(self, "range", (2, *self.domain))

    def forward(self, x: Tensor) -> Tensor:
        if self.boundary == "periodic":
            return torch.stack((x.roll(-1, -2) - x, x.roll(-1, -1) - x), dim=1)
        zero = torch.zeros_like(x)
        rows = torch.cat((x.diff(dim=-2), zero[..., :1, :]), dim=-2)
        return torch.stack((rows, torch.cat((x.diff(dim=-1), zero[..., :1]), dim=-1)), dim=1)

    def adjoint(self, y: Tensor) -> Tensor:
        """∇ᴴ p, the negative divergence."""
        if self.boundary == "periodic":
            rows, columns = y[:, 0], y[:, 1]
            return (rows.roll(1, -2) - rows) + (columns.roll(1, -1) - columns)
        return _against(y[:, 0], -2) + _against(y[:, 1], -1)

    def spectrum(self) -> Float[Tensor, "height width"]:
        """|d̂₁|² + |d̂₂|², the eigenvalues of ∇ᴴ∇ at the un-centred frequencies; periodic boundary only.

        >>> FiniteDifference((1, 2)).spectrum().tolist()
        [[0.0, 4.0]]
        """
        if self.boundary != "periodic":
            raise InputError(f"{self.name}: only the periodic gradient is diagonal in Fourier space")
        rows, columns = (2 - 2 * torch.cos(2 * math.pi * torch.arange(n, dtype=torch.float64) / n) for n in self.domain)
        return rows[:, None] + columns[None, :]


def _against(p: Tensor, dim: int) -> Tensor:
    """Adjoint of the difference along `dim` whose last entry is zero."""
    inner = p.narrow(dim, 0, p.shape[dim] - 1)
    edge = torch.zeros_like(p.narrow(dim, 0, 1))
    return torch.cat((edge, inner), dim) - torch.cat((inner, edge), dim)
