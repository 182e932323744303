"""Data that ships with Assay: sixteen audited and four tuning slices of the MNI152 T1 template (see NOTICE.txt)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import torch
from torch import Tensor

LICENCE = "ICBM 152 template, (c) McConnell Brain Imaging Centre, MNI, McGill University; see NOTICE.txt"
SETS = {            # name -> task, and part of the stored arrays
    "brain": ("reconstruction", "audited"), "brain-tuning": ("reconstruction", "tuning"),
    "digits": ("classification", "audited"), "digits-tuning": ("classification", "tuning"),
    "digits-train": ("classification", "train"),
    "notes": ("text", "audited"), "notes-tuning": ("text", "tuning"), "notes-train": ("text", "train"),
    "claims": ("codes", "audited"), "claims-tuning": ("codes", "tuning"), "claims-train": ("codes", "train"),
    "applications": ("table", "audited"), "applications-tuning": ("table", "tuning"),
    "applications-train": ("table", "train"),
    "voices": ("verification", "audited"),
    "commands": ("sound", "audited"), "commands-tuning": ("sound", "tuning"), "commands-train": ("sound", "train"),
}


def names(task: str) -> list[str]:
    """The bundled sets of a task, as users name them."""
    return [f"bundled:{name}" for name, (theirs, _) in SETS.items() if theirs == task]


@dataclass(frozen=True, eq=False)
class BundledSlices:
    """Axial MNI152 slices at 128×128 or averaged down to 48×48, greatest value 1."""

    name: str = "brain"
    size: int = 128
    ids: tuple[str, ...] = field(init=False)
    digests: Mapping[str, str] = field(init=False)
    licence: str = LICENCE
    _images: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        with resources.files(__package__).joinpath("brain.npz").open("rb") as file, \
                np.load(file, allow_pickle=False) as arrays:
            images = torch.from_numpy(arrays[f"{self.part}_{self.size}"].astype(np.float32) / 65535)
            planes = arrays[f"{self.part}_planes"].tolist()
        object.__setattr__(self, "_images", images)
        object.__setattr__(self, "ids", tuple(f"axial-{plane:03d}" for plane in planes))
        object.__setattr__(self, "digests", {name: hashlib.sha256(image.numpy().tobytes()).hexdigest()
                                             for name, image in zip(self.ids, images, strict=True)})

    @property
    def part(self) -> str:
        return SETS[self.name][1]

    @property
    def description(self) -> str:
        return f"MNI152 T1 axial slices ({self.part}), {self.size}×{self.size}, an average of 152 heads"

    @property
    def options(self) -> Mapping[str, Any]:
        return {"data": f"bundled:{self.name}", "size": self.size}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Tensor:
        return self._images[index]
