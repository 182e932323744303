"""What is made once for all samples, and of which: those a check is asked of, and those it is fitted on instead."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar, cast

from assay.arrays import InputError
from assay.checks.check import Bench, Check

T = TypeVar("T")
FIT = 100                                   # samples fitted to, unless the check says
FITTED = frozenset({"hallucination", "patch", "universal"})     # methods that find one thing on samples they leave out
INDEPENDENT = frozenset({"hallucination"})      # of these, whose test takes samples as independent, or else groups of them


def fit_positions(check: Check, count: int, groups: Sequence[str] = ()) -> tuple[int, ...]:
    """Which of the `count` samples of the data set the change is fitted on: never more than half of them.

    A method that asks about independent samples gets whole groups, where the data have such (`groups`, one for each sample):
    every second one, or the last half of them, until there are as many samples as are fitted to.
    """
    fit = min(int(check.perturbation.get("fit", FIT)), count // 2)
    where = check.perturbation.get("fit_from", "end")
    if where not in ("end", "even"):
        raise InputError(f"check {check.id!r}: fit_from must be 'end' or 'even', got {where!r}")
    if groups and check.method in INDEPENDENT:
        names = tuple(dict.fromkeys(groups))
        return _whole(names[1::2] if where == "even" else names[(len(names) + 1) // 2:], groups, fit)
    return tuple(range(count - fit, count) if where == "end" else ((i + 1) * count // fit - 1 for i in range(fit)))


def _whole(names: Sequence[str], groups: Sequence[str], fit: int) -> tuple[int, ...]:
    """The samples of these groups, until there are `fit` of them; the last group is taken whole."""
    taken: list[int] = []
    for name in names:
        if len(taken) >= fit:
            break
        taken += [i for i, group in enumerate(groups) if group == name]
    return tuple(sorted(taken))


def asked_positions(check: Check, count: int, *, labelled: bool, groups: Sequence[str] = ()) -> tuple[int, ...]:
    """Which of the `count` samples the check is asked of: all or as many as its profile says, but none it is fitted on.

    Of measurements the first ones; of labelled samples, which often come class by class, evenly spaced ones.
    """
    fit = frozenset(fit_positions(check, count, groups) if check.method in FITTED else ())
    free = tuple(i for i in range(count) if i not in fit)
    if check.samples is None or len(free) <= check.samples:
        return free
    if not labelled:
        return free[: check.samples]
    return tuple(free[k * len(free) // check.samples] for k in range(check.samples))


def asked_once(stored: Hashable, bench: Bench, make: Callable[[], T]) -> T:
    """What `make` returns, computed once per process; so is a failure, which is raised to everyone who asks."""
    if stored not in bench.cache:
        try:
            bench.cache[stored] = make()
        except (MemoryError, OSError):
            raise
        except Exception as error:
            bench.cache[stored] = error
    if isinstance(bench.cache[stored], Exception):
        raise bench.cache[stored]
    return cast(T, bench.cache[stored])
