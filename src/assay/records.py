"""The waist of the hourglass: what one stage of an audit tells the next. Standard library only, JSON both ways.

A `Finding` is one row: check × system × sample × level. Everything after the search (verdicts, reports, the warning
label) is computed from findings alone, so a threshold can change without a new search, and no torch is loaded.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

FORMAT_VERSION = 1
LENT, TURNED = "lent.", ".turned"       # `extra["lent.NAME.turned"]`: whether a change turned NAME, for which it was made

Better = Literal["lower", "higher"]
T = TypeVar("T")
Role = Literal["audited", "established", "surrogate"]     # a surrogate is not judged: changes are found on it


class Stop(enum.StrEnum):
    """Why an algorithm stopped. The value is what is stored; `sentence` is what is shown, with the remedy."""

    CONVERGED = "converged"
    STALLED = "stalled"
    BUDGET = "budget"
    EXHAUSTED = "exhausted"
    NON_FINITE = "non-finite"
    RAISED = "raised"
    ZERO_GRADIENT = "zero-gradient"
    NOT_RUN = "not-run"

    @property
    def sentence(self) -> str:
        return _STOP_SENTENCES[self]


_STOP_SENTENCES = {
    Stop.CONVERGED: "The stopping rule was met.",
    Stop.STALLED: "No improvement for many steps; a different start or search may find worse.",
    Stop.BUDGET: "The step budget was used up while values still moved; raise the budget to see whether it gets worse.",
    Stop.EXHAUSTED: "Every member of a finite set was evaluated.",
    Stop.NON_FINITE: "The system or the objective returned NaN or infinity; look at the witness input.",
    Stop.RAISED: "The system raised an error on this sample; the message is in the finding's notes.",
    Stop.ZERO_GRADIENT: "The gradient was exactly zero; a query-only search is needed to say anything.",
    Stop.NOT_RUN: "Nothing was searched; the reason is in the finding's notes.",
}


class Access(enum.IntEnum):
    """What a system lets an audit see: only decisions, also scores (outputs), also gradients."""

    DECISION = 0
    SCORE = 1
    GRADIENT = 2


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A warning that travels with a finding. `id` names an entry of docs/flags.md; serious ones forbid `none found`."""

    id: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row of an audit: check × system × sample × level.

    `origin` is the system whose search made the perturbation (the system itself, or another: transfer), and
    `origin_sample` the sample it was made for. `normal` is the metric without any perturbation, `average` its mean over
    the random controls of the same size, `worst` its value at the perturbation. Missing numbers are `None`, never 0.
    """

    check: str
    system: str
    role: Role
    sample: str
    origin: str
    origin_sample: str
    level: float | None            # the ladder's position, in `unit` (e.g. 0.02 relative ℓ2)
    unit: str                      # unit of level, size and control_size
    metric: str
    better: Better
    normal: float | None
    average: float | None
    average_low: float | None      # least and greatest over the controls: the band
    average_high: float | None
    worst: float | None
    size: float | None             # measured size of the perturbation behind `worst`
    control_size: float | None     # measured size of the controls
    controls: int                  # how many random members the average rests on
    gain: float | None = None      # ‖f(y') − f(y)‖ / ‖y' − y‖
    control_gain: float | None = None
    forward: int = 0               # evaluations spent on this sample
    backward: int = 0
    stop: Stop = Stop.NOT_RUN
    flags: tuple[Flag, ...] = ()
    witness: str | None = None     # key of the stored perturbation, "file#tensor"
    extra: Mapping[str, float] = field(default_factory=dict)  # further metrics, "psnr.worst" and the like
    notes: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)      # what a system wrote: "written.normal", "written.worst"

    @property
    def key(self) -> tuple[str, str, str, str, str, float]:
        """What identifies the row; two runs of the same plan have the same set of keys.

        >>> row = Finding.empty(check="c", system="s", role="audited", sample="1", unit="", metric="m", better="lower")
        >>> row.key
        ('c', 's', '1', 's', '1', -1.0)
        """
        level = -1.0 if self.level is None else self.level
        return (self.check, self.system, self.sample, self.origin, self.origin_sample, level)

    @classmethod
    def empty(cls, *, check: str, system: str, role: Role, sample: str, unit: str, metric: str, better: Better,
              stop: Stop = Stop.NOT_RUN, notes: str = "", flags: tuple[Flag, ...] = (),
              level: float | None = None) -> Finding:
        """A row without numbers: the sample was not judged, and `notes` and `flags` say why."""
        return cls(check=check, system=system, role=role, sample=sample, origin=system, origin_sample=sample,
                   level=level, unit=unit, metric=metric, better=better, normal=None, average=None, average_low=None,
                   average_high=None, worst=None, size=None, control_size=None, controls=0, stop=stop, notes=notes,
                   flags=flags)


class Outcome(enum.StrEnum):
    """The five things a verdict can say. There is no "passed"."""

    UNSTABLE = "unstable"
    NONE_FOUND = "none found"
    CERTIFIED = "certified"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check's findings say about one system, with the numbers the sentence rests on."""

    check: str
    system: str
    role: Role
    outcome: Outcome
    reason: str
    criterion: str                  # the sentence of the criterion, with its numbers
    metric: str
    better: Better
    level: float | None
    unit: str
    n: int                          # samples judged
    harmed: int                     # samples on which the criterion fired
    rate: float | None              # harmed / n
    rate_low: float | None          # 95 % Wilson interval of the rate
    rate_high: float | None
    normal: float | None            # means over the judged samples
    average: float | None
    worst: float | None
    worst_low: float | None         # 95 % interval of the mean of `worst`
    worst_high: float | None
    measured: int = 0               # samples that the mean of `worst` rests on
    transfer: float | None = None   # mean of the metric under the audited system's perturbation
    gain: float | None = None       # median gain at the worst case
    witnesses: int = 0              # stored perturbations that can be replayed
    certified: int = 0              # samples for which the bound that the criterion asks for was proved
    failure: float | None = None    # probability that one of those proofs does not hold; None where there is none
    apart: int = 0                  # samples wrong without any change, counted apart
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SystemRecord:
    """What was audited: name, role, description, digest of its files, what it lets us see."""

    name: str
    role: Role
    kind: str                       # "network", "classical", "function"
    description: str
    digest: str                     # sha256 root digest of its files, or of its settings when it has none
    access: int
    loader: str                     # how `verify` builds it again: "deep-cascade", "module:factory", "" if it cannot
    options: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)      # file name -> sha256


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """Where the samples came from: digest of the manifest, licence, simulated or measured, forward model."""

    id: str
    digest: str
    n: int
    licence: str
    simulated: bool
    description: str
    operator: str
    noise: float | None             # ‖noise‖/‖y‖ of simulated measurements, None where measured and unknown
    truth: bool = True              # whether the true images are known; else each system's own normal output stands in
    samples: Mapping[str, str] = field(default_factory=dict)    # sample id -> sha256
    options: Mapping[str, Any] = field(default_factory=dict)    # how `verify` loads it again
    task: str = "reconstruction"    # what a system does with a sample: "reconstruction", "classification", "text"
    classes: tuple[str, ...] = ()   # names of the classes by label, where the truth is a label


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who ran what, with which versions: enough to run it again."""

    tool_version: str
    seed: int
    versions: Mapping[str, str]
    commit: str
    dirty: bool
    hardware: str
    precision: str


def digest_of(value: Any) -> str:
    """sha256 of the value's JSON with sorted keys: equal values have equal digests.

    >>> digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def to_data(value: Any) -> Any:
    """A record (or a container of records) as plain dicts, lists, strings and finite numbers.

    >>> to_data(Flag(id="nan", detail="x"))
    {'id': 'nan', 'detail': 'x'}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): to_data(v) for k, v in value.items() if not (isinstance(v, float) and not math.isfinite(v))}
    if isinstance(value, (list, tuple)):
        return [to_data(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"a record holds plain values only, not {type(value).__name__}")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON text of a record: sorted keys, no NaN."""
    return json.dumps(to_data(value), sort_keys=True, allow_nan=False, ensure_ascii=False, indent=indent)


