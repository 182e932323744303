"""The experiments' own parts on cases that can be solved by hand, and running one: resumed, refused, told."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from assay.account import Account, Picture, Plot, Strip, Table
from assay.arrays import InputError
from assay.experiments import before_after, existence, hallucination, stripes
from assay.experiments import second_coordinate as second
from assay.experiments.experiment import MODULES, Experiment, Part, find, run_experiment
from assay.experiments.one_hidden_layer import Network
from assay.reports import account
from assay.store import StoreError
from assay.workbook import Workbook


def test_seven_intervals_in_turn():
    middles = (second.ENDS[:-1] + second.ENDS[1:]) / 2
    assert second.truth(middles).tolist() == [1, 0, 1, 0, 1, 0, 1]


def test_samples_keep_away_from_the_ends():
    x = second.draw(7_000, np.random.default_rng(0))
    assert np.abs(x[:, None] - second.ENDS).min() >= second.AWAY
    assert second.truth(x).mean() == pytest.approx(4 / 7)


def test_the_network_written_down_is_right_with_margin_a_half():
    net, rng = second.exact_network(), np.random.default_rng(0)
    assert second.accuracies(net, rng) == {"true": 1.0, "none": 1.0, "flipped": 1.0}
    assert np.abs(net(second.inputs(second.draw(1_000, rng), 0.0))).min() == pytest.approx(0.5)


def test_the_change_that_flips_a_network_of_the_cue_alone_is_known():
    """score = x₂ − δ/4: where the cue is δ it takes ¾ δ to cross, where it is 0 a quarter."""
    net = Network(inner=np.array([[0.0], [1.0], [1.0]]), outer=np.array([1.0, -1.0 - second.CUE / 4]))
    found = second.change_that_flips(net, np.random.default_rng(0), cue=True)
    assert found["share"] == 1.0
    assert found["median"] == pytest.approx(0.75 * second.CUE, rel=1e-6)
    accuracies = second.accuracies(net, np.random.default_rng(0))
    assert (accuracies["true"], accuracies["none"], accuracies["flipped"]) == pytest.approx((1.0, 3 / 7, 0.0), abs=1e-3)


def test_the_nearer_of_two_crossings_counts():
    """score = 1 for x₂ in (−1.5e-4, 2.5e-5) around 0, seen from 0: the nearer crossing is above."""
    net = Network(inner=np.array([[0.0, 0.0], [1.0, -1.0], [0.0, 0.0]]), outer=np.array([-1 / 2.5e-5, -1 / 1.5e-4, 1.0]))
    found = second.change_that_flips(net, np.random.default_rng(0), cue=False)
    assert found["median"] == pytest.approx(2.5e-5, rel=1e-6)


def test_an_order_turns_round_only_beyond_chance():
    steady, shaky = {"wrong": 40, "n": 500, "sizes": [0.5] * 100}, {"wrong": 2, "n": 500, "sizes": [0.05] * 100}
    assert before_after.reversed_pairs({"a": shaky, "b": steady}) == [("a", "b")]
    assert before_after.reversed_pairs({"a": shaky, "b": {**shaky, "wrong": 3}}) == []
    assert before_after.worst_share({"wrong": 0, "n": 100, "sizes": [None, None]})[0] == 0.0


def test_seven_samples_teach_the_cue_and_nothing_else():
    """The published table's first row, within its two points."""
    run = second.run_case(second.CASES[0], "quick", 0)["runs"][0]
    assert (run["true"], run["none"], run["flipped"]) == pytest.approx((1.0, 0.429, 0.0), abs=0.02)
    assert 2e-5 < run["flip"]["median"] < 8e-5


def test_stripes_of_the_corrected_data_lie_and_stand():
    images, label = stripes.training_images(0.25, released=False)
    assert images.shape == (60, 1, 32, 32)
    lying = images.amax(3).std(2)[:, 0] > 0.1
    assert torch.equal(lying, label == 1)
    over = images.sum((1, 2, 3)) > 96
    assert torch.equal(over, label == 0)


def test_stripes_of_the_released_data_all_lie():
    images, _ = stripes.training_images(0.25, released=True)
    assert bool((images.amax(3).std(2)[:, 0] > 0.1).all())


def test_the_stripe_network_is_the_published_one_in_size():
    assert sum(p.numel() for p in stripes.StripeNet(torch.Generator()).parameters()) == 60_213


def test_a_weak_cue_is_not_learnt_and_a_strong_one_is():
    weak, strong = (stripes.trained(a, 0, released=False) for a in (0.003, 0.3))
    generator = torch.Generator().manual_seed(0)
    assert stripes.accuracy(weak, *stripes.drawn(200, 0.003, 0.003, generator, flipped=True)) > 0.9
    assert stripes.accuracy(strong, *stripes.drawn(200, 0.3, 0.3, generator, flipped=True)) < 0.1
    assert stripes.accuracy(strong, *stripes.drawn(200, 0.3, 0.3, generator)) > 0.9


def test_crossover_is_where_all_stronger_cues_win():
    assert stripes.crossover({0.0: 0.9, 0.01: 0.4, 0.03: 0.8, 0.1: 0.2, 0.3: 0.0}) == 0.1
    assert stripes.crossover({0.0: 0.9, 0.3: 0.6}) is None


@pytest.mark.parametrize("width", existence.WIDTHS)
def test_interpolants_keep_their_bound(width):
    target = existence.TARGETS[0]
    error = existence.greatest_error(existence.interpolant(target.value, width), target.value)
    assert error <= target.bend * (2 / width) ** 2 / 8
    shifted = existence.interpolant(lambda x: target.value(x + 0.5 / width), width)          # its broken twin
    if width >= 16:
        assert existence.greatest_error(shifted, target.value) > target.bend * (2 / width) ** 2 / 8


