"""Real files: fully sampled measured k-space shows anatomy, an undersampled one is flagged, scans become planes."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from assay.datasets.sources import load_images, load_kspace
from assay.operators.fourier import MaskedFourier, ifft2
from assay.operators.sensitivity import estimate_maps

pytestmark = pytest.mark.data


def real(relative: str) -> Path:
    """A file of the data folder, or a skip that says what is missing."""
    folder = Path(os.environ.get("ASSAY_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    if not (folder / relative).exists():
        pytest.skip(f"{relative} is not in {folder}; name the data folder by ASSAY_DATA")
    return folder / relative


NOISE = 0.25 * (1 + math.log(4))     # the share below for complex noise, whose energies are exponential: 0.597


def concentration(image: torch.Tensor) -> float:
    """Share of the energy in the brightest quarter of the pixels."""
    energy = image.abs().square().flatten().sort(descending=True).values
    return float(energy[: len(energy) // 4].sum() / energy.sum())


def likeness_of_neighbours(image: torch.Tensor) -> float:
    """Correlation of the moduli of pixels side by side: 0 for noise, near 1 for smooth anatomy."""
    modulus = image.abs()
    return float(torch.corrcoef(torch.stack((modulus[:, 1:].flatten(), modulus[:, :-1].flatten())))[0, 1])


def shows_anatomy(image: torch.Tensor) -> bool:
    return concentration(image) > NOISE + 0.1 and likeness_of_neighbours(image) > 0.7


def test_noise_and_wrongly_read_kspace_do_not_show_anatomy():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(256, 256, dtype=torch.complex64, generator=generator)
    assert concentration(noise) == pytest.approx(NOISE, abs=0.01) and abs(likeness_of_neighbours(noise)) < 0.02
    assert not shows_anatomy(noise)
    for name in ("se_t1_sag_data.mat", "coronal_fatsat_2D_knee.mat"):
        k = load_kspace(real(f"mri_raw_kspace/{name}"))[0]
        shuffled = k.flatten()[torch.randperm(k.numel(), generator=generator)].reshape(k.shape)
        assert not shows_anatomy(ifft2(shuffled, centred=True))


@pytest.mark.parametrize(("name", "key", "shape"), [
    ("se_t1_sag_data.mat", "data", (256, 256)), ("coronal_fatsat_2D_knee.mat", "kdata", (332, 640))])
def test_fully_sampled_kspace_shows_anatomy(name, key, shape):
    path = real(f"mri_raw_kspace/{name}")
    source = load_kspace(path, licence="MIT")
    assert source.shape == shape and len(source) == 1 and source.centred and not source.natively_undersampled
    image = ifft2(source[0], centred=True)
    assert float(image.abs().max()) == pytest.approx(1, abs=1e-4)
    stored = scipy.io.loadmat(path)[key]
    expected = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(stored), norm="ortho")) / source.scale
    np.testing.assert_allclose(image.numpy(), expected, atol=1e-4)
    assert shows_anatomy(image)


def test_undersampled_kspace_is_flagged():
    source = load_kspace(real("mri_raw_kspace/sigpy_cartesian_ksp_8ch_undersampled.npy"), axes="chw")
    assert source.shape == (8, 230, 180) and source.natively_undersampled
    assert source.zeros == pytest.approx(0.876, abs=0.001)


def test_maps_of_measured_coils_sum_to_one_and_combine_them():
    k = load_kspace(real("mri_raw_kspace/sigpy_cartesian_ksp_8ch_undersampled.npy"), axes="chw")[0]
    maps = estimate_maps(k, centre=16)
    total = maps.abs().square().sum(0)
    on = total > 0.5
    torch.testing.assert_close(total[on], torch.ones_like(total[on]), atol=1e-4, rtol=0)
    assert 0.2 < float(on.float().mean()) < 1
    operator = MaskedFourier((k != 0).any(0), maps=maps)
    combined = operator.adjoint(k.flatten(1)[:, operator.mask.flatten()][None])[0].abs()
    root = ifft2(k, centred=True).abs().square().sum(0).sqrt()
    assert float(torch.corrcoef(torch.stack((combined[on], root[on])))[0, 1]) > 0.9


def test_scans_become_planes():
    path = real("mri_ptbp60/ptbp60_axial_t1_u16.npz")
    source = load_images(path, planes=[0, 7])
    assert len(source) == 120 and source.shape == (182, 217) and source.ids[:3] == ("0-0", "0-7", "1-0")
    whole = load_images(path)
    assert len(whole) == 480 and whole.ids[-1] == "59-7" and whole.scale <= 65535
    stored = np.load(path)["images"][59, 7].astype(np.float64) / whole.scale
    np.testing.assert_allclose(whole[479].numpy(), stored, atol=1e-6)
    assert whole.digests["59-7"] == source.digests["59-7"]
