"""How far an image is from the truth. PSNR and SSIM are of the modulus; their peak comes from the truth."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.metrics.protocol import Metric, Response, register
from assay.numerics.norms import norm

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


def relative_error(output: Tensor, truth: Tensor) -> PerExample:
    """‖f − t‖₂ / ‖t‖₂ per example, complex difference.

    >>> relative_error(torch.tensor([[2.0]]), torch.tensor([[1.0]])).tolist()
    [1.0]
    """
    return norm(output - truth) / norm(truth).clamp_min(1e-38)


def psnr(output: Tensor, truth: Tensor) -> PerExample:
    """20 log₁₀(max|t| / root mean square of |f| − |t|) in dB.

    >>> round(float(psnr(torch.tensor([[[0.9, 0.1]]]), torch.tensor([[[1.0, 0.0]]]))), 3)
    20.0
    """
    f, t = output.abs().flatten(1), truth.abs().flatten(1)
    rms = (f - t).square().mean(1).sqrt().clamp_min(1e-30)
    return 20 * (t.amax(1).clamp_min(1e-30) / rms).log10()


def max_error(output: Tensor, truth: Tensor) -> PerExample:
    """max |f − t| / max |t| per example: the greatest error at a single place.

    >>> float(max_error(torch.tensor([[2.0, 1.5]]), torch.tensor([[2.0, 1.0]])))
    0.25
    """
    return norm(output - truth, "linf") / norm(truth, "linf").clamp_min(1e-38)


def ssim(output: Tensor, truth: Tensor) -> PerExample:
    """Mean structural similarity of the moduli: Gaussian window 11×11, σ 1.5, K = (.01, .03), L = max|t|.

    Windows wholly inside the image only, weighted (biased) covariances. Source: Wang, Bovik, Sheikh and Simoncelli,
    IEEE Trans. Image Process. 13 (2004), eqs. 13–17.

    >>> x = torch.arange(256.0).reshape(1, 16, 16)
    >>> round(float(ssim(x, x)), 6)
    1.0
    """
    f, t = output.abs()[:, None], truth.abs()[:, None]
    offsets = torch.arange(WINDOW, dtype=f.dtype) - WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    line = line / line.sum()

    def local(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, line[None, None, :, None]), line[None, None, None, :])

    peak = t.flatten(1).amax(1)[:, None, None, None]
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    mf, mt = local(f), local(t)
    vf, vt, cov = local(f * f) - mf**2, local(t * t) - mt**2, local(f * t) - mf * mt
    index = ((2 * mf * mt + c1) * (2 * cov + c2)) / ((mf**2 + mt**2 + c1) * (vf + vt + c2))
    return index.flatten(1).mean(1)


def _p_norm(x: Tensor, p: int) -> PerExample:
    """(Σ|x_i|^p)^(1/p), a smooth stand-in for the greatest modulus; scaled by it, so that no power overflows."""
    modulus = x.flatten(1).abs()
    peak = modulus.detach().amax(1, keepdim=True).clamp_min(1e-30)
    return peak[:, 0] * ((modulus / peak) ** p).sum(1) ** (1 / p)


def detail_lost(response: Response) -> PerExample:
    """1 − Re⟨f(y′) − f(y), d⟩ / ‖d‖², d the detail added to the truth: 0 kept, 1 lost, above 1 inverted.

    The matched-filter estimate of the detail's contrast in the change of the image, as a share of the true contrast.
    """
    detail = response.detail.flatten(1)
    change = (response.output - response.normal).flatten(1)
    kept = (change.conj() * detail).sum(1).real / detail.abs().square().sum(1).clamp_min(1e-38)
    return 1 - kept


def change_elsewhere(response: Response) -> PerExample:
    """‖(f(y′) − f(y)) outside the detail‖₂ / ‖d‖₂: what appeared where nothing was added."""
    detail = response.detail
    outside = detail.abs() <= 0.05 * detail.abs().flatten(1).amax(1)[:, None, None]
    return norm((response.output - response.normal) * outside) / norm(detail).clamp_min(1e-38)


def _pair(response: Response) -> tuple[Tensor, Tensor]:
    """Output and truth, of one shape: broadcasting would compare each image with all the others."""
    if response.output.shape != response.truth.shape:
        raise InputError(f"the system's output has shape {tuple(response.output.shape)}, the true images "
                         f"{tuple(response.truth.shape)}; wrap the system so that they agree")
    return response.output, response.truth


RELATIVE_ERROR = register(Metric(
    id="relative-error", name="Image error", unit="share of the true image's norm", better="lower", least=0.0,
    greatest=math.inf, compute=lambda r: relative_error(*_pair(r))))
ERROR_NORM = register(Metric(
    id="error-norm", name="Norm of the image error", unit="units of the image", better="lower", least=0.0,
    greatest=math.inf, compute=lambda r: norm(_pair(r)[0] - _pair(r)[1])))
PSNR = register(Metric(
    id="psnr", name="Peak signal-to-noise ratio", unit="dB", better="higher", least=-math.inf, greatest=math.inf,
    compute=lambda r: psnr(*_pair(r))))
SSIM = register(Metric(
    id="ssim", name="Structural similarity", unit="index", better="higher", least=-1.0, greatest=1.0,
    compute=lambda r: ssim(*_pair(r))))
MAX_ERROR = register(Metric(
    id="max-error", name="Greatest error at one place", unit="share of the true image's peak", better="lower",
    least=0.0, greatest=math.inf, compute=lambda r: max_error(*_pair(r)),
    climbs={"16-norm": lambda r: _p_norm(r.output - r.truth, 16)}))
DETAIL_LOST = register(Metric(
    id="detail-lost", name="Detail lost", unit="share of the detail's contrast", better="lower", least=-math.inf,
    greatest=math.inf, compute=detail_lost, has_normal=False, needs_truth=True))
CHANGE_ELSEWHERE = register(Metric(
    id="change-elsewhere", name="Change outside the detail", unit="share of the detail's norm", better="lower",
    least=0.0, greatest=math.inf, compute=change_elsewhere, has_normal=False, needs_truth=True))
