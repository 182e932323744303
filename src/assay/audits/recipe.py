"""The words of an audit: everything a user says, from which another process builds the same session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.records import Role
from assay.systems import catalogue


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a user says. Another process, or `assay verify` next year, builds the same session from it.

    `data` is "bundled:NAME" or a path; `task` what the systems do ("" where system or data say so themselves); `weights`
    maps a system to its file. `labels`, `classes` and `value_range` belong to classification; `mask` ("lines" or
    "variable-density") to `noise`, and `kspace` to `axes`, to reconstruction.
    """

    systems: Sequence[str]
    established: Sequence[str] = ()
    data: str = ""
    task: str = ""
    labels: str | None = None
    classes: str | None = None
    value_range: tuple[float, float] | None = None
    kspace: bool = False
    key: str | None = None
    axes: str | None = None
    axis: int | None = None
    size: int | None = None
    limit: int | None = None
    licence: str = "unknown"
    mask: str = "lines"
    fraction: float = 0.33
    mask_seed: int = 0
    noise: float = 0.01
    profile: str = "research"
    budget: str = "standard"
    seed: int = 0
    weights: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def data_dict(self) -> dict[str, Any]:
        values = dict(vars(self))
        values["systems"], values["established"] = list(self.systems), list(self.established)
        values["value_range"] = None if self.value_range is None else list(self.value_range)
        return values


def loaded(words: Recipe, name: str, role: Role, **options: Any) -> catalogue.Loaded:
    """The system that the recipe calls by this name, with its weights and settings."""
    weights = words.weights.get(name)
    return catalogue.load(name, role=role, weights=Path(weights) if weights else None,
                          options={**dict(words.options.get(name, {})), **options})
