"""The smallest flip of a linear classifier is the distance to its nearest plane; how far chance must go is exact as well."""

from __future__ import annotations

import dataclasses
import math
import statistics

import pytest
import torch
from torch import Tensor

import small_classifier as small
from assay.checks import smallest_change
from assay.checks.check import Check, UnitResult, run_check
from assay.metrics.classification import input_scale
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.records import Access
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem

SEARCH = {"kind": "smallest", "refine_steps": 15, "check_steps": 5, "restarts": 1}
RIGHT = small.N - small.WRONG
ASKED = Check(id="flip", title="", question="", method="smallest-change", metric="flip-distance-l2", criterion={},
              sources=(), perturbation={"norm": "l2"})


def asked(system=None, *, norm: str = "l2", **changes) -> UnitResult:
    return small.ask(system, **{"id": "flip", "method": "smallest-change", "metric": f"flip-distance-{norm}",
                                "search": SEARCH, "controls": 5, "perturbation": {"kind": "inputs", "norm": norm},
                                **changes})


def planes() -> tuple[Tensor, Tensor]:
    """(gap, slope): how far each rival's score lies behind (N, 3), and the gradients of the differences (N, 3, 36)."""
    x, _ = small.images()
    linear = small.Linear().linear
    scores = (x.flatten(1).double() @ linear.weight.detach().double().T) + linear.bias.detach().double()
    return scores.amax(1, keepdim=True) - scores, linear.weight.detach().double()[None] - \
        linear.weight.detach().double()[scores.argmax(1)][:, None]


def exact(norm: str) -> list[float]:
    gap, slope = planes()
    dual = slope.norm(dim=2) if norm == "l2" else slope.abs().sum(2)
    size = torch.where(gap > 0, gap / dual, torch.inf).amin(1)
    return (size / input_scale(small.examples(), norm)).tolist()


def distances_are_exact(found: UnitResult, norm: str) -> None:
    known = exact(norm)
    for i, f in enumerate(found.findings):
        assert f.sample == f"s{i}" and f.normal is None and f.better == "higher"
        if i >= RIGHT:
            continue
        assert known[i] * (1 - 1e-6) <= f.worst == f.size <= known[i] * 1.002, f        # a thousandth beyond the boundary
        assert abs(f.worst - known[i]) < 1e-3


@pytest.fixture(scope="module")
def found() -> UnitResult:
    return asked()


def test_the_smallest_flip_is_the_distance_to_the_nearest_plane(found):
    distances_are_exact(found, "l2")
    distances_are_exact(asked(norm="linf"), "linf")


@pytest.mark.parametrize("factor", [1.1, 0.99])
def test_broken_distances_are_caught(found, factor):
    wrong = [dataclasses.replace(f, worst=f.worst and factor * f.worst, size=f.size and factor * f.size)
             for f in found.findings]
    with pytest.raises(AssertionError):
        distances_are_exact(UnitResult(findings=tuple(wrong)), "l2")


def test_what_is_wrong_already_is_counted_apart(found):
    apart = [f for f in found.findings if f.extra["already-wrong"]]
    assert [f.sample for f in apart] == [f"s{i}" for i in range(RIGHT, small.N)]
    for f in apart:
        assert f.worst is f.size is f.average is f.average_low is f.control_size is None and not f.flags
        assert "wrong without any change" in f.notes and f.extra["label"] != f.extra["decision.normal"]
    assert all(f.extra["label"] == f.extra["decision.normal"] != f.extra["decision.worst"] for f in found.findings[:RIGHT])


def test_stored_changes_flip_and_are_the_smallest(found):
    x, net = small.examples(), small.Linear()
    sizes = {f.sample: f.worst for f in found.findings[:RIGHT]}
    assert len(found.witnesses) == 4 and {k.split("|")[1] for k in found.witnesses} == set(sorted(sizes, key=sizes.get)[:4])
    for name, p in found.witnesses.items():
        i = x.ids.index(name.split("|")[1])
        assert net(x.inputs[i: i + 1] + p).argmax(1) != x.truth[i]
        assert float(p.norm() / x.inputs[i].norm()) == pytest.approx(sizes[x.ids[i]], rel=1e-4)


