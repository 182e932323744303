"""Recordings with a class each, as they are stored: a folder of .wav files with one sub-folder for each class."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from assay.arrays import InputError
from assay.datasets.frames import Array, is_folder, readable, regular_file, shown

SUFFIX = ".wav"
LONGEST = 2**22             # samples of one recording: four minutes at 16 kHz


def holds_sounds(path: Path) -> bool:
    """Whether a folder has a sub-folder with a .wav file in it: what tells a folder of sounds from one of pictures."""
    if not path.is_dir():
        return False
    return any(file.suffix.lower() == SUFFIX for entry in path.iterdir() if entry.is_dir() for file in entry.iterdir())


def sound_files(folder: Path, names: Sequence[str] | None) -> tuple[list[Path], list[int], tuple[str, ...], int]:
    """Files, the number of each one's class, the names of the classes, and how many other files there are."""
    if not is_folder(folder):
        raise InputError(f"{shown(folder)}: not a folder; give a folder with one sub-folder of .wav files for each class")
    inside = sorted((e for e in folder.iterdir() if not e.name.startswith(".")), key=lambda entry: entry.name)
    if loose := [e for e in inside if not e.is_dir() and e.suffix.lower() == SUFFIX]:
        raise InputError(f"{shown(loose[0])}: lies in no class; move it into the sub-folder of its class")
    folders = [entry for entry in inside if entry.is_dir()]
    if names is not None and len(names) != len(folders):
        raise InputError(f"{shown(folder)}: {len(folders)} sub-folders, and {len(names)} class names; name each class, in "
                         "the order of the sub-folders")
    files: list[Path] = []
    labels: list[int] = []
    others = 0
    for number, entry in enumerate(folders):
        present = sorted(e for e in entry.iterdir() if not e.name.startswith("."))
        found = [regular_file(e) for e in present if e.suffix.lower() == SUFFIX]
        if not found:
            raise InputError(f"{shown(entry)}: holds no .wav file; add recordings of this class, or remove the folder")
        files += found
        labels += [number] * len(found)
        others += len(present) - len(found)
    if not files:
        raise InputError(f"{shown(folder)}: holds no sub-folders; make one for each class, and put its .wav files there")
    return files, labels, tuple(names) if names is not None else tuple(readable(e.name) for e in folders), others


def read_wav(path: Path) -> tuple[int, Array]:
    """Samples a second, and the samples as stored, (n,); `InputError` for anything but one channel of PCM or float."""
    where = shown(regular_file(path))
    _check_whole(path, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)         # chunks with names of people and programs
            rate, stored = wavfile.read(path)
    except (ValueError, EOFError, OSError, TypeError, IndexError, OverflowError, MemoryError, ZeroDivisionError, KeyError,
            UnicodeDecodeError, AttributeError, UnboundLocalError, struct.error) as error:
        raise InputError(f"{where}: truncated or not a .wav file of PCM or float samples ({error}); export it again, for "
                         "example as 16-bit PCM") from None
    if stored.ndim != 1:
        raise InputError(f"{where}: {stored.shape[1]} channels; mix it down to one (ffmpeg -i IN -ac 1 OUT)")
    if not 0 < len(stored) <= LONGEST:
        raise InputError(f"{where}: {len(stored)} samples; expected 1 to {LONGEST}: cut the recording (ffmpeg -i IN -t "
                         "SECONDS OUT)")
    if rate <= 0:
        raise InputError(f"{where}: {rate} samples a second; export it again")
    return int(rate), stored


def _check_whole(path: Path, where: str) -> None:
    """`InputError` where the header promises more samples than the file holds: scipy reads what is left without a word."""
    size = path.stat().st_size
    with path.open("rb") as file:
        order = "<" if file.read(12)[:4] == b"RIFF" else ">"
        while len(head := file.read(8)) == 8:
            (length,) = struct.unpack(f"{order}I", head[4:])
            if head[:4] == b"data" and file.tell() + length > size:
                raise InputError(f"{where}: truncated: {size - file.tell()} bytes of samples, and its header promises "
                                 f"{length}; copy or export it again")
            file.seek(length + length % 2, 1)


def full_scale(stored: Array, where: str) -> Array:
    """The samples in shares of full scale, float64 in [−1, 1]: PCM divided by its greatest modulus, floats as they are.

    >>> full_scale(np.array([-32768, 16384], dtype=np.int16), "a.wav").tolist()
    [-1.0, 0.5]
    """
    kinds = {"uint8": (128.0, 128.0), "int16": (0.0, 2.0**15), "int32": (0.0, 2.0**31)}
    if stored.dtype.name in kinds:
        middle, greatest = kinds[stored.dtype.name]
        return (stored.astype(np.float64) - middle) / greatest
    if stored.dtype.kind != "f":
        raise InputError(f"{where}: samples of type {stored.dtype}; export it as 16-bit PCM")
    if not np.isfinite(stored).all():
        raise InputError(f"{where}: NaN or infinite samples; export it again")
    greatest = float(np.abs(stored).max())
    if greatest > 1:
        raise InputError(f"{where}: values up to {greatest:g}, and float samples lie in [−1, 1]; scale it down")
    return stored.astype(np.float64)