def test_the_floor_of_degree_two_is_chebyshevs():
    """Best degree 2 to |x| on [−1, 1] is x² + 1/8, error 1/8; to x² itself 0."""
    assert existence.quadratic_floor(np.abs) == pytest.approx(1 / 8, abs=1e-6)
    assert existence.quadratic_floor(np.square) == pytest.approx(0, abs=1e-9)
    assert existence.squares_error(np.abs, 64, np.random.default_rng(0)) >= 1 / 8


@pytest.mark.parametrize("bits", existence.BITS)
@pytest.mark.parametrize("digits", existence.DIGITS)
def test_minimisers_are_proved_and_apart(bits, digits):
    made = existence.pair(bits, digits)
    assert existence.certified(made.first, made.y, 0)
    assert existence.certified(made.second, made.y, 1)
    assert not existence.certified(made.first, made.y, 1)
    assert not existence.certified((1.0, 0.5), 1.0, 0)          # z = 0, ½ and 1 all cost 1
    assert np.hypot(*np.subtract(made.first, made.second)) <= 2.0**-bits
    apart = np.hypot(*np.subtract(*made.minimisers))
    assert apart == pytest.approx(3 * 10.0**-digits, rel=2e-4)


def test_the_solver_finds_minimisers_where_columns_differ():
    made = existence.pair(2, 1)
    assert existence.descend(made.first, made.y) == pytest.approx(made.minimisers[0], abs=1e-6)
    assert existence.descend(made.second, made.y) == pytest.approx(made.minimisers[1], abs=1e-6)


def test_the_detail_cannot_be_measured():
    a = hallucination.operator()
    d = hallucination.detail(a)
    assert float(a.forward(d[None].to(torch.complex128)).abs().max()) < 1e-12
    assert float(d.norm()) > 0.3


def test_amplitude_is_how_much_of_the_detail_is_shown():
    a = hallucination.operator()
    truth, d = hallucination.phantoms(3, torch.Generator().manual_seed(0)), hallucination.detail(a).float()
    shown = hallucination.amplitudes(lambda _: truth + 0.7 * d, a, truth)
    assert shown.tolist() == pytest.approx([0.7] * 3, abs=1e-5)


@pytest.mark.parametrize(("amount", "outcome"), [(1.0, "unstable"), (0.0, "none found")])
def test_the_check_of_audits_says_whether_the_detail_was_invented(amount: float, outcome: str):
    a = hallucination.operator()
    truth, d = hallucination.phantoms(40, torch.Generator().manual_seed(0)), hallucination.detail(a).float()
    told = hallucination.checked("shown", lambda y: a.adjoint(y).real + amount * d, a, truth, seed=0)
    assert (told["outcome"], told["harmed"], told["judged"]) == (outcome, 20 * amount, 20)


def test_nearest_neighbour_flips_at_the_bisector():
    from assay.searches.smallest.superdeepfool import superdeepfool

    model = before_after.NearestNeighbour(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]), 2)
    x = torch.tensor([[0.5, 3.0]])
    found = superdeepfool(model, x, model(x).argmax(1), norm="l2")
    assert float(found.size) == pytest.approx(0.5, rel=0.03)


def test_every_experiment_can_be_found_and_forecast():
    for name in MODULES:
        for size in ("quick", "full"):
            parts = find(name).parts(size, 0)
            assert len({part.name for part in parts}) == len(parts) > 0
            assert sum(part.seconds for part in parts) > 0
    with pytest.raises(InputError, match="second-coordinate"):
        find("second")


def counted(calls: list[str], broken: str = "") -> Experiment:
    def run(name: str):
        def work() -> dict[str, float]:
            calls.append(name)
            if name == broken:
                raise KeyboardInterrupt
            return {"value": len(name)}
        return work

    def told(results, size):
        return Account(title="t", question="?", seen=(str(sum(r["value"] for r in results.values())),))
    return Experiment(id="made", title="t", tell=told,
                      parts=lambda size, seed: tuple(Part(name=n, seconds=1.0, run=run(n)) for n in ("one", "three")))


def test_a_stopped_experiment_goes_on_where_it_was(tmp_path):
    calls: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_experiment(counted(calls, broken="three"), tmp_path)
    assert run_experiment(counted(calls), tmp_path).seen == ("8",)
    assert calls == ["one", "three", "three"]
    assert Workbook(tmp_path).changed() == []
    (tmp_path / "parts" / "one.json").write_text(json.dumps({"value": 5}))
    assert Workbook(tmp_path).changed() == ["parts/one.json"]
    with pytest.raises(StoreError, match="seed differs"):
        run_experiment(counted(calls), tmp_path, seed=1)
    (tmp_path / "parts" / "one.json").write_text("{")
    with pytest.raises(StoreError, match=r"one\.json"):
        run_experiment(counted(calls), tmp_path)
    with pytest.raises(InputError, match="quick, full"):
        run_experiment(counted(calls), tmp_path / "new", size="huge")


def test_the_page_shows_everything_and_runs_nothing():
    told = Account(title="<script>", question="‮why?", seen=("a & b",), limits=("no",), sources=("s",),
                   tables=(Table(title="T", head=("h", "k"), rows=(("r", "<b>"),), note="n"),),
                   plots=(Plot(title="P", x_label="x", y_label="y", x_log=True, y_log=True, lines=()),),
                   strips=(Strip(title="S", pictures=(Picture(caption="c", pixels=((0.0, 1.0), (1.0, 0.0))),)),))
    page = account.page(told, facts=(("seed", "0"),)).decode()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "‮" not in page
    for part in ("a &amp; b", "data:image/png;base64,", "<caption>n</caption>", "seed"):
        assert part in page
