"""Small files of every kind, written by the libraries that users write them with."""

from __future__ import annotations

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
import scipy.io
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from assay.arrays import InputError


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


def save(path, array):
    np.save(path, array, allow_pickle=True)
    return path


def one_png(folder):
    Image.fromarray(stack(1, 64, 64)[0]).save(folder / "one.png")
    return folder / "one.png"


def one_jpeg(folder):
    Image.fromarray(stack(1, 64, 64)[0]).save(folder / "one.jpg")
    return folder / "one.jpg"


def one_dicom(folder):
    write_dicom(folder / "one.dcm", stack(1, 64, 64)[0])
    return folder / "one.dcm"


def one_mat(folder):
    scipy.io.savemat(folder / "k.mat", {"kdata": kspace(16, 16)})
    return folder / "k.mat"


def one_packed_mat(folder):
    scipy.io.savemat(folder / "k.mat", {"kdata": kspace(16, 16)}, do_compression=True)
    return folder / "k.mat"


def one_kspace_h5(folder):
    with h5py.File(folder / "k.h5", "w") as file:
        file["kspace"] = kspace(2, 16, 16)
    return folder / "k.h5"


def refused(load, path, *words, **options):
    """The message of the refusal, which must name the path and each of the words."""
    with pytest.raises(InputError) as caught:
        load(path, **options)
    message = str(caught.value)
    for word in (path.name, *words):
        assert word in message, message
    return message
