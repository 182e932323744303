"""How often the rules err: false WARNING and false NONE FOUND of every profile's headline rule, by simulation.

No network: rows are made so that the headline's criterion fires on a share p of the samples of the audited system and p₀ of
the established method's, and go through `verdicts.judge_all` and `reports.signals.decide` as an audit's do. A WARNING is
false where p is below the profile's rate or not above p₀; NONE FOUND is false where p is at least the rate. The second table
asks the same of refusal lines: crossed though the truth lies at the line, not crossed though it lies beyond.

    python benchmarks/decision_rules.py [--draws 10000]
"""

from __future__ import annotations

import argparse
import functools
from dataclasses import replace
from typing import Any

import numpy as np

from assay.numerics.bounded import bounded_mean_interval
from assay.numerics.intervals import clopper_pearson
from assay.profiles.load import load, names
from assay.records import Finding, Stop
from assay.reports.comparison import compare
from assay.reports.refusals import Measured, state_of
from assay.reports.signals import decide
from assay.verdicts import harmed, judge_all

SIZES = (20, 50, 100, 300)
TRUTHS = ((0.0, 0.0), (0.01, 0.0), (0.03, 0.0), (0.05, 0.0), (0.1, 0.0), (0.3, 0.0), (0.1, 0.1), (0.3, 0.3), (0.2, 0.1))


def row(check: dict[str, Any], system: str, sample: int, fires: bool) -> Finding:
    """A row on which the criterion fires, or does not, by the plainest numbers that do it."""
    criterion = check["criterion"]
    base = Finding.empty(check=check["id"], system=system, role="audited" if system == "net" else "established",
                         sample=str(sample), unit=check.get("unit", ""), metric=check["metric"], better="lower",
                         level=criterion.get("level"), stop=Stop.BUDGET)
    if criterion["kind"] == "worse-than-established":
        return replace(base, normal=0.0, average=0.0, worst=10 * criterion["margin"] * fires, witness="f#t")
    return replace(base, normal=0.0, average=0.0, worst=float(fires), gain=10.0, control_gain=1.0, witness="f#t")


def signals(check: dict[str, Any], profile: dict[str, Any], n: int) -> Any:
    """(harmed, established harmed) -> signal word: what an audit of the headline alone would say.

    A pair in which both are harmed counts for neither where the criterion compares the two, and where it does not, which
    samples they are makes no difference: no pair is harmed in both.
    """
    alone = {**profile, "checks": [check], "headline": check["id"]}

    @functools.cache
    def word(k: int, k0: int) -> str:
        rows = [row(check, "net", i, i < k) for i in range(n)] + [row(check, "tv", i, i >= n - k0) for i in range(n)]
        verdicts = judge_all(rows, alone, systems={"net": "audited", "tv": "established"},
                             planned={(check["id"], "net"): n, (check["id"], "tv"): n})
        return decide(compare(verdicts, alone), alone, True).signal.word

    return word


def rates(check: dict[str, Any], profile: dict[str, Any], draws: int) -> dict[tuple[float, float, int], tuple[float, float]]:
    """(p, p₀, n) -> how often WARNING and NONE FOUND are said; p and p₀ are shares harmed alone, of the same samples."""
    found = {}
    for n in SIZES:
        word = signals(check, profile, n)
        for p, p0 in TRUTHS:
            counts = np.random.default_rng([n, round(1000 * p), round(1000 * p0)]).multinomial(n, [p, p0, 1 - p - p0], draws)
            said = [word(int(k), int(k0)) for k, k0, _ in counts]
            found[p, p0, n] = (said.count("WARNING") / draws, said.count("NONE FOUND") / draws)
    return found


def headlines() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Each profile and task: its headline check and itself."""
    found = {}
    for name, tasks in names().items():
        for task in tasks:
            profile = load(name, task=task)
            found[f"{name}/{task}"] = (next(c for c in profile["checks"] if c["id"] == profile["headline"]), profile)
    return found


def false_signals(draws: int) -> None:
    """One table for each rule: a verdict knows of a criterion only on which rows it fires, and whether it looks at pairs."""
    rules: dict[Any, list[str]] = {}
    found = headlines()
    for name, (check, profile) in found.items():
        rows = {fires: row(check, "net", 0, fires) for fires in (True, False)}
        beside = row(check, "tv", 0, False)
        assert [harmed(rows[fires], check["criterion"], beside) for fires in (True, False)] == [True, False], name
        rules.setdefault((check["criterion"]["kind"] == "worse-than-established", profile["rate"]), []).append(name)
    tables: dict[Any, list[str]] = {}
    for whose in rules.values():
        tables.setdefault(tuple(rates(*found[whose[0]], draws).items()), []).extend(whose)
    for table, whose in tables.items():
        print(f"\n**{', '.join(whose)}** ({draws} draws)\n")
        print("| true share | established | " + " | ".join(f"n = {n}" for n in SIZES) + " | false is |")
        print("|---|---|" + "---|" * (len(SIZES) + 1))
        said = dict(table)
        for p, p0 in TRUTHS:
            cells = [f"{100 * said[p, p0, n][0]:.2f} · {100 * said[p, p0, n][1]:.2f}" for n in SIZES]
            false = "WARNING" if p < 0.05 or p <= p0 else "NONE FOUND"
            print(f"| {100 * p:g} % | {100 * p0:g} % | " + " | ".join(cells) + f" | {false} |")


LINES = (("rate-above 1 %", 0.01, False, (0.01, 0.02, 0.05)), ("rate-above, mean-above 5 % (shares 0 or 1)", 0.05, False,
                                                               (0.05, 0.07, 0.1)),
         ("sensitivity-below 85 %", 0.85, True, (0.85, 0.8, 0.7)))
MANY = (20, 50, 100, 400)


def false_lines(draws: int) -> None:
    print(f"\n| refusal line | truth | {' | '.join(f'n = {n}' for n in MANY)} |\n|---|---|" + "---|" * len(MANY))
    for name, limit, below, truths in LINES:
        for truth in truths:
            print(f"| {name} | {100 * truth:g} % | " + " | ".join(told(limit, below, truth, n, draws) for n in MANY) + " |")
    cells = []
    for n in MANY:      # a mean of shares that are neither 0 nor 1, with the truth at the line
        rng = np.random.default_rng(n)
        cells.append(shares([state_of(interval(list(0.1 * (rng.random(n) < 0.5))), limit=0.05, below=False)
                             for _ in range(draws // 10)]))
    print(f"| mean-above 5 %, half of the samples at 10 % | 5 % | {' | '.join(cells)} |")


def interval(values: list[float]) -> Measured:
    low, high = bounded_mean_interval(values)
    return Measured(value=sum(values) / len(values), low=low, high=high, n=len(values))


def told(limit: float, below: bool, truth: float, n: int, draws: int) -> str:
    @functools.cache
    def state(k: int) -> str:
        low, high = clopper_pearson(k, n)
        return state_of(Measured(value=k / n, low=low, high=high, n=n), limit=limit, below=below)

    return shares([state(int(k)) for k in np.random.default_rng([n, round(1000 * truth)]).binomial(n, truth, draws)])


def shares(states: list[str]) -> str:
    return " · ".join(f"{100 * states.count(s) / len(states):.2f}" for s in ("crossed", "not crossed"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10_000)
    said = parser.parse_args()
    false_signals(said.draws)
    false_lines(said.draws)
