"""From data as they are read to what a study works on: samples drawn, facts of them, data of another site, candidates."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.datasets.groups import times_of
from assay.perturbations.protocol import Examples, stream
from assay.structures import library
from assay.structures.protocol import Structure
from assay.study.material import MOST, Material, halves
from assay.study.order import Fact


class Data(Protocol):
    """What is asked of labelled data: names, record, and inputs by place."""

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def record(self) -> Any: ...

    def fetch(self, places: tuple[int, ...], /) -> Examples: ...


def prepared(data: Data, *, seed: int, facts: Sequence[Fact] = (), shifted: Data | None = None, words: Sequence[str] = (),
             missing: Sequence[float] = ()) -> tuple[Material, tuple[Structure, ...]]:
    """The data as two halves with what else is known of them, and the candidates for inputs of their kind.

    `facts` are of all samples; `words` are candidates of texts, `missing` stands for values that are missing in tables.
    Raises `InputError` for data without classes, or shifted ones of another shape.
    """
    record = data.record
    places = _drawn(data, seed)
    if not record.classes or (examples := data.fetch(tuple(places))).truth is None:
        raise InputError(f"data {record.id!r} have no classes: a study asks what a classifier has learnt")
    known = [replace(fact, values=fact.values[places]) for fact in facts]
    material = halves(examples.inputs, examples.truth, classes=len(record.classes), box=examples.box, seed=seed, facts=known,
                      shifted=None if shifted is None else _moved(shifted, record.classes, examples.inputs, seed))
    x = material.x
    if not x.is_floating_point():
        return material, library.of_texts(words)
    if x.ndim == 2:
        names = record.options.get("fields", {}).get("names") or [str(i) for i in range(x.shape[1])]
        return material, library.of_rows(list(names), tuple(missing))
    return material, library.of_images(examples.box or (0.0, 1.0))


def _drawn(data: Data, seed: int) -> list[int]:
    """Places of the samples that are used, in their order."""
    places: list[int] = torch.randperm(len(data.ids), generator=stream(seed, "study"))[:MOST].sort().values.tolist()
    return places


def _moved(other: Data, classes: Sequence[str], x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs and classes of another time, site or device, at most as many as are studied."""
    found = other.fetch(tuple(_drawn(other, seed)))
    if x.is_floating_point() and found.inputs.shape[1:] != x.shape[1:]:
        raise InputError(f"--shifted {other.record.id}: inputs of shape {tuple(found.inputs.shape[1:])}, and those studied "
                         f"have {tuple(x.shape[1:])}; bring them to one size")
    number = torch.tensor([list(classes).index(name) for name in other.record.classes])
    return found.inputs, number[found.truth]


def facts_of(ids: Sequence[str], where: str, time: str) -> list[Fact]:
    """Where each sample stands in its file `where`, and when it was taken where `time` tells."""
    by_class = "the samples lie in a folder for each class, so their order is that of the classes; give --time"
    found = [Fact(id="order", title="place in the file", formula="the number of the row", values=torch.arange(len(ids)),
                  unfit=by_class if Path(where).is_dir() else "")]
    if time:
        values = torch.tensor(times_of(time, where, ids), dtype=torch.float64)
        found.append(Fact(id="time", title="time it was taken", formula="the order of times", values=values))
    return found


def own(named: str) -> tuple[Structure, ...]:
    """The user's structures, from module:NAME; raises `InputError` for what is none."""
    if not named:
        return ()
    module, _, name = named.partition(":")
    try:
        found = tuple(getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"--structures {named!r}: {error}; give module:NAME of a list of structures") from None
    for g in found:
        if not isinstance(g, Structure):
            raise InputError(f"--structures {named!r}: {g!r} is no structure; it needs id, title, formula, keeps_truth, "
                             "unfit and features (assay.structures.protocol.OfFunction makes one of a function)")
    return found
