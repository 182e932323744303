"""MAITE's image-classification data sets as data to audit, and labelled images as a MAITE data set.

A MAITE datum is (image (channels, height, width), target (classes,), metadata with an `id`): the label is the target's
greatest entry (one-hot), and soft targets without a single greatest one are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from assay.arrays import InputError
from assay.datasets.formats_labelled import LabelledFrames
from assay.datasets.frames import Array, readable
from assay.datasets.labelled import LabelledImages, Range, _checked


class MaiteDataset(Protocol):
    """What MAITE asks of a data set: metadata with an `id`, a length, data by position."""

    metadata: Any

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, Any, Any]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class AsMaiteDataset:
    """Labelled images as a MAITE data set: images float32 in [0, 1], one-hot targets."""

    data: LabelledImages
    metadata: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.data.ids)

    def __getitem__(self, index: int, /) -> tuple[Array, Array, dict[str, Any]]:
        if not 0 <= index < len(self):
            raise IndexError(index)             # ends a loop over the data set
        target = np.zeros(len(self.data.classes), dtype=np.float32)
        target[self.data.labels[index]] = 1
        return self.data.fetch([index]).inputs[0].numpy(), target, {"id": self.data.ids[index]}


def as_maite_dataset(data: LabelledImages) -> AsMaiteDataset:
    """The labelled images as MAITE's other tools take them.

    >>> from assay.datasets.labelled import bundled_digits
    >>> image, target, datum = as_maite_dataset(bundled_digits("tuning"))[0]
    >>> image.shape, target.sum().item()
    ((1, 8, 8), 1.0)
    """
    return AsMaiteDataset(data=data, metadata={"id": data.record.id, "index2label": dict(enumerate(data.classes))})


def from_maite(dataset: MaiteDataset, *, value_range: Range | None = None, limit: int | None = None,
               licence: str = "unknown") -> LabelledImages:
    """A MAITE image-classification data set as labelled images, read by position as often as needed.

    `value_range` is the least and greatest value a pixel can have: (0, 255) for uint8, (0, 1) for floats where not given.
    Raises `InputError` naming the datum for images that are not (channels, height, width), and targets without one class.
    """
    metadata = getattr(dataset, "metadata", None)
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("id"), str):
        raise InputError(f"{type(dataset).__name__} is not a MAITE data set: it has no metadata with an id "
                         "(maite.protocols.image_classification.Dataset)")
    name = readable(metadata["id"])
    if not len(dataset):
        raise InputError(f"MAITE data set {name}: it is empty")
    labels, ids, width = [], [], 0
    for i in range(len(dataset)):
        _, target, datum = dataset[i]
        label, count = _label(np.asarray(target, dtype=np.float64), f"MAITE data set {name}, datum {i}")
        width = max(width, count)
        labels.append(label)
        ids.append(readable(str(datum["id"])) if isinstance(datum, Mapping) and "id" in datum else str(i))
    names = metadata.get("index2label") or {}
    frames = LabelledFrames(
        ids=tuple(ids), read=lambda i: _image(dataset[i][0], f"MAITE data set {name}, datum {i}"),
        place=lambda i: f"MAITE data set {name}, datum {i}", labels=np.asarray(labels, dtype=np.int64),
        classes=tuple(str(names.get(k, k)) for k in range(width)), channels_first=True, note="of a MAITE data set")
    return _checked(frames, name=name, where=f"MAITE data set {name}", value_range=value_range, limit=limit,
                    licence=licence, options={"data": f"maite:{name}"})


def _label(target: Array, place: str) -> tuple[int, int]:
    """The class of a target (classes,), and the number of classes."""
    if target.ndim != 1 or len(target) < 2 or not np.isfinite(target).all():
        raise InputError(f"{place}: its target has shape {target.shape}; expected (classes,), one-hot")
    best = np.flatnonzero(target == target.max())
    if len(best) != 1:
        raise InputError(f"{place}: its target has {len(best)} greatest entries, so no single class; give one-hot targets")
    return int(best[0]), len(target)


def _image(image: Any, place: str) -> Array:
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        raise InputError(f"{place}: an image of shape {array.shape}; expected (channels, height, width), 1 or 3 channels")
    return array
