"""Grey pictures: PNG with 8 or 16 bits, and grey JPEG (lossy, and recorded as such)."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from assay.arrays import InputError
from assay.datasets.frames import Array, Frames, check_sample, readable, shown

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
GREY = ("L", "I;16", "I;16B", "I")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def picture_frames(path: Path) -> Frames:
    """One grey picture. Colour, palettes, transparency and one-bit masks are refused."""
    kind = FORMATS[path.suffix.lower()]
    read_picture(path, kind, header_only=True)
    return Frames(ids=(readable(path.name),), read=lambda _: read_picture(path, kind), place=lambda _: shown(path),
                  note="lossy JPEG" if kind == "JPEG" else "")


def read_picture(path: Path, kind: str, *, header_only: bool = False) -> Array:
    """The grey values (height, width), uint8 or uint16; with `header_only` an empty array after the same refusals."""
    where = shown(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)   # `check_sample` is the limit here
            picture = Image.open(path, formats=(kind,))
        with picture:
            check_sample((picture.height, picture.width), where)
            if picture.mode not in GREY:
                raise InputError(f"{where}: not a grey picture (mode {picture.mode}); "
                                 "convert it to 8 or 16 bit grey, one channel, without transparency")
            return np.empty((0, 0)) if header_only else np.array(picture)
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{where}: truncated or not a {kind} picture ({error}); copy or export it again") from None
