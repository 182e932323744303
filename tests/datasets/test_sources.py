"""Every format gives the same images; scale, crop, digests, names and memory are as the records say."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
import scipy.io
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from assay.arrays import InputError
from assay.datasets.sources import load_images, load_kspace, slug


def stack(n: int = 3, height: int = 6, width: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (n, height, width)).astype(np.uint8)


def kspace(*shape: int, seed: int = 0) -> np.ndarray:
    """Fourier transform of positive images: its energy sits at zero frequency, in the middle."""
    image = np.random.default_rng(seed).random(shape) + 1
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    return k.astype(np.complex64)


def write_dicom(path, pixels, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.PatientName, file.Rows, file.Columns = "Never^Read", pixels.shape[-2], pixels.shape[-1]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = pixels.dtype.itemsize * 8
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        file.NumberOfFrames = pixels.shape[0]
    for name, value in tags.items():
        setattr(file, name, value)
    file.PixelData = pixels.tobytes()
    pydicom.dcmwrite(path, file, enforce_file_format=True)


def write_npy(folder, images):
    np.save(folder / "images.npy", images)
    return folder / "images.npy"


def write_fortran(folder, images):
    np.save(folder / "images.npy", np.asfortranarray(images))
    return folder / "images.npy"


def write_npz(folder, images):
    np.savez(folder / "images.npz", images)
    return folder / "images.npz"


def write_packed_npz(folder, images):
    np.savez_compressed(folder / "images.npz", images=images, labels=np.arange(3))
    return folder / "images.npz"


def write_hdf5(folder, images):
    with h5py.File(folder / "file.h5", "w") as file:
        file["reconstruction_rss"] = images
    return folder / "file.h5"


def write_pngs(folder, images):
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def write_png16s(folder, images):
    for i, image in enumerate(images):
        Image.fromarray(image.astype(np.uint16) * 256).save(folder / f"{i}.png")
    return folder


def write_dicoms(folder, images):
    for i, image in enumerate(images):
        write_dicom(folder / f"1.2.{i}", image.astype(np.uint16))
    return folder


def write_multiframe(folder, images):
    write_dicom(folder / "many.dcm", images)
    return folder / "many.dcm"


def write_nifti(folder, images, suffix=".nii"):
    volume = np.ascontiguousarray(images[:, ::-1].transpose(2, 1, 0))
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / f"head{suffix}")
    return folder / f"head{suffix}"


def write_packed_nifti(folder, images):
    return write_nifti(folder, images, ".nii.gz")


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


# --- measured k-space -------------------------------------------------------------------------------------------------

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


# --- names and memory ---------------------------------------------------------------------------------------------------

HOSTILE = ["../../etc/passwd", "<script>alert(1)</script>", "a\nb\x00c\x1b[31m", "CON", "..", "", "ж" * 300, "a/b", "a\\b",
           "\udcff", "-rf", "x" * 5000]


@pytest.mark.parametrize("name", HOSTILE)
def test_slug_of_hostile_names(name):
    _is_safe(slug(name))


@given(st.text())
def test_slug_of_any_name(name):
    _is_safe(slug(name))


def _is_safe(made: str) -> None:
    stem, _, mark = made.rpartition("-")
    assert stem and len(made) <= 57 and made[0] != "-" and len(mark) == 8
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_slugs_of_names_that_look_alike_differ():
    names = ["a/b", "a\\b", "a-b", "a b", "A-b", "../a-b"]
    assert len({slug(name).lower() for name in names}) == len(names)


def test_hostile_file_names_stay_as_ids(tmp_path):
    for name, image in zip(("<b>&.png", "a\x1b[31m\n.png"), stack(), strict=False):
        Image.fromarray(image).save(tmp_path / name)
    source = load_images(tmp_path)
    assert source.ids == ("<b>&.png", "a\x1b[31m\n.png") and len(source.digests) == 2
    json.dumps(source.ids)


def test_file_name_that_is_not_utf8(tmp_path):
    Image.fromarray(stack()[0]).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x\udcff.png")
    source = load_images(tmp_path)
    assert source.ids == ("x\\xff.png",)
    "".join(source.ids).encode()


PEAK = """
import sys
from pathlib import Path
import numpy as np
from assay.datasets.sources import load_images

def peak():   # VmHWM and not ru_maxrss, which a child process inherits from its parent
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

load_images(sys.argv[2])[0]                       # imports and first buffers are not what is measured
before, kept, keep = peak(), [], sys.argv[3] == "keep"
source = load_images(sys.argv[1])
for i in range(len(source)):
    sample = source[i]
    if keep:
        kept.append(sample)
print(peak() - before)
"""


def growth(write, folder, *, keep: bool) -> float:
    """MiB by which the peak of memory rises while 50 MiB of samples are read one by one."""
    images = np.random.default_rng(0).random((200, 256, 256)).astype(np.float32)
    (folder / "few").mkdir()
    few, many = write(folder / "few", images[:2]), write(folder, images)
    done = subprocess.run([sys.executable, "-c", PEAK, many, few, "keep" if keep else "drop"], capture_output=True,
                          text=True, check=True)
    return float(done.stdout)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("write", [write_npy, write_npz, write_packed_npz, write_hdf5, write_packed_nifti],
                         ids=lambda w: w.__name__)
def test_memory_does_not_grow_with_the_number_of_samples(write, tmp_path):
    assert growth(write, tmp_path, keep=False) < 15


@needs_proc
@pytest.mark.slow
def test_the_memory_measurement_sees_samples_that_are_kept(tmp_path):
    assert growth(write_npy, tmp_path, keep=True) > 40


def test_packed_volume_is_read_without_its_name_ending_in_capitals(tmp_path):
    path = write_packed_nifti(tmp_path, stack())
    path.rename(tmp_path / "HEAD.NII.GZ")
    assert len(load_images(tmp_path / "HEAD.NII.GZ")) == 3 and gzip.open(tmp_path / "HEAD.NII.GZ").read(4)
