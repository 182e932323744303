"""What every file format is reduced to: frames, that is ids and a way to read one sample's array as it is stored.

A format module opens its file, refuses what it cannot vouch for, and returns `Frames`. Nothing here keeps samples in
memory: arrays on disk are mapped anew for each read, so that an audit of a thousand samples needs no more memory than
one of ten.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import stat
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from assay.arrays import InputError

LIMIT_BYTES = 8 * 2**30     # of one array that has to be unpacked before it can be read
LIMIT_VALUES = 2**26        # of one sample: 8192 × 8192

Array = npt.NDArray[Any]
CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The samples of one file or folder before any check.

    `read(i)` gives the array as its format decodes it, `place(i)` the words that name it in a message. `skip_blank`
    allows blank samples to be left out (volumes end in empty planes) where the user named no planes.
    """

    ids: tuple[str, ...]
    read: Callable[[int], Array]
    place: Callable[[int], str]
    note: str = ""
    skip_blank: bool = False


@dataclass(frozen=True, eq=False)
class MappedArray:
    """An array on disk. Each read maps the file, copies one part and unmaps it: touched pages never add up."""

    file: Path | IO[bytes]
    where: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool = False
    offset: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.file, Path):
            weakref.finalize(self, self.file.close)

    def read(self, index: tuple[int | slice, ...]) -> Array:
        """The part of the array that `index` selects, copied."""
        with contextlib.ExitStack() as stack:
            handle = stack.enter_context(self.file.open("rb")) if isinstance(self.file, Path) else self.file
            try:
                pages = stack.enter_context(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
                view: Array = np.ndarray(self.shape, self.dtype, buffer=pages, offset=self.offset,
                                         order="F" if self.fortran else "C")
            except (ValueError, TypeError, OSError) as error:
                raise InputError(f"{self.where}: the file became shorter while it was in use ({error}); "
                                 "leave data in place during an audit") from None
            part = np.array(view[index])
            del view
        return part


def regular_file(path: Path) -> Path:
    """`path` itself if it is a regular file with content (or a link to one); a pipe or device would block a read."""
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        raise InputError(f"{shown(path)}: a folder where a file was expected; name one file in it")
    if not stat.S_ISREG(mode):
        raise InputError(f"{shown(path)}: not a regular file (a pipe, socket or device); copy the data to a file")
    if path.stat().st_size == 0:
        raise InputError(f"{shown(path)}: the file is empty (0 bytes); copy or export it again")
    return path


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; `InputError` if there is nothing there."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        reason = "is a link to nothing; mend the link" if path.is_symlink() else "does not exist; check the path"
        raise InputError(f"{shown(path)}: {reason}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{shown(path)}: cannot be opened ({error}); check the path and its permissions") from None


def shown(path: Path) -> str:
    """A path as text that can be printed and stored: bytes that are not UTF-8 appear as \\xff."""
    return readable(str(path))


def readable(name: str) -> str:
    """A file name as valid Unicode; undecodable bytes appear as \\xff, everything else is kept.

    >>> readable("a\\udcff.png") == "a" + chr(92) + "xff.png"
    True
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def digest(array: Array) -> str:
    """sha256 over the array's dtype, shape and bytes (row-major).

    >>> digest(np.zeros(2, np.uint8)) == digest(np.zeros(2, np.int8))
    False
    """
    state = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    state.update(np.ascontiguousarray(array).data if array.size else b"")
    return state.hexdigest()


def check_dtype(dtype: np.dtype[Any], where: str) -> None:
    """Refuses what is not numbers: Python objects (they are pickles), structures, booleans, text, dates."""
    if dtype.hasobject:
        raise InputError(f"{where}: contains Python objects, which only a pickle can hold, and pickles are never "
                         "loaded (they can run code); save a plain numeric array")
    if dtype.kind == "b":
        raise InputError(f"{where}: boolean values, so this is a mask and not an image; "
                         "if it is meant as an image, save it as numbers (.astype('float32'))")
    if dtype.kind not in "iufc":
        raise InputError(f"{where}: values of type {dtype} are not numbers; save a numeric array")


def check_bytes(shape: Sequence[int], itemsize: int, where: str) -> None:
    """Refuses an array that would need more than `LIMIT_BYTES` once unpacked, before anything is allocated."""
    total = math.prod(shape) * itemsize
    if total > LIMIT_BYTES:
        raise InputError(f"{where}: declares {total / 2**30:.1f} GiB once unpacked, more than the "
                         f"{LIMIT_BYTES / 2**30:g} GiB allowed; split it, or save it uncompressed as .npy")


def check_sample(shape: Sequence[int], where: str) -> None:
    """Refuses one sample that is empty or larger than `LIMIT_VALUES`."""
    if not shape or 0 in shape:
        raise InputError(f"{where}: the array is empty, its shape is {tuple(shape)}; save at least one image")
    if math.prod(shape) > LIMIT_VALUES:
        raise InputError(f"{where}: one sample of shape {tuple(shape)} has more than {LIMIT_VALUES} values; "
                         "crop or split it")


def check_planes(planes: Sequence[int] | None, count: int, where: str) -> tuple[int, ...]:
    """The planes asked for, or all of them; refuses those that do not exist and those named twice."""
    if planes is None:
        return tuple(range(count))
    chosen = tuple(planes)
    if not chosen:
        raise InputError(f"{where}: planes is empty; name at least one, or leave it out to take all")
    for plane in chosen:
        if isinstance(plane, bool) or not isinstance(plane, int) or not 0 <= plane < count:
            raise InputError(f"{where}: planes names {plane!r}, and there are planes 0 to {count - 1}")
    if len(set(chosen)) != len(chosen):
        raise InputError(f"{where}: planes names one plane twice; name each once")
    return chosen


def refuse_options(where: str, kind: str, **options: object) -> None:
    """Refuses options that mean nothing for this kind of file, rather than ignoring them."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{where}: {name}= has no meaning for {kind}; leave it out")


class Stream(Protocol):
    """What a compressed member offers."""

    def read(self, size: int, /) -> bytes: ...


def spill(stream: Stream, size: int, where: str) -> IO[bytes]:
    """The next `size` bytes of a compressed stream in a nameless temporary file, gone when the process ends."""
    target: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the source that holds it
    left = size
    try:
        while left:
            chunk = stream.read(min(CHUNK, left))
            if not chunk:
                raise InputError(f"{where}: truncated, {left} of {size} bytes are missing; copy or export it again")
            _write(target, chunk, where)
            left -= len(chunk)
    except BaseException:
        target.close()
        raise
    return target


def _write(target: IO[bytes], chunk: bytes, where: str) -> None:
    """Writes through to the disk, so that a full disk is told from a damaged file."""
    try:
        target.write(chunk)
        target.flush()
    except OSError as error:
        raise InputError(f"{where}: cannot be unpacked into {tempfile.gettempdir()} ({error}); make room there, or "
                         "name another folder by TMPDIR") from None


def join(parts: Sequence[Frames]) -> Frames:
    """The frames of several files, one after the other."""
    places = [(part, i) for part in parts for i in range(len(part.ids))]
    notes = sorted({part.note for part in parts if part.note})
    return Frames(
        ids=tuple(name for part in parts for name in part.ids),
        read=lambda i: places[i][0].read(places[i][1]),
        place=lambda i: places[i][0].place(places[i][1]),
        note="; ".join(notes),
        skip_blank=all(part.skip_blank for part in parts),
    )
