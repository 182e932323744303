"""The geometry of a linear classifier's boundary: exact ratios, what is not measured and why."""

from __future__ import annotations

import dataclasses
import math
import statistics

import pytest
import torch
from torch import Tensor

import small_classifier as small
from assay.arrays import InputError
from assay.checks import boundary
from assay.checks.check import UnitResult
from assay.numerics.fawzi import flat_ratio
from assay.perturbations.protocol import Examples, stream
from assay.records import Access
from assay.searches.boundary import random_subspace
from assay.systems.function import FunctionSystem

D, DRAWS = 36, 9


def asked(system=None, **changes) -> UnitResult:
    return small.ask(system, **{"id": "boundary", "method": "boundary", "metric": "boundary-ratio", "levels": (1, 6, 36),
                                "search": {"kind": "subspaces", "check_steps": 0, "restarts": 0}, "controls": DRAWS,
                                "unit": "dimensions", **changes})


@pytest.fixture(scope="module")
def measured() -> UnitResult:
    return asked()


def exact(sample: int, m: int) -> list[float]:
    """r_S √(m/d) / r* of the three-class linear classifier in each of the check's subspaces, in closed form."""
    x, _ = small.images()
    w = small.Linear().linear.weight.detach().double()
    scores = small.Linear()(x).detach().double()[sample]
    gap, slope = scores.max() - scores, w - w[scores.argmax()]
    ratios = []
    for draw in range(DRAWS):
        basis = random_subspace(x[:1], m, [stream(0, "boundary", m, draw, f"s{sample}")])[0].double()
        within = torch.where(gap > 0, gap / (slope @ basis.T).norm(dim=1), torch.inf).min()
        ratios.append(float(within / small.distances()[sample]) * math.sqrt(m / D))
    return ratios


def ratios_are_exact(found: UnitResult) -> None:
    for f in found.findings:
        if f.extra["already-wrong"]:
            continue
        expected = exact(int(f.sample[1:]), int(f.level))
        assert f.worst == pytest.approx(min(expected), rel=3e-3), f.key
        assert f.average == pytest.approx(statistics.median(expected), rel=3e-3), f.key
        assert (f.average_low, f.average_high) == pytest.approx((min(expected), max(expected)), rel=3e-3)


def test_ratios_of_a_linear_classifier_are_exact(measured):
    ratios_are_exact(measured)


@pytest.mark.parametrize("spoil", [lambda r, m: r / math.sqrt(m / D), lambda r, m: r * 1.01])
def test_broken_ratios_are_caught(spoil, monkeypatch):
    plain = boundary.boundary_ratio
    monkeypatch.setattr(boundary, "boundary_ratio", lambda s, w, m, d: spoil(plain(s, w, m, d), m))
    with pytest.raises(AssertionError):
        ratios_are_exact(asked())


def test_a_flat_boundary_is_called_flat(measured):
    """Two classes: the medians over samples come out at the flat boundary's own, and curvature at 0."""
    def binary(x: Tensor) -> Tensor:
        return small.Linear()(x)[:, :2]
    x = small.examples()
    x = Examples(ids=x.ids, inputs=x.inputs, truth=binary(x.inputs).argmax(1), box=x.box)
    found = small.ask(FunctionSystem(binary, access=Access.GRADIENT), x=x, id="boundary", method="boundary",
                      metric="boundary-ratio", levels=(1, 6), search={"kind": "subspaces"}, controls=15)
    for m in (1, 6):
        rows = [f for f in found.findings if f.level == m]
        assert len(rows) == small.N and rows[0].extra["flat.median"] == pytest.approx(flat_ratio(m, D))
        assert statistics.median(f.average for f in rows) == pytest.approx(flat_ratio(m, D), rel=0.12)
        assert max(abs(f.extra["curvature"]) for f in rows) < 1e-3
        assert all(f.extra["band.low"] < f.extra["flat.median"] < f.extra["band.high"] for f in rows)


def test_a_boundary_that_bends_around_the_inputs_is_told_from_a_flat_one():
    """Class 1 outside the ball of radius 1 around 0, at points 0.2 from its centre: chance is as good as the worst case.

    r* = 0.8 and √0.96 ≤ r_S ≤ 1 along any line, so ratios are near 1/0.8/√36; the curvature is 1, times r* 0.8.
    """
    def ball(x: Tensor) -> Tensor:
        lead = x.flatten(1).square().sum(1) - 1
        return torch.stack((torch.zeros_like(lead), lead), 1)
    inputs = torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    inputs = 0.2 * inputs / inputs.flatten(1).norm(dim=1)[:, None, None, None]
    x = Examples(ids=tuple("abcdefgh"), inputs=inputs, truth=torch.zeros(8, dtype=torch.long))
    found = small.ask(FunctionSystem(ball, access=Access.GRADIENT), x=x, id="boundary", method="boundary",
                      metric="boundary-ratio", levels=(1,), search={"kind": "subspaces"}, controls=5)
    for f in found.findings:
        assert 0.98 / 0.8 / 6 * 0.8 < f.worst <= f.average < 1 / 0.8 / 6 * 1.01
        assert f.average < 0.25 * f.extra["flat.median"] and "clipped" not in f.extra
        assert f.extra["curvature"] == pytest.approx(0.8, rel=0.02)


