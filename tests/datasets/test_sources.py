"""Every image format gives the same images; scale, crop and digests are as the records say."""

from __future__ import annotations

import hashlib
import json

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from written import (
    stack,
    write_dicom,
    write_dicoms,
    write_fortran,
    write_hdf5,
    write_multiframe,
    write_nifti,
    write_npy,
    write_npz,
    write_packed_nifti,
    write_packed_npz,
    write_png16s,
    write_pngs,
)

from assay.arrays import InputError
from assay.datasets.sources import load_images

WRITERS = [write_npy, write_fortran, write_npz, write_packed_npz, write_hdf5, write_pngs, write_png16s, write_dicoms,
           write_multiframe, write_nifti, write_packed_nifti]


@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)
def test_every_format_gives_the_same_images(write, tmp_path):
    images = stack()
    source = load_images(write(tmp_path, images))
    assert len(source) == len(source.ids) == len(set(source.ids)) == 3
    assert source.shape == (6, 5) and source[0].dtype == torch.float32
    torch.testing.assert_close(torch.stack(list(source)), torch.from_numpy(images / float(images.max())).float())
    assert tuple(source.digests) == source.ids
    assert max(float(image.max()) for image in source) == 1.0


@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)
def test_options_load_the_same_source_again(write, tmp_path):
    first = load_images(write(tmp_path, stack()), limit=2, size=4, licence="CC0-1.0")
    again = load_images(**json.loads(json.dumps(dict(first.options))))
    assert again.ids == first.ids and again.digests == first.digests and again.description == first.description
    assert again.licence == "CC0-1.0" and len(again) == 2 and bool((again[1] == first[1]).all())


def test_digest_is_of_the_stored_bytes(tmp_path):
    images = stack()
    source = load_images(write_npy(tmp_path, images), size=4)
    expected = hashlib.sha256(b"|u1 (6, 5)\n" + images[1].tobytes()).hexdigest()
    assert source.digests["1"] == expected


def test_one_changed_value_changes_one_digest(tmp_path):
    images = stack()
    before = load_images(write_npy(tmp_path, images)).digests
    images[1, 2, 3] ^= 1
    after = load_images(write_npy(tmp_path, images)).digests
    assert [before[i] == after[i] for i in "012"] == [True, False, True]


@pytest.mark.parametrize("write", [write_npy, write_pngs, write_hdf5], ids=lambda w: w.__name__)
def test_data_changed_after_loading_are_refused(write, tmp_path):
    source = load_images(write(tmp_path, stack()))
    write(tmp_path, stack(seed=1))
    with pytest.raises(InputError, match="changed since it was loaded"):
        source[0]


def test_a_file_cut_short_after_loading_is_refused(tmp_path):
    source = load_images(path := write_npy(tmp_path, stack()))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="became shorter"):
        source[2]


def test_negative_and_complex_values_are_scaled_by_modulus(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[-4.0, 2.0], [1.0, 0.0]]))
    source = load_images(tmp_path / "a.npy")
    assert source.ids == ("a.npy",) and source.scale == 4
    assert source[0].tolist() == [[-1.0, 0.5], [0.25, 0.0]]
    np.save(tmp_path / "b.npy", np.array([[3 + 4j, 0], [0, 0]]))
    source = load_images(tmp_path / "b.npy")
    assert source[0].dtype == torch.complex64 and source[0][0, 0].item() == pytest.approx(0.6 + 0.8j)


@pytest.mark.parametrize("dtype", ["u1", "i2", "<u4", ">i4", "i8", "f2", "<f4", ">f8", "c8", ">c16"])
def test_number_types_and_byte_orders(dtype, tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, 2], [3, 100]]).astype(dtype))
    source = load_images(tmp_path / "a.npy")
    assert source.scale == 100
    torch.testing.assert_close(source[0].real, torch.tensor([[0.01, 0.02], [0.03, 1.0]]))


def test_one_scale_for_the_whole_source(tmp_path):
    images = np.stack([np.diag([1.0, 2]), np.diag([4.0, 8])])
    source = load_images(write_npy(tmp_path, images))
    assert source.scale == 8 and float(source[0].max()) == 0.25 and "8" in source.description


