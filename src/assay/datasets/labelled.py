"""Images with the class each shows: the data of a classifier's audit, from a user's files or the bundled digits.

Every sample is looked at once when the data are opened (shape, range, finite values, digest) and none is kept; `fetch`
reads again what it needs, and refuses a sample whose bytes are no longer those that were recorded.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError, check_finite
from assay.datasets.formats_labelled import LabelledFrames, class_names, folder_frames, npz_frames
from assay.datasets.frames import Array, check_dtype, digest, is_folder, readable, regular_file, shown
from assay.datasets.measured import Dataset
from assay.perturbations.protocol import Examples
from assay.records import DataRecord, digest_of

DIGITS_LICENCE = "CC BY 4.0, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository; see NOTICE.txt"
PARTS = ("train", "tuning", "audited")
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImages:
    """Images and labels: `fetch` gives inputs float32 (batch, channels, height, width) in [0, 1], truth int64 (batch,).

    A stored value v becomes (v − low)/(high − low), where (low, high) is the declared `value_range`. `labels` (n,) are
    numbers of `classes`.
    """

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]             # (channels, height, width)
    value_range: Range
    record: DataRecord
    operator: None = None
    _read: Callable[[int], Array] = field(repr=False)

    def fetch(self, positions: Sequence[int]) -> Examples:
        """The samples at these positions, read anew; `InputError` if one is no longer what was recorded."""
        low, high = self.value_range
        images = [torch.from_numpy(((self._read(i) - low) / (high - low)).astype(np.float32)) for i in positions]
        inputs = torch.stack(images) if images else torch.empty(0, *self.shape)
        return Examples(ids=tuple(self.ids[i] for i in positions), inputs=inputs,
                        truth=torch.tensor([self.labels[i] for i in positions], dtype=torch.int64), box=(0.0, 1.0))


def load_labelled(path: str | Path, *, image_key: str | None = None, label_key: str | None = None,
                  classes: str | Path | Sequence[str] | None = None, value_range: Range | None = None,
                  limit: int | None = None, licence: str = "unknown") -> LabelledImages:
    """The labelled images of an .npz (images beside whole-number labels) or of a folder with one sub-folder per class.

    Arguments: `image_key`, `label_key` the arrays of the .npz (without them, the one obvious pair, and the record says
    which); `classes` the class names by label, or a text file with one a line; `value_range` the least and greatest
    value a pixel can have: (0, 255) for uint8 and (0, 1) for floats where not given; `limit` the greatest number of
    samples, taken at even distances through the data.
    Raises `InputError` naming file, field and remedy for anything that cannot be read or is no set of labelled images.
    """
    path, names = Path(path), class_names(classes)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"limit={limit!r}; expected a whole number of at least 1")
    if is_folder(path):
        for name, key in (("image_key", image_key), ("label_key", label_key)):
            if key is not None:
                raise InputError(f"{shown(path)}: {name}= has no meaning for a folder; leave it out")
        frames = folder_frames(path, names)
    elif regular_file(path).suffix.lower() == ".npz":
        frames = npz_frames(path, image_key, label_key, names)
    else:
        raise InputError(f"{shown(path)}: not labelled images that can be read; give an .npz with images and labels, or a "
                         "folder with one sub-folder of PNG or JPEG files per class")
    options = {"path": readable(str(path)), "image_key": image_key, "label_key": label_key,
               "classes": None if names is None else list(names), "limit": limit, "licence": licence,
               "value_range": None if value_range is None else list(value_range)}
    return _checked(frames, name=readable(path.name), where=shown(path), value_range=value_range, limit=limit,
                    licence=licence, options=options)


def bundled_digits(part: str = "audited") -> LabelledImages:
    """Handwritten digits, 8×8 grey: 1,097 to train on, 200 to tune on or 500 to audit, parts of one seeded split.

    The images of scikit-learn's digits (Alpaydin and Kaynak 1998), whole numbers 0 to 16, divided by 16.

    >>> bundled_digits("tuning").fetch([0, 1]).inputs.shape
    torch.Size([2, 1, 8, 8])
    """
    if part not in PARTS:
        raise InputError(f"bundled digits have no part {part!r}; known: {', '.join(PARTS)}")
    with resources.files("assay.datasets.bundled").joinpath("digits.npz").open("rb") as file, \
            np.load(file, allow_pickle=False) as arrays:
        chosen = arrays[f"{part}_index"]
        images, labels = arrays["images"][chosen], arrays["labels"][chosen]
    frames = LabelledFrames(
        ids=tuple(f"digit-{i:04d}" for i in chosen), read=lambda i: images[i], place=lambda i: f"bundled digit {chosen[i]}",
        labels=labels.astype(np.int64), classes=tuple("0123456789"), channels_first=False, note=f"{part} part")
    data = "bundled:digits" if part == "audited" else f"bundled:digits-{part}"
    return _checked(frames, name="handwritten digits", where=data, value_range=(0, 16), limit=None,
                    licence=DIGITS_LICENCE, options={"data": data})


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What the one look at every kept sample found."""

    kept: tuple[int, ...]
    digests: tuple[str, ...]
    shape: tuple[int, ...]
    value_range: Range
    greatest: float


