"""Bad values, shapes, types and options are refused with file, field and remedy."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest
from written import (
    kspace,
    one_dicom,
    one_kspace_h5,
    one_png,
    refused,
    save,
    stack,
    write_hdf5,
    write_nifti,
    write_npy,
    write_npz,
    write_packed_nifti,
)

from assay.arrays import InputError
from assay.datasets import frames
from assay.datasets.sources import load_images, load_kspace


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(bad, tmp_path):
    images = stack().astype(np.float32)
    images[1, 2, 3] = bad
    refused(load_images, write_npy(tmp_path, images), "image [1]", "NaN or infinite", "(2, 3)", "leave out")


@pytest.mark.parametrize("bad", [complex(np.nan, 0), complex(0, np.inf)])
def test_kspace_that_is_not_finite(bad, tmp_path):
    k = kspace(8, 6)
    k[3, 4] = bad
    refused(load_kspace, save(tmp_path / "k.npy", k), "NaN or infinite", "(3, 4)")


@pytest.mark.parametrize("write", [write_hdf5, write_nifti, write_packed_nifti], ids=lambda w: w.__name__)
def test_nan_in_other_formats(write, tmp_path):
    images = stack().astype(np.float32)
    images[1, 2, 3] = np.nan
    refused(load_images, write(tmp_path, images), "NaN or infinite")


@pytest.mark.parametrize(("value", "word"), [(0, "zero everywhere"), (7, "constant")])
def test_blank_images(value, word, tmp_path):
    images = stack()
    images[2] = value
    refused(load_images, write_npy(tmp_path, images), "image [2]", word, "leave it out")


def test_an_image_blank_after_cropping(tmp_path):
    image = np.zeros((8, 8))
    image[0, 0] = 1
    refused(load_images, save(tmp_path / "a.npy", image), "zero everywhere", size=4)


def test_a_volume_without_any_content(tmp_path):
    refused(load_images, write_nifti(tmp_path, np.zeros((3, 6, 5), np.float32)), "every plane is blank")


def test_kspace_of_zeros_and_of_real_values(tmp_path):
    refused(load_kspace, save(tmp_path / "k.npy", np.zeros((4, 4), np.complex64)), "zero everywhere")
    refused(load_kspace, save(tmp_path / "r.npy", np.ones((4, 4))), "complex")


def test_kspace_without_a_peak_anywhere(tmp_path):
    k = np.random.default_rng(0).standard_normal((32, 32, 2)) @ [1, 1j]
    refused(load_kspace, save(tmp_path / "k.npy", k), "centred=True or centred=False")
    assert load_kspace(tmp_path / "k.npy", centred=False).centred is False


@pytest.mark.parametrize("shape", [(), (5,), (2, 2, 2, 3, 5)])
def test_wrong_number_of_axes(shape, tmp_path):
    refused(load_images, save(tmp_path / "a.npy", np.ones(shape)), "axes", "(height, width)")


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 4), (0,)])
@pytest.mark.parametrize("load", [load_images, load_kspace])
def test_empty_arrays(shape, load, tmp_path):
    refused(load, save(tmp_path / "a.npy", np.ones(shape, np.complex64)), "empty", "save at least one")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = file["images"] = np.ones(shape, np.complex64)
    refused(load, tmp_path / "a.h5", "empty" if len(shape) == 3 else "axes")


@pytest.mark.parametrize("shape", [(9, 9, 3), (4, 9, 9, 1), (9, 9, 4)])
def test_channels_in_the_last_place(shape, tmp_path):
    refused(load_images, save(tmp_path / "a.npy", np.random.default_rng(0).random(shape)), "channels", "grey")


@pytest.mark.parametrize(("dtype", "words"), [
    ("?", ("boolean", "mask", "astype")), ("U3", ("not numbers",)), ("S3", ("not numbers",)),
    ("M8[s]", ("not numbers",)), ([("re", "f4"), ("im", "f4")], ("not numbers",)),
    ("O", ("Python objects", "pickle")),
])
@pytest.mark.parametrize("packed", [False, True])
def test_types_that_are_not_numbers(dtype, words, packed, tmp_path):
    array = np.zeros((4, 4), dtype)
    if packed:
        np.savez(tmp_path / "a.npz", images=array)
        refused(load_images, tmp_path / "a.npz", "'images'", *words)
    else:
        refused(load_images, save(tmp_path / "a.npy", array), *words)


@pytest.mark.parametrize("axes", ["hw", "chwx", "wh", "cwh"])
def test_axes_that_do_not_fit(axes, tmp_path):
    refused(load_kspace, save(tmp_path / "k.npy", kspace(3, 8, 6)), "does not fit", axes=axes)


def test_coils_are_never_guessed(tmp_path):
    refused(load_kspace, save(tmp_path / "k.npy", kspace(3, 8, 6)), "(3, 8, 6)", "axes=", "'chw'", "'shw'")


def test_a_sample_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "LIMIT_VALUES", 20)
    monkeypatch.setattr(frames.MappedArray, "read", lambda *_: pytest.fail("was read"))
    refused(load_images, write_npy(tmp_path, stack()), "more than 20 values")
    refused(load_images, one_png(tmp_path), "more than 20 values")


@pytest.mark.parametrize(("write", "options", "word"), [
    (write_npy, {"key": "x"}, "key="), (write_npy, {"axis": 1}, "axis="), (write_npz, {"axis": 1}, "axis="),
    (one_png, {"planes": [0]}, "planes="), (one_png, {"key": "x"}, "key="), (one_dicom, {"planes": [0]}, "planes="),
    (write_nifti, {"key": "x"}, "key="), (write_npy, {"planes": []}, "planes is empty"),
    (write_npy, {"planes": [3]}, "planes 0 to 2"), (write_npy, {"planes": [-1]}, "planes 0 to 2"),
    (write_npy, {"planes": [1, 1]}, "twice"), (write_npy, {"planes": [True]}, "planes names True"),
])
def test_options_that_mean_nothing_are_refused_and_not_ignored(write, options, word, tmp_path):
    path = write(tmp_path, stack()) if write.__name__.startswith("write") else write(tmp_path)
    refused(load_images, path, word, **options)


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -1}, {"size": 0}, {"size": 2.5}, {"limit": True}])
def test_limits_that_are_not_counts(options, tmp_path):
    with pytest.raises(InputError, match=f"{next(iter(options))}=.*at least 1"):
        load_images(write_npy(tmp_path, stack()), **options)


@pytest.mark.parametrize(("module", "extra", "load", "write"), [
    ("nibabel", "assay[nifti]", load_images, write_nifti), ("pydicom", "assay[dicom]", load_images, one_dicom),
    ("h5py", "assay[hdf5]", load_images, write_hdf5), ("h5py", "assay[hdf5]", load_kspace, one_kspace_h5),
])
def test_a_missing_package_names_the_extra(module, extra, load, write, tmp_path, monkeypatch):
    path = write(tmp_path, stack()) if write.__name__.startswith("write") else write(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=module) as caught:
        load(path)
    assert f"pip install '{extra}'" in str(caught.value)
