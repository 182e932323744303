"""The statistics against closed forms and independent counts; each fails on a broken twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from assay.arrays import InputError
from assay.structures.images import Intensity
from assay.structures.protocol import OfFunction
from assay.study import controls, judgement, simplicity
from assay.study.instability import Flips, alignment
from assay.study.learner import fit
from assay.study.material import halves
from assay.study.statistics import balanced_accuracy, balanced_difference, design_effect, mean_of, median_ratio, preference
from assay.study.use import donors, fall, followed, use


def test_preference_is_the_binomial_test():
    found = preference(30, 12)
    exact = stats.binomtest(30, 42, 0.5, alternative="greater")
    assert found.p == pytest.approx(exact.pvalue)
    both = stats.binomtest(30, 42, 0.5).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((both.low, both.high))
    assert preference(0, 0).n == 0
    assert preference(0, 5).p == 1.0
    few = preference(1, 99)
    assert few.against == pytest.approx(stats.binomtest(1, 100, 0.1, alternative="less").pvalue)
    shared = preference(30, 12, distinct=10)            # ten donors are ten trials: seven at least of ten
    assert (shared.n, shared.p) == (10, pytest.approx(stats.binomtest(7, 10, 0.5, alternative="greater").pvalue))
    assert shared.value == pytest.approx(30 / 42)


def test_two_right_of_two_are_no_certainty():
    found = balanced_accuracy(torch.ones(6, dtype=torch.bool), torch.tensor([0, 0, 1, 1, 2, 2]), 0.7)
    assert found.value == 1.0
    assert found.low < 0.9
    assert found.p > 0.02


def test_balanced_accuracy_weighs_classes_alike():
    y = torch.tensor([0] * 90 + [1] * 10)
    right = torch.tensor([True] * 90 + [False] * 10)
    found = balanced_accuracy(right, y, 0.6)
    assert found.value == 0.5
    assert 0.42 < found.low < 0.5 < found.high < 0.65
    assert found.p > 0.9
    assert found.against < 0.1
    assert balanced_accuracy(torch.ones(100, dtype=torch.bool), y, 0.6).p < 0.001


def test_the_interval_of_balanced_accuracy_covers():
    rng, hits = np.random.default_rng(0), 0
    for k in range(200):
        y = torch.tensor([0] * 60 + [1] * 60)
        right = torch.tensor(np.concatenate([rng.random(60) < 0.9, rng.random(60) < 0.5]))
        found = balanced_accuracy(right, y, 0.0, k)
        hits += found.low <= 0.7 <= found.high
    assert hits >= 180          # .95 of 200 is 190; below 180 has probability .001


MANY = [(10, 25, 0.94), (43, 23, 0.9), (43, 23, 0.3), (43, 3, 0.5), (10, 25, 0.1)]     # classes, inputs of each, share


@pytest.mark.parametrize(("classes", "each", "share"), MANY)
def test_many_classes_pull_the_interval_to_no_side(classes, each, share):
    """The broken twin has a prior of one observation in each class, which adds up to one side."""
    rng, y, told = np.random.default_rng(0), torch.arange(classes).repeat_interleave(each), np.zeros(4)
    for k in range(150):
        right = torch.from_numpy(rng.random(len(y)) < share)
        found = balanced_accuracy(right, y, share, k)
        hits = np.array([int(right[y == c].sum()) for c in range(classes)])
        twin = rng.beta(hits + 1 / classes, each - hits + 1 - 1 / classes, (1000, classes)).mean(1)
        low, high = np.quantile(twin, [0.025, 0.975])
        told += [found.low <= share <= found.high, found.p <= 0.05, found.against <= 0.05, low <= share <= high]
    assert told[0] >= 132                                       # of 150, 142 expected; fewer has probability .001
    assert max(told[1:3]) <= 17                                 # 7.5 expected; more has probability .001
    assert told[3] < 132 or share == 1 / classes


def test_a_ratio_that_was_not_found_stays_infinite():
    top = torch.tensor([1.0, 2.0, float("inf"), float("inf"), float("inf")])
    found = median_ratio(top, torch.ones(5), 0.1)
    assert found.value == float("inf")
    assert found.p == 1.0
    small = median_ratio(torch.full((50,), 0.01), torch.ones(50), 0.1)
    assert small.value == pytest.approx(0.01)
    assert small.p < 0.001
    assert median_ratio(torch.full((9,), float("nan")), torch.ones(9), 0.1).p == 1.0


def test_means_and_their_p():
    assert mean_of(torch.full((50,), 0.4), 0.3).p < 0.001
    assert mean_of(torch.full((50,), 0.2), 0.3).p == 1.0
    assert mean_of(torch.zeros(0), 0.3).n == 0


def test_a_fall_is_mcnemars():
    before = torch.tensor([True] * 20 + [False] * 5)
    after = torch.tensor([True] * 8 + [False] * 12 + [True] * 1 + [False] * 4)
    found = fall(before, after)
    assert found.value == pytest.approx(11 / 25)
    assert found.p == pytest.approx(stats.binomtest(12, 13, 0.5).pvalue / 2)
    assert fall(after, before).p == 1.0


def test_a_fall_of_few_donors_is_no_fall_of_many_inputs():
    """Groups of one are McNemar's pairs; 40 inputs of two donors are two trials, whatever McNemar counts."""
    before, after = torch.ones(12, dtype=torch.bool), torch.arange(12) >= 9
    alone = fall(before, after, torch.arange(12))
    assert alone.p == pytest.approx(fall(before, after).p)
    before, after, donor = torch.ones(40, dtype=torch.bool), torch.arange(40) < 10, torch.arange(40) // 20
    shared = fall(before, after, donor)
    assert fall(before, after).p < 1e-8                         # the broken twin: pairs by themselves
    assert shared.p == pytest.approx(0.25)                      # both donors' sums fall: two signs of four
    assert (shared.high - shared.low) > 2 * (fall(before, after).high - fall(before, after).low)


