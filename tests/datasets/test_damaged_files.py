"""Truncated, changed, missing and blocking files are refused with file and remedy."""

from __future__ import annotations

import io
import os
import zipfile
import zlib

import h5py
import numpy as np
import pydicom
import pytest
from written import (
    one_dicom,
    one_jpeg,
    one_kspace_h5,
    one_mat,
    one_packed_mat,
    one_png,
    refused,
    stack,
    write_dicom,
    write_fortran,
    write_hdf5,
    write_multiframe,
    write_nifti,
    write_npy,
    write_npz,
    write_packed_nifti,
    write_packed_npz,
)

from assay.arrays import InputError
from assay.datasets.sources import load_images, load_kspace
from assay.datasets.texts import load_texts

TRUNCATED = [(load_images, write_npy), (load_images, write_fortran), (load_images, write_npz),
             (load_images, write_packed_npz), (load_images, write_hdf5), (load_images, write_nifti),
             (load_images, write_packed_nifti), (load_images, write_multiframe), (load_images, one_png),
             (load_images, one_jpeg), (load_images, one_dicom), (load_kspace, one_mat), (load_kspace, one_packed_mat),
             (load_kspace, one_kspace_h5)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(("load", "write"), TRUNCATED, ids=lambda f: f.__name__)
def test_truncated_at_any_place(load, write, share, tmp_path):
    path = write(tmp_path, stack(3, 64, 64)) if write.__name__.startswith("write") else write(tmp_path)
    whole = path.read_bytes()
    load(path)
    path.write_bytes(whole[: int(share * len(whole))])
    message = refused(load, path)
    assert any(word in message for word in ("truncated", "empty (0 bytes)", "no Rows", "no PixelData")), message
    assert any(word in message for word in ("again", "numpy.save", "leave it out", "convert it", "install")), message


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.nii", "a.nii.gz", "a.dcm", "a.png", "a.jpg", "a.h5"])
def test_noise_under_every_name(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    refused(load_images, path, "not a")


@pytest.mark.parametrize("write", [write_npz, write_packed_npz, write_packed_nifti], ids=lambda w: w.__name__)
def test_a_changed_byte_is_seen_by_the_checksum(write, tmp_path):
    images = np.random.default_rng(0).integers(1, 200, (3, 64, 64)).astype(np.uint8)
    path = write(tmp_path, images)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    refused(load_images, path, "truncated or not")


def test_paths_that_lead_nowhere(tmp_path):
    refused(load_images, tmp_path / "missing.npy", "does not exist", "check the path")
    (tmp_path / "link.npy").symlink_to(tmp_path / "gone.npy")
    refused(load_images, tmp_path / "link.npy", "link to nothing")
    (tmp_path / "loop.npy").symlink_to(tmp_path / "loop.npy")
    refused(load_images, tmp_path / "loop.npy", "check the path")
    with pytest.raises(InputError, match="cannot be opened"):
        load_images("a\0b.npy")


def test_a_pipe_is_refused_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    refused(load_images, tmp_path / "pipe.npy", "not a regular file")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a regular file"):
        load_images(tmp_path)


def test_a_folder_with_a_link_to_nothing(tmp_path):
    one_png(tmp_path)
    (tmp_path / "z.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"z\.png.*link to nothing"):
        load_images(tmp_path)


def test_folders_that_are_not_data_sets(tmp_path):
    refused(load_images, tmp_path, "holds no files")
    (tmp_path / ".hidden").write_text("x")
    refused(load_images, tmp_path, "holds no files")
    one_png(tmp_path)
    one_dicom(tmp_path)
    refused(load_images, tmp_path, "several kinds", "DICOM", "picture")
    (tmp_path / "npys").mkdir()
    write_npy(tmp_path / "npys", stack())
    refused(load_images, tmp_path / "npys", "name one file in it")


@pytest.mark.parametrize("name", ["notes.txt", "scan.tiff", "scan.mat", "scan", "k.dcm"])
@pytest.mark.parametrize("load", [load_images, load_kspace])
def test_kinds_that_are_not_read(name, load, tmp_path):
    (tmp_path / name).write_bytes(b"x" * 200)
    if (load, name) != (load_kspace, "scan.mat") and (load, name) != (load_images, "k.dcm"):
        refused(load, tmp_path / name, "convert it to one of", ".npy")
    else:
        refused(load, tmp_path / name, "not a")


# --- what `python -m attacks.fuzz` found ---

@pytest.mark.parametrize("packed", [False, True])
def test_a_matlab_type_that_there_is_not_does_not_reach_scipy(packed, tmp_path):
    """Its compiled reader ends the process on such a file: the imaginary part is named by a type out of the list."""
    path = one_mat(tmp_path)
    content = bytearray(path.read_bytes())
    at = content.rindex((7).to_bytes(4, "little") + (16 * 16 * 4).to_bytes(4, "little"))
    content[at] = 99
    inner = bytes(content[128:])
    if packed:
        deflated = zlib.compress(inner)
        inner = (15).to_bytes(4, "little") + len(deflated).to_bytes(4, "little") + deflated
    path.write_bytes(bytes(content[:128]) + inner)
    refused(load_kspace, path, "type 99")


def test_members_packed_in_a_damaged_way_are_refused(tmp_path):
    out = io.BytesIO()
    np.save(out, stack())
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", out.getvalue())
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[60] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    refused(load_images, tmp_path / "a.npz", "truncated or not")


@pytest.mark.parametrize(("tag", "value"), [("Rows", [3, 4]), ("NumberOfFrames", [2, 3]), ("RescaleSlope", ["1", "2"])])
def test_dicom_numbers_that_are_several_are_refused(tag, value, tmp_path):
    write_dicom(tmp_path / "a.dcm", stack(1)[0].astype(np.uint16))
    file = pydicom.dcmread(tmp_path / "a.dcm")
    setattr(file, tag, value)
    pydicom.dcmwrite(tmp_path / "a.dcm", file)
    refused(load_images, tmp_path / "a.dcm", tag, "export it again")


def test_a_label_far_beyond_all_classes_does_not_count_to_it(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,0\nb,4294967295\n")
    refused(load_texts, tmp_path / "a.csv", "line 3", "number the classes from 0")
    (tmp_path / "a.csv").write_text("text,label\na,0\nb," + "9" * 5000 + "\n")
    refused(load_texts, tmp_path / "a.csv", "line 3")


def test_a_dataset_whose_name_is_no_text_is_listed_and_not_in_the_way(tmp_path):
    path = write_hdf5(tmp_path, stack())
    with h5py.File(path, "r+") as file:
        file[b"\xff\xfe"] = stack()
    assert len(load_images(path)) == 3
    with h5py.File(path, "r+") as file:
        del file["reconstruction_rss"]
        file["other"] = stack()
    refused(load_images, path, r"\xff\xfe", "say which with key=")


def test_a_volume_whose_orientation_is_no_number_is_refused(tmp_path):
    path = write_nifti(tmp_path, stack())
    content = bytearray(path.read_bytes())
    content[280:284] = np.float32(np.nan).tobytes()                  # srow_x[0]
    path.write_bytes(content)
    refused(load_images, path, "affine has no orientation")