@given(n=st.integers(1, 9), size=st.integers(1, 12))
def test_crop_and_pad_keep_the_centre_and_no_value_changes(n, size):
    from assay.datasets.survey import fit

    image = np.arange(1, n * n + 1).reshape(n, n)
    out = fit(image, size)
    assert out.shape == (size, size) and out[size // 2, size // 2] == image[n // 2, n // 2]
    for (row, column), value in np.ndenumerate(out):
        r, c = row - size // 2 + n // 2, column - size // 2 + n // 2
        assert value == (image[r, c] if 0 <= r < n and 0 <= c < n else 0)


def test_size_brings_files_of_different_shapes_together(tmp_path):
    Image.fromarray(stack()[0]).save(tmp_path / "a.png")
    Image.fromarray(stack(1, 9, 3)[0]).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png.*shape \(9, 3\).*\(6, 5\).*size="):
        load_images(tmp_path)
    source = load_images(tmp_path, size=8)
    assert source.shape == (8, 8) and source[1].shape == (8, 8) and "8×8" in source.description


def test_four_axes_are_scans_and_planes(tmp_path):
    images = stack(6).reshape(2, 3, 6, 5)
    source = load_images(write_packed_npz(tmp_path, images), planes=[2, 0])
    assert source.ids == ("0-2", "0-0", "1-2", "1-0")
    torch.testing.assert_close(source[2] * source.scale, torch.from_numpy(images[1, 2]).float())


def test_index_from_the_end_and_beyond(tmp_path):
    source = load_images(write_npy(tmp_path, stack()))
    assert bool((source[-1] == source[2]).all())
    for i in (3, -4):
        with pytest.raises(IndexError):
            source[i]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "SPL", "IRA"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nifti_planes_do_not_depend_on_the_order_of_storage(codes, axis, tmp_path):
    volume = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    image = nibabel.Nifti1Image(volume, np.eye(4))
    turn = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"),
                                               nibabel.orientations.axcodes2ornt(codes))
    nibabel.save(image.as_reoriented(turn), tmp_path / "head.nii.gz")
    assert "".join(nibabel.aff2axcodes(nibabel.load(tmp_path / "head.nii.gz").affine)) == codes
    source = load_images(tmp_path / "head.nii.gz", axis=axis, planes=[1, 3])
    expected = np.take(volume, 3, axis=axis).T[::-1]
    torch.testing.assert_close(source[1] * source.scale, torch.from_numpy(expected.copy()))


def test_nifti_slope_and_intercept_are_applied(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_slope_inter(2, -10)
    volume = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = nibabel.Nifti1Image(volume, np.eye(4), header)
    nibabel.save(image, tmp_path / "a.nii")
    source = load_images(tmp_path / "a.nii", planes=[0])
    loaded = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj)[:, :, 0].T[::-1]
    torch.testing.assert_close(source[0] * source.scale, torch.from_numpy(loaded.copy()).float())


def test_blank_planes_of_a_volume_are_left_out_by_name_and_refused_when_asked_for(tmp_path):
    volume = np.zeros((4, 5, 6), np.float32)
    volume[..., 2:4] = np.random.default_rng(0).random((4, 5, 2))
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "h.nii")
    source = load_images(tmp_path / "h.nii")
    assert source.ids == ("h.nii-2", "h.nii-3") and source.left_out == ("h.nii-0", "h.nii-1", "h.nii-4", "h.nii-5")
    assert "4 blank planes left out" in source.description
    with pytest.raises(InputError, match="zero everywhere"):
        load_images(tmp_path / "h.nii", planes=[1, 2])


def test_dicom_rescaling_and_inversion(tmp_path):
    pixels = np.array([[0, 1], [2, 255]], np.uint8)
    write_dicom(tmp_path / "ct.dcm", pixels, RescaleSlope=2, RescaleIntercept=-1000)
    source = load_images(tmp_path / "ct.dcm")
    assert source.scale == 1000 and (source[0] * 1000).round().tolist() == [[-1000, -998], [-996, -490]]
    write_dicom(tmp_path / "xray.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    source = load_images(tmp_path / "xray.dcm")
    assert (source[0] * source.scale).round().tolist() == [[255, 254], [253, 0]] and "inverted" in source.description


def test_no_tag_of_a_patient_is_recorded(tmp_path):
    write_dicom(tmp_path / "a.dcm", stack()[0])
    source = load_images(tmp_path / "a.dcm")
    assert "Never" not in repr(source) + source.description + str(source.options)


def test_grey_jpeg_is_read_and_called_lossy(tmp_path):
    Image.fromarray(stack()[0]).save(tmp_path / "a.jpg")
    assert "lossy" in load_images(tmp_path / "a.jpg").description


def test_hidden_files_and_folders_within_are_passed_over(tmp_path):
    write_pngs(tmp_path, stack())
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "more").mkdir()
    assert load_images(tmp_path).ids == ("0.png", "1.png", "2.png")