def from_data(kind: type[T], data: Any) -> T:
    """The record of type `kind` that `to_data` turned into `data`.

    Raises `ValueError` naming the field that is missing, unknown or of the wrong type.

    >>> from_data(Flag, {"id": "nan", "detail": "x"})
    Flag(id='nan', detail='x')
    """
    return typing.cast(T, _build(kind, data, kind.__name__))


def _build(kind: Any, data: Any, where: str) -> Any:
    record, origin, arguments = _anatomy(kind)
    if record:
        return _build_record(kind, data, where)
    if kind is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        return _build_union(arguments, data, where)
    if origin is Literal:
        if data not in arguments:
            raise ValueError(f"{where}: {data!r} is not one of {arguments}")
        return data
    if origin is tuple:
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(_need(list, data, where)))
    if origin in (dict, Mapping):
        return {k: _build(arguments[1], v, f"{where}.{k}") for k, v in _need(dict, data, where).items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(data)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if kind is float:
        return _number(data, where)
    return _need(kind, data, where)


@functools.cache
def _anatomy(kind: Any) -> tuple[bool, Any, tuple[Any, ...]]:
    """Whether a type is a record, its origin and its arguments: asked for every field of every row."""
    return dataclasses.is_dataclass(kind), typing.get_origin(kind), typing.get_args(kind)


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The types of a record's fields by name, and the names of those that must be given."""
    hints, unset = typing.get_type_hints(kind), dataclasses.MISSING
    needed = frozenset(f.name for f in dataclasses.fields(kind) if f.default is unset and f.default_factory is unset)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}, needed


def _build_record(kind: Any, data: Any, where: str) -> Any:
    data = _need(dict, data, where)
    kinds, needed = _fields(kind)
    if unknown := sorted(set(data) - set(kinds), key=str):
        raise ValueError(f"{where}: unknown field {unknown[0]!r}")
    if missing := [name for name in kinds if name in needed and name not in data]:
        raise ValueError(f"{where}: missing field {missing[0]!r}")
    return kind(**{name: _build(kinds[name], data[name], f"{where}.{name}") for name in data})


def _build_union(arguments: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in arguments:
        return None
    errors = []
    for kind in arguments:
        if kind is type(None):
            continue
        try:
            return _build(kind, data, where)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError(errors[0])


def _number(data: Any, where: str) -> float:
    if isinstance(data, bool) or not isinstance(data, (int, float)):
        raise ValueError(f"{where}: expected a number, got {data!r}")
    try:
        value = float(data)
    except OverflowError:
        raise ValueError(f"{where}: the number is too large") from None
    if not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number, got {value}")
    return value


def _need(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise ValueError(f"{where}: expected {kind.__name__}, got {type(data).__name__}")
    return data
