"""What a metric sees (a response) and what it declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.protocol import Examples
from assay.records import Better


@dataclass(frozen=True, kw_only=True)
class Response:
    """A system's output on changed examples, beside its output on the unchanged ones."""

    output: Tensor
    changed: Examples
    normal: Tensor
    original: Examples

    @property
    def truth(self) -> Tensor:
        """What a faithful system returns; without ground truth, the system's own normal output stands in."""
        return self.normal if self.changed.truth is None else self.changed.truth

    @property
    def detail(self) -> Tensor:
        """What was added to the true image."""
        if self.changed.truth is None or self.original.truth is None:
            raise InputError("this metric needs the true image, and these samples have none")
        return self.changed.truth - self.original.truth


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A named per-example number. `harm` is the number with the sign that makes larger worse.

    `surrogate`, if given, is a smoother number whose ascent raises the harm: what a search climbs. A metric that
    compares two responses says nothing about an unchanged input: `has_normal` is then false. One that `needs_truth` is
    not asked where nobody knows the true image.
    """

    id: str
    name: str
    unit: str
    better: Better
    least: float
    greatest: float
    compute: Callable[[Response], PerExample]
    surrogate: Callable[[Response], PerExample] | None = None
    has_normal: bool = True
    needs_truth: bool = False

    @property
    def sign(self) -> float:
        return 1.0 if self.better == "lower" else -1.0

    def harm(self, response: Response) -> PerExample:
        return self.sign * self.compute(response)

    def climbed(self, response: Response) -> PerExample:
        """What a gradient search ascends: the harm, or its smoother stand-in."""
        return self.harm(response) if self.surrogate is None else self.surrogate(response)


METRICS: dict[str, Metric] = {}


def register(metric: Metric) -> Metric:
    """Add the metric to the registry under its id."""
    METRICS[metric.id] = metric
    return metric


def find(name: str) -> Metric:
    """The registered metric, or `InputError` listing those that exist."""
    if name not in METRICS:
        raise InputError(f"unknown metric {name!r}; known: {', '.join(sorted(METRICS))}")
    return METRICS[name]
