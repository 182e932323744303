"""Metrics against second implementations in numpy and scipy, constructed outputs, and metrics that are broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from assay.arrays import InputError
from assay.metrics import image_quality, protocol, stability
from assay.metrics.protocol import Response
from assay.operators.algebra import Scaled
from assay.operators.fourier import MaskedFourier
from assay.perturbations.protocol import Examples


def ssim_by_scipy(output: np.ndarray, truth: np.ndarray) -> float:
    """Wang et al. 2004 with scipy's Gaussian windows (σ 1.5, radius 5), the border of 5 pixels left out."""
    f, t = np.abs(output).astype(np.float64), np.abs(truth).astype(np.float64)

    def local(a: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(a, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    c1, c2 = (0.01 * t.max()) ** 2, (0.03 * t.max()) ** 2
    mf, mt = local(f), local(t)
    vf, vt, cov = local(f * f) - mf * mf, local(t * t) - mt * mt, local(f * t) - mf * mt
    return float(np.mean((2 * mf * mt + c1) * (2 * cov + c2) / ((mf**2 + mt**2 + c1) * (vf + vt + c2))))


def psnr_by_numpy(output: np.ndarray, truth: np.ndarray) -> float:
    f, t = np.abs(output), np.abs(truth)
    return float(10 * np.log10(t.max() ** 2 / np.mean((f - t) ** 2)))


def relative_error_by_numpy(output: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.sum(np.abs(output - truth) ** 2) / np.sum(np.abs(truth) ** 2)))


def max_error_by_numpy(output: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(output - truth).max() / np.abs(truth).max())


ORACLES = {"ssim": ssim_by_scipy, "psnr": psnr_by_numpy, "relative-error": relative_error_by_numpy,
           "max-error": max_error_by_numpy}


def images(dtype: torch.dtype, seed: int = 0, batch: int = 3) -> tuple[Tensor, Tensor]:
    """Smooth truths of different brightness, and outputs with errors of different size and greater peak."""
    rng = np.random.default_rng(seed)
    smooth = np.stack([ndimage.gaussian_filter(rng.random((32, 26)), 2) for _ in range(batch)])
    truth = torch.from_numpy(smooth * np.array([1, 5, 0.2])[:batch, None, None])
    error = torch.from_numpy(rng.normal(size=truth.shape) * smooth * np.array([0.1, 0.5, 0.02])[:batch, None, None])
    if dtype.is_complex:
        phase = torch.from_numpy(np.exp(1j * rng.normal(size=truth.shape)))
        return (truth * phase + error * torch.from_numpy(np.exp(1j * rng.normal(size=truth.shape)))).to(dtype), \
            (truth * phase).to(dtype)
    return (truth + error).to(dtype), truth.to(dtype)


def examples(inputs: Tensor, truth: Tensor | None) -> Examples:
    return Examples(ids=tuple(str(i) for i in range(len(inputs))), inputs=inputs, truth=truth)


def plain(output: Tensor, truth: Tensor) -> Response:
    x = examples(truth.flatten(1), truth)
    return Response(output=output, changed=x, normal=output, original=x)


def agrees(compute, name: str, dtype: torch.dtype) -> None:
    output, truth = images(dtype)
    expected = [ORACLES[name](f.numpy(), t.numpy()) for f, t in zip(output, truth, strict=True)]
    assert compute(plain(output, truth)).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_metrics_agree_with_a_second_implementation(name, dtype):
    agrees(protocol.find(name).compute, name, dtype)


BROKEN = {
    "psnr": lambda r: 20 * (r.output.abs().flatten(1).amax(1)
                            / (r.output.abs() - r.truth.abs()).flatten(1).square().mean(1).sqrt()).log10(),
    "ssim": lambda r: image_quality.ssim(r.truth, r.output),
    "relative-error": lambda r: (r.output - r.truth).flatten(1).norm(dim=1) / r.output.flatten(1).norm(dim=1),
    "max-error": lambda r: (r.output.abs() - r.truth.abs()).flatten(1).abs().amax(1) / r.truth.flatten(1).abs().amax(1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_metrics_that_take_the_peak_from_the_output_or_drop_the_phase_are_caught(name):
    with pytest.raises(AssertionError):
        agrees(BROKEN[name], name, torch.complex128)


def test_the_peak_comes_from_the_truth():
    """Doubling one bright pixel of the output must lower the PSNR; a peak taken from the output would raise it."""
    truth = torch.zeros(1, 16, 16, dtype=torch.float64)
    truth[0, 4:12, 4:12] = 1
    output = truth + 0.05
    brighter = output.clone()
    brighter[0, 8, 8] = 1.5
    normal, worse = (float(image_quality.psnr(f, truth)) for f in (output, brighter))
    assert normal == pytest.approx(20 * np.log10(1 / 0.05)) and worse < normal
    assert float(BROKEN["psnr"](plain(brighter, truth))) > float(BROKEN["psnr"](plain(output, truth)))


@pytest.mark.parametrize("name", ORACLES)
def test_metrics_do_not_depend_on_the_batch(name):
    output, truth = images(torch.complex64)
    compute = protocol.find(name).compute
    together = compute(plain(output, truth))
    assert together.shape == (3,)
    for i in range(3):
        assert float(compute(plain(output[i: i + 1], truth[i: i + 1]))) == pytest.approx(float(together[i]), rel=1e-5)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_metrics_do_not_depend_on_the_scale_of_both(name, scale):
    output, truth = images(torch.float64)
    compute = protocol.find(name).compute
    assert compute(plain(scale * output, scale * truth)).tolist() == pytest.approx(compute(plain(output, truth)).tolist(),
                                                                                  rel=1e-6)


@pytest.mark.parametrize(("name", "value"), [("ssim", 1.0), ("relative-error", 0.0), ("max-error", 0.0)])
def test_a_perfect_image(name, value):
    _, truth = images(torch.complex128)
    assert protocol.find(name).compute(plain(truth.clone(), truth)).tolist() == pytest.approx([value] * 3, abs=1e-9)
    assert float(image_quality.psnr(truth, truth).min()) > 200


@pytest.mark.parametrize("name", ORACLES)
def test_more_error_is_more_harm(name):
    output, truth = images(torch.float64)
    metric = protocol.find(name)
    harms = torch.stack([metric.harm(plain(truth + k * (output - truth), truth)) for k in (0.5, 1.0, 2.0)])
    assert bool((harms[1:] > harms[:-1]).all())
    assert bool((metric.climbed(plain(output, truth)) > metric.climbed(
        plain(truth + 0.5 * (output - truth), truth))).all())


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("shape", [(3, 1, 32, 26), (3, 32, 1), (3, 32, 27)])
def test_an_output_of_another_shape_than_the_truth_is_refused_and_never_broadcast(name, shape):
    _, truth = images(torch.float64)
    with pytest.raises(InputError, match="shape"):
        protocol.find(name).compute(plain(torch.ones(shape, dtype=torch.float64), truth))


@pytest.mark.parametrize("name", ORACLES)
def test_nothing_that_is_not_finite_passes_for_a_number(name):
    output, truth = images(torch.float64)
    output[1, 12, 12] = float("nan")
    values = protocol.find(name).compute(plain(output, truth))
    assert torch.isfinite(values).tolist() == [True, False, True]


def with_detail(kept: float, elsewhere: float = 0.0) -> Response:
    """A system whose output shows the share `kept` of a complex detail, and `elsewhere` beside it."""
    truth = images(torch.complex128)[1]
    detail = torch.zeros_like(truth)
    detail[:, 10:14, 8:12] = 0.3 + 0.4j
    beside = torch.zeros_like(truth)
    beside[:, 20, 20] = elsewhere
    normal = 0.9 * truth + 0.01
    inputs = truth.flatten(1)
    return Response(output=normal + kept * detail + beside, changed=examples(inputs + 1, truth + detail), normal=normal,
                    original=examples(inputs, truth))


def detail_lost_is_right(compute) -> None:
    for kept, lost in ((1.0, 0.0), (0.0, 1.0), (0.25, 0.75), (-1.0, 2.0), (1.5, -0.5)):
        assert compute(with_detail(kept)).tolist() == pytest.approx([lost] * 3, abs=1e-9)


def test_detail_lost_is_0_when_kept_and_1_when_lost():
    detail_lost_is_right(image_quality.detail_lost)
    assert image_quality.detail_lost(with_detail(1.0, elsewhere=5.0)).tolist() == pytest.approx([0.0] * 3, abs=1e-9)


@pytest.mark.parametrize("broken", [
    lambda r: 1 - (r.output - r.normal).flatten(1).norm(dim=1)
    / (r.changed.truth - r.original.truth).flatten(1).norm(dim=1),
    lambda r: 1 - ((r.output - r.original.truth).flatten(1).conj() * (r.changed.truth - r.original.truth).flatten(1)
                   ).sum(1).real / (r.changed.truth - r.original.truth).flatten(1).abs().square().sum(1),
], ids=["norms only", "against the truth"])
def test_a_wrong_estimate_of_the_detail_is_caught(broken):
    with pytest.raises(AssertionError):
        detail_lost_is_right(broken)


def test_change_elsewhere_sees_only_what_lies_outside_the_detail():
    assert image_quality.change_elsewhere(with_detail(0.3)).tolist() == pytest.approx([0.0] * 3, abs=1e-9)
    norm = 0.5 * 4           # of the detail: 16 pixels of modulus ½
    assert image_quality.change_elsewhere(with_detail(0.3, elsewhere=3.0)).tolist() == pytest.approx([3 / norm] * 3)


@pytest.mark.parametrize("name", ["detail-lost", "change-elsewhere", "lipschitz-bound"])
def test_metrics_of_a_detail_need_the_true_image(name):
    x = examples(torch.ones(1, 4), None)
    response = Response(output=torch.ones(1, 2, 2), changed=x, normal=torch.ones(1, 2, 2), original=x)
    with pytest.raises(InputError, match="true image"):
        protocol.find(name).compute(response)


def gain_is_right(compute) -> None:
    """The gain of y ↦ M y along e is ‖M e‖ / ‖e‖, by numpy."""
    rng = np.random.default_rng(2)
    M = rng.normal(size=(5, 4)) + 1j * rng.normal(size=(5, 4))
    y, e = (rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4)) for _ in range(2))
    expected = np.linalg.norm(e @ M.T, axis=1) / np.linalg.norm(e, axis=1)
    tensors = [torch.from_numpy(a) for a in ((y + e) @ M.T, y @ M.T, y + e, y)]
    assert compute(*tensors).tolist() == pytest.approx(expected.tolist())


def test_gain_of_a_linear_system():
    gain_is_right(stability.gain)
    assert stability.gain(torch.ones(1, 2), torch.zeros(1, 2), torch.ones(1, 2), torch.ones(1, 2)).tolist() == [0.0]


def test_a_relative_gain_is_caught():
    with pytest.raises(AssertionError):
        gain_is_right(lambda f, n, y, x: stability.gain(f, n, y, x) * x.norm(dim=1) / n.norm(dim=1))


def test_recovered_images_that_the_data_barely_tell_apart_force_a_large_constant():
    truth = images(torch.complex128)[1]
    detail = torch.zeros_like(truth)
    detail[:, 3, 3] = 2.0
    y = torch.zeros(3, 4, dtype=torch.complex128)
    near = y + 0.05                              # ‖y′ − y‖ = 0.1
    recovered = Response(output=truth + detail, changed=examples(near, truth + detail), normal=truth,
                         original=examples(y, truth))
    missed = Response(output=truth, changed=examples(near, truth + detail), normal=truth, original=examples(y, truth))
    assert stability.lipschitz_bound(recovered).tolist() == pytest.approx([20.0] * 3)
    assert stability.lipschitz_ceiling(recovered).tolist() == pytest.approx([20.0] * 3)
    assert stability.lipschitz_bound(missed).tolist() == [0.0] * 3
    assert stability.lipschitz_ceiling(missed).tolist() == pytest.approx([20.0] * 3)


def bound_holds(bound) -> None:
    """On a linear system the bound is at most σ_max, and is reached along the singular pair (d = 2u, y′ − y = 3v)."""
    generator = torch.Generator().manual_seed(3)
    M = torch.randn(9, 5, dtype=torch.complex128, generator=generator)
    u, sigma, vh = torch.linalg.svd(M)
    for step, detail, expected in [(3 * vh[0].conj(), 2 * u[:, 0], float(sigma[0])),
                                   *[(torch.randn(5, dtype=M.dtype, generator=generator),
                                      torch.randn(9, dtype=M.dtype, generator=generator), None) for _ in range(20)]]:
        truth, y = torch.ones(1, 3, 3, dtype=M.dtype), torch.ones(1, 5, dtype=M.dtype)
        near, changed = y + step, truth + detail.reshape(1, 3, 3)
        value = float(bound(Response(output=(near @ M.T).reshape(1, 3, 3), changed=examples(near, changed),
                                     normal=(y @ M.T).reshape(1, 3, 3), original=examples(y, truth)))[0])
        assert value <= float(sigma[0]) * (1 + 1e-9)
        assert expected is None or value == pytest.approx(expected)


def test_the_bound_of_a_linear_system_is_its_greatest_singular_value():
    bound_holds(stability.lipschitz_bound)


@pytest.mark.parametrize("broken", [
    lambda r: stability.lipschitz_bound(r) * r.detail.flatten(1).norm(dim=1),             # forgets ‖d‖
    lambda r: stability.gain(r.output, r.normal, r.changed.inputs, r.original.inputs) * 1.01,
    lambda r: stability.lipschitz_bound(r) / 2,
])
def test_a_wrong_bound_is_caught(broken):
    with pytest.raises(AssertionError):
        bound_holds(broken)


@pytest.mark.parametrize("name", ["gain", "lipschitz-bound", "lipschitz-ceiling"])
def test_gains_do_not_know_the_unit_of_the_data(name):
    plain = MaskedFourier(mask=torch.rand(6, 6, generator=torch.Generator().manual_seed(5)) < 0.5)
    values = []
    for unit in (1.0, 10.0):
        operator = Scaled(plain, unit)
        truth = images(torch.complex64)[1][:, :6, :6]
        detail = torch.zeros_like(truth)
        detail[:, 2:4, 3] = 0.5
        x = Examples(ids=("a", "b", "c")[:len(truth)], inputs=operator.forward(truth), truth=truth, operator=operator)
        changed = x.changed(inputs=operator.forward(truth + detail), truth=truth + detail)
        answer = operator.adjoint(changed.inputs) / unit**2
        values.append(protocol.find(name).compute(Response(
            output=answer, changed=changed, normal=operator.adjoint(x.inputs) / unit**2, original=x)))
    assert torch.allclose(*values, rtol=1e-4)


def test_without_a_truth_the_normal_output_stands_in():
    x = examples(torch.ones(1, 3), None)
    response = Response(output=torch.full((1, 2, 2), 1.5), changed=x, normal=torch.ones(1, 2, 2), original=x)
    assert float(protocol.find("relative-error").compute(response)) == pytest.approx(0.5)


def test_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match=r"unknown metric 'sharpness'; known: .*psnr"):
        protocol.find("sharpness")
