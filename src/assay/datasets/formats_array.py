"""Plain arrays: .npy and .npz without pickles, and MATLAB files of versions 5 and 7.3."""

from __future__ import annotations

import io
import itertools
import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from assay.arrays import InputError
from assay.datasets.formats_mat5 import check_variable
from assay.datasets.frames import (
    Array,
    Frames,
    MappedArray,
    check_bytes,
    check_dtype,
    check_planes,
    check_sample,
    readable,
    shown,
    spill,
)

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, NotImplementedError,
              ValueError)
CheckDtype = Callable[[np.dtype[Any], str], None]
LAYOUTS = ("hw", "shw", "chw", "schw", "hws", "hwc", "hwcs")


def open_npy(path: Path) -> MappedArray:
    """The array of a .npy file, mapped and not loaded."""
    where = shown(path)
    with path.open("rb") as handle:
        dtype, shape, fortran, offset = _header(handle, where)
    expected = offset + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if path.stat().st_size < expected:
        raise InputError(f"{where}: truncated, {path.stat().st_size} bytes where its header declares {expected}; "
                         "copy or export it again")
    return MappedArray(path, where, dtype, shape, fortran, offset)


def open_npz(path: Path, key: str | None, *, check: CheckDtype = check_dtype) -> MappedArray:
    """One array of a .npz archive, unpacked to a temporary file on disk and mapped; the other members stay packed.

    `check` refuses types of values: without it, everything but numbers.
    """
    where = shown(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            name = choose_key(names, key, where, preferred=("images", "kspace"))
            where = f"{where}, array {readable(name)!r}"
            check_bytes((archive.getinfo(name + ".npy").file_size,), 1, where)
            with archive.open(name + ".npy") as member:
                return _unpack(member, where, check)
    except InputError:
        raise
    except BROKEN_ZIP as error:
        raise InputError(f"{where}: truncated or not a .npz archive ({_line(error)}); "
                         "copy or export it again") from None


def _unpack(member: IO[bytes], where: str, check: CheckDtype) -> MappedArray:
    dtype, shape, fortran, _ = _header(member, where, check)
    check_bytes(shape, dtype.itemsize, where)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    array = MappedArray(spill(member, size, where), where, dtype, shape, fortran, 0)   # closes its file when dropped
    if member.read(1):   # reading to the end also makes the archive compare its checksum
        raise InputError(f"{where}: longer than its header declares; export it again")
    return array


def _header(handle: IO[bytes], where: str, check: CheckDtype = check_dtype,
            ) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """dtype, shape, Fortran order and offset of the data; nothing of the data is read, and nothing is evaluated."""
    try:
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(handle)
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise InputError(f"{where}: truncated or not a .npy array ({_line(error)}); save it with numpy.save") from None
    check(dtype, where)
    if 0 in shape or any(n < 0 for n in shape):
        raise InputError(f"{where}: the array is empty, its shape is {shape}; save at least one image")
    return dtype, shape, fortran, handle.tell()


def open_mat(path: Path, key: str | None) -> MappedArray:
    """One array of a MATLAB version 5 file, written to a temporary file on disk and mapped."""
    import scipy.io

    where = shown(path)
    try:
        listed = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(path)}
        name = choose_key(list(listed), key, where, preferred=("kspace", "kdata", "data"))
        where = f"{where}, variable {readable(name)!r}"
        shape, kind = listed[name]
        if kind in ("cell", "struct", "object", "function", "char", "opaque", "sparse", "unknown", "logical"):
            raise InputError(f"{where}: a MATLAB {kind}, not a numeric array; save the array itself, or name another "
                             "variable with key=")
        check_bytes(shape, 16, where)
        if 0 in shape:
            check_sample(shape, where)
        if scipy.io.matlab.matfile_version(path)[0] == 1:
            check_variable(path, name, where)
        array: Array = np.asarray(scipy.io.loadmat(path, variable_names=[name])[name])
    except InputError:
        raise
    except Exception as error:   # scipy raises nearly every kind of exception on a damaged file
        raise InputError(f"{where}: truncated or not a MATLAB version 5 file ({_line(error)}); save it again with "
                         "save -v7") from None
    return _keep(array, where)


def open_mat73(path: Path, key: str | None) -> MappedArray:
    """One array of a MATLAB 7.3 file, which is HDF5 with the axes reversed and complex numbers as (real, imag)."""
    from assay.datasets.formats_hdf5 import BROKEN_HDF5, dataset_of, h5py_module

    where = shown(path)
    h5py = h5py_module()
    try:
        with h5py.File(path, "r") as file:
            name, stored = dataset_of(h5py, file, key, where, preferred=("kspace", "kdata", "data"))
            where = f"{where}, variable {readable(name)!r}"
            check_bytes(stored.shape, stored.dtype.itemsize, where)
            array = np.asarray(stored[()]).T
    except InputError:
        raise
    except BROKEN_HDF5 as error:
        raise InputError(f"{where}: truncated or not a MATLAB 7.3 file ({_line(error)}); save it again") from None
    if array.dtype.names == ("real", "imag"):
        array = array["real"] + 1j * array["imag"]
    return _keep(array, where)


