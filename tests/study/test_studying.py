"""Whole studies: the second coordinate is found out, the network that knows the truth is not, renamed classes agree."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.experiments import second_coordinate as second
from assay.store import StoreError
from assay.structures.images import Border, Corner, Intensity
from assay.structures.protocol import OfFunction
from assay.structures.rows import Column
from assay.study import run as running
from assay.study import simplicity
from assay.study.forecast import forecast
from assay.study.learner import fit
from assay.study.material import Material, halves
from assay.study.order import Fact, by_order
from assay.study.run import Study, run_study
from assay.study.use import use
from assay.study.usefulness import small_networks, usefulness
from assay.systems.torch import TorchSystem
from assay.workbook import Workbook

HEADER = {"system": {"name": "net"}, "data": {}}


class Plain(torch.nn.Module):
    """A network of one hidden layer, its score the log odds of class 1."""

    def __init__(self, network) -> None:
        super().__init__()
        self.inner, self.outer = (torch.nn.Parameter(torch.tensor(a)) for a in (network.inner, network.outer))

    def forward(self, x):
        rows = torch.cat((x.double(), torch.ones(len(x), 1, dtype=torch.float64)), 1)
        odds = torch.relu(rows @ self.inner) @ self.outer[:-1] + self.outer[-1]
        return torch.stack((torch.zeros_like(odds), odds), 1)


@pytest.fixture(scope="module")
def intervals():
    """400 samples of the seven intervals with the cue, as rows."""
    x1 = second.draw(399, np.random.default_rng(0))
    y = second.truth(x1)
    return halves(torch.tensor(second.inputs(x1, y)), torch.tensor(y).long(), classes=2, box=None, seed=0)


CUE = Column(index=1, name="x2", keeps_truth=True)


def studied(network, data, tmp_path, structures=(CUE,)):
    system = TorchSystem(Plain(network).double(), name="net")
    run_study(Study.of(system, data, structures), tmp_path, HEADER)
    return {card["id"]: card for card in json.loads((tmp_path / "structure_cards.json").read_text())}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small networks of fewer steps and seeds: what is tested is the way from parts to verdicts."""
    monkeypatch.setattr(simplicity, "SEEDS", 3)
    monkeypatch.setattr(running.non_robust, "TRAINING", 30)
    monkeypatch.setattr(running.non_robust, "ROBUST_TRAINING", 30)
    monkeypatch.setattr(running.non_robust, "FEATURE_STEPS", 5)
    monkeypatch.setattr(running.controls, "PERMUTED", 5)


@pytest.mark.slow
def test_the_network_of_seven_samples_is_consistent_with_the_conjecture(intervals, tmp_path):
    rng = np.random.default_rng(0)
    x1 = second.draw(7, rng)
    y = second.truth(x1)
    network = second.train(second.drawn(2, second.UNITS, rng), second.inputs(x1, y), y, epochs=30_000, batch=50, rate=1e-3,
                           rng=rng)
    card = studied(network, intervals, tmp_path)["column-x2"]
    assert card["follows"] == "structure"
    assert card["use"]["value"] == 1.0
    assert card["instability"]["high"] < 0.1
    assert card["simplicity"]["low"] > 2
    assert card["verdict"] == "consistent with the conjecture"
    assert card["planted"]["value"] == 1.0
    assert card["false_alarms"]["consistent"] == 0


@pytest.mark.slow
def test_the_network_that_knows_the_intervals_is_not(intervals, tmp_path):
    card = studied(second.exact_network(), intervals, tmp_path)["column-x2"]
    assert card["follows"] == "truth"
    assert card["verdict"] == "not consistent"


def bright(n: int = 160) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose brightness tells three classes, and nothing else."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    x = 0.3 + 0.15 * y[:, None, None, None] + 0.1 * torch.rand((n, 1, 8, 8), generator=generator)
    return x, y


class ByBrightness(torch.nn.Module):
    """Takes an image for the class whose brightness it has; `names` says what the classes are called."""

    def __init__(self, names=(0, 1, 2)) -> None:
        super().__init__()
        self.names = list(names)

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        scores = torch.stack([-((mean - 0.35 - 0.15 * k) ** 2) for k in range(3)], 1)
        return scores[:, [self.names.index(c) for c in range(3)]] * 100


