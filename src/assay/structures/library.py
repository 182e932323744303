"""The candidates that are tried on inputs of each kind."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from assay.structures import images, rows
from assay.structures.protocol import Structure

MOST_COLUMNS = 40


def of_images(box: images.Box = images.UNIT) -> tuple[Structure, ...]:
    """Eight kinds of numbers of an image, the most harmless edits first."""
    return (images.Intensity(box=box), images.Channels(box=box), images.Border(box=box), images.Corner(box=box),
            images.Bands(box=box), images.Amplitude(box=box), images.Orientation(), images.PatchBag(),
            images.Thumbnail(box=box))


def of_rows(names: Sequence[str], missing: tuple[float, ...] = ()) -> tuple[Structure, ...]:
    """Each of the first columns alone, and which values are missing."""
    columns = tuple(rows.Column(index=i, name=name) for i, name in enumerate(names[:MOST_COLUMNS]))
    return (*columns, rows.Missingness(missing=missing))


def of_texts(words: Sequence[str] = ()) -> tuple[Structure, ...]:
    """The length, and each of the given words."""
    return (rows.TextLength(), *(rows.Keyword(word=word) for word in words))


def fitting(candidates: Sequence[Structure], x: Tensor) -> tuple[tuple[Structure, ...], dict[str, str]]:
    """The candidates that say something about such inputs; and of the others, why not."""
    reasons = {g.id: g.unfit(x) for g in candidates}
    return tuple(g for g in candidates if not reasons[g.id]), {name: why for name, why in reasons.items() if why}