def _keep(array: Array, where: str) -> MappedArray:
    check_dtype(array.dtype, where)
    array = np.ascontiguousarray(array)
    file = spill(io.BytesIO(array.data), array.nbytes, where)
    return MappedArray(file, where, array.dtype, array.shape, False, 0)


def choose_key(names: Sequence[str], key: str | None, where: str, *, preferred: Sequence[str]) -> str:
    """The array to read: `key`, else the only one, else the first preferred name that exists.

    >>> choose_key(["images", "labels"], None, "x.npz", preferred=("images",))
    'images'
    """
    listing = ", ".join(readable(name) for name in sorted(names)[:12]) or "none"
    if key is not None:
        if key not in names:
            raise InputError(f"{where}: no array named {key!r}; it holds: {listing}")
        return key
    if len(names) == 1:
        return names[0]
    for name in preferred:
        if name in names:
            return name
    if not names:
        raise InputError(f"{where}: holds no array; export it again")
    raise InputError(f"{where}: several arrays ({listing}); say which with key=")


def image_frames(array: MappedArray, stem: str, planes: Sequence[int] | None) -> Frames:
    """Images of an array (height, width), (samples, height, width) or (scans, planes, height, width)."""
    shape, where = array.shape, array.where
    if len(shape) not in (2, 3, 4):
        raise InputError(f"{where}: {len(shape)} axes {shape}; expected (height, width), (samples, height, width) or "
                         "(scans, planes, height, width)")
    if len(shape) > 2 and shape[-1] in (1, 3, 4) and shape[-2] > 4:
        raise InputError(f"{where}: shape {shape} looks like channels in the last place; save one grey channel as "
                         "(samples, height, width)")
    check_sample(shape[-2:], where)
    if len(shape) == 2:
        if planes is not None:
            raise InputError(f"{where}: planes= has no meaning for one image of shape {shape}; leave it out")
        indices: list[tuple[int, ...]] = [()]
    else:
        chosen = check_planes(planes, shape[-3], where)
        indices = list(itertools.product(*[range(n) for n in shape[:-3]], chosen))
    return _frames(array, indices, stem)


def kspace_frames(array: MappedArray, stem: str, axes: str | None) -> Frames:
    """Measured samples of an array whose axes are named by letters: s samples, c coils, h height, w width."""
    shape, where = array.shape, array.where
    if axes is None and len(shape) == 2:
        axes = "hw"
    if axes is None:
        raise InputError(f"{where}: {len(shape)} axes {shape}, and coils cannot be told from samples; say which with "
                         "axes=, for example 'chw' (coils, height, width) or 'shw' (samples, height, width)")
    if axes not in LAYOUTS or len(axes) != len(shape):
        raise InputError(f"{where}: axes={axes!r} does not fit an array with {len(shape)} axes {shape}; "
                         f"known: {', '.join(LAYOUTS)}")
    check_sample([n for letter, n in zip(axes, shape, strict=True) if letter != "s"], where)
    order = tuple(axes.replace("s", "").index(letter) for letter in "chw" if letter in axes)
    sample_axis = axes.find("s")

    def read(i: int) -> Array:
        index = tuple(i if axis == sample_axis else slice(None) for axis in range(len(shape)))
        return np.ascontiguousarray(array.read(index).transpose(order))

    count = shape[sample_axis] if sample_axis >= 0 else 1
    ids = tuple(str(i) for i in range(count)) if sample_axis >= 0 else (stem,)
    return Frames(ids=ids, read=read, place=lambda i: f"{where}, sample {i}" if sample_axis >= 0 else where)


def _frames(array: MappedArray, indices: Sequence[tuple[int, ...]], stem: str) -> Frames:
    def place(i: int) -> str:
        return f"{array.where}, image [{', '.join(map(str, indices[i]))}]" if indices[i] else array.where

    ids = tuple("-".join(map(str, index)) or stem for index in indices)
    return Frames(ids=ids, read=lambda i: array.read(indices[i]), place=place)


def is_mat73(path: Path) -> bool:
    """Whether a .mat file is of version 7.3, that is HDF5 behind a MATLAB header."""
    with path.open("rb") as handle:
        start = handle.read(520)
    return start.startswith(b"MATLAB 7.3") or b"\x89HDF\r\n\x1a\n" in (start[:8], start[512:520])


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