def test_renaming_classes_changes_no_statistic(tmp_path):
    x, y = bright()
    names = torch.tensor([2, 0, 1])
    cards = []
    for k, (system, labels) in enumerate(((ByBrightness(), y), (ByBrightness((2, 0, 1)), names[y]))):
        data = halves(x, labels, classes=3, box=(0.0, 1.0), seed=0)
        study = Study.of(TorchSystem(system, name="net"), data, (Intensity(), Corner()))
        parts = study.parts()
        book = Workbook.create(tmp_path / str(k), HEADER)
        book.write("system", parts["system"](book), 0.0)
        cards.append([parts[f"structure-{g}"](book) for g in ("intensity", "corner")])
    for one, other in zip(*cards, strict=True):
        for part in ("success", "use", "flip", "removal", "within", "instability", "structure_flip", "alignment"):
            assert one[part] == pytest.approx(other[part], rel=1e-3, abs=1e-4), part
        for part in ("success", "use"):
            assert one["permuted"][part] == pytest.approx(other["permuted"][part], abs=1e-3), part
        assert one["samples"]["accuracy"] == other["samples"]["accuracy"]
        assert one["useful"]["alone"]["ordinary"] == pytest.approx(other["useful"]["alone"]["ordinary"])


def test_a_study_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    x, y = bright()
    data = halves(x, y, classes=3, box=(0.0, 1.0), seed=0)
    study = Study.of(TorchSystem(ByBrightness(), name="net"), data, (Intensity(),))
    monkeypatch.setattr(simplicity, "SEEDS", 1)
    done: list[str] = []

    def stop(part, *counts):
        done.append(part)
        if part == "simplicity":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path, HEADER, watch=stop)
    again: list[str] = []
    told = run_study(study, tmp_path, HEADER, watch=lambda part, *counts: again.append(part))
    assert done == ["system", "structure-intensity", "simplicity"]
    assert again == ["simplicity", "surrogate", "non-robust", "mask", "feature-sets"]
    (card,) = json.loads((tmp_path / "structure_cards.json").read_text())
    assert card["follows"] == "structure"                   # it knows nothing else
    assert card["use"]["value"] > 0.9
    for part in ("formula", "success", "structure_flip", "samples", "fails", "power", "pictures", "learner", "useful"):
        assert card[part], part                             # what a card is to record
    assert set(card["simplicity"]["needed"]) == {"samples", "steps", "width"}
    assert any("brightness" in line for line in told.seen)
    assert Workbook(tmp_path).changed() == []
    assert forecast(study) > 0


def test_structures_that_do_not_fit_are_told(tmp_path):
    x, y = bright()
    data = halves(x, y, classes=3, box=(0.0, 1.0), seed=0)
    study = Study.of(TorchSystem(ByBrightness(), name="net"), data, (Intensity(), CUE))
    assert study.refused == {"column-x2": "it is about tables"}
    assert replace(data, y=y).classes == 3


def test_what_is_the_same_in_every_input_is_no_structure(tmp_path, monkeypatch):
    """A black frame, as round digits and masked scans: the learner of a constant flips nowhere."""
    monkeypatch.setattr(simplicity, "SEEDS", 1)
    x, y = bright()
    x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1] = 0.0, 0.0, 0.0, 0.0
    data = halves(x, y, classes=3, box=(0.0, 1.0), seed=0)
    study = Study.of(TorchSystem(ByBrightness(), name="net"), data, (Intensity(), Border()))
    assert study.refused == {"border": "it is the same in every input"}
    with pytest.raises(InputError, match="two structures are called 'intensity'"):
        Study.of(TorchSystem(ByBrightness(), name="net"), data, (Intensity(), Intensity()))


class OfTheMiddle(torch.nn.Module):
    """Two classes by the middle, whatever the corners are; wrong on inputs whose last value says so, a seventh of them."""

    def forward(self, x):
        odds = (x[:, 0, 3:5, 3:5].mean((1, 2)) - 0.5) * torch.where(x[:, 0, 2, 2] > 0.85, -1.0, 1.0)
        return torch.stack((torch.zeros_like(odds), odds * 10), 1)


def test_ordinary_errors_are_not_following():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(600) % 2
    x = torch.rand((600, 1, 8, 8), generator=generator)
    x[:, 0, 3:5, 3:5] = 0.3 + 0.4 * y[:, None, None]
    x[:, 0, :2, :2] = 0.2 + 0.5 * y[:, None, None]                # the corner tells the class, and is not looked at
    data = halves(x, y, classes=2, box=(0.0, 1.0), seed=0)
    study = Study.of(TorchSystem(OfTheMiddle(), name="net"), data, (Corner(),))
    learner = fit(Corner().features(data.x[data.fit]), data.y[data.fit], 2)
    followed = use(Corner(), study.decide, learner, data, study.judged, seed=0)
    assert float((study.decide(x) == y).double().mean()) < 0.9
    assert followed.preference.value == 0.0
    assert followed.preference.high < 0.1
    assert followed.flip.value == 0.0


