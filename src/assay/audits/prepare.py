"""From words to a session: names of systems, path of data, mask, noise, profile. The words are the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from assay.arrays import InputError
from assay.audits.session import Session
from assay.datasets.bundled import SETS, BundledSlices
from assay.datasets.measured import Dataset, Part, Source, measured, sampled_mask, simulate
from assay.datasets.sources import KSpaceSource, load_images, load_kspace
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import cartesian_lines, variable_density
from assay.profiles import load as profiles
from assay.systems import catalogue
from assay.systems.classical import TUNED, choose_weight
from assay.systems.protocol import SystemFamily

CANDIDATES = (3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 3e-2)       # in the unit of the method's weight
MOST_TUNING = 4             # samples set aside to choose regularisation on


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a user says. Another process, or `assay verify` next year, builds the same session from it.

    `data` is "bundled:brain" or a path; `mask` "lines" or "variable-density"; `weights` maps a system to its file.
    """

    systems: Sequence[str]
    established: Sequence[str] = ("total-variation",)
    data: str = "bundled:brain"
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
        return values


def session_from(recipe: Mapping[str, Any] | Recipe, *, systems: Mapping[str, catalogue.Loaded] | None = None,
                 data: Dataset | None = None) -> Session:
    """The session of a recipe: systems loaded, data measured, regularisation chosen on samples that are not audited.

    `systems` (by the names the recipe uses) and `data` are objects in memory that stand in for words; a session with
    any of them has no recipe, so no other process can build it again.
    """
    words = recipe if isinstance(recipe, Recipe) else Recipe(**recipe)
    made = dict(systems or {})
    audited, tuning = datasets(words) if data is None else _split_data(data)
    loaded = [made.get(name) or _load(words, name, "audited") for name in words.systems]
    choices: dict[str, Any] = {}
    for name in words.established:
        system, choice = (made[name], {}) if name in made else _established(words, name, audited, tuning)
        loaded.append(system)
        if choice:
            choices[name] = choice
    return Session(name=" and ".join(words.systems), systems=loaded, data=audited, seed=words.seed,
                   profile=profiles.load(words.profile, budget=words.budget, truth=audited.record.truth), choices=choices,
                   recipe=None if made or data is not None else words.data_dict())


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited samples, and others of the same kind for choosing regularisation (None: too few to spare any)."""
    if words.data.startswith("bundled:"):
        name = words.data.removeprefix("bundled:")
        if name not in SETS:
            raise InputError(f"data {words.data!r}: unknown bundled set; known: {', '.join('bundled:' + s for s in SETS)}")
        size = words.size or (48 if words.systems[0] == "automap" else 128)
        if size not in (48, 128):
            raise InputError(f"--size {size}: the bundled slices come at 48 and 128")
        source: Source = BundledSlices(name, size)
        tuning: Source | None = BundledSlices("brain-tuning", size)
    else:
        source, tuning = _split(_user_source(words))
    if words.limit is not None and words.data.startswith("bundled:"):
        source = Subset(source, tuple(range(min(words.limit, len(source)))))
    operator = operator_for(words, source)
    return _measured(words, source, operator), None if tuning is None else _measured(words, tuning, operator)


def _user_source(words: Recipe) -> Source:
    if words.kspace:
        return load_kspace(words.data, key=words.key, axes=words.axes, limit=words.limit, licence=words.licence)
    return load_images(words.data, key=words.key, axis=words.axis, size=words.size, limit=words.limit,
                       licence=words.licence)


@dataclass(frozen=True)
class Subset:
    """Some samples of a source, by position."""

    source: Source
    positions: tuple[int, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.source.ids[i] for i in self.positions)

    @property
    def digests(self) -> Mapping[str, str]:
        return {name: self.source.digests[name] for name in self.ids}

    @property
    def licence(self) -> str:
        return self.source.licence

    @property
    def description(self) -> str:
        return self.source.description

    @property
    def options(self) -> Mapping[str, Any]:
        return self.source.options

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Any:
        return self.source[self.positions[index]]


def _undersampled(source: Source) -> bool:
    """Whether the source is k-space that was never fully measured: nobody knows its true image."""
    return isinstance(source, KSpaceSource) and source.natively_undersampled


def _split(source: Source) -> tuple[Source, Source | None]:
    """The last fifth of the samples (one to four) is set aside for choosing regularisation, if there are at least 4."""
    kept, aside = ((), ()) if _undersampled(source) else _aside(len(source))
    return (Subset(source, kept), Subset(source, aside)) if aside else (source, None)


def _split_data(data: Dataset) -> tuple[Dataset, Dataset | None]:
    """The same for a data set that is already measured."""
    kept, aside = _aside(len(data.ids))
    return (Part(data, kept), Part(data, aside)) if aside else (data, None)


def _aside(n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if n < MOST_TUNING:
        return tuple(range(n)), ()
    count = min(MOST_TUNING, max(1, n // 5))
    return tuple(range(n - count)), tuple(range(n - count, n))


def operator_for(words: Recipe, source: Source) -> MaskedFourier:
    """Masked Fourier sampling for the source's images, with coil maps estimated from multi-coil k-space.

    K-space that was never fully measured keeps its own sampling.
    """
    shape = tuple(source[0].shape)
    generator = torch.Generator().manual_seed(words.mask_seed)     # as in the recipes: AUTOMAP must find its mask again
    pair = (int(shape[-2]), int(shape[-1]))
    if _undersampled(source):
        mask = sampled_mask(source[0])
    elif words.mask == "lines":
        mask = cartesian_lines(pair, words.fraction, generator=generator)
    elif words.mask == "variable-density":
        mask = variable_density(pair, words.fraction, generator=generator)
    else:
        raise InputError(f"--mask {words.mask!r}: known masks are lines and variable-density")
    centred = getattr(source, "centred", True)
    if not centred and not _undersampled(source):
        mask = torch.fft.ifftshift(mask)
    maps = None
    if len(shape) == 3:
        if len(source) > 1:
            raise InputError("multi-coil k-space is audited one slice at a time, since each slice has its own coil maps; "
                             "use --limit 1")
        from assay.operators.sensitivity import estimate_maps
        maps = estimate_maps(source[0], centred=centred)
    return MaskedFourier(mask=mask, centred=centred, maps=maps)


def _measured(words: Recipe, source: Source, operator: MaskedFourier) -> Dataset:
    options = {"data": words.data, **dict(source.options)}
    if operator.maps is not None:
        options["coil maps"] = "from the middle of the whole k-space, as a calibration scan would give them"
    if words.kspace:
        return measured(source, operator, truth=not _undersampled(source), options=options)
    return simulate(source, operator, noise=words.noise, seed=words.seed, options=options)


def _load(words: Recipe, name: str, role: Any, **options: Any) -> catalogue.Loaded:
    weights = words.weights.get(name)
    return catalogue.load(name, role=role, weights=Path(weights) if weights else None,
                          options={**dict(words.options.get(name, {})), **options})


def _established(words: Recipe, name: str, audited: Dataset,
                 tuning: Dataset | None) -> tuple[catalogue.Loaded, dict[str, Any]]:
    """An established method; its weight chosen on the tuning samples unless the user fixed it."""
    fixed = dict(words.options.get(name, {}))
    if name not in TUNED:
        return _load(words, name, "established"), {}
    if "weight" in fixed:
        return _load(words, name, "established"), {"how": "fixed by the user", "weight": fixed["weight"]}
    family = TUNED[name]

    def at(weight: float) -> SystemFamily:
        return family(**{**fixed, "weight": weight})

    source = tuning or audited
    x = source.fetch(tuple(range(min(MOST_TUNING, len(source.ids)))))
    usual = family(**fixed)
    unit = usual.weight_unit(source.operator, x.inputs)
    if tuning is None or x.truth is None:
        weight = float(f"{usual.weight * unit:.4g}")
        return _load(words, name, "established", weight=weight), {
            "how": "no samples with known truth to set aside: the default was used, in the unit of the data",
            "weight": weight, "unit": unit}
    candidates = [float(f"{share * unit:.4g}") for share in CANDIDATES]
    weight, table = choose_weight(at, candidates, source.operator, x.truth, x.inputs)
    edge = {"edge": True} if f"{weight:.4g}" in (min(table, key=float), max(table, key=float)) else {}
    return _load(words, name, "established", weight=weight), {
        "how": "least mean relative error on samples that are not audited", "weight": weight, "unit": unit,
        "table": table, "samples": list(x.ids), "data": source.record.digest, **edge}