def rays(draw) -> None:
    """How far chance must go without a range: gap / ⟨slope, direction⟩ to the first of the planes ahead, in closed form."""
    x = dataclasses.replace(small.examples(), box=None)
    check = Check(id="flip", title="", question="", method="smallest-change", metric="flip-distance-l2", criterion={},
                  sources=(), perturbation={"norm": "l2"}, controls=6)
    right = torch.arange(small.N) < RIGHT
    radii = draw(check, Metered(TorchSystem(small.Linear()), name="net"), small.bench(), x, right)
    gap, slope = planes()
    generators = [stream(0, "flip", sample, "control") for sample in x.ids]
    sphere = InputBall(ball=Ball(norm="l2", radius=1.0, relative=False))
    for row in radii:
        direction = sphere.sample(x, generators).flatten(1).double()
        ahead = torch.einsum("nkd,nd->nk", slope, direction)
        known = torch.where((ahead > 0) & (gap > 0), gap / ahead, torch.inf).amin(1) / input_scale(x, "l2")
        known = torch.where(right & (known < 8), known, torch.inf)
        torch.testing.assert_close(row.isinf(), known.isinf())
        torch.testing.assert_close(row[row.isfinite()], known[row.isfinite()], rtol=5e-3, atol=2e-5)


def test_random_radii_are_exact_along_their_rays():
    rays(smallest_change.random_radii)


@pytest.mark.parametrize("broken", [
    lambda *a: smallest_change.random_radii(*a) * 1.02,
    lambda *a: smallest_change.random_radii(*a).nan_to_num(posinf=8.0),                 # censored is not the end of the ray
    lambda *a: smallest_change.random_radii(*a[:-1], torch.ones(small.N, dtype=torch.bool)),
    lambda *a: smallest_change.random_radii(*a).flip(0),
], ids=["2 % long", "not censored", "wrong ones too", "other directions"])
def test_broken_random_radii_are_caught(broken):
    with pytest.raises(AssertionError):
        rays(broken)


def test_the_average_is_the_median_of_the_radii_and_censored_ones_are_said(found):
    check = Check(id="flip", title="", question="", method="", metric="", criterion={}, sources=(), controls=5,
                  perturbation={"norm": "l2"})
    x = small.examples()
    right = torch.arange(small.N) < RIGHT
    radii = smallest_change.random_radii(check, Metered(TorchSystem(small.Linear()), name="net"), small.bench(), x, right)
    for i, f in enumerate(found.findings[:RIGHT]):
        mine = radii[:, i].tolist()
        middle = statistics.median(mine)
        assert f.average == (pytest.approx(middle) if math.isfinite(middle) else None)
        assert f.extra["random-never"] == pytest.approx(sum(map(math.isinf, mine)) / 5)
        assert f.controls == 5 and f.control_size == f.size and 0 <= f.extra["random-flips"] <= 1
        assert f.average_low is None or f.average_low >= f.worst * (1 - 5e-3)          # no ray is nearer than the nearest


def test_rows_do_not_depend_on_the_batch(found):
    x = small.examples()
    for i in (0, 5, RIGHT):
        alone = asked(x=Examples(ids=(x.ids[i],), inputs=x.inputs[i: i + 1], truth=x.truth[i: i + 1], box=x.box))
        (f,), g = alone.findings, found.findings[i]
        for name in ("worst", "average", "average_low", "average_high"):
            one, two = getattr(f, name), getattr(g, name)
            assert (one is None) == (two is None) and (one is None or one == pytest.approx(two, rel=1e-3))
        assert f.extra == pytest.approx(g.extra, rel=1e-3)


def test_a_classifier_that_nothing_flips_is_censored_and_flagged():
    constant = torch.eye(3)[small.images()[1][:1]]
    found = asked(FunctionSystem(lambda x: constant.expand(len(x), 3) + 0 * x.sum(), access=Access.GRADIENT))
    right = [f for f in found.findings if not f.extra["already-wrong"]]
    assert right and all(f.worst is None and f.size is None and f.average is None for f in right)
    assert all({"not-reached", "zero-gradient"} == {g.id for g in f.flags} for f in right) and not found.witnesses


