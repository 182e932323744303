"""Proximal maps: prox_g(x) = argmin_z g(z) + ½‖z − x‖²."""

from __future__ import annotations

from torch import Tensor


def soft_threshold(x: Tensor, threshold: float | Tensor) -> Tensor:
    """Proximal map of t‖·‖₁ for real or complex x: moduli shrink by t, phases stay.

    Source: Daubechies, Defrise and De Mol, Commun. Pure Appl. Math. 57 (2004), eq. 1.5.

    >>> import torch
    >>> soft_threshold(torch.tensor([4.0, -0.5]), 2.0).tolist()
    [2.0, -0.0]
    """
    modulus = x.abs().clamp_min(1e-38)
    return x * (1 - threshold / modulus).clamp_min(0)
