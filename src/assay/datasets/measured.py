"""Samples of an inverse problem: images measured by simulation, or measured k-space sampled in retrospect."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from assay.arrays import InputError, to_complex
from assay.operators.adopt import AdoptedOperator
from assay.operators.fourier import MaskedFourier, ifft2
from assay.operators.protocol import LinearOperator
from assay.perturbations.protocol import Examples, stream
from assay.records import DataRecord, digest_of


class Source(Protocol):
    """Arrays by position, with ids and digests: images (height, width) or k-space ([coils,] height, width)."""

    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def digests(self) -> Mapping[str, str]: ...
    @property
    def licence(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor: ...


@runtime_checkable
class Dataset(Protocol):
    """What an audit runs on: a record, and samples fetched by position, so memory does not grow with their number."""

    @property
    def record(self) -> DataRecord: ...
    @property
    def operator(self) -> Any: ...
    @property
    def ids(self) -> tuple[str, ...]: ...

    def fetch(self, positions: Sequence[int]) -> Examples: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedMeasurements:
    """y = A x + n of stored images, n complex Gaussian with E‖n‖² = (noise ‖A x‖)²; seeded by sample.

    Simulated with the same A that reconstructs, so results are optimistic for every method; the record says so.
    """

    images: Source
    operator: LinearOperator
    noise: float
    seed: int
    record: DataRecord

    @property
    def ids(self) -> tuple[str, ...]:
        return self.images.ids

    def fetch(self, positions: Sequence[int]) -> Examples:
        truth = torch.stack([self.images[i] for i in positions])
        if self.operator.dtype.is_complex:
            truth = to_complex(truth)
        ids = tuple(self.images.ids[i] for i in positions)
        if tuple(truth.shape[1:]) != self.operator.domain:
            raise InputError(f"sample {ids[0]!r} has shape {tuple(truth.shape[1:])}, the operator expects "
                             f"{self.operator.domain}; crop or pad with --size")
        y = self.operator.forward(truth)
        noise = torch.stack([torch.randn(y.shape[1:], dtype=y.dtype, generator=stream(self.seed, "noise", sample))
                             for sample in ids])
        level = self.noise * torch.linalg.vector_norm(y.flatten(1), dim=1) / math.sqrt(y[0].numel())
        y = y + noise * level.reshape(-1, *[1] * (y.ndim - 1))
        return Examples(ids=ids, inputs=y, truth=truth, operator=self.operator)


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredKSpace:
    """Measured k-space, of which the operator keeps a part; where it was fully sampled, its image is the truth.

    That truth contains the measurement's own noise. With coils it is Σ_c S̄_c F⁻¹ k_c. K-space that was never fully
    measured (`record.truth` false) has none: the operator then keeps all that was measured.
    """

    kspace: Source
    operator: MaskedFourier
    record: DataRecord

    @property
    def ids(self) -> tuple[str, ...]:
        return self.kspace.ids

    def fetch(self, positions: Sequence[int]) -> Examples:
        k = torch.stack([self.kspace[i] for i in positions])
        if self.operator.maps is None and k.ndim != 3:
            raise InputError("multi-coil k-space needs an operator with sensitivity maps")
        ids = tuple(self.kspace.ids[i] for i in positions)
        y = k.flatten(-2)[..., self.operator.mask.flatten()]
        if not self.record.truth:
            for i, sample in enumerate(ids):
                if bool((sampled_mask(k[i]) & ~self.operator.mask).any()):
                    raise InputError(f"sample {sample!r} was measured at other places of k-space than the first one; audit "
                                     "samples of one sampling pattern together")
            return Examples(ids=ids, inputs=y, truth=None, operator=self.operator)
        coils = ifft2(k, centred=self.operator.centred)
        truth = coils if self.operator.maps is None else (self.operator.maps.conj() * coils).sum(1)
        return Examples(ids=ids, inputs=y, truth=truth, operator=self.operator)


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


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a data set, by position; its record lists those alone."""

    whole: Dataset
    positions: tuple[int, ...]

    @property
    def operator(self) -> Any:
        return self.whole.operator

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.whole.ids[i] for i in self.positions)

    @property
    def record(self) -> DataRecord:
        whole, ids = self.whole.record, self.ids
        samples = {name: whole.samples[name] for name in ids if name in whole.samples}
        return replace(whole, n=len(ids), samples=samples, digest=digest_of({"of": whole.digest, "samples": list(ids)}))

    def fetch(self, positions: Sequence[int]) -> Examples:
        return self.whole.fetch([self.positions[i] for i in positions])