def test_a_change_that_only_just_flips_is_pushed_beyond_the_boundary():
    """So that another machine's rounding still flips it; in a sliver too thin for that the change stays as it was."""
    x = Examples(ids=("a",), inputs=torch.zeros(1, 1), truth=torch.tensor([0]))

    def beyond(high: float) -> float:
        def scores(z: Tensor) -> Tensor:
            return torch.cat((torch.zeros_like(z), torch.minimum(z - 1, high - z)), 1)
        found = smallest_change.smallest_change(scores, x.inputs, x.truth, generators=[torch.Generator()])
        what = smallest_change.asked(ASKED, x, 2)
        target = Metered(FunctionSystem(scores), name="f")
        return float(smallest_change._beyond(what, found, x, target) / found.perturbation)
    assert beyond(9.0) == pytest.approx(1.001, abs=1e-6) and beyond(1.0005) == 1.0


def test_it_needs_classes():
    x = dataclasses.replace(small.examples(), truth=None)
    row = asked(x=dataclasses.replace(x, ids=x.ids[:1], inputs=x.inputs[:1])).findings[0]
    assert "right classes" in row.notes and row.worst is None


# the softest sound

SAMPLES, STEP = 64, 2.0**-15


def ears() -> Tensor:
    return torch.randn(SAMPLES, generator=torch.Generator().manual_seed(3))


def two_words(waves: Tensor) -> Tensor:
    one = waves @ ears().to(waves.dtype) - 0.02
    return torch.stack((torch.zeros_like(one), one), 1)


def recordings() -> Examples:
    """Soft and loud recordings of 16 bits; the right word is the one that is heard, so that the other is hidden."""
    waves = torch.rand(8, SAMPLES, generator=torch.Generator().manual_seed(4)) - 0.5
    waves = ((waves / 4.0 ** torch.arange(8)[:, None].clamp_max(4)) * 2**15).round() / 2**15
    return Examples(ids=tuple(f"s{i}" for i in range(8)), inputs=waves, truth=two_words(waves).argmax(1), box=(-1.0, 1.0),
                    rate=16_000)


SOFTEST = dataclasses.replace(ASKED, id="soft", metric="heard-distance", unit="dB", controls=3, search=SEARCH,
                              perturbation={"kind": "added-sound", "norm": "linf"})


def softest(check: Check = SOFTEST, x: Examples | None = None) -> UnitResult:
    target = Metered(TorchSystem(Words()), name="net")
    return run_check(check, "net", dataclasses.replace(small.bench(), systems={"net": target}),
                     recordings() if x is None else x)


class Words(torch.nn.Module):
    def forward(self, waves: Tensor) -> Tensor:
        return two_words(waves)


def least_steps() -> list[tuple[float, float]]:
    """margin / ‖w‖₁ in steps of 16 bits, and the greatest modulus of the recording in steps."""
    found = []
    for wave in recordings().inputs.double().tolist():
        margin = abs(sum(a * b for a, b in zip(wave, ears().double().tolist(), strict=True)) - 0.02)
        found.append((margin / sum(abs(v) for v in ears().double().tolist()) / STEP, max(abs(v) for v in wave) / STEP))
    return found


def is_the_softest(result: UnitResult, most: float) -> None:
    """In whole steps, at least the closed form, and at most so many times it, or two steps more; and it is heard."""
    x = recordings()
    for i, (row, (least, loud)) in enumerate(zip(result.findings, least_steps(), strict=True)):
        steps = 10 ** (row.worst / 20) * loud
        assert abs(steps - round(steps)) < 1e-3 * max(1.0, steps / 100), "not whole steps"
        assert least <= round(steps) <= max(most * least, least + 2), (i, least, steps)
        if f"net|s{i}|-" in result.witnesses:
            p = result.witnesses[f"net|s{i}|-"]
            assert float(p.abs().max()) == pytest.approx(round(steps) * STEP) and torch.equal(p / STEP, (p / STEP).round())
            assert int(two_words(x.inputs[i: i + 1] + p).argmax()) == 1 - int(x.truth[i]), "not heard"
        assert row.size == row.worst and row.extra["decision.worst"] == 1 - row.extra["label"]


