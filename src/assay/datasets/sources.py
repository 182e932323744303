"""Users' images and measured k-space, read lazily, checked once and recorded by digest.

`load_images` and `load_kspace` look at every sample once (shape, finite values, scale, digest) and keep none of them;
`source[i]` reads sample i again, and refuses it if its bytes are no longer those that were recorded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from assay.arrays import InputError
from assay.datasets import formats_array, formats_dicom, formats_hdf5, formats_nifti, formats_picture
from assay.datasets.frames import Array, Frames, is_folder, join, readable, refuse_options, regular_file, shown
from assay.datasets.survey import Survey, survey_images, survey_kspace

UNDERSAMPLED = 0.2          # share of exact zeros above which k-space was not fully measured
IMAGE_SUFFIXES = ".npy .npz .nii .nii.gz .dcm .png .jpg .jpeg .h5 .hdf5"
KSPACE_SUFFIXES = ".h5 .hdf5 .mat .npy .npz"


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSource:
    """Images of one file or folder: `source[i]` is (height, width), float32 or complex64, divided by `scale`.

    `scale` is the greatest modulus in the source, so that the greatest value delivered is 1. `digests` holds the sha256
    of each array as stored (dtype, shape, bytes), before scaling and cropping; `options` are the arguments of
    `load_images` that give this source again. Reading a sample whose bytes have changed raises `InputError`.
    """

    ids: tuple[str, ...]
    shape: tuple[int, ...]
    digests: Mapping[str, str]
    licence: str
    description: str
    options: Mapping[str, Any]
    scale: float
    left_out: tuple[str, ...] = ()          # ids of blank planes at the ends of a volume
    _read: Callable[[int], Array] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> Shaped[Tensor, "height width"]:
        return _tensor(self._read(_index(i, len(self))), self.scale)


@dataclass(frozen=True, kw_only=True, eq=False)
class KSpaceSource:
    """Measured k-space: `source[i]` is complex64 (height, width), or (coils, height, width) with several coils.

    `scale` is the greatest modulus of the images (orthonormal inverse transform; root of the sum of squares over
    coils): divided by it, the greatest value of an image is 1. `centred` says that zero frequency lies in the middle.
    `natively_undersampled` flags data of which more than 20 % are exact zeros: there is no ground truth in it.
    """

    ids: tuple[str, ...]
    shape: tuple[int, ...]
    digests: Mapping[str, str]
    licence: str
    description: str
    options: Mapping[str, Any]
    scale: float
    centred: bool
    zeros: float                            # share of exact zeros
    _read: Callable[[int], Array] = field(repr=False)

    @property
    def natively_undersampled(self) -> bool:
        return self.zeros > UNDERSAMPLED

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> Shaped[Tensor, "*coils height width"]:
        return _tensor(self._read(_index(i, len(self))), self.scale)


def load_images(path: str | Path, *, key: str | None = None, axis: int | None = None,
                planes: Sequence[int] | None = None, limit: int | None = None, size: int | None = None,
                licence: str = "unknown") -> ImageSource:
    """The images of a file or folder, by suffix: .npy .npz .nii .nii.gz DICOM PNG JPEG .h5, or a folder of one kind.

    Arguments: `key` the array of a .npz or .h5; `axis` the patient axis across which a NIfTI volume is cut (0, 1, 2);
    `planes` the planes to take of a volume or stack (without it, blank planes of a NIfTI volume are left out, by name);
    `limit` the greatest number of samples; `size` pixels: each image is cropped about its centre or padded with zeros
    to (size, size), never resampled. Integers become float32 by the one recorded scale.
    Raises `InputError` naming file, field and remedy for anything that cannot be read or is not an image.
    """
    path, planes = Path(path), None if planes is None else tuple(planes)
    _at_least_one(limit=limit, size=size)
    frames = _image_frames(path, key, axis, planes)
    options = {"path": readable(str(path)), "key": key, "axis": axis, "planes": planes and list(planes),
               "limit": limit, "size": size, "licence": licence}
    survey = survey_images(frames, where=shown(path), limit=limit, size=size)
    ids = tuple(frames.ids[i] for i in survey.kept)
    cropped = f"; centre-cropped or zero-padded to {size}×{size}" if size else ""
    left_out = tuple(frames.ids[i] for i in survey.blank)
    blank = f"; {len(left_out)} blank planes left out" if left_out else ""
    return ImageSource(
        ids=ids, shape=survey.shape, digests=_digests(ids, survey, path), licence=licence, scale=survey.scale,
        description=f"{len(ids)} image{_plural(ids)} of {readable(path.name)}, divided by their greatest modulus "
                    f"{survey.scale:.6g}{cropped}{blank}{'; ' + frames.note if frames.note else ''}",
        options=MappingProxyType(options), left_out=left_out,
        _read=lambda i: survey.read_again(frames, i))


def load_kspace(path: str | Path, *, key: str | None = None, axes: str | None = None, limit: int | None = None,
                centred: bool | None = None, licence: str = "unknown") -> KSpaceSource:
    """Measured k-space by suffix: fastMRI .h5 (or a folder of them), MATLAB .mat, complex .npy and .npz.

    Arguments: `key` the array; `axes` what the axes of an array with more than two mean, by letters (s samples,
    c coils, h height, w width: "chw", "shw", "hwc" …), not asked for fastMRI files; `limit` the greatest number of
    samples; `centred` where zero frequency is, told from the data when not given (`InputError` when it cannot be).
    Raises `InputError` naming file, field and remedy for anything that cannot be read or is not k-space.
    """
    path = Path(path)
    _at_least_one(limit=limit)
    frames = _kspace_frames(path, key, axes)
    survey = survey_kspace(frames, where=shown(path), limit=limit, centred=centred)
    ids = tuple(frames.ids[i] for i in survey.kept)
    options = {"path": readable(str(path)), "key": key, "axes": axes, "limit": limit, "centred": centred,
               "licence": licence}
    coils = f"{survey.shape[0]} coils" if len(survey.shape) == 3 else "one coil"
    told = "told from the data" if centred is None else "as given"
    return KSpaceSource(
        ids=ids, shape=survey.shape, digests=_digests(ids, survey, path), licence=licence, scale=survey.scale,
        description=f"{len(ids)} measured k-space{_plural(ids)} of {readable(path.name)}, {coils}, zero frequency "
                    f"{'in the middle' if survey.centred else 'in the corner'} ({told}), divided by the greatest "
                    f"modulus of the images {survey.scale:.6g}; {survey.zeros:.1%} exact zeros",
        options=MappingProxyType(options), centred=survey.centred, zeros=survey.zeros,
        _read=lambda i: survey.read_again(frames, i))


def slug(id: str) -> str:
    """A file name for a sample id: harmless characters only, and 8 hexadecimal digits of its sha256 keep names apart.

    >>> slug("../<b>knee</b>")
    'b-knee-b-dd898ba4'
    """
    mark = hashlib.sha256(id.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9_]+", "-", id)[:48].strip("-")
    return f"{words or 'sample'}-{mark}"


def _image_frames(path: Path, key: str | None, axis: int | None, planes: tuple[int, ...] | None) -> Frames:
    if is_folder(path):
        refuse_options(shown(path), "a folder", axis=axis, planes=planes)
        return join([_image_frames(file, key, None, None) for file in _files_of_one_kind(path, _image_kind)])
    kind = _image_kind(regular_file(path))
    if kind != "NIfTI":
        refuse_options(shown(path), f"a {kind} file", axis=axis)
    if kind in ("DICOM", "picture"):
        refuse_options(shown(path), f"a {kind} file", key=key, planes=planes)
        return (formats_dicom.dicom_frames if kind == "DICOM" else formats_picture.picture_frames)(path)
    if kind == "NIfTI":
        refuse_options(shown(path), "a NIfTI file", key=key)
        return formats_nifti.nifti_frames(path, axis, planes)
    if kind == "HDF5":
        return formats_hdf5.image_frames(path, key, planes)
    if kind == "npz":
        return formats_array.image_frames(formats_array.open_npz(path, key), readable(path.name), planes)
    refuse_options(shown(path), "a .npy file", key=key)
    return formats_array.image_frames(formats_array.open_npy(path), readable(path.name), planes)


def _kspace_frames(path: Path, key: str | None, axes: str | None) -> Frames:
    if is_folder(path):
        refuse_options(shown(path), "a folder of fastMRI files", axes=axes)
        return join([formats_hdf5.kspace_frames(file, key) for file in _files_of_one_kind(path, _kspace_kind)])
    kind = _kspace_kind(regular_file(path))
    if kind == "HDF5":
        refuse_options(shown(path), "a fastMRI file, whose axes are (slices, [coils,] height, width)", axes=axes)
        return formats_hdf5.kspace_frames(path, key)
    if kind == "MATLAB":
        load = formats_array.open_mat73 if formats_array.is_mat73(path) else formats_array.open_mat
        return formats_array.kspace_frames(load(path, key), readable(path.name), axes)
    if kind == "npz":
        return formats_array.kspace_frames(formats_array.open_npz(path, key), readable(path.name), axes)
    refuse_options(shown(path), "a .npy file", key=key)
    return formats_array.kspace_frames(formats_array.open_npy(path), readable(path.name), axes)


def _image_kind(path: Path) -> str:
    name = path.name.lower()
    for kind, suffixes in (("npy", ".npy"), ("npz", ".npz"), ("NIfTI", (".nii", ".nii.gz")), ("HDF5", (".h5", ".hdf5")),
                           ("picture", tuple(formats_picture.FORMATS)), ("DICOM", (".dcm", ".dicom", ".ima"))):
        if name.endswith(suffixes):
            return kind
    if formats_dicom.is_dicom(path):
        return "DICOM"
    raise InputError(f"{shown(path)}: not a kind of image file that can be read; convert it to one of {IMAGE_SUFFIXES}")


def _kspace_kind(path: Path) -> str:
    name = path.name.lower()
    for kind, suffixes in (("HDF5", (".h5", ".hdf5")), ("MATLAB", ".mat"), ("npy", ".npy"), ("npz", ".npz")):
        if name.endswith(suffixes):
            return kind
    raise InputError(f"{shown(path)}: not a kind of k-space file that can be read; convert it to one of "
                     f"{KSPACE_SUFFIXES}")


def _files_of_one_kind(folder: Path, kind_of: Callable[[Path], str]) -> list[Path]:
    """The files of a folder in order of name, all of one kind; hidden files and folders within are passed over."""
    files = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    files = [regular_file(file) for file in files if file.is_symlink() or not file.is_dir()]
    if not files:
        raise InputError(f"{shown(folder)}: the folder holds no files; name a folder of images of one kind")
    kinds = {kind_of(file): file for file in reversed(files)}
    if len(kinds) > 1:
        mixed = " and ".join(f"{kind} ({shown(file)})" for kind, file in sorted(kinds.items())[:2])
        raise InputError(f"{shown(folder)}: files of several kinds, {mixed}; keep one kind in a folder")
    kind = next(iter(kinds))
    if kind in ("npy", "npz", "NIfTI", "MATLAB"):
        raise InputError(f"{shown(folder)}: a folder of {kind} files is not read as one data set; name one file in it")
    return files


def _digests(ids: tuple[str, ...], survey: Survey, path: Path) -> Mapping[str, str]:
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"{shown(path)}: two samples are both named {twice!r}; rename one file")
    return MappingProxyType(dict(zip(ids, survey.digests, strict=True)))


def _tensor(array: Array, scale: float) -> Tensor:
    wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64) / scale
    return torch.from_numpy(wide.astype(np.complex64 if array.dtype.kind == "c" else np.float32))


def _plural(ids: Sequence[str]) -> str:
    return "" if len(ids) == 1 else "s"


def _index(i: int, count: int) -> int:
    if not -count <= i < count:
        raise IndexError(f"sample {i} of a source with {count} samples")
    return i % count


def _at_least_one(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{name}={value!r}; expected a whole number of at least 1")
