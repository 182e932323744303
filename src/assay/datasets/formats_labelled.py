"""Images with a class each, as they are stored: an .npz with an array of labels, or a folder with one folder per class."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from assay.arrays import InputError
from assay.datasets.formats_array import BROKEN_ZIP, open_npz
from assay.datasets.formats_picture import BROKEN, FORMATS, read_picture
from assay.datasets.frames import Array, MappedArray, check_sample, readable, regular_file, shown

PAIRS = (("images", "labels"), ("images", "label"), ("x", "y"), ("X", "y"), ("data", "target"), ("data", "labels"),
         ("x_test", "y_test"), ("test_images", "test_labels"))
TRAINING = (("x_train", "y_train"), ("train_images", "train_labels"), ("X_train", "y_train"))
LIMIT_CLASSES = 100_000
LIMIT_NAMES = 2**24         # bytes of a file of class names


@dataclass(frozen=True, kw_only=True)
class LabelledFrames:
    """Stored samples before any check of their pixels: `read(i)` is (height, width[, 3]) or (channels, height, width).

    `channels_first` tells the two apart; `labels` (n,) are whole numbers that name an entry of `classes`.
    """

    ids: tuple[str, ...]
    read: Callable[[int], Array]
    place: Callable[[int], str]
    labels: Array
    classes: tuple[str, ...]
    channels_first: bool
    note: str


def npz_frames(path: Path, image_key: str | None, label_key: str | None, names: Sequence[str] | None) -> LabelledFrames:
    """The images and labels of an .npz; the keys are those given, or the one pair of `PAIRS` that the file holds.

    Images are (n, h, w), (n, h, w, 1 or 3) or (n, 1 or 3, h, w); labels (n,) or (n, 1) whole numbers from 0.
    """
    guessed = image_key is None or label_key is None
    image_key, label_key = _keys(path, image_key, label_key)
    images = open_npz(path, image_key)
    labels = _labels(open_npz(path, label_key), names)
    channels_first = _channels_first(images)
    if images.shape[0] != len(labels):
        raise InputError(f"{images.where}: {images.shape[0]} images, and {len(labels)} labels in {label_key!r}; "
                         "give each image one label")
    classes = tuple(names) if names is not None else tuple(map(str, range(int(labels.max()) + 1)))
    told = f"arrays {readable(image_key)!r} and {readable(label_key)!r}{' (guessed)' if guessed else ''}"
    return LabelledFrames(
        ids=tuple(map(str, range(len(labels)))), read=lambda i: images.read((i,)), labels=labels, classes=classes,
        place=lambda i: f"{images.where}, image {i}", channels_first=channels_first, note=told)


def training_keys(path: Path) -> tuple[str, str] | None:
    """The arrays of an .npz that hold images and labels to train on, by their usual names; None where not one pair does."""
    held = _held(path)
    pairs = [pair for pair in TRAINING if set(pair) <= set(held)]
    return pairs[0] if len(pairs) == 1 else None


def _held(path: Path) -> list[str]:
    """The names of the arrays in the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except BROKEN_ZIP as error:
        raise InputError(f"{shown(path)}: truncated or not a .npz archive ({error}); copy or export it again") from None


def _keys(path: Path, image_key: str | None, label_key: str | None) -> tuple[str, str]:
    held = _held(path)
    pairs = {(image_key or images, label_key or labels) for images, labels in PAIRS
             if (image_key or images) in held and (label_key or labels) in held}
    if image_key is not None and label_key is not None:
        pairs = {(image_key, label_key)}
    if len(pairs) != 1:
        listing = ", ".join(readable(name) for name in sorted(held)[:12]) or "none"
        reason = "more than one array could be meant" if pairs else "images and labels cannot be told by their names"
        raise InputError(f"{shown(path)}: {reason}; it holds: {listing}; say which with image_key= and label_key=")
    return pairs.pop()


def _channels_first(images: MappedArray) -> bool:
    shape, where = images.shape, images.where
    if len(shape) not in (3, 4):
        raise InputError(f"{where}: {len(shape)} axes {shape}; expected (n, height, width), (n, height, width, 3) or "
                         "(n, channels, height, width)")
    check_sample(shape[1:], where)
    first, last = len(shape) == 4 and shape[1] in (1, 3), len(shape) == 4 and shape[3] in (1, 3)
    if len(shape) == 4 and first == last:
        reason = "channels could be the second or the last axis" if first else "no axis of 1 or 3 channels"
        raise InputError(f"{where}: shape {shape}, {reason}; save grey images as (n, height, width) and colour as "
                         "(n, 3, height, width)")
    return first


