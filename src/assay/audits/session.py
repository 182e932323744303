"""What one audit works with: systems with roles, data, profile, seed; and the header that identifies it."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from assay.arrays import InputError
from assay.checks.catalogue import METHODS
from assay.checks.check import Bench, Check
from assay.datasets.measured import Dataset
from assay.metrics import protocol as metrics
from assay.perturbations import registry
from assay.profiles import load as profiles
from assay.records import Provenance, Role, to_data
from assay.systems.catalogue import Loaded
from assay.systems.metered import Metered
from assay.systems.protocol import SystemFamily

SMALL = 12_000          # values of an example below which a second thread waits longer than it works
EXHIBITED = 4           # samples whose pictures are stored


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """Everything an audit needs in memory. `recipe` says how another process builds the same session, if it can."""

    name: str
    systems: Sequence[Loaded]
    data: Dataset
    profile: Mapping[str, Any]
    seed: int = 0
    recipe: Mapping[str, Any] | None = None
    shard: int = 4              # samples per unit of work: part of the plan, so results do not depend on workers
    keep: int = 4               # witnesses kept per unit and level
    groups: Mapping[str, str] = field(default_factory=dict)     # sample → group: told apart, and independent of one another
    choices: Mapping[str, Any] = field(default_factory=dict)    # settings chosen on samples that are not audited
    surrogates: Sequence[Loaded] = ()       # changes are found on them and carried over; they are not judged

    def __post_init__(self) -> None:
        names = [loaded.record.name for loaded in (*self.systems, *self.surrogates)]
        for name in names:
            if names.count(name) > 1:
                lent = any(loaded.record.name == name for loaded in self.surrogates)
                raise InputError(f"two systems are called {name!r}; " + (
                    "a surrogate is another system than those audited or compared, or it has another name" if lent
                    else "give them different names"))
        if not any(loaded.record.role == "audited" for loaded in self.systems):
            raise InputError("no audited system: one is needed")

    @functools.cached_property
    def threads(self) -> int:
        """How many threads torch is given: one for small examples and for sounds, else as many as it has by itself.

        On a busy machine two threads that wait for each other made the search on 8×8 images sixteen times slower, and the
        audit of sounds five times.
        """
        x = self.data.fetch((0,))
        values = max(x.inputs[0].numel(), 0 if x.truth is None else x.truth[0].numel())
        return 1 if values < SMALL or x.decibels else torch.get_num_threads()

    @contextmanager
    def threading(self) -> Iterator[None]:
        """The session's number of threads, for as long as it works; then the caller's again."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @property
    def roles(self) -> dict[str, Role]:
        return {loaded.record.name: loaded.record.role for loaded in self.systems}

    @property
    def grouped(self) -> tuple[str, ...]:
        """The group of each sample of the data, in their order; empty where there are none."""
        return tuple(self.groups.get(sample, "") for sample in self.data.ids) if self.groups else ()

    def checks(self) -> dict[str, Check]:
        """The profile's checks; of two classes, rows also carry the score as a test, whatever the profile says.

        Not those whose worst case need not be a wrong decision: they say nothing about a test's errors.
        """
        besides = ("score",) if len(self.data.record.classes) == 2 else ()
        found = {item["id"]: check_from(item) for item in self.profile["checks"]}
        return {name: check if metrics.find(check.metric).of_all else replace(
            check, extra_metrics=tuple(dict.fromkeys((*check.extra_metrics, *besides)))) for name, check in found.items()}

    def tables(self) -> dict[str, str]:
        """sha256 of each table of phrases or codes, or of fields, that the checks' sets are made from, by name."""
        return dict(found for check in self.checks().values() if (found := registry.table_of(check.perturbation)))

    def bench(self) -> Bench:
        """The systems bound to the data's forward model, counted, and everything a check may ask for."""
        def bound(systems: Sequence[Loaded]) -> dict[str, Metered]:
            return {loaded.record.name: Metered(
                loaded.system.bind(self.data.operator) if isinstance(loaded.system, SystemFamily) else loaded.system,
                name=loaded.record.name) for loaded in systems}

        return Bench(systems=bound(self.systems), surrogates=bound(self.surrogates), roles=self.roles, seed=self.seed,
                     keep=self.keep,
                     families={loaded.record.name: loaded.system for loaded in self.systems},
                     fetch=self.data.fetch, count=len(self.data.ids), groups=self.grouped,
                     classes=tuple(self.data.record.classes), exhibits=frozenset(self.data.ids[:EXHIBITED]))

    def header(self) -> dict[str, Any]:
        """What `audit.json` holds. Nothing that changes between equal runs: no time, no host name."""
        return {"name": self.name, "profile": dict(self.profile), "seed": self.seed, "shard": self.shard,
                "systems": [to_data(loaded.record) for loaded in self.systems], "data": to_data(self.data.record),
                "recipe": to_data(self.recipe) if self.recipe else None, "choices": to_data(self.choices),
                **({"surrogates": [to_data(loaded.record) for loaded in self.surrogates]} if self.surrogates else {}),
                **({"groups": dict(self.groups)} if self.groups else {}),
                **({"tables": tables} if (tables := self.tables()) else {}),
                "provenance": to_data(provenance(self.seed, self.threads))}


def check_from(item: Mapping[str, Any]) -> Check:
    """A profile's table as a `Check`."""
    if item["method"] not in METHODS:
        raise InputError(f"check {item['id']!r}: unknown method {item['method']!r}; known: {', '.join(sorted(METHODS))}")
    asked = {key: value for key, value in item.items() if key not in profiles.WORDS}
    values = {**asked, "sources": tuple(item["sources"]), "levels": tuple(item.get("levels", ())),
              "extra_metrics": tuple(item.get("extra_metrics", ()))}
    return Check(**values)


def provenance(seed: int, threads: int) -> Provenance:
    """Versions, commit and hardware of this process."""
    def version(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "not installed"

    commit, dirty = _commit()
    return Provenance(tool_version=version("assay"), seed=seed, commit=commit, dirty=dirty, precision="float32",
                      versions={"python": platform.python_version()} | {
                          p: version(p) for p in ("torch", "numpy", "pyarrow", "safetensors")},
                      hardware=f"{platform.machine()}, {threads} threads")


def _commit() -> tuple[str, bool]:
    """Commit of the checkout Assay runs from, and whether it has changes; empty for an installed package."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10,
                              check=True).stdout.strip()
    try:
        if not git("ls-files", Path(__file__).name):
            return "", False
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", False


def as_surrogate(loaded: Loaded) -> Loaded:
    """The same system, on which changes are found and which is not judged."""
    return replace(loaded, record=replace(loaded.record, role="surrogate"))


def renamed(loaded: Loaded, name: str) -> Loaded:
    """The same system under another name, where two would share one."""
    return Loaded(system=loaded.system, record=replace(loaded.record, name=name))