KINDS = {"smallest": (SEARCH, 1.01), "shrinking": ({"kind": "shrinking", "steps": 300, "bound": 3.0}, 1 / 0.8)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_softest_sound_in_whole_steps_is_the_closed_form(kind):
    search, most = KINDS[kind]
    is_the_softest(softest(dataclasses.replace(SOFTEST, search=search)), most)
    steps = [least for least, _ in least_steps()]
    assert min(steps) < 10 and max(steps) > 200                     # where whole steps matter, and where they do not


def test_sounds_that_are_not_cut_or_another_size_are_caught(monkeypatch):
    found = softest()
    louder = [dataclasses.replace(f, worst=f.worst + 0.5, size=f.size + 0.5) for f in found.findings]
    with pytest.raises(AssertionError):
        is_the_softest(UnitResult(findings=tuple(louder), witnesses=found.witnesses), 1.01)
    monkeypatch.setattr(smallest_change, "playable", lambda p: p)
    monkeypatch.setattr(smallest_change, "stored", lambda waves: waves)
    with pytest.raises(AssertionError, match="not whole steps"):
        is_the_softest(softest(), 1.01)


def test_how_much_louder_noise_must_be_in_closed_form():
    """Along signs drawn for each sample the margin falls by ⟨w, signs⟩ a unit; the least of those that fall, in decibels."""
    x = recordings()
    found = softest().findings
    generators = [stream(0, "soft", sample, "control") for sample in x.ids]
    sphere = InputBall(ball=Ball(norm="linf", radius=1.0, relative=False))
    draws = [sphere.sample(x, generators).double() for _ in range(3)]
    away = [(1.0 - 2.0 * float(t)) for t in x.truth]                # towards the other word
    told = 0
    for i, (row, (least, loud)) in enumerate(zip(found, least_steps(), strict=True)):
        margin = least * STEP * float(ears().double().abs().sum())
        known = []
        for draw in draws:
            fall = away[i] * float(draw[i] @ ears().double())
            known.append(20 * math.log10(margin / fall / (loud * STEP)) if fall > 0 else math.inf)
        inside = [v for v in known if v < 10]
        told += len(inside)
        for v in inside:
            assert v > row.worst
        if row.average is not None and all(math.isfinite(v) and v < 10 for v in known):
            assert row.average == pytest.approx(statistics.median(known), abs=0.05)
        assert row.extra["random-never"] >= sum(math.isinf(v) for v in known) / 3 - 1e-9
    assert told >= 6


def test_a_smallest_flip_of_sounds_is_in_whole_steps_too_and_flips_so():
    check = dataclasses.replace(SOFTEST, id="flip", metric="flip-distance-l2", unit="relative ℓ2",
                                perturbation={"kind": "inputs", "norm": "l2"})
    found, x = softest(check), recordings()
    assert found.witnesses
    for name, p in found.witnesses.items():
        i = x.ids.index(name.split("|")[1])
        assert torch.equal(p / STEP, (p / STEP).round())
        assert int(two_words(x.inputs[i: i + 1] + p).argmax()) != int(x.truth[i])
        row = found.findings[i]
        assert row.worst == pytest.approx(float(p.norm() / x.inputs[i].norm()), rel=1e-5)
        assert row.extra["signal-to-noise.worst"] == pytest.approx(-20 * math.log10(row.worst), abs=1e-3)


def test_the_softest_sound_is_asked_of_sounds_alone():
    plain = dataclasses.replace(recordings(), rate=0)
    said = 'the softest sound that hides a word is asked of sounds, with norm = "linf"'
    for check, x in ((SOFTEST, plain), (dataclasses.replace(SOFTEST, perturbation={"norm": "l2"}), recordings())):
        row = softest(check, x.only(0)).findings[0]
        assert row.worst is None and said in row.notes