def _labels(stored: MappedArray, names: Sequence[str] | None) -> Array:
    where = stored.where
    if stored.dtype.kind not in "iu":
        raise InputError(f"{where}: labels of type {stored.dtype} are not whole numbers; save them with .astype('int64')")
    if len(stored.shape) == 2 and stored.shape[1] > 1:
        raise InputError(f"{where}: labels of shape {stored.shape} look one-hot; save .argmax(1), one number per image")
    if len(stored.shape) not in (1, 2):
        raise InputError(f"{where}: labels of shape {stored.shape}; expected one whole number per image, (n,)")
    labels = stored.read(()).reshape(-1)
    greatest = len(names) - 1 if names is not None else LIMIT_CLASSES
    if bad := np.flatnonzero((labels < 0) | (labels > greatest)).tolist():
        known = f"0 to {greatest}" + (f", there are {len(names)} class names" if names is not None else "")
        raise InputError(f"{where}: label {labels[bad[0]]} of sample {bad[0]} is out of range ({known}); number the "
                         "classes from 0, and name each of them")
    return labels.astype(np.int64)


def folder_frames(folder: Path, names: Sequence[str] | None) -> LabelledFrames:
    """The PNG and JPEG files of a folder whose sub-folders are the classes, by name (by number where all are numbers).

    Hidden files are passed over; other files that are no pictures are too, and counted in the note.
    """
    inside = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if loose := sorted(e for e in inside if not e.is_dir() and e.suffix.lower() in FORMATS):
        raise InputError(f"{shown(loose[0])}: lies in no class; move it into the sub-folder of its class")
    folders = sorted((entry for entry in inside if entry.is_dir()), key=lambda entry: entry.name)
    if not folders:
        raise InputError(f"{shown(folder)}: holds no sub-folders; make one per class, and put its PNG or JPEG files there")
    if all(entry.name.isascii() and entry.name.isdigit() for entry in folders):
        folders.sort(key=lambda entry: (int(entry.name), entry.name))
    if names is not None and len(names) != len(folders):
        raise InputError(f"{shown(folder)}: {len(folders)} sub-folders, and {len(names)} class names; name each class, in "
                         "the order of the sub-folders")
    per_class = [_pictures(entry) for entry in folders]
    files = [file for found, _ in per_class for file in found]
    passed = sum(others for _, others in per_class)
    lossy = any(FORMATS[file.suffix.lower()] == "JPEG" for file in files)
    notes = ["one folder per class", "lossy JPEG" if lossy else "", f"{passed} other files passed over" if passed else ""]
    return LabelledFrames(
        ids=tuple(readable(f"{file.parent.name}/{file.name}") for file in files), read=lambda i: _picture(files[i]),
        place=lambda i: shown(files[i]), channels_first=False, note="; ".join(filter(None, notes)),
        labels=np.repeat(np.arange(len(folders)), [len(found) for found, _ in per_class]),
        classes=tuple(names) if names is not None else tuple(readable(entry.name) for entry in folders))


def _pictures(folder: Path) -> tuple[list[Path], int]:
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if deeper := [entry for entry in files if entry.is_dir()]:
        raise InputError(f"{shown(deeper[0])}: a folder within a class; put the pictures of a class into one folder")
    found = [regular_file(file) for file in files if file.suffix.lower() in FORMATS]
    if not found:
        raise InputError(f"{shown(folder)}: holds no PNG or JPEG file; add pictures of this class, or remove the folder")
    return found, len(files) - len(found)


def _picture(path: Path) -> Array:
    """Grey (height, width) as `read_picture` gives it, or colour (height, width, 3), uint8."""
    kind, where = FORMATS[path.suffix.lower()], shown(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)   # `check_sample` is the limit here
            picture = Image.open(path, formats=(kind,))
        with picture:
            if picture.mode == "RGB":
                check_sample((picture.height, picture.width, 3), where)
                return np.array(picture)
            if picture.mode in ("P", "PA", "LA", "RGBA", "CMYK", "1"):
                raise InputError(f"{where}: neither grey nor RGB (mode {picture.mode}); convert it to 8-bit grey or RGB "
                                 "without palette or transparency")
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{where}: truncated or not a {kind} picture ({error}); copy or export it again") from None
    return read_picture(path, kind)


def class_names(given: Path | str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Class names from a UTF-8 text file with one name a line, or a sequence as it is; refuses empty and double names.

    >>> class_names(["cat", "dog"])
    ('cat', 'dog')
    """
    if given is None:
        return None
    if isinstance(given, (str, Path)):
        where = shown(Path(given))
        if regular_file(Path(given)).stat().st_size > LIMIT_NAMES:
            raise InputError(f"{where}: too large for a list of class names; give a text file with one name a line")
        try:
            names = tuple(line.strip() for line in Path(given).read_text(encoding="utf-8-sig").rstrip().splitlines())
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: not UTF-8 text ({error.reason}); save the class names as UTF-8") from None
    else:
        where, names = "classes", tuple(map(str, given))
    if "" in names or not names:
        raise InputError(f"{where}: an empty class name; give one name a line, in the order of the labels")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{where}: two classes are both named {twice!r}; give each its own name")
    return names
