"""NIfTI volumes, one plane at a time, turned so that every file shows a head the same way up."""

from __future__ import annotations

import gzip
import math
import weakref
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.arrays import InputError
from assay.datasets.frames import (
    CHUNK,
    Array,
    Frames,
    check_bytes,
    check_dtype,
    check_planes,
    check_sample,
    readable,
    shown,
    spill,
)

BROKEN = (OSError, EOFError, ValueError, zlib.error)
CUTS = ("sagittal", "coronal", "axial")


def nifti_frames(path: Path, axis: int | None, planes: Sequence[int] | None) -> Frames:
    """Planes of a volume across canonical axis 0 (sagittal), 1 (coronal) or 2 (axial, the default).

    Axes are those of the patient (right, anterior, superior), read from the file's affine, whatever the order in which
    the voxels are stored. Planes are counted from left, from behind or from below; rows run from top or front, columns
    from left or from behind. Source: NIfTI-1 data format, section on orientation (Cox et al., 2004).
    """
    axis, where = 2 if axis is None else axis, shown(path)
    if axis not in (0, 1, 2) or isinstance(axis, bool):
        raise InputError(f"{where}: axis={axis!r}; expected 0 (sagittal), 1 (coronal) or 2 (axial)")
    nibabel = _module()
    image = _open(nibabel, path, where)
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise InputError(f"{where}: {len(shape)} axes {tuple(image.shape)}; expected one volume (three axes); "
                         "save one volume of the series")
    check_dtype(image.get_data_dtype(), where)
    whole = bool(np.isfinite(image.affine).all())
    turns = nibabel.orientations.io_orientation(image.affine) if whole else np.full((3, 2), np.nan)
    if np.isnan(turns).any():
        raise InputError(f"{where}: its affine has no orientation (singular, or no finite numbers); mend qform or sform")
    stored = [int(np.flatnonzero(turns[:, 0] == patient)[0]) for patient in range(3)]
    flipped = [turns[voxel, 1] < 0 for voxel in stored]
    check_sample([n for voxel, n in enumerate(shape) if voxel != stored[axis]], where)
    chosen = check_planes(planes, shape[stored[axis]], where)

    def place(i: int) -> str:
        return f"{where}, {CUTS[axis]} plane {chosen[i]}"

    def read(i: int) -> Array:
        index: list[Any] = [slice(None)] * 3 + [0] * (len(image.shape) - 3)
        index[stored[axis]] = shape[stored[axis]] - 1 - chosen[i] if flipped[axis] else chosen[i]
        try:
            plane = np.asarray(image.dataobj[tuple(index)])
        except BROKEN as error:
            raise InputError(f"{place(i)}: truncated or damaged ({error}); copy or export it again") from None
        first, second = (patient for patient in range(3) if patient != axis)
        plane = plane if stored[first] < stored[second] else plane.T
        plane = plane[::-1] if flipped[first] else plane
        plane = plane[:, ::-1] if flipped[second] else plane
        return np.ascontiguousarray(plane.T[::-1])

    return Frames(ids=tuple(f"{readable(path.name)}-{plane}" for plane in chosen), read=read, place=place,
                  note=f"{CUTS[axis]} planes, right-anterior-superior axes", skip_blank=planes is None)


def _module() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise InputError(f"reading NIfTI needs nibabel, and {error.name or 'it'} is missing: "
                         "pip install 'assay[nifti]'") from error
    return nibabel


def _open(nibabel: Any, path: Path, where: str) -> Any:
    """The image with its data on disk: as it is, or unpacked to a temporary file if it is compressed."""
    packed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            kind = _kind(nibabel, stream.read(4), where)
            stream.seek(0)
            header = kind.header_class.from_fileobj(stream)
            dtype = header.get_data_dtype()
            check_dtype(dtype, where)
            size = math.ceil(header["vox_offset"]) + math.prod(header.get_data_shape()) * dtype.itemsize
            check_bytes((size,), 1, where)
            if not packed:
                if path.stat().st_size < size:
                    raise InputError(f"{where}: truncated, {path.stat().st_size} bytes where its header declares "
                                     f"{size}; copy or export it again")
                return kind.from_filename(path)
            stream.seek(0)
            unpacked = spill(stream, size, where)
            try:
                if len(stream.read(CHUNK)) == CHUNK:   # gzip compares its checksum only where the stream ends
                    raise InputError(f"{where}: far longer than its header declares; export it again")
                unpacked.seek(0)
                image = kind.from_stream(unpacked)
            except BaseException:
                unpacked.close()
                raise
            weakref.finalize(image, unpacked.close)
            return image
    except InputError:
        raise
    except (*BROKEN, nibabel.wrapstruct.WrapStructError, nibabel.spatialimages.HeaderDataError,
            nibabel.filebasedimages.ImageFileError) as error:
        raise InputError(f"{where}: truncated or not a NIfTI file ({error}); copy or export it again") from None


def _kind(nibabel: Any, start: bytes, where: str) -> Any:
    sizes = {int.from_bytes(start, "little"), int.from_bytes(start, "big")}
    if 348 in sizes:
        return nibabel.Nifti1Image
    if 540 in sizes:
        return nibabel.Nifti2Image
    raise InputError(f"{where}: not a NIfTI file (its header does not begin with 348 or 540); convert it to NIfTI")