def _look(frames: LabelledFrames, kept: Sequence[int], declared: Range | None) -> _Look:
    value_range, shape, digests, greatest = declared, None, [], -math.inf
    for i in kept:
        stored, place = frames.read(i), frames.place(i)
        check_dtype(stored.dtype, place)
        if stored.dtype.kind == "c":
            raise InputError(f"{place}: complex values; a classifier's images are real: save their modulus")
        value_range = value_range or _usual_range(stored, place)
        if declared is None and value_range != _usual_range(stored, place):
            raise InputError(f"{place}: values of type {stored.dtype}, and the samples before it have another type; "
                             "save all with one type")
        greatest = max(greatest, _within(stored, value_range, place))
        layout = _layout(stored, frames.channels_first).shape
        if shape is not None and layout != shape:
            raise InputError(f"{place}: (channels, height, width) = {layout}, and the samples before it have {shape}; bring "
                             "all to one size and number of channels")
        shape = layout
        digests.append(_digest(stored, int(frames.labels[i])))
    assert shape is not None and value_range is not None     # two classes, so at least one sample
    return _Look(kept=tuple(kept), digests=tuple(digests), shape=shape, value_range=value_range, greatest=greatest)


def _checked(frames: LabelledFrames, *, name: str, where: str, value_range: Range | None, limit: int | None,
             licence: str, options: Mapping[str, Any]) -> LabelledImages:
    """The one look at every sample, then the data set with its record."""
    if len(present := set(frames.labels.tolist())) < 2:
        raise InputError(f"{where}: all samples are of class {frames.classes[present.pop()]!r}; a classifier is audited on "
                         "at least two classes")
    if len(set(frames.ids)) != len(frames.ids):
        twice = next(name for name in frames.ids if frames.ids.count(name) > 1)
        raise InputError(f"{where}: two samples are both named {twice!r}; rename one file")
    if value_range is not None:
        value_range = _declared(value_range)
    count = len(frames.ids)
    kept = range(count) if limit is None or limit >= count else [i * count // limit for i in range(limit)]
    look = _look(frames, kept, value_range)
    labels = tuple(int(frames.labels[i]) for i in look.kept)

    def read(position: int) -> Array:
        stored, place = frames.read(look.kept[position]), frames.place(look.kept[position])
        if _digest(stored, labels[position]) != look.digests[position]:
            raise InputError(f"{place}: changed since it was loaded; leave data in place during an audit, or load it again")
        return _layout(stored, frames.channels_first).astype(np.float64)

    ids = tuple(frames.ids[i] for i in look.kept)
    samples = dict(zip(ids, look.digests, strict=True))
    channels, height, width = look.shape
    record = DataRecord(
        id=str(options.get("data", name)), n=len(ids), licence=licence, simulated=False, operator="", noise=None,
        digest=digest_of({"samples": samples, "range": list(look.value_range), "classes": list(frames.classes)}),
        description=_description(frames, look, labels, name, declared=value_range is not None),
        samples=samples, options=dict(options), task="classification", classes=frames.classes)
    return LabelledImages(ids=ids, labels=labels, classes=frames.classes, shape=(channels, height, width),
                          value_range=look.value_range, record=record, _read=read)


def _description(frames: LabelledFrames, look: _Look, labels: Sequence[int], name: str, *, declared: bool) -> str:
    low, high = look.value_range
    absent = len(frames.classes) - len(set(labels))
    dark = not declared and look.greatest <= high / 4
    return "; ".join(filter(None, (
        f"{len(labels)} images {'×'.join(map(str, look.shape))} of {name}, {len(frames.classes)} classes",
        f"values {low:g} to {high:g} mapped to 0 to 1", frames.note, f"no sample of {absent} classes" if absent else "",
        f"no value is above {look.greatest:g}: if none can be, say so with value_range=" if dark else "")))


def _declared(value_range: Range) -> Range:
    low, high = map(float, value_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"value_range={value_range}; expected the least and the greatest value a pixel can have, as (0, 1)")
    return low, high


def _usual_range(stored: Array, place: str) -> Range:
    if stored.dtype == np.uint8:
        return 0.0, 255.0
    if stored.dtype.kind == "f":
        return 0.0, 1.0
    raise InputError(f"{place}: values of type {stored.dtype}, whose range cannot be told; say value_range=, for example "
                     "(0, 65535) for 16-bit pictures, or save uint8")


def _within(stored: Array, value_range: Range, place: str) -> float:
    """The greatest value, after a refusal of values that are not finite or outside the range."""
    if stored.dtype.kind == "f":
        check_finite(torch.from_numpy(np.ascontiguousarray(stored, dtype=np.float64)), what=place)
    least, greatest = float(stored.min()), float(stored.max())
    if least < value_range[0] or greatest > value_range[1]:
        raise InputError(f"{place}: values from {least:g} to {greatest:g} leave the range {value_range[0]:g} to "
                         f"{value_range[1]:g}; say value_range= (least and greatest possible), or rescale the images")
    return greatest


def _layout(stored: Array, channels_first: bool) -> Array:
    """(channels, height, width) of a stored sample.

    >>> _layout(np.zeros((2, 5, 3)), False).shape
    (3, 2, 5)
    """
    if stored.ndim == 2:
        return stored[None]
    return stored if channels_first else np.moveaxis(stored, -1, 0)


def _digest(stored: Array, label: int) -> str:
    return digest_of({"pixels": digest(stored), "label": label})


def image_digests(data: Dataset, chunk: int = 256) -> list[str]:
    """sha256 of each image (its values in [0, 1], not its label), by which samples of two data sets can be compared.

    >>> len(set(image_digests(bundled_digits("tuning"))))
    200
    """
    starts = range(0, len(data.ids), chunk)
    parts = (data.fetch(range(start, min(start + chunk, len(data.ids)))).inputs for start in starts)
    return [hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest() for part in parts for image in part]


def one_batch(data: LabelledImages) -> tuple[Float[Tensor, "n channels height width"], Tensor]:
    """All images and labels at once, for training and for data known to be small."""
    examples = data.fetch(range(len(data.ids)))
    assert examples.truth is not None
    return examples.inputs, examples.truth
