"""Risks by hand and by counting: an exhaustive toy whose risks are known, the honest span of few draws, broken twins."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from assay.numerics.intervals import clopper_pearson
from assay.records import Finding, Role
from assay.reports.comparison import compare
from assay.reports.risks import RHO, data, risks
from assay.verdicts import judge

CHECK = {"id": "tiny", "title": "Tiny", "method": "worst-case", "metric": "error-rate", "unit": "ℓ2",
         "perturbation": {"kind": "inputs"},
         "criterion": {"kind": "grows", "level": 0.1, "absolute": 0.5, "sentence": "s"}}
PROFILE = {"id": "p", "rate": 0.05, "headline": "tiny", "checks": [CHECK]}


def row(sample: int, normal: float, average: float | None, worst: float, *, draws: int = 8, role: Role = "audited",
        level: float = 0.1) -> Finding:
    name = "net" if role == "audited" else "svm"
    empty = Finding.empty(check="tiny", system=name, role=role, sample=str(sample), unit="ℓ2", metric="error-rate",
                          better="lower", level=level)
    return replace(empty, normal=normal, average=average, worst=worst, controls=0 if average is None else draws,
                   extra={"already-wrong": normal})


# wrong anyway; by most draws; by one of eight; only at worst; never; wrong, and the search's last member happens to be right
ROWS = [row(0, 1, 1.0, 1), row(1, 0, 0.75, 1), row(2, 0, 0.125, 1), row(3, 0, 0.0, 1), row(4, 0, 0.0, 0), row(5, 1, 0.5, 0)]


def found(rows=ROWS, check=CHECK):
    roles = dict.fromkeys(f.system for f in rows)
    verdicts = [judge(rows, check, name, role="audited" if name == "net" else "established") for name in roles]
    return risks(compare(verdicts, {**PROFILE, "checks": [check]}), rows)


def test_risks_and_gaps_by_hand():
    (r,) = found()
    assert r.average.value == pytest.approx(2 / 6) and r.noise.value == pytest.approx(2.375 / 6)
    assert r.worst.value == pytest.approx(5 / 6)            # the unchanged input lies in the ball: sample 5 counts
    assert r.adversary.value == pytest.approx(3 / 6) and r.chance.value == pytest.approx(0.375 / 6)
    assert r.between.value == pytest.approx(2.625 / 6) and r.probabilistic == pytest.approx(4 / 6)
    assert (r.draws, r.average.n) == (8, 6) and r.adversary.low > 0


def test_few_draws_cannot_say_what_rho_asks():
    (r,) = found()
    assert (r.least, r.most) == (pytest.approx(3 / 6), 1.0)     # one of eight: at least 0.3 %, so not surely beyond 1 %
    assert clopper_pearson(1, 8)[0] < RHO < clopper_pearson(4, 8)[0]
    assert r.resolution == pytest.approx(1 - 0.05 ** (1 / 8)) and r.needed == 299
    (many,) = found([row(0, 0, 0.0, 0, draws=1000), row(1, 0, 0.001, 1, draws=1000)])
    assert many.most == 0.0 and many.probabilistic == 0.0 and many.resolution == pytest.approx(0.003, abs=1e-4)


def test_a_set_without_the_unchanged_input_is_not_given_it():
    (r,) = found(check={**CHECK, "perturbation": {"kind": "corruption"}})
    assert r.worst.value == pytest.approx(4 / 6)


def test_the_established_method_stands_beside_and_other_levels_do_not_count():
    theirs = [row(0, 0, 0.0, 0, role="established"), row(1, 0, 0.0, 1, role="established")]
    one, two = found([*ROWS, *theirs, row(0, 0, 1.0, 1, level=0.2)])
    assert one == found()[0] and (two.system, two.worst.value) == ("svm", 0.5)


def proof(sample: int, radius: float | None, *, unit: str = "ℓ2") -> Finding:
    empty = Finding.empty(check="proof", system="net", role="audited", sample=str(sample), unit=unit, better="higher",
                          metric="certified-radius")
    return replace(empty, worst=radius, extra={"already-wrong": float(radius is None)})


def test_a_certificate_for_every_sample_bounds_the_worst_case_from_above():
    radii = [None, 0.0, 0.05, 0.0999, 0.1, None]
    rows = [*ROWS, *(proof(i, r) for i, r in enumerate(radii))]
    (r,) = found(rows)
    assert r.ceiling == pytest.approx(5 / 6) and r.ceiling >= r.worst.value
    assert found(rows[:-1])[0].ceiling is None              # one sample has none
    assert found([*ROWS, *(proof(i, r, unit="ℓ∞") for i, r in enumerate(radii))])[0].ceiling is None
    assert found()[0].ceiling is None


def test_no_draws_and_no_rows():
    (r,) = found([row(0, 0, None, 1), row(1, 0, None, 0)])
    assert r.noise.value is None and r.probabilistic is None and r.resolution is None and r.worst.value == 0.5
    assert found([replace(ROWS[0], normal=None)]) == []
    assert found(check={**CHECK, "method": "patch"}) == []
    json.dumps(data(r), allow_nan=False)


def test_a_planted_population_is_recovered():
    """x uniform on [0, 1], right where x > 0.2; changes of at most 0.1: R = 0.2, R_adv = 0.3, R_μ = 0.2 by symmetry."""
    generator = np.random.default_rng(1)
    xs = generator.uniform(size=4000)
    noise = [(x + generator.uniform(-0.1, 0.1, size=50) <= 0.2).mean() for x in xs]
    rows = [row(i, float(x <= 0.2), float(p), float(x - 0.1 <= 0.2), draws=50)
            for i, (x, p) in enumerate(zip(xs, noise, strict=True))]
    (r,) = found(rows)
    for estimate, truth in ((r.average, 0.2), (r.worst, 0.3), (r.noise, 0.2), (r.adversary, 0.1), (r.between, 0.1)):
        assert estimate.low <= truth <= estimate.high, estimate
    assert r.chance.value == pytest.approx(0.0, abs=0.008)
    assert r.probabilistic == pytest.approx(0.3, abs=0.03)      # any draw at all beyond 1 %
    unpaired = replace(r.adversary, low=r.worst.low - r.average.high, high=r.worst.high - r.average.low)
    assert r.adversary.high - r.adversary.low < 0.7 * (unpaired.high - unpaired.low)