def cornered() -> Material:
    """Two classes told by the middle, and as well by the corner."""
    y = torch.arange(400) % 2
    x = 0.4 + 0.2 * torch.rand((400, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    x[:, 0, 3:5, 3:5] = 0.3 + 0.4 * y[:, None, None]
    x[:, 0, :2, :2] = 0.2 + 0.6 * y[:, None, None]
    return halves(x, y, classes=2, box=(0.0, 1.0), seed=0)


def test_the_corner_alone_misleads_and_the_rest_does_not(monkeypatch):
    """Where the corner is of the other class the learner of it is wrong always, and the network that cannot see it never."""
    data, g = cornered(), Corner()
    learner = fit(g.features(data.x[data.fit]), data.y[data.fit], 2)
    study = Study.of(TorchSystem(OfTheMiddle(), name="net"), data, (g,))
    followed = use(g, study.decide, learner, data, study.judged, seed=0)

    def told():
        return usefulness(g, learner, study.networks, data, followed, seed=0)

    found = {name: {k: e["value"] for k, e in row.items()} for name, row in told().items()}
    assert found["alone"] == {"ordinary": 1.0}                  # of another class it is wrong by what donors are chosen for
    assert found["without"] == {"ordinary": 1.0, "conflict": 1.0}
    assert set(found["network"]) == {"conflict"}
    assert found["system"]["conflict"] > 0.8
    monkeypatch.setattr("assay.study.usefulness.neutral", lambda g, x, reference: x)        # its broken twin sees the corner
    assert told()["without"]["conflict"]["value"] < 0.9


def test_networks_differ_by_what_they_see_alone(monkeypatch):
    """The same editor that changes nothing: from the same first weights and batches there is no difference at all."""
    data, g = cornered(), Corner()
    learner = fit(g.features(data.x[data.fit]), data.y[data.fit], 2)
    study = Study.of(TorchSystem(OfTheMiddle(), name="net"), data, (g,))
    monkeypatch.setattr("assay.study.usefulness.neutral", lambda g, x, reference: x)
    followed = use(g, study.decide, learner, data, study.judged, seed=0)
    told = usefulness(g, learner, study.networks, data, followed, seed=0)
    assert told["difference"]["conflict"]["value"] == 0.0
    assert told["network"]["conflict"]["least"] == told["without"]["conflict"]["least"]
    other = small_networks(data.x[data.fit], data, 1)           # the broken twin: of other seeds
    apart = usefulness(g, learner, other, data, followed, seed=0)
    assert apart["difference"]["conflict"]["value"] != 0.0
    assert told["network"]["conflict"]["least"] < told["network"]["conflict"]["most"]


def test_inputs_of_one_donor_count_together():
    """As many conflict inputs as before, of one donor: the interval of the system is that of one trial."""
    data, g = cornered(), Corner()
    learner = fit(g.features(data.x[data.fit]), data.y[data.fit], 2)
    study = Study.of(TorchSystem(OfTheMiddle(), name="net"), data, (g,))
    many = use(g, study.decide, learner, data, study.judged, seed=0)
    few = replace(many, donor=many.donor % 2)
    widths = []
    for followed in (many, few):
        e = usefulness(g, learner, (), data, followed, seed=0)["system"]["conflict"]
        widths.append(e["high"] - e["low"])
    assert widths[1] > 2 * widths[0]


def test_rare_classes_weigh_as_much_in_learning_curves(monkeypatch):
    """97 of 100 are of one class: who always names it is right in 97 %, beyond nine tenths of the way from ½ to all. Learnt
    is a cue, and without it nothing: that takes more samples, and not as few (the broken twin counts plain accuracy)."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(800) % 33 == 0).long()
    x = torch.rand((800, 2), generator=generator)
    x[:, 1] = 2.0 * y + 0.1 * x[:, 1]
    data, cue = halves(x, y, classes=2, box=None, seed=0), Column(index=1, name="cue", keeps_truth=True)

    def found():
        present, absent = (simplicity.curve(data, g, seed=0) for g in (None, cue))
        return simplicity.simplicity(present, absent, 2).value

    assert found() > 2
    monkeypatch.setattr(simplicity, "accuracy", lambda net, x, y: float((net(x).argmax(1) == y).double().mean()))
    assert found() < 1.5
    features = torch.rand((800, 1), generator=generator)        # a learner of noise is no better than chance
    told = simplicity.alone(features[data.fit], features[data.judged], data, seed=0)
    assert all(abs(row[-1] - 0.5) < 0.25 for row in told["accuracy"])


def test_shifted_data_are_asked_too():
    data, g = cornered(), Corner()
    moved = data.x.clone()
    moved[:, 0, :2, :2] = 0.8 - 0.6 * data.y[:, None, None]          # another site puts its markers the other way
    data = replace(data, shifted=(moved, data.y))
    learner = fit(g.features(data.x[data.fit]), data.y[data.fit], 2)
    found = usefulness(g, learner, (), data, None, seed=0)
    assert {k: e["value"] for k, e in found["alone"].items()} == {"ordinary": 1.0, "shifted": 0.0}


def test_the_samples_that_a_structure_needs():
    data = cornered()
    features = Corner().features(data.x)
    told = simplicity.alone(features[data.fit], features[data.judged], data, seed=0)
    assert told["sizes"][0] == 4
    assert told["n90"] <= told["sizes"][1]                  # a few say it all, as soon as they hold both classes
    assert all(row[-1] == 1.0 for row in told["accuracy"])
    y = torch.arange(60) % 2
    nothing = halves(torch.zeros(60, 1, 8, 8), y, classes=2, box=None, seed=0)
    flat = torch.zeros(60, 1)
    assert simplicity.alone(flat[nothing.fit], flat[nothing.judged], nothing, seed=0)["n90"] is None


def test_a_file_in_blocks_is_told_on_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(simplicity, "SEEDS", 1)
    x, y = bright(120)
    order = y.argsort(stable=True)
    facts = [Fact(id="order", title="place in the file", formula="the number of the row", values=torch.arange(120)),
             Fact(id="time", title="time", formula="order of times", values=torch.zeros(120))]
    data = halves(x[order], y[order], classes=3, box=(0.0, 1.0), seed=0, facts=facts)
    study = Study.of(TorchSystem(ByBrightness(), name="net"), data, (Intensity(),))
    assert study.refused["time"] == "it is the same for every input"
    told = run_study(study, tmp_path, HEADER)
    card = {c["id"]: c for c in json.loads((tmp_path / "structure_cards.json").read_text())}["order"]
    assert card["success"]["value"] > 0.95
    assert card["verdict"] == "inconclusive"                # no system is shown the order
    assert "a random split into training and test may flatter this system; split by time or site" in card["means"]
    assert any("split by time or site" in line for line in told.seen)
    assert any(table.title == "Does the order of the rows tell the class?" for table in told.tables)
    shuffled = halves(x, y[torch.randperm(120, generator=torch.Generator().manual_seed(0))], classes=3, box=None, seed=0,
                      facts=facts[:1])
    assert by_order(shuffled.facts[0].values, shuffled.y, 0.5, 0).near.p > 0.01


def test_two_structures_of_one_name_are_refused_facts_too():
    x, y = bright(60)
    mine = OfFunction(id="order", title="mine", function=lambda v: v.mean((1, 2, 3)))
    data = halves(x, y, classes=3, box=None, seed=0, facts=[Fact(id="order", title="", formula="", values=y)])
    with pytest.raises(InputError, match="two structures are called 'order'"):
        Study.of(TorchSystem(ByBrightness(), name="net"), data, (mine,))


class Broken(torch.nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x):
        return torch.full((len(x), 3), self.value) + 0 * x.mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_system_no_better_than_chance_is_not_studied(tmp_path, value):
    x, y = bright()
    study = Study.of(TorchSystem(Broken(value), name="net"), halves(x, y, classes=3, box=(0.0, 1.0), seed=0), (Intensity(),))
    with pytest.raises(InputError, match="no better than chance"):
        run_study(study, tmp_path, HEADER)
    if value != value:
        assert study.decide(x).unique().tolist() == [-1]


def test_another_function_of_the_same_name_is_other_work(tmp_path):
    x, y = bright()
    data = halves(x, y, classes=3, box=(0.0, 1.0), seed=0)
    one = OfFunction(id="mine", title="mine", function=lambda v: v.mean((1, 2, 3)))
    two = OfFunction(id="mine", title="mine", function=lambda v: v.amax((1, 2, 3)))
    assert running._digest(one) != running._digest(two)
    assert running._digest(one) == running._digest(one)
    (tmp_path / "parts").mkdir()
    with pytest.raises(StoreError, match=r"no header\.json"):
        run_study(Study.of(TorchSystem(ByBrightness(), name="net"), data, (one,)), tmp_path, HEADER)


def test_names_that_are_no_file_names_stay_apart():
    a, b = Column(index=0, name="x 1"), Column(index=1, name="x-1")
    assert running._file(a) != running._file(b)
