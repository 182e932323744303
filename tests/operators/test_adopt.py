"""Forward models made elsewhere: adopted after the dot test, refused without it, audited like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import assay
from assay.arrays import InputError
from assay.datasets.bundled import BundledSlices
from assay.datasets.measured import simulate
from assay.operators.adopt import adopt_operator
from assay.systems.catalogue import adopt_reconstructor
from laws import adjoint_is_exact
from small_audit import profile


class MRI(nn.Module):
    """deepinv's interface: two channels for the real and the imaginary part, masked grid of Fourier coefficients."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.rand(size, size, generator=torch.Generator().manual_seed(0)) < 0.5).float())

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return self._transform(x, torch.fft.fft2, True)

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self._transform(self.mask * y, torch.fft.ifft2, False)

    def _transform(self, x: torch.Tensor, transform: object, masked: bool) -> torch.Tensor:
        k = transform(torch.complex(x[:, 0], x[:, 1]), norm="ortho")  # type: ignore[operator]
        return (self.mask if masked else 1.0) * torch.stack((k.real, k.imag), dim=1)


class Blur(nn.Module):
    """One channel, real, periodic."""

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return (x + x.roll(1, -1)) / 2

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return (y + y.roll(-1, -1)) / 2


class Scale(nn.Module):
    """A reconstructor as deepinv calls it."""

    def forward(self, y: torch.Tensor, physics: MRI) -> torch.Tensor:
        return 0.9 * physics.A_adjoint(y)


@pytest.mark.parametrize(("physics", "image", "domain", "dtype"), [
    (MRI(8), (2, 8, 8), (8, 8), torch.complex64), (Blur(), (1, 8, 6), (8, 6), torch.float32),
    (Blur(), (3, 8, 6), (3, 8, 6), torch.float32)])
def test_adopted_operators_obey_the_dot_test(physics: nn.Module, image: tuple[int, ...], domain: tuple[int, ...],
                                            dtype: torch.dtype) -> None:
    operator = adopt_operator(physics, image)
    assert operator.domain == domain and operator.dtype == dtype
    adjoint_is_exact(operator)
    x = torch.randn(2, *domain, dtype=dtype)
    assert torch.equal(operator.from_image(operator.to_image(x)), x)


def test_what_is_not_an_adjoint_or_not_linear_is_refused() -> None:
    class Forward(Blur):
        def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
            return self.A(y)

    class Squared(Blur):
        def A(self, x: torch.Tensor) -> torch.Tensor:
            return x * x.abs()

    class Stacked(Blur):
        def A(self, x: torch.Tensor) -> torch.Tensor:
            return [x, x]  # type: ignore[return-value]

    for broken in (Forward(), Squared()):
        with pytest.raises(InputError, match="dot test"):
            adopt_operator(broken, (1, 8, 8))
    with pytest.raises(InputError, match="one tensor"):
        adopt_operator(Stacked(), (1, 8, 8))
    with pytest.raises(InputError, match="A and A_adjoint"):
        adopt_operator(nn.Identity(), (1, 8, 8))
    with pytest.raises(InputError, match="not a torch module"):
        adopt_reconstructor(lambda y, physics: y)  # type: ignore[arg-type]


def test_entries_that_no_image_reaches_are_left_out() -> None:
    physics = MRI(8)
    operator = adopt_operator(physics, (2, 8, 8))
    assert operator.range == (int(physics.mask.sum()),)
    y = torch.randn(1, *operator.range, dtype=torch.complex64)
    grid = operator.to_measured(y)
    assert grid.shape == (1, 2, 8, 8) and float((grid * (1 - physics.mask)).abs().max()) == 0
    assert torch.equal(operator.from_measured(grid), y)
    physics.mask.zero_()
    with pytest.raises(InputError, match="nothing is measured"):
        adopt_operator(physics, (2, 8, 8))


def test_digest_follows_the_tensors_of_the_physics() -> None:
    one, other = MRI(8), MRI(8)
    assert adopt_operator(one, (2, 8, 8)).digest == adopt_operator(other, (2, 8, 8)).digest
    other.mask[0, 0] = 1 - other.mask[0, 0]
    assert adopt_operator(one, (2, 8, 8)).digest != adopt_operator(other, (2, 8, 8)).digest


@pytest.mark.parametrize("physics", [MRI(48), Blur()])
def test_a_reconstructor_is_audited_beside_total_variation_tuned_on_its_own_data(physics: nn.Module,
                                                                                tmp_path: Path) -> None:
    operator = adopt_operator(physics, (2 if isinstance(physics, MRI) else 1, 48, 48))
    data = simulate(BundledSlices(size=48), operator, noise=0.01)
    found = assay.audit(adopt_reconstructor(Scale()), data, profile=profile(tmp_path, "tiny-data"), established=["tikhonov"],
                        out=tmp_path / "audit")
    header = found.header
    assert [s["name"] for s in header["systems"]] == ["Scale", "tikhonov"] and header["recipe"] is None
    assert header["data"]["n"] == 13 and len(header["choices"]["tikhonov"]["samples"]) == 3    # a fifth is set aside
    assert not set(header["choices"]["tikhonov"]["samples"]) & set(header["data"]["samples"])
    rows = [f for f in found.store.findings() if f.system == f.origin == "Scale"]
    assert len(rows) == 26 and all(f.worst is not None and not f.flags for f in rows)
    assert all(0.85 < (f.gain or 0) <= 0.9001 for f in rows)                                   # ‖0.9 Aᴴ‖ = 0.9 for both


def test_a_reconstructor_needs_a_physics(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="adopt_operator"):
        assay.audit(adopt_reconstructor(Scale()), "bundled:brain", size=48, limit=2, profile=profile(tmp_path, "tiny-data"),
                    established=["zero-filled"], out=tmp_path / "audit")