def operator_digest(operator: LinearOperator) -> str:
    """What identifies the forward model in the data's digest."""
    if isinstance(operator, MaskedFourier):
        return hashlib.sha256(operator.mask.numpy().tobytes()).hexdigest()
    if isinstance(operator, AdoptedOperator):
        return operator.digest
    return digest_of({"name": operator.name, "domain": list(operator.domain), "range": list(operator.range)})


def describe(operator: LinearOperator) -> str:
    """One line for the record: kind, share, coils, digest of the mask."""
    if not isinstance(operator, MaskedFourier):
        sides = ["×".join(map(str, side)) for side in (operator.domain, operator.range)]
        return f"{operator.name} {sides[0]} → {sides[1]}, sha256 {operator_digest(operator)[:12]}"
    coils = "" if operator.maps is None else f", {operator.maps.shape[0]} coils"
    digest = hashlib.sha256(operator.mask.numpy().tobytes()).hexdigest()[:12]
    height, width = operator.domain
    return f"{operator.name} {height}×{width}, {operator.fraction:.1%} sampled{coils}, mask sha256 {digest}"


def simulate(images: Source, operator: LinearOperator, *, noise: float = 0.01, seed: int = 0,
             options: Mapping[str, Any] | None = None) -> SimulatedMeasurements:
    """The data set of images measured through the operator, marked simulated.

    `noise` is relative: E‖n‖² = (noise ‖A x‖)².
    """
    if not 0 <= noise < 1:
        raise InputError(f"noise is a share of ‖y‖ and must be in [0, 1), got {noise}")
    record = _record(images, operator, simulated=True, noise=noise, options=options or {}, extra=(noise, seed))
    return SimulatedMeasurements(images=images, operator=operator, noise=noise, seed=seed, record=record)


def sampled_mask(kspace: Tensor) -> Tensor:
    """Where ([coils,] height, width) k-space holds a coefficient other than exact zero in some coil.

    >>> sampled_mask(torch.tensor([[[0j, 1]], [[0, 2]]])).tolist()
    [[False, True]]
    """
    return (kspace != 0).reshape(-1, *kspace.shape[-2:]).any(0)


def measured(kspace: Source, operator: MaskedFourier, *, truth: bool = True,
             options: Mapping[str, Any] | None = None) -> MeasuredKSpace:
    """The data set of measured k-space, marked measured: sampled in retrospect, or (`truth` false) as it was measured."""
    record = _record(kspace, operator, simulated=False, noise=None, options=options or {}, extra=())
    return MeasuredKSpace(kspace=kspace, operator=operator, record=replace(record, truth=truth))


def _record(source: Source, operator: LinearOperator, *, simulated: bool, noise: float | None,
            options: Mapping[str, Any], extra: tuple[float, ...]) -> DataRecord:
    if len(source.ids) == 0:
        raise InputError(f"{source.description}: no samples; nothing can be audited")
    digest = digest_of({"samples": dict(source.digests), "mask": operator_digest(operator), "extra": list(extra)})
    return DataRecord(id=str(options.get("data", source.description)), digest=digest, n=len(source.ids),
                      licence=source.licence, simulated=simulated, description=source.description,
                      operator=describe(operator), noise=noise, samples=dict(source.digests), options=dict(options))
