"""Measured k-space: scale, axes, place of zero frequency, undersampling."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from written import kspace

from assay.datasets.sources import load_images, load_kspace


def test_kspace_is_scaled_by_its_image(tmp_path):
    k = kspace(8, 6) * 50
    np.save(tmp_path / "k.npy", k)
    source = load_kspace(tmp_path / "k.npy")
    assert source.shape == (8, 6) and source[0].dtype == torch.complex64 and source.centred
    image = np.fft.ifft2(np.fft.ifftshift(source[0].numpy()), norm="ortho")
    assert np.abs(image).max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(source[0].numpy() * source.scale, k, rtol=1e-5, atol=1e-5)


def test_several_coils_are_scaled_by_the_root_of_the_sum_of_squares(tmp_path):
    k = kspace(3, 8, 6)
    np.save(tmp_path / "k.npy", k)
    source = load_kspace(tmp_path / "k.npy", axes="chw")
    images = np.fft.ifft2(np.fft.ifftshift(k, axes=(1, 2)), norm="ortho")
    assert len(source) == 1 and source.shape == (3, 8, 6)
    assert source.scale == pytest.approx(float(np.sqrt((np.abs(images) ** 2).sum(0)).max()), rel=1e-5)


@pytest.mark.parametrize("axes", ["shw", "hws"])
def test_axes_say_what_is_a_sample(axes, tmp_path):
    k = kspace(3, 8, 6)
    np.save(tmp_path / "k.npy", k if axes == "shw" else k.transpose(1, 2, 0))
    source = load_kspace(tmp_path / "k.npy", axes=axes)
    assert len(source) == 3 and source.shape == (8, 6)
    np.testing.assert_allclose(source[1].numpy() * source.scale, k[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("axes", "order"), [("schw", (0, 1, 2, 3)), ("hwcs", (2, 3, 1, 0))])
def test_axes_of_samples_and_coils(axes, order, tmp_path):
    k = kspace(2, 3, 8, 6)
    np.savez(tmp_path / "k.npz", kspace=k.transpose(order), other=np.zeros(2))
    source = load_kspace(tmp_path / "k.npz", axes=axes)
    assert len(source) == 2 and source.shape == (3, 8, 6)
    np.testing.assert_allclose(source[1].numpy() * source.scale, k[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 8, 6), (2, 4, 8, 6)])
def test_fastmri_layout(shape, tmp_path):
    k = kspace(*shape)
    with h5py.File(tmp_path / "file1.h5", "w") as file:
        file["kspace"], file["reconstruction_rss"] = k, np.abs(k[:, 0] if len(shape) == 4 else k)
    source = load_kspace(tmp_path / "file1.h5")
    assert len(source) == shape[0] and source.shape == shape[1:] and source.ids[1] == "file1.h5-1"
    np.testing.assert_allclose(source[1].numpy() * source.scale, k[1], rtol=1e-5, atol=1e-5)
    assert load_images(tmp_path / "file1.h5").shape == shape[-2:]


def test_folder_of_fastmri_files(tmp_path):
    for name in "ab":
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["kspace"] = kspace(2, 8, 6)
    assert load_kspace(tmp_path).ids == ("a.h5-0", "a.h5-1", "b.h5-0", "b.h5-1")
    assert load_kspace(tmp_path, limit=3).ids == ("a.h5-0", "a.h5-1", "b.h5-0")


@pytest.mark.parametrize("shape", [(8, 6), (3, 8, 6)])
@pytest.mark.parametrize("version", ["5", "7.3"])
def test_matlab_files(version, shape, tmp_path):
    k, path = kspace(*shape), tmp_path / "k.mat"
    if version == "5":
        scipy.io.savemat(path, {"kdata": k})
    else:
        with h5py.File(path, "w", userblock_size=512) as file:
            file["kdata"] = _compound(k.T)
        with path.open("r+b") as handle:
            handle.write(b"MATLAB 7.3 MAT-file, Platform: none".ljust(116))
    source = load_kspace(path, axes=None if len(shape) == 2 else "chw")
    assert source.shape == shape
    np.testing.assert_allclose(source[0].numpy() * source.scale, k, rtol=1e-5, atol=1e-5)


def _compound(values: np.ndarray) -> np.ndarray:
    out = np.zeros(values.shape, [("real", "f4"), ("imag", "f4")])
    out["real"], out["imag"] = values.real, values.imag
    return out


@pytest.mark.parametrize("centred", [True, False])
def test_place_of_zero_frequency_is_told_from_the_data(centred, tmp_path):
    k = kspace(8, 6)
    np.save(tmp_path / "k.npy", k if centred else np.fft.ifftshift(k))
    source = load_kspace(tmp_path / "k.npy")
    assert source.centred is centred and "told from the data" in source.description


@pytest.mark.parametrize(("share", "flagged"), [(0.0, False), (0.15, False), (0.5, True)])
def test_natively_undersampled_kspace_is_flagged(share, flagged, tmp_path):
    k = kspace(20, 6)
    k[: round(20 * share)] = 0
    np.save(tmp_path / "k.npy", k)
    source = load_kspace(tmp_path / "k.npy", centred=True)
    assert source.zeros == pytest.approx(share, abs=0.03) and source.natively_undersampled is flagged


def test_kspace_options_load_it_again(tmp_path):
    np.save(tmp_path / "k.npy", kspace(3, 8, 6))
    first = load_kspace(tmp_path / "k.npy", axes="shw", limit=2, licence="MIT")
    again = load_kspace(**json.loads(json.dumps(dict(first.options))))
    assert again.digests == first.digests and again.description == first.description and again.licence == "MIT"
