"""DICOM files: grey pictures with the modality's rescaling applied. No name, date or other tag of a patient is read."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from assay.arrays import InputError
from assay.datasets.frames import Array, Frames, check_sample, readable, shown

TAGS = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsStored",
        "BitsAllocated", "PixelRepresentation", "RescaleSlope", "RescaleIntercept")


def is_dicom(path: Path) -> bool:
    """Whether the file carries the mark DICM after its 128-byte preamble (PS3.10, section 7.1)."""
    with path.open("rb") as handle:
        return handle.read(132)[128:] == b"DICM"


def dicom_frames(path: Path) -> Frames:
    """The frames of one file, as stored · RescaleSlope + RescaleIntercept (PS3.3, C.11.1); MONOCHROME1 is inverted."""
    where = shown(path)
    header = _read(path, where, pixels=False)
    for tag in ("Rows", "Columns", "PhotometricInterpretation"):
        if tag not in header:
            raise InputError(f"{where}: no {tag}, so it holds no picture or is truncated; leave it out")
    if header.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"{where}: PhotometricInterpretation {header.PhotometricInterpretation} is colour; "
                         "export it in grey (MONOCHROME2)")
    rows, columns = (int(_number(header, tag, where, least=1)) for tag in ("Rows", "Columns"))
    check_sample((rows, columns), where)
    frames = int(_number(header, "NumberOfFrames", where, least=1)) if header.get("NumberOfFrames") else 1
    check_sample((frames, rows, columns), where)
    inverted = header.PhotometricInterpretation == "MONOCHROME1"

    def place(i: int) -> str:
        return f"{where}, frame {i}" if frames > 1 else where

    def read(i: int) -> Array:
        values = _pixels(path, place(i))
        values = values[i] if frames > 1 else values
        if values.ndim != 2:
            raise InputError(f"{place(i)}: pixels of shape {values.shape}; expected one grey picture")
        return values

    name = readable(path.name)
    return Frames(ids=tuple(f"{name}-{i}" for i in range(frames)) if frames > 1 else (name,), read=read, place=place,
                  note="rescaled by slope and intercept" + (", MONOCHROME1 inverted" if inverted else ""))


def _pixels(path: Path, where: str) -> Array:
    header = _read(path, where, pixels=True)
    if "PixelData" not in header:
        raise InputError(f"{where}: no PixelData, so the file is truncated or holds no picture; export it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")   # spare bytes after the pixels are common and harmless
            stored = np.asarray(header.pixel_array)
    except (RuntimeError, NotImplementedError, ImportError) as error:
        raise InputError(f"{where}: its compression cannot be unpacked ({_line(error)}); install "
                         "pylibjpeg[all], or export it uncompressed (Explicit VR Little Endian)") from None
    except Exception as error:   # pydicom's decoders raise nearly every kind of exception on damaged pixels
        raise InputError(f"{where}: truncated or damaged pixels ({_line(error)}); export it again") from None
    if header.PhotometricInterpretation == "MONOCHROME1":
        top = -1 if header.get("PixelRepresentation", 0) else 2 ** int(_number(header, "BitsStored", where, least=1)) - 1
        stored = top - stored.astype(np.int64)
    slope, intercept = (_number(header, tag, where) if tag in header else usual
                        for tag, usual in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)))
    return stored if (slope, intercept) == (1.0, 0.0) else stored * slope + intercept


def _number(header: Any, tag: str, where: str, *, least: float = -math.inf) -> float:
    try:
        value = float(header[tag].value)
    except (TypeError, ValueError):                     # several values, or none
        value = math.nan
    if not math.isfinite(value) or value < least:
        raise InputError(f"{where}: {tag} is {str(header[tag].value)[:40]!r}, no number that can be used; export it again")
    return value


def _read(path: Path, where: str, *, pixels: bool) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise InputError(f"reading DICOM needs pydicom, and {error.name or 'it'} is missing: "
                         "pip install 'assay[dicom]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")   # remarks on tags that are not used here
            header = pydicom.dcmread(path, specific_tags=[*TAGS, *(["PixelData"] if pixels else [])],
                                     stop_before_pixels=not pixels)
            for tag in TAGS:
                header.get(tag)               # values are decoded on first use, and a damaged one raises here
            return header
    except Exception as error:   # the header is decoded piece by piece, and each piece raises an exception of its own
        raise InputError(f"{where}: truncated or not a DICOM file ({_line(error)}); export it again") from None


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
