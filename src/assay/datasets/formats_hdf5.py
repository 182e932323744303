"""HDF5 in the layout of fastMRI: `kspace`, `reconstruction_rss`, `reconstruction_esc`, one slice read at a time.

Layout: Zbontar et al., "fastMRI: an open dataset and benchmarks for accelerated MRI", arXiv:1811.08839 (2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.arrays import InputError
from assay.datasets.frames import (
    LIMIT_BYTES,
    Array,
    Frames,
    check_dtype,
    check_planes,
    check_sample,
    readable,
    shown,
)

BROKEN_HDF5 = (OSError, RuntimeError, ValueError, KeyError, TypeError)


def h5py_module() -> Any:
    """h5py, or the extra that installs it."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"reading HDF5 needs h5py, and {error.name or 'it'} is missing: "
                         "pip install 'assay[hdf5]'") from error
    return h5py


def dataset_of(h5py: Any, file: Any, key: str | None, where: str, *, preferred: Sequence[str]) -> tuple[str, Any]:
    """Name and dataset to read; refuses links out of the file, through which it could show any other file."""
    if key is None:
        key = next((name for name in preferred if name in file), None)
    held = sorted(name if isinstance(name, str) else name.decode("utf-8", "surrogateescape") for name in file)
    listing = ", ".join(readable(name) for name in held[:12]) or "nothing"
    if key is None and "dataset" in file and "xml" in file["dataset"]:
        raise InputError(f"{where}: an ISMRMRD file, which this program does not read; convert it to the fastMRI "
                         "layout (one dataset `kspace`)")
    if key is None:
        raise InputError(f"{where}: none of {', '.join(preferred)} in it (it holds: {listing}); say which with key=")
    if isinstance(file.get(key, getlink=True), h5py.ExternalLink):
        raise InputError(f"{where}: {key!r} is a link to another file; copy the data into this one")
    if key not in file or not isinstance(file[key], h5py.Dataset):
        raise InputError(f"{where}: no dataset named {key!r}; it holds: {listing}")
    stored = file[key]
    if stored.external or stored.is_virtual or Path(stored.file.filename) != Path(file.filename):
        raise InputError(f"{where}: dataset {key!r} keeps its values in another file; copy them into this one")
    if stored.chunks and math.prod(stored.chunks) * stored.dtype.itemsize > LIMIT_BYTES:
        raise InputError(f"{where}: dataset {key!r} declares chunks above {LIMIT_BYTES / 2**30:g} GiB; export it again")
    return key, stored


def image_frames(path: Path, key: str | None, planes: Sequence[int] | None) -> Frames:
    """Slices of the dataset `reconstruction_rss`, else `reconstruction_esc`, else `images`, or of `key`."""
    preferred = ("reconstruction_rss", "reconstruction_esc", "images")
    name, shape, dtype = _described(path, key, preferred)
    where = f"{shown(path)}, dataset {readable(name)!r}"
    check_dtype(dtype, where)
    if len(shape) not in (2, 3):
        raise InputError(f"{where}: {len(shape)} axes {shape}; expected (height, width) or (slices, height, width)")
    check_sample(shape if 0 in shape else shape[-2:], where)
    if len(shape) == 2 and planes is not None:
        raise InputError(f"{where}: planes= has no meaning for one image of shape {shape}; leave it out")
    chosen = check_planes(planes, shape[0], where) if len(shape) == 3 else ()
    return _frames(path, name, chosen)


def kspace_frames(path: Path, key: str | None) -> Frames:
    """Slices of the dataset `kspace`: complex (slices, height, width) or (slices, coils, height, width)."""
    name, shape, dtype = _described(path, key, ("kspace",))
    where = f"{shown(path)}, dataset {readable(name)!r}"
    if dtype.names is None:
        check_dtype(dtype, where)
    if len(shape) not in (3, 4):
        raise InputError(f"{where}: {len(shape)} axes {shape}; expected (slices, height, width) or "
                         "(slices, coils, height, width)")
    check_sample(shape if 0 in shape else shape[1:], where)
    return _frames(path, name, tuple(range(shape[0])))


def _described(path: Path, key: str | None, preferred: Sequence[str]) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    h5py, where = h5py_module(), shown(path)
    try:
        with h5py.File(path, "r") as file:
            name, stored = dataset_of(h5py, file, key, where, preferred=preferred)
            return name, tuple(stored.shape), stored.dtype
    except InputError:
        raise
    except BROKEN_HDF5 as error:
        raise InputError(f"{where}: truncated or not an HDF5 file ({_line(error)}); copy or export it again") from None


def _frames(path: Path, name: str, chosen: Sequence[int]) -> Frames:
    h5py, stem = h5py_module(), readable(path.name)
    where = f"{shown(path)}, dataset {readable(name)!r}"

    def place(i: int) -> str:
        return f"{where}, slice {chosen[i]}" if chosen else where

    def read(i: int) -> Array:
        try:
            with h5py.File(path, "r") as file:
                array = np.asarray(file[name][chosen[i]] if chosen else file[name][()])
        except BROKEN_HDF5 as error:
            raise InputError(f"{place(i)}: truncated or damaged ({_line(error)}); copy or export it again") from None
        return array["real"] + 1j * array["imag"] if array.dtype.names == ("real", "imag") else array

    return Frames(ids=tuple(f"{stem}-{i}" for i in chosen) or (stem,), read=read, place=place)


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
