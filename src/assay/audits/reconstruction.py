"""Image reconstruction: images or k-space measured through a mask, regularisation chosen on samples not audited."""

from __future__ import annotations

from typing import Any

import torch

from assay.arrays import InputError
from assay.audits.recipe import Recipe, loaded
from assay.datasets.bundled import BundledSlices, names
from assay.datasets.measured import Dataset, Part, Source, Subset, measured, sampled_mask, simulate
from assay.datasets.sources import KSpaceSource, load_images, load_kspace
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import cartesian_lines, variable_density
from assay.systems import catalogue
from assay.systems.classical import TUNED, choose_weight
from assay.systems.protocol import SystemFamily

DATA, ESTABLISHED = "bundled:brain", ("total-variation",)     # what is audited, and beside what, unless the user says
SHARD, KEEP = 4, 4          # samples per unit of work, witnesses kept of each
CANDIDATES = (3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 3e-2)       # in the unit of the method's weight
MOST_TUNING = 4             # samples set aside to choose regularisation on


def datasets(words: Recipe) -> tuple[Dataset, Dataset | None]:
    """The audited samples, and others of the same kind for choosing regularisation (None: too few to spare any)."""
    if words.data.startswith("bundled:"):
        name = words.data.removeprefix("bundled:")
        if words.data not in names("reconstruction"):
            raise InputError(f"data {words.data!r}: unknown bundled set; known: {', '.join(names('reconstruction'))}")
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


def _undersampled(source: Source) -> bool:
    """Whether the source is k-space that was never fully measured: nobody knows its true image."""
    return isinstance(source, KSpaceSource) and source.natively_undersampled


def _split(source: Source) -> tuple[Source, Source | None]:
    """The last fifth of the samples (one to four) is set aside for choosing regularisation, if there are at least 4."""
    kept, aside = ((), ()) if _undersampled(source) else _aside(len(source))
    return (Subset(source, kept), Subset(source, aside)) if aside else (source, None)


def split(data: Dataset) -> tuple[Dataset, Dataset | None]:
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


def established(words: Recipe, name: str, audited: Dataset,
                tuning: Dataset | None) -> tuple[catalogue.Loaded, dict[str, Any]]:
    """An established method; its weight chosen on the tuning samples unless the user fixed it."""
    fixed = dict(words.options.get(name, {}))
    if name not in TUNED:
        return loaded(words, name, "established"), {}
    if "weight" in fixed:
        return loaded(words, name, "established"), {"how": "fixed by the user", "weight": fixed["weight"]}
    family = TUNED[name]

    def at(weight: float) -> SystemFamily:
        return family(**{**fixed, "weight": weight})

    source = tuning or audited
    x = source.fetch(tuple(range(min(MOST_TUNING, len(source.ids)))))
    usual = family(**fixed)
    unit = usual.weight_unit(source.operator, x.inputs)
    if tuning is None or x.truth is None:
        weight = float(f"{usual.weight * unit:.4g}")
        return loaded(words, name, "established", weight=weight), {
            "how": "no samples with known truth to set aside: the default was used, in the unit of the data",
            "weight": weight, "unit": unit}
    candidates = [float(f"{share * unit:.4g}") for share in CANDIDATES]
    weight, table = choose_weight(at, candidates, source.operator, x.truth, x.inputs)
    edge = {"edge": True} if f"{weight:.4g}" in (min(table, key=float), max(table, key=float)) else {}
    return loaded(words, name, "established", weight=weight), {
        "how": "least mean relative error on samples that are not audited", "weight": weight, "unit": unit,
        "table": table, "samples": list(x.ids), "data": source.record.digest, **edge}