def test_rows_say_what_was_not_measured(measured):
    wrong = [f for f in measured.findings if f.extra["already-wrong"]]
    assert {f.sample for f in wrong} == {f"s{i}" for i in range(small.N - small.WRONG, small.N)}
    assert all(f.worst is None and f.average is None and f.controls == 0 and "wrong without" in f.notes for f in wrong)
    assert not measured.witnesses and all(f.better == "higher" and f.normal is None for f in measured.findings)
    (row, *_), large = asked(levels=(1,)).findings, asked(levels=(37,)).findings
    assert row.extra["distance"] > 0 and row.forward > 0 and row.backward > 0
    assert all(f.worst is None and ("36 dimensions" in f.notes or f.extra["already-wrong"]) for f in large)


def test_clipping_to_the_range_is_reported_apart():
    """Class 1 where the first entry is above 0.9: cut to (0, 0.85) no line reaches it, cut to (0, 1) as in the open."""
    def first(x: Tensor) -> Tensor:
        lead = x.flatten(1)[:, :1] - 0.9
        return torch.cat((torch.zeros_like(lead), lead), 1)
    x = dataclasses.replace(small.examples(), truth=torch.zeros(small.N, dtype=torch.long))
    short, wide, open_ = (asked(FunctionSystem(first, access=Access.GRADIENT), levels=(1,), controls=5,
                                x=dataclasses.replace(x, box=box)).findings for box in ((0.0, 0.85), (0.0, 1.0), None))
    for f, g, h in zip(short, wide, open_, strict=True):
        assert f.average == g.average == h.average                          # what is judged knows no range
        assert f.extra["clipped-never"] == 1 and "clipped" not in f.extra
        assert (g.extra["clipped"], g.extra["clipped-never"]) == pytest.approx((g.average, g.extra["random-never"]))
        assert "clipped-never" not in h.extra


def test_a_constant_classifier_has_no_boundary():
    found = asked(FunctionSystem(lambda x: torch.eye(3)[small.images()[1][:1]].expand(len(x), 3) + 0 * x.sum(),
                                 access=Access.GRADIENT))
    right = [f for f in found.findings if not f.extra["already-wrong"]]
    assert right and all(f.worst is None and "not-reached" in {g.id for g in f.flags} for f in right)


def test_a_search_that_a_random_subspace_beats_is_flagged(monkeypatch):
    """The smallest flip reported 1.5 times too far: random subspaces of 30 dimensions of 36 then hold smaller ones."""
    plain = boundary.smallest_change

    def lazy(*arguments, **options):
        found = plain(*arguments, **options)
        return dataclasses.replace(found, perturbation=1.5 * found.perturbation, size=1.5 * found.size)
    monkeypatch.setattr(boundary, "smallest_change", lazy)
    rows = [f for f in asked(levels=(30,)).findings if not f.extra["already-wrong"]]
    assert all("worst-below-control" in {g.id for g in f.flags} and f.worst >= math.sqrt(30 / D) * (1 - 1e-6) for f in rows)


def test_results_do_not_depend_on_the_batch(measured):
    x = small.examples()
    for i in (0, 7):
        alone = asked(x=Examples(ids=(x.ids[i],), inputs=x.inputs[i: i + 1], truth=x.truth[i: i + 1], box=x.box))
        for f in alone.findings:
            (same,) = [g for g in measured.findings if g.key == f.key]
            assert (f.worst, f.average) == pytest.approx((same.worst, same.average), rel=1e-3)
            assert f.extra == pytest.approx(same.extra, rel=2e-3, abs=1e-3)


@pytest.mark.parametrize(("changes", "words"), [
    ({"levels": (1.5,)}, "whole"), ({"levels": (0,)}, "at least 1"), ({"perturbation": {"norm": "linf"}}, "norm l2")])
def test_bad_words(changes, words):
    x = small.examples()
    found = asked(x=Examples(ids=x.ids[:1], inputs=x.inputs[:1], truth=x.truth[:1], box=x.box), **changes)
    assert words in found.findings[0].notes and "raised" in {g.id for g in found.findings[0].flags}


def test_the_metric_is_not_asked_of_two_outputs():
    from assay.metrics.protocol import find

    with pytest.raises(InputError, match="two searches"):
        find("boundary-ratio").compute(None)
