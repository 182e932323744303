"""MAITE's image classifiers as systems, and systems as MAITE's image classifiers (maite.protocols.image_classification).

A MAITE model takes a sequence of images (channels, height, width) and returns a sequence of scores or probabilities
(classes,). Nothing says that gradients run through it: it is query-only.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.records import Access
from assay.systems.adapter_options import behind, divide
from assay.systems.digest import object_digest
from assay.systems.loaded import Adapted
from assay.systems.preprocessing import check_images
from assay.systems.protocol import System


class MaiteModel(Protocol):
    """What MAITE asks of a model: metadata with an `id`, and scores (classes,) for each of a sequence of images."""

    metadata: Any

    def __call__(self, batch: Sequence[Any], /) -> Sequence[Any]: ...


@dataclass(frozen=True, eq=False)
class MaiteSystem:
    """A MAITE image classifier as a system, its images float32 numpy arrays; query-only.

    Raises `InputError` for a model without metadata, and for outputs that are not one row of scores for each image.
    """

    estimator: MaiteModel
    name: str = ""
    kind: str = "network"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        metadata = getattr(self.estimator, "metadata", None)
        if not isinstance(metadata, Mapping) or not isinstance(metadata.get("id"), str) or not callable(self.estimator):
            raise InputError(f"{type(self.estimator).__name__} is not a MAITE model: it must be callable and have metadata "
                             "with an id (maite.protocols.image_classification.Model)")
        labels = metadata.get("index2label") or {}
        object.__setattr__(self, "name", self.name or metadata["id"])
        object.__setattr__(self, "settings", {**self.settings, "id": metadata["id"],
                                              "index2label": {str(k): str(v) for k, v in labels.items()}})

    @property
    def access(self) -> Access:
        return Access.SCORE

    def __call__(self, inputs: Tensor) -> Tensor:
        given = check_images(inputs).detach().cpu().numpy().astype(np.float32)
        found = self.estimator(list(given))
        rows = [np.asarray(torch.as_tensor(row).detach().cpu() if isinstance(row, Tensor) else row, dtype=np.float64)
                for row in found]
        if len(rows) != len(inputs) or any(row.ndim != 1 or row.shape != rows[0].shape for row in rows):
            raise InputError(f"system {self.name!r}: {len(inputs)} images gave {len(rows)} outputs of shapes "
                             f"{sorted({r.shape for r in rows})}; a MAITE classifier returns one (classes,) for each image")
        scores = np.stack(rows) if rows else np.zeros((0, 0))
        return torch.from_numpy(scores).to(inputs)


@dataclass(frozen=True, kw_only=True, eq=False)
class AsMaite:
    """A system as a MAITE image classifier: a sequence of images in, a list of score arrays (classes,) out."""

    system: System
    metadata: Mapping[str, Any]

    def __call__(self, batch: Sequence[Any], /) -> list[np.ndarray]:
        images = torch.stack([torch.as_tensor(np.asarray(image), dtype=torch.float32) for image in batch])
        with torch.no_grad():
            return list(self.system(images).cpu().numpy())


def as_maite(system: System, *, name: str = "", classes: Sequence[str] = ()) -> AsMaite:
    """The system as MAITE's other tools take it; `classes` become its `index2label`.

    >>> from assay.systems.function import FunctionSystem
    >>> model = as_maite(FunctionSystem(lambda x: x.flatten(1)), classes=("a", "b"))
    >>> model([np.zeros((1, 1, 2))])[0].tolist(), model.metadata["index2label"]
    ([0.0, 0.0], {0: 'a', 1: 'b'})
    """
    metadata: dict[str, Any] = {"id": name or str(getattr(system, "name", type(system).__name__))}
    if classes:
        metadata["index2label"] = dict(enumerate(classes))
    return AsMaite(system=system, metadata=metadata)


def load(rest: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """`maite:MODULE:FACTORY`, called without arguments, returns a MAITE model; settings are those of pre-processing."""
    what = f"maite:{rest}"
    if weights is not None:
        raise InputError(f"weights {weights}: {what} takes none; leave out --weights")
    module_name, colon, attribute = rest.partition(":")
    if not colon:
        raise InputError(f"{what}: write maite:MODULE:FACTORY")
    _, steps, binary = divide(options, what=what)
    try:
        made = getattr(importlib.import_module(module_name), attribute)()
    except ImportError as error:
        raise InputError(f"{what}: cannot import {module_name!r} ({error}); is its folder on PYTHONPATH?") from error
    except AttributeError:
        raise InputError(f"{what}: module {module_name!r} has no {attribute!r}") from None
    inner = MaiteSystem(made)
    settings = {**inner.settings, "preprocessing": steps.settings, **({"two_class": binary} if binary else {})}
    return Adapted(system=behind(inner, steps, binary), name=inner.name, settings=settings,
                   files={f"{module_name}.{attribute}": object_digest(made)},
                   description=f"MAITE model {inner.settings['id']}, made by {rest}; query-only")