def grouped(rng, groups: int = 20, size: int = 10, share: float = 0.7) -> tuple[torch.Tensor, torch.Tensor]:
    """Right decisions of inputs of which ten share a donor, that is good or bad for all of them alike."""
    right = torch.from_numpy((rng.random(groups) < share).repeat(size))
    return right, torch.arange(groups * size) // size


def test_the_interval_of_groups_covers_and_that_of_inputs_does_not():
    rng, hits, alone = np.random.default_rng(0), 0, 0
    for k in range(100):
        right, donor = grouped(rng)
        y = torch.zeros(len(right)).long()
        found, twin = (balanced_accuracy(right, y, 0.0, k, groups=g) for g in (donor, None))
        hits += found.low <= 0.7 <= found.high
        alone += twin.low <= 0.7 <= twin.high
    assert hits >= 89                                           # 95 expected; fewer has probability .01
    assert alone < 70
    assert design_effect(right, y, None) == 1.0
    assert design_effect(torch.ones(40), torch.zeros(40).long(), torch.arange(40) // 20) == 20.0    # two trials


def test_a_difference_of_trainings_covers():
    """Trainings that scatter by 0.05 and donors that hang together: without either the interval is too narrow."""
    rng, told = np.random.default_rng(0), np.zeros(3)
    y = torch.zeros(200).long()
    for _ in range(150):
        donor, training = rng.normal(0.1, 0.15, 20).repeat(10), rng.normal(0, 0.05, 3)
        change = torch.from_numpy(donor[None] + training[:, None])
        groups = torch.arange(200) // 10
        zero = torch.zeros(3, 200)
        for j, (c, g) in enumerate(((change, groups), (change, torch.arange(200)), (change.mean(0)[None], groups))):
            e = balanced_difference(c, zero[: len(c)], y, g)
            told[j] += e.low <= 0.1 <= e.high
    assert told[0] >= 134                                       # of 150, 142 expected; fewer has probability .001
    assert told[1] < told[0]
    assert told[2] < told[0]
    assert told[2] < 134


def test_the_learner_learns_what_is_neither_bright_nor_dark():
    f = torch.linspace(0, 1, 60)[:, None]
    y = ((f[:, 0] > 0.3) & (f[:, 0] < 0.7)).long()
    assert float((fit(f, y, 2)(f).argmax(1) == y).double().mean()) > 0.9
    rare = torch.cat((f[y == 1][:3], f[y == 0]))        # a learner that is not balanced names the commoner class alone
    label = torch.tensor([1] * 3 + [0] * int((y == 0).sum()))
    assert float((fit(rare, label, 2)(rare).argmax(1) == label)[:3].double().mean()) == 1.0
    straight = torch.cat((f, torch.zeros_like(f)), 1)          # its broken twin sees no square
    w = torch.linalg.lstsq(torch.cat((straight, torch.ones_like(f)), 1), 2.0 * y - 1)[0]
    assert float(((torch.cat((straight, torch.ones_like(f)), 1) @ w > 0).long() == y).double().mean()) < 0.8


def test_donors_are_honest_and_of_another_class():
    fy = torch.tensor([0, 0, 1, 1, 2])
    suggested = torch.tensor([0, 1, 1, 1, 0])
    y = torch.tensor([0, 1, 2])
    for seed in range(20):
        place, there = donors(suggested, fy, y, torch.Generator().manual_seed(seed), same=False)
        assert there.all()
        assert bool((fy[place] != y).all())
        assert bool((suggested[place] == fy[place]).all())
        place, there = donors(suggested, fy, y, torch.Generator().manual_seed(seed), same=True)
        assert there.tolist() == [True, True, False]


def test_halves_keep_the_shares_and_need_enough():
    y = torch.tensor([0] * 40 + [1] * 20)
    made = halves(torch.rand(60, 3), y, classes=2, box=None, seed=0)
    assert torch.bincount(made.y[made.fit]).tolist() == [20, 10]
    assert torch.equal(torch.cat((made.fit, made.judged)).sort().values, torch.arange(60))
    with pytest.raises(InputError, match="class 2 has 0 inputs"):
        halves(torch.rand(60, 3), y, classes=3, box=None, seed=0)
    with pytest.raises(InputError, match=r"1 inputs hold values that are no finite numbers .at place 2.*--missing"):
        holed = torch.rand(60, 3)
        holed[5, 2] = float("nan")
        halves(holed, y, classes=2, box=None, seed=0)
    with pytest.raises(InputError, match="1 shifted inputs hold values"):
        halves(torch.rand(60, 3), y, classes=2, box=None, seed=0, shifted=(holed, y))
    with pytest.raises(InputError, match="60 inputs and 59 classes"):
        halves(torch.rand(60, 3), y[1:], classes=2, box=None, seed=0)


def test_alignment_is_the_share_along_the_gradient():
    x = torch.rand(5, 1, 4, 4) * 0.5
    along = torch.full_like(x, 0.1)                             # brightness: its gradient is the same everywhere
    across = torch.zeros_like(x)
    across[..., 0, 0], across[..., 0, 1] = 0.1, -0.1
    for change, share in ((along, 1.0), (across, 0.0), (along + across, 16 * 0.01 / (16 * 0.01 + 2 * 0.01))):
        found = Flips(x=x, y=torch.zeros(5).long(), change=change, size=torch.ones(5), truth=torch.ones(5))
        values, chance = alignment(Intensity(), found)
        assert values.tolist() == pytest.approx([share] * 5, abs=1e-9)
        assert chance == pytest.approx(1 / 16)


def test_n90_of_a_straight_line_and_its_ratio():
    assert simplicity.enough((10, 100, 1000), (0.9, 1.0, 1.0), 0.9) == pytest.approx(10)
    assert simplicity.enough((10, 100, 1000), (0.0, 0.9, 1.0), 0.9) == pytest.approx(100)
    same = simplicity.Curve(sizes=(10, 1000), accuracy=((0.5, 1.0), (0.6, 1.0), (0.4, 1.0)))
    assert simplicity.simplicity(same, same, 2).value == 1.0
    assert simplicity.simplicity(same, same, 2).p > 0.9
    never = simplicity.Curve(sizes=(10, 1000), accuracy=((0.5, 0.5),) * 3)         # as many as there are, and more
    at_once = simplicity.Curve(sizes=(10, 1000), accuracy=((1.0, 1.0),) * 3)
    found = simplicity.simplicity(at_once, never, 2)
    assert found.value == pytest.approx(100)
    assert found.p == pytest.approx(stats.t.sf((np.log(100) - np.log(2)) / (0.1 / np.sqrt(3)), 2))


def test_what_is_needed_is_told_with_and_without():
    with_it = simplicity.Curve(sizes=(10, 1000), accuracy=((1.0, 1.0),) * 3, by_step=((0.5, 0.5, 0.5, 1.0, 1.0, 1.0),) * 3,
                               by_width=((1.0,) * 5,) * 3)
    without = simplicity.Curve(sizes=(10, 1000), accuracy=((0.5, 0.5),) * 3, by_step=((0.5,) * 6,) * 3,
                               by_width=((0.5, 0.5, 0.95, 1.0, 1.0),) * 3)
    found = simplicity.needed(with_it, without, 2)
    assert {k: (v["with"], v["without"]) for k, v in found.items()} == {
        "samples": pytest.approx((10, 1000)), "width": pytest.approx((2, 8)),
        "steps": pytest.approx((20 * 2 ** ((0.95 - 0.5) / 0.5), 150))}              # between 20 and 40 by logarithms
    assert found["samples"]["value"] == pytest.approx(simplicity.simplicity(with_it, without, 2).value)
    assert found["width"]["value"] == pytest.approx(4)


CARD = {"id": "g", "keeps_truth": True, "threshold": 0.5, "no_use": "no editor", "planted": {"p": 0.001},
        "success": {"value": 0.9, "low": 0.8, "high": 0.95, "p": 0.0005, "against": 1.0},
        "use": {"n": 50, "value": 0.9, "low": 0.8, "high": 0.97, "p": 0.0005, "against": 1.0},
        "instability": {"p": 0.0005}, "alignment": {"p": 0.0005}, "reference": {"value": 0.5}, "simplicity": {"p": 0.0005}}
IGNORED = {"n": 50, "value": 0.0, "low": 0.0, "high": 0.07, "p": 1.0, "against": 0.005}
TELLS_NOT = {**CARD["success"], "value": 0.2, "high": 0.3, "p": 1.0, "against": 0.0005}


def verdict(**changes):
    return judgement.judge([{**CARD, **changes}])[0].verdict


def test_verdicts_need_everything():
    assert verdict() == judgement.CONSISTENT
    for part in ("success", "use", "instability", "alignment", "simplicity"):
        assert verdict(**{part: {**CARD[part], "p": 0.2}}) == judgement.INCONCLUSIVE
    assert verdict(simplicity=None) == judgement.INCONCLUSIVE
    assert verdict(keeps_truth=False) == judgement.INCONCLUSIVE
    assert verdict(use=None) == judgement.INCONCLUSIVE
    assert verdict(use={**CARD["use"], "n": 0}) == judgement.INCONCLUSIVE
    assert verdict(reference={"value": 0.05}) == judgement.INCONCLUSIVE          # the yardstick says it of everything
    assert verdict(reference={}) == judgement.INCONCLUSIVE


def test_not_consistent_needs_a_system_that_does_not_follow():
    assert verdict(use=IGNORED) == judgement.NOT_CONSISTENT
    assert verdict(use=IGNORED, planted={"p": 0.3}) == judgement.INCONCLUSIVE
    assert verdict(use=IGNORED, planted=None) == judgement.INCONCLUSIVE
    assert verdict(use={**IGNORED, "against": 0.2, "high": 0.15}) == judgement.INCONCLUSIVE
    assert verdict(success=TELLS_NOT, use=IGNORED) == judgement.NOT_CONSISTENT
    assert verdict(success=TELLS_NOT, use=None) == judgement.NOT_CONSISTENT
    # it tells little, and is followed all the same
    followed = judgement.judge([{**CARD, "success": TELLS_NOT}])[0]
    assert followed.verdict == judgement.INCONCLUSIVE
    assert "followed in 90 %" in followed.reason


def test_what_is_not_followed_is_not_said_to_be():
    for changes in ({"keeps_truth": False}, {"planted": None}):
        told = judgement.judge([{**CARD, "use": {**IGNORED, "against": 0.2}, **changes}])[0]
        assert told.verdict == judgement.INCONCLUSIVE
        assert "does not follow it" in told.reason


def by_lot(*ps: tuple[float, float], **changes):
    return {**CARD, "permuted": {"success": [p for p, _ in ps], "use": [p for _, p in ps]}, **changes}


def test_false_alarms_are_counted_by_the_verdicts_own_rule():
    """Of three exchanges: told and followed, told alone, neither."""
    one = by_lot((0.01, 0.03), (0.01, 0.2), (0.5, 1.0))
    assert judgement.alarms([one]) == [{"of": 3, "tells": 2, "consistent": 1}]
    # beside another of which all can be asked Holm asks for .025; beside one without an editor nothing changes
    beside = by_lot((0.5, 1.0), (0.5, 1.0), (0.5, 1.0))
    assert [a["consistent"] for a in judgement.alarms([one, beside])] == [0, 0]
    no_editor = {**one, "use": None}
    assert judgement.alarms([one, no_editor])[1] == {"of": 3, "tells": 2, "consistent": None}
    assert judgement.alarms([one, no_editor])[0]["consistent"] == 1
    assert judgement.alarms([{**one, "keeps_truth": False}])[0]["consistent"] is None       # never given that verdict
    assert judgement.alarms([{**CARD}])[0] == {"of": 0, "tells": 0, "consistent": 0}


def test_classes_by_lot_are_told_in_one_of_twenty(monkeypatch):
    """Brightness of images, 60 exchanges. The broken twin is fitted to the classes it is judged by: it tells them all."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand((120, 1, 4, 4), generator=generator), torch.arange(120) % 2
    data = halves(x, y, classes=2, box=(0.0, 1.0), seed=0)
    monkeypatch.setattr(controls, "PERMUTED", 60)

    def decide(inputs):
        return (inputs.mean((1, 2, 3)) > 0.5).long()

    own = decide(data.x[data.judged])
    told = controls.permuted(Intensity(), decide, own, data, seed=0)
    assert sum(p <= 0.05 for p in told["success"]) <= 9         # 3 expected; above has probability .002
    assert all(u == 1.0 for p, u in zip(told["success"], told["use"], strict=True) if p > 0.05)
    pixels = OfFunction(id="pixels", title="", function=lambda v: v.flatten(1)[:, :12])
    leaking = replace(data, fit=data.judged)
    assert sum(p <= 0.05 for p in controls.permuted(pixels, decide, own, leaking, seed=0)["success"]) >= 50


def test_what_is_asked_of_conflicts_alone_is_what_use_says():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand((200, 1, 4, 4), generator=generator) * 0.3, torch.arange(200) % 2
    x = x + 0.3 * y[:, None, None, None] + 0.15 * torch.rand((200, 1, 1, 1), generator=generator)
    y = torch.where(torch.arange(200) % 7 == 0, 1 - y, y)       # of a seventh the system is wrong
    data = halves(x, y, classes=2, box=(0.0, 1.0), seed=0)
    asked: list[int] = []

    def decide(inputs):
        asked.append(len(inputs))
        return (inputs.mean((1, 2, 3)) > 0.37).long()

    normal = decide(data.x[data.judged])
    learner = fit(Intensity().features(data.x[data.fit]), data.y[data.fit], 2)
    whole = use(Intensity(), decide, learner, data, normal, seed=0).preference
    asked.clear()
    assert followed(Intensity(), decide, learner, data, normal, seed=0) == whole
    assert whole.value > 0.9
    assert sum(asked) < 2 * len(normal)                         # twice of inputs in conflict, and of no others


def test_many_structures_ask_more_of_each():
    one = {**CARD, "use": {**CARD["use"], "p": 0.02}}
    assert judgement.judge([one])[0].verdict == judgement.CONSISTENT
    many = judgement.judge([{**one, "id": str(k)} for k in range(5)])
    assert {j.verdict for j in many} == {judgement.INCONCLUSIVE}
    assert "not all together" in many[0].reason
    # beside structures that could never be consistent
    beside = judgement.judge([one, *({**CARD, "id": str(k), "use": None} for k in range(5))])
    assert beside[0].verdict == judgement.CONSISTENT
    cleared = [{**CARD, "id": str(k), "use": {**IGNORED, "against": 0.015}} for k in range(5)]
    assert judgement.judge(cleared[:1])[0].verdict == judgement.NOT_CONSISTENT
    assert judgement.judge(cleared)[0].verdict == judgement.INCONCLUSIVE


def test_classes_given_at_random_say_nothing_of_the_truth():
    x = torch.rand(300, 1, 8, 8) * 0.4 + 0.3
    z = torch.randint(2, (300,), generator=torch.Generator().manual_seed(1))
    sown = controls.given_classes(Intensity(), x, x, z, 2, torch.Generator().manual_seed(2))
    assert float((fit(Intensity().features(sown), z, 2)(Intensity().features(sown)).argmax(1) == z).double().mean()) > 0.98
    assert torch.allclose(sown - sown.mean((1, 2, 3), keepdim=True), x - x.mean((1, 2, 3), keepdim=True), atol=1e-6)


def test_chance_over_many_classes_is_no_success():
    """43 classes of 3: decisions by lot are called better than chance in one draw of twenty, and no more."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(43).repeat(3)
    alarms = sum(balanced_accuracy(torch.randint(43, (129,), generator=generator) == y, y, 1 / 43, k).p <= 0.05
                 for k in range(100))
    assert alarms <= 12                             # with a prior of mean ½ it is nearly all of them
