"""What a metric sees (a response) and what it declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    """A named per-example number, and the harm by which candidates are ordered (larger is worse).

    The harm is the number itself with its sign, or `rank` where the number has ties: of two changes that flip a
    decision, or of two that do not, the one of greater margin is worse. `climbs` are smoother numbers, by name, whose
    ascent raises the harm: what a gradient search climbs where the harm itself is hard to climb (the first is the
    default). Harm above the `goal`, where there is one, is all a search can want: the decision is wrong. A metric that
    compares two responses says nothing about an unchanged input: `has_normal` is then false. One
    that `needs_truth` is not asked where nobody knows the true image. Of one that `keeps_draws` rows tell its value under
    each random change beside their mean: for numbers about a whole data set, which are no means over samples. One that
    is asked `of_all` samples of a classifier does not set those apart that are decided wrongly without any change. One
    of `two_classes` is about the score of class 1 and is asked of no others.
    """

    id: str
    name: str
    unit: str
    better: Better
    least: float
    greatest: float
    compute: Callable[[Response], PerExample]
    rank: Callable[[Response], PerExample] | None = None
    climbs: Mapping[str, Callable[[Response], PerExample]] = field(default_factory=dict)
    goal: float | None = None
    has_normal: bool = True
    needs_truth: bool = False
    keeps_draws: bool = False
    of_all: bool = False
    two_classes: bool = False

    @property
    def sign(self) -> float:
        return 1.0 if self.better == "lower" else -1.0

    def harm(self, response: Response) -> PerExample:
        return self.sign * self.compute(response) if self.rank is None else self.rank(response)

    def climbed(self, response: Response, climb: str = "") -> PerExample:
        """What a gradient search ascends: the number named, or the first one, or the harm where there is none."""
        if not climb:
            return next(iter(self.climbs.values()), self.harm)(response)
        if climb not in self.climbs:
            raise InputError(f"metric {self.id!r} has no {climb!r} to climb; it has "
                             f"{', '.join(self.climbs) or 'itself only'}")
        return self.climbs[climb](response)


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
