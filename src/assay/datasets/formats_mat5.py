"""A MATLAB version 5 file, walked before scipy reads it: its compiled reader crashes on types that it does not know.

Source: MathWorks, MAT-File Format (version 5): tags of 8 bytes, padded to multiples of 8, or small elements of 8 in all.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import IO

from assay.arrays import InputError

SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}     # bytes of a value of each numeric type
INT8, INT32, UINT32, MATRIX, PACKED = 1, 5, 6, 14, 15
COMPLEX = 0x800
HEADER = 128
CHUNK = 2**16
MOST = 4096                 # bytes of a variable's name or of its axes


class _DamagedError(Exception):
    """What is wrong with the file."""


def check_variable(path: Path, name: str, where: str) -> None:
    """`InputError` unless the numeric variable is whole: types that exist, as many values as its axes declare."""
    try:
        with path.open("rb") as file:
            order = "<" if file.read(HEADER)[126:] == b"IM" else ">"
            while head := file.read(8):
                kind, length = _pair(head, order)
                start = file.tell()
                if kind not in (MATRIX, PACKED):
                    raise _DamagedError(f"an element of type {kind} where a variable is meant")
                inner = _Inflated(file, length) if kind == PACKED else _Plain(file, length)
                if kind == PACKED and _pair(inner.take(8), order)[0] != MATRIX:
                    raise _DamagedError("what is packed is no variable")
                if _checked(inner, order, name):
                    return
                file.seek(start + length)
            raise _DamagedError(f"no variable {name!r}")
    except (_DamagedError, zlib.error) as error:
        raise InputError(f"{where}: truncated or not a MATLAB version 5 file ({error}); save it again with "
                         "save -v7") from None


def _checked(inner: _Plain, order: str, name: str) -> bool:
    """Whether this is the variable; `_DamagedError` if it is and its numbers are not whole."""
    flags = _small(inner, order, UINT32)
    axes = _small(inner, order, INT32)
    if _small(inner, order, INT8).decode("latin-1").rstrip("\0") != name:
        return False
    if len(flags) != 8 or len(axes) % 4 or len(axes) < 8:
        raise _DamagedError("a header of another length")
    shape = struct.unpack(f"{order}{len(axes) // 4}i", axes)
    count = math.prod(shape)
    for _ in range(2 if struct.unpack(f"{order}I", flags[:4])[0] & COMPLEX else 1):
        kind, length, small = _tag(inner, order)
        if kind not in SIZES or min(shape) < 0 or length != count * SIZES[kind]:
            raise _DamagedError(f"{length} bytes of type {kind} where {count} numbers are meant")
        inner.skip(4 if small else length + -length % 8)
    return True


def _small(inner: _Plain, order: str, wanted: int) -> bytes:
    kind, length, small = _tag(inner, order)
    if kind != wanted or length > MOST:
        raise _DamagedError(f"an element of type {kind} and {length} bytes in a header")
    return inner.take(4 if small else length + -length % 8)[:length]


def _tag(inner: _Plain, order: str) -> tuple[int, int, bool]:
    """Type, bytes, and whether the four bytes of the element are all that follows."""
    (first,) = struct.unpack(f"{order}I", inner.take(4))
    if first >> 16:
        if first >> 16 > 4:
            raise _DamagedError("a small element of more than four bytes")
        return first & 0xFFFF, first >> 16, True
    return first, struct.unpack(f"{order}I", inner.take(4))[0], False


def _pair(head: bytes, order: str) -> tuple[int, int]:
    if len(head) < 8:
        raise _DamagedError("a tag of less than eight bytes")
    kind, length = struct.unpack(f"{order}II", head)
    return kind, length


class _Plain:
    """The bytes of one element."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self.file, self.left = file, length

    def some(self, most: int) -> bytes:
        """At most so many of the next bytes; none at the end."""
        found = self.file.read(min(most, self.left))
        self.left -= len(found)
        return found

    def take(self, count: int) -> bytes:
        """The next bytes, all of them; what a file leaves out of the padding at its end is not missed."""
        found = b""
        while len(found) < count:
            if not (more := self.some(count - len(found))):
                raise _DamagedError("it ends too early")
            found += more
        return found

    def skip(self, count: int) -> None:
        while count > 0:
            if not (more := self.some(min(count, CHUNK))):
                if count < 8:           # the padding of the last element
                    return
                raise _DamagedError("it ends too early")
            count -= len(more)


class _Inflated(_Plain):
    """The same of a packed element, unpacked as far as it is asked for."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        super().__init__(file, length)
        self.stream = zlib.decompressobj()
        self.waiting = b""

    def some(self, most: int) -> bytes:
        while not self.stream.eof:
            packed = self.waiting or super().some(CHUNK)
            if not packed:
                return b""
            found = self.stream.decompress(packed, most)
            self.waiting = self.stream.unconsumed_tail
            if found:
                return found
        return b""
