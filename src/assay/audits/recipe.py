"""The words of an audit: everything a user says, from which another process builds the same session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.records import Role
from assay.store import AuditFolder
from assay.systems import catalogue


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a user says. Another process, or `assay verify` next year, builds the same session from it.

    `surrogates` are further systems on which changes are found, and which are not judged. `data` is "bundled:NAME" or a
    path; `task` what the systems do ("" where system or data say so themselves); `weights` maps a system to its file.
    `labels`, `classes`, `value_range` and `fit` (labelled images that established classifiers are fitted to, with the names
    of its arrays) belong to classification, `fields` (the file that declares what may change in a row) to tables, `tariff`
    (what each decision is worth) to texts, codes and tables; `mask` ("lines" or "variable-density") to `noise`, and `kspace`
    to `axes`, to reconstruction. `groups` (a file, an array or a column) says which group each sample is of.
    """

    systems: Sequence[str]
    established: Sequence[str] = ()
    surrogates: Sequence[str] = ()
    data: str = ""
    task: str = ""
    labels: str | None = None
    classes: str | None = None
    value_range: tuple[float, float] | None = None
    fit: str = ""
    fit_key: str | None = None
    fit_labels: str | None = None
    fields: str = ""
    tariff: str = ""
    groups: str = ""
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
        values |= {name: list(values[name]) for name in ("systems", "established", "surrogates")}
        values |= {name: str(values[name]) for name in ("fit", "fields", "tariff", "groups")}
        values["value_range"] = None if self.value_range is None else list(self.value_range)
        return values


def as_chosen(header: Mapping[str, Any], folder: AuditFolder) -> dict[str, Any]:
    """The recipe of an audit with what was chosen and fitted for it, so that neither need be done again.

    Regularisation stands in the header, fitted weights in the folder; the systems' digests cover both.
    """
    recipe: dict[str, Any] = dict(header["recipe"])
    options = {name: dict(values) for name, values in recipe["options"].items()}
    for name, choice in header["choices"].items():
        if "weight" in choice:
            options[name] = {**options.get(name, {}), "weight": choice["weight"]}
    kept = {name: str(path) for name, path in folder.fitted().items()}
    return {**recipe, "options": options, "weights": {**recipe["weights"], **kept}}


def loaded(words: Recipe, name: str, role: Role, **options: Any) -> catalogue.Loaded:
    """The system that the recipe calls by this name, with its weights and settings."""
    weights = words.weights.get(name)
    return catalogue.load(name, role=role, weights=Path(weights) if weights else None,
                          options={**dict(words.options.get(name, {})), **options})
