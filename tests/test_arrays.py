"""The border between users' tensors and the rest: what is refused, and what comes out unchanged."""

from __future__ import annotations

import pytest
import torch

from assay.arrays import InputError, check_finite, from_channels, per_example, to_channels, to_complex


def g() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_finite_values_come_back_as_they_are(dtype):
    x = torch.randn(2, 3, dtype=dtype, generator=g())
    assert check_finite(x, what="x") is x


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_counted_and_placed(bad):
    x = torch.zeros(2, 3)
    x[0, 2] = x[1, 1] = bad
    with pytest.raises(InputError, match=r"image 7: 2 of 6 values are NaN or infinite, the first at index \(0, 2\)"):
        check_finite(x, what="image 7")


@pytest.mark.parametrize("bad", [complex(float("nan"), 0), complex(0, float("nan")), complex(0, float("inf"))])
def test_one_bad_part_of_a_complex_number_is_one_bad_value(bad):
    x = torch.zeros(4, dtype=torch.complex64)
    x[3] = bad
    with pytest.raises(InputError, match=r"1 of 4 values .* \(3,\)"):
        check_finite(x, what="k-space")


def test_nothing_is_finite():
    assert check_finite(torch.zeros(0), what="x").numel() == 0


@pytest.mark.parametrize(("real", "complex_"), [(torch.float32, torch.complex64), (torch.float64, torch.complex128)])
def test_to_complex_keeps_precision_and_values(real, complex_):
    x = torch.randn(2, 3, dtype=real, generator=g())
    z = to_complex(x)
    assert z.dtype == complex_ and bool((z.real == x).all()) and not z.imag.any()
    assert to_complex(z) is z


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float16, torch.bfloat16])
def test_other_types_never_enter(dtype):
    with pytest.raises(InputError, match=r"expected a floating-point tensor, got .*\.float\(\)"):
        to_complex(torch.ones(2, 2).to(dtype))


def test_to_complex_lets_gradients_through():
    x = torch.ones(2, 2, requires_grad=True)
    to_complex(x).abs().square().sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize("shape", [(1,), (2, 3), (2, 3, 4), (4, 5, 6, 7)])
def test_channels_invert_each_other_and_keep_the_norm(shape):
    z = torch.randn(*shape, dtype=torch.complex64, generator=g())
    x = to_channels(z)
    assert x.shape == (shape[0], 2, *shape[1:]) and x.dtype == torch.float32
    assert bool((x[:, 0] == z.real).all()) and bool((x[:, 1] == z.imag).all())
    assert bool((from_channels(x) == z).all())
    torch.testing.assert_close(x.norm(), z.norm())


def test_channels_work_on_views():
    z = torch.randn(2, 3, 4, dtype=torch.complex64, generator=g()).transpose(1, 2)
    assert bool((from_channels(to_channels(z)) == z).all())


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 5)])
def test_numbers_per_example_meet_their_example(shape):
    values = torch.tensor([1.0, 2.0, 3.0])
    out = per_example(values, torch.ones(shape)) * torch.ones(shape)
    assert out.shape == shape
    assert all(bool((out[i] == values[i]).all()) for i in range(3))


def test_numbers_per_example_are_not_spread_along_the_last_axis():
    like = torch.ones(3, 3)
    assert (per_example(torch.arange(3.0), like) * like)[:, 0].tolist() == [0.0, 1.0, 2.0]


def test_input_errors_are_value_errors():
    assert issubclass(InputError, ValueError)
