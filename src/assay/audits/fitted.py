"""Established classifiers fitted for one audit: to other labelled images than the audited ones, of the same kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.datasets.labelled import LabelledImages, image_digests
from assay.datasets.measured import Dataset
from assay.perturbations.protocol import stream
from assay.systems import catalogue, fitting

TUNING = 10         # one in so many of the images chooses the regularisation
BATCH = 256         # images read at once


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Positions of the images that a classifier is fitted to, and of those that choose its regularisation."""

    fitted: tuple[int, ...]
    tuning: tuple[int, ...]


def fitted(name: str, data: LabelledImages, audited: Dataset, *, where: str, seed: int,
           ) -> tuple[catalogue.Loaded, dict[str, Any]]:
    """The established classifier `name` fitted to `data`, which were read from `where`, and what was chosen for it.

    Raises `InputError` if the data hold audited images, or differ from them in classes or size.
    """
    check_kin(data, audited, where)
    drawn = draw(data.labels, most_images(name, data, where), seed)
    if not drawn.tuning:
        raise InputError(f"--fit {where}: one image of each class leaves none to choose the regularisation on; give more")
    found = fitting.fit(name, _batches(data, drawn.fitted), _batches(data, drawn.tuning), classes=len(data.classes))
    method, counted = fitting.METHODS[name], f"{len(drawn.fitted)} of {len(data.ids)} images of {Path(where).name}"
    choice = {"how": f"fitted to {counted}; {method.strength} {found.strength:g} for the least {method.by} on "
                     f"{len(drawn.tuning)} others, of which {found.accuracy:.1%} are right",
              "strength": {method.strength: found.strength}, "accuracy": found.accuracy,
              "table": {f"{strength:g}": loss for strength, loss in found.losses.items()},
              "fitted": len(drawn.fitted), "tuning": len(drawn.tuning), "data": data.record.digest}
    if found.strength in (method.strengths[0], method.strengths[-1]):
        choice["edge"] = True
    return catalogue.fitted(name, role="established", state=found.module.state_dict(), facts=choice,
                            description=f"fitted to {counted}"), choice


def check_kin(data: LabelledImages, audited: Dataset, where: str) -> None:
    """`InputError` unless the data have the audited classes and size, and none of the audited images.

    An image counts as the same if all its values are; two photographs of one thing do not.
    """
    classes, wanted = tuple(data.classes), tuple(audited.record.classes)
    if classes != wanted:
        first = next((pair for pair in zip(classes, wanted, strict=False) if pair[0] != pair[1]), None)
        differ = f"the first that differs is {first[0]!r} and {first[1]!r}" if first else "fewer than there are"
        raise InputError(f"--fit {where}: {len(classes)} classes, and the audited data have {len(wanted)} ({differ}); give "
                         "data with the same classes, or name the classes of both with --classes")
    shape = tuple(audited.fetch((0,)).inputs.shape[1:])
    if data.shape != shape:
        sizes = ["×".join(map(str, s)) for s in (data.shape, shape)]
        raise InputError(f"--fit {where}: images of {sizes[0]} (channels × height × width), and the audited ones have "
                         f"{sizes[1]}; bring both to one size and number of channels")
    same = set(image_digests(audited))
    if shared := [i for i, digest in zip(data.ids, image_digests(data), strict=True) if digest in same]:
        raise InputError(f"--fit {where}: {len(shared)} of its {len(data.ids)} images are audited ones (the first is "
                         f"{shared[0]!r}); leave them out of one of the two, or give other images: another file, or other "
                         "arrays of this one with --fit-key and --fit-labels")


def most_images(name: str, data: LabelledImages, where: str) -> int:
    """How many images at most are fitted and tuned on, so that memory and time stay bounded."""
    columns = fitting.columns(name, data.shape)
    most = min(fitting.MOST_IMAGES, fitting.METHODS[name].most_values // columns)
    if most < 2 * len(data.classes):
        raise InputError(f"--fit {where}: {name} sees {columns} numbers of each image, so that no more than {most} images "
                         f"can be fitted to, too few for {len(data.classes)} classes; leave it out of --established")
    return most


def draw(labels: Sequence[int], most: int, seed: int) -> Drawn:
    """At most `most` of the samples in the shares of their classes, drawn by the seed; of these every tenth to tune on.

    A class is never left out for being rare: its first sample comes first, and is fitted.

    >>> drawn = draw([0] * 60 + [1] * 20 + [2], 40, seed=0)
    >>> len(drawn.fitted), len(drawn.tuning), 80 in drawn.fitted, sum(i < 60 for i in drawn.fitted + drawn.tuning)
    (36, 4, True, 29)
    """
    classes = torch.tensor(labels)
    order = torch.randperm(len(classes), generator=stream(seed, "fit"))
    place = torch.zeros(len(classes), dtype=torch.float64)      # 0 for a class's first, then evenly up to 1
    for members in (order[classes[order] == c] for c in classes.unique()):
        place[members] = torch.arange(len(members), dtype=torch.float64) / len(members)
    kept = order[place[order].argsort(stable=True)][:most]
    tuning = set(kept[place[kept] > 0][::TUNING].tolist())
    return Drawn(fitted=tuple(sorted(set(kept.tolist()) - tuning)), tuning=tuple(sorted(tuning)))


def _batches(data: Dataset, positions: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(positions), BATCH):
        x = data.fetch(positions[start: start + BATCH])
        assert x.truth is not None
        yield x.inputs, x.truth
