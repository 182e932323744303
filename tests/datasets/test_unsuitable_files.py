"""Sound files that hold something else than grey images or k-space are refused with the remedy."""

from __future__ import annotations

import struct

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
import scipy.io
from PIL import Image
from written import kspace, one_png, refused, stack, write_dicom, write_nifti

from assay.arrays import InputError
from assay.datasets.sources import load_images, load_kspace


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "CMYK"])
def test_pictures_that_are_not_grey(mode, tmp_path):
    suffix = ".jpg" if mode == "CMYK" else ".png"
    Image.new(mode, (8, 8)).save(tmp_path / f"a{suffix}")
    refused(load_images, tmp_path / f"a{suffix}", "not a grey picture", "8 or 16 bit grey")


def test_a_picture_whose_content_is_not_what_its_name_says(tmp_path):
    Image.fromarray(stack()[0]).save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").rename(tmp_path / "a.png")
    refused(load_images, tmp_path / "a.png", "not a PNG picture")


def test_a_picture_that_declares_too_much(tmp_path):
    path = one_png(tmp_path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", __import__("zlib").crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"one\.png"):
        load_images(path)


def test_colour_dicom(tmp_path):
    write_dicom(tmp_path / "a.dcm", stack()[0], PhotometricInterpretation="RGB")
    refused(load_images, tmp_path / "a.dcm", "PhotometricInterpretation RGB", "MONOCHROME2")


def test_dicom_without_a_picture(tmp_path):
    write_dicom(tmp_path / "a.dcm", stack()[0])
    file = pydicom.dcmread(tmp_path / "a.dcm")
    del file.PixelData
    file.save_as(tmp_path / "a.dcm")
    refused(load_images, tmp_path / "a.dcm", "no PixelData")


def test_nifti_series_and_axis(tmp_path):
    volume = np.random.default_rng(0).random((4, 5, 6, 2)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    refused(load_images, tmp_path / "a.nii", "4 axes", "save one volume")
    refused(load_images, write_nifti(tmp_path, stack()), "axis=3", axis=3)


def test_several_arrays_and_no_such_array(tmp_path):
    np.savez(tmp_path / "a.npz", first=stack(), second=stack())
    refused(load_images, tmp_path / "a.npz", "several arrays (first, second)", "key=")
    refused(load_images, tmp_path / "a.npz", "no array named 'third'", "first, second", key="third")
    np.savez(tmp_path / "none.npz")
    refused(load_images, tmp_path / "none.npz", "holds no array")


def test_matlab_variables_that_are_not_arrays(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"cell": np.array([stack(), "x"], object), "text": "words",
                                          "kdata": kspace(4, 4)})
    refused(load_kspace, tmp_path / "a.mat", "'cell'", "MATLAB cell", "key=", key="cell")
    refused(load_kspace, tmp_path / "a.mat", "'text'", "MATLAB char", key="text")
    assert len(load_kspace(tmp_path / "a.mat")) == 1


def test_hdf5_without_the_expected_datasets(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["other"] = stack()
        file.create_group("group")["x"] = 1
        file["names"] = ["a", "b"]
    refused(load_kspace, tmp_path / "a.h5", "none of kspace", "group, names, other", "key=")
    refused(load_images, tmp_path / "a.h5", "no dataset named 'group'", key="group")
    refused(load_images, tmp_path / "a.h5", "Python objects", key="names")
    assert len(load_images(tmp_path / "a.h5", key="other")) == 3


def test_ismrmrd_is_named_and_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dataset/xml"], file["dataset/data"] = "<x/>", stack()
    refused(load_kspace, tmp_path / "a.h5", "ISMRMRD", "fastMRI layout")


def test_hdf5_that_points_out_of_itself(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(range(1, 26)) * 4)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = stack()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("other.h5", "images")
        file["folder"] = h5py.ExternalLink("other.h5", "/")
        file.create_dataset("raw", (10, 10), "u1", external=[(str(tmp_path / "secret.bin"), 0, 100)])
        layout = h5py.VirtualLayout((3, 6, 5), "u1")
        layout[:] = h5py.VirtualSource("other.h5", "images", (3, 6, 5))
        file.create_virtual_dataset("virtual", layout)
    for key in ("linked", "folder/images", "raw", "virtual"):
        refused(load_images, tmp_path / "a.h5", "another file", "into this one", key=key)
