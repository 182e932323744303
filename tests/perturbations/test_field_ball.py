"""The box of tolerances around a row: nearest, steepest and random members, and each law beside a set that breaks it."""

from __future__ import annotations

import itertools

import pytest
import torch

from assay.api import audit
from assay.arrays import InputError
from assay.datasets.tables import labelled_rows
from assay.perturbations import registry
from assay.perturbations.field_ball import FieldBall
from assay.perturbations.fields import fields_from
from assay.perturbations.protocol import ConvexSet, Examples, stream
from assay.records import Outcome
from assay.searches.auto_pgd import auto_pgd
from assay.store import AuditFolder
from assay.systems.tables import one_hot
from assay.systems.torch import TorchSystem


def number(**said) -> dict:
    return {"kind": "number", "range": [0, 10], "may_change": True, **said}


DECLARED = fields_from({"fields": {
    "a": number(within=2), "b": number(by=0.5), "fixed": {"kind": "number", "range": [0, 10]},
    "grid": number(within=2, step=1),
    "word": {"kind": "category", "values": ["x", "y"], "may_change": True}, "c": number(within=0.25),
    "tied": number(within=1), "other": number(within=1)}, "ties": [{"kind": "order", "fields": ["tied", "other"]}]})
X = Examples(ids=("p", "q", "r"), truth=torch.tensor([0, 1, 0]), inputs=torch.tensor(
    [[5.0, 4.0, 1.0, 2.0, 1.0, 3.0, 1.0, 2.0], [9.5, 8.0, 1.0, 2.0, 0.0, 10.0, 1.0, 2.0],
     [0.0, 0.0, 1.0, 2.0, 0.0, 0.1, 1.0, 2.0]], dtype=torch.float64))
#        room of a, b, c in tolerances at radius 1: (±1, ±1, ±1), (−1…¼, −1…½, −1…0), (0…1, none, −0.4…1)
LOW = [[-1, -1, -1], [-1, -1, -1], [0, 0, -0.4]]
HIGH = [[1, 1, 1], [0.25, 0.5, 0], [1, 0, 1]]
MOVING = [0, 1, 5]


def ball(radius: float = 1.0) -> FieldBall:
    return FieldBall(fields=DECLARED, radius=radius)


def corners(radius: float = 1.0) -> torch.Tensor:
    """All corners of each row's set, (2³, 3, fields), by the table above."""
    found = []
    for ends in itertools.product((0, 1), repeat=3):
        p = torch.zeros_like(X.inputs)
        for row in range(3):
            for at, end in zip(range(3), ends, strict=True):
                p[row, MOVING[at]] = max(LOW[row][at], -radius) if end == 0 else min(HIGH[row][at], radius)
        found.append(p)
    return torch.stack(found)


def normal(seed: int) -> torch.Tensor:
    return 2 * torch.randn(X.inputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def nearest(within, radius: float) -> None:
    for seed in range(5):
        p = normal(seed)
        z = within.project(X, p)
        assert torch.equal(within.project(X, z), z)
        assert bool(((z >= corners(radius).amin(0)) & (z <= corners(radius).amax(0))).all())
        ahead = ((p - z)[None] * (corners(radius) - z)).sum(2)             # ⟨p − Pp, z′ − Pp⟩ ≤ 0 for every member z′
        assert float(ahead.max()) <= 1e-12
        inside = within.apply(X, z).inputs
        assert bool(((inside >= 0) & (inside <= 10)).all())
        assert torch.equal(inside[:, [2, 3, 4, 6, 7]], X.inputs[:, [2, 3, 4, 6, 7]])


def steepest(within, radius: float) -> None:
    for seed in range(5):
        g = normal(seed)
        d = within.steepest(X, g)
        assert torch.allclose((g * d).sum(1), (g[None] * corners(radius)).sum(2).amax(0))


@pytest.mark.parametrize("radius", [0.3, 1.0])
@pytest.mark.parametrize("law", [nearest, steepest])
def test_the_box_obeys_its_laws(law, radius):
    assert isinstance(ball(), ConvexSet)
    law(ball(radius), radius)


class NoRange(FieldBall):
    """A broken twin: the tolerance alone, whatever the range."""

    def _room(self, x):
        reach = self.radius * (self._tolerances(x) > 0)
        return -reach.double(), reach.double()


class AllMove(FieldBall):
    """A broken twin: fields on a grid and in ties move too."""

    @property
    def moving(self):
        return tuple(i for i, f in enumerate(self.fields.fields) if f.within is not None or f.by is not None)


@pytest.mark.parametrize("broken", [NoRange, AllMove])
@pytest.mark.parametrize("law", [nearest, steepest])
def test_a_broken_box_is_caught(broken, law):
    with pytest.raises(AssertionError):
        law(broken(fields=DECLARED), 1.0)


def test_random_members_have_the_size_asked_where_there_is_room():
    generators = [stream(0, sample) for sample in X.ids]
    p = ball().sample(X, generators, torch.tensor([0.5, 0.5, 0.5]))
    assert ball().size(X, p).tolist() == [0.5, 0.5, 0.5]
    assert torch.equal(ball().project(X, p), p) and p[2, 1] == 0                # half of nothing is nothing
    assert torch.equal(ball().sample(X, [stream(1, s) for s in X.ids]), ball().sample(X, [stream(1, s) for s in X.ids]))


def test_a_linear_objective_has_its_maximum_found():
    w = normal(7)
    found = auto_pgd(lambda p: (w * ball().apply(X, p).inputs).sum(1), ball(), x=X, steps=20,
                     generators=[stream(0, sample) for sample in X.ids])
    by_hand = torch.stack([(w * ball().apply(X, c).inputs).sum(1) for c in corners()]).amax(0)
    assert torch.allclose(found.value, by_hand)


def test_words_build_it_and_say_where_nothing_moves():
    spec = {"kind": "field-ball", "fields": DECLARED.declared}
    assert registry.build(spec, 0.5, X).radius == 0.5 and registry.unfit(spec, X) == ""
    still = fields_from({"fields": {"a": number(within=1, step=1)}})
    x = Examples(ids=("a",), inputs=torch.ones(1, 1, dtype=torch.float64))
    assert "no number that moves freely" in registry.unfit({**spec, "fields": still.declared}, x)
    with pytest.raises(InputError, match="rows of 1 fields"):
        FieldBall(fields=still).project(X, X.inputs)
    with pytest.raises(InputError, match="radius"):
        FieldBall(fields=still, radius=-1.0)


def test_a_linear_network_is_turned_exactly_where_its_tolerance_reaches(tmp_path):
    still = {"kind": "number", "range": [0, 10]}
    fields = fields_from({"fields": {"a": number(within=1), "b": number(within=0.5), "c": still}})
    layer = torch.nn.Linear(3, 2, dtype=torch.float64)
    with torch.no_grad():                           # z₁ = a − 2b + c − 5: tolerances move it by 1 + 1 = 2
        layer.weight.copy_(torch.tensor([[0.0, 0, 0], [1, -2, 1]]))
        layer.bias.copy_(torch.tensor([0.0, -5.0]))
    rows = [(5.0, 2.0, 5.5), (5.0, 2.0, 6.5), (5.0, 2.0, 2.5), (5.0, 2.0, 1.5), (10.0, 2.0, 0.5)]
    # z₁ = 1.5, 2.5, −1.5, −2.5, 1.5: those of 2.5 keep their decision; of the last, a lies at its greatest and may fall
    data = labelled_rows(rows, [1, 1, 0, 0, 1], fields=fields, classes=("n", "y"))
    found = audit(TorchSystem(layer, name="linear"), data, established=[], out=tmp_path / "a", budget="demo")
    verdict = next(v for v in found.verdicts if v.check == "changeable-numbers")
    assert (verdict.outcome, verdict.harmed, verdict.n) == (Outcome.UNSTABLE, 3, 5)
    worst = {f.sample: f for f in AuditFolder(found.folder).findings()
             if (f.check, f.level, f.origin) == ("changeable-numbers", 1.0, "linear")}
    assert [worst[s].worst for s in data.ids] == [1, 0, 1, 0, 1] and all(f.gain is None for f in worst.values())
    half = [f.worst for f in AuditFolder(found.folder).findings() if (f.check, f.level) == ("changeable-numbers", 0.5)]
    assert half == [0] * 5                          # half of the tolerances moves it by 1 alone
    assert "a: " in (found.folder / "report.html").read_text().split('id="pictures"')[1]


def test_a_network_behind_indicators_is_followed_by_its_gradient(tmp_path):
    fields = fields_from({"fields": {"dose": number(within=1), "word": {"kind": "category", "values": ["x", "y"]}}})
    torch.manual_seed(0)
    network = torch.nn.Sequential(one_hot(fields), torch.nn.Linear(3, 2))
    with torch.no_grad():                           # dose in tenths, "y" at 0.2: turns at dose 5 − 2 = 3 for "y"
        network[1].weight.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0.2]]))
        network[1].bias.copy_(torch.tensor([0.0, -0.5]))
    data = labelled_rows([(4.5, 0.0), (4.5, 1.0), (2.5, 1.0), (8.0, 0.0)], [0, 1, 0, 1], fields=fields, classes=("n", "y"))
    found = audit(TorchSystem(network, name="network"), data, established=[], out=tmp_path / "a", budget="demo")
    worst = {f.sample: f.worst for f in AuditFolder(found.folder).findings()
             if (f.check, f.level) == ("changeable-numbers", 1.0)}
    assert [worst[s] for s in data.ids] == [1, 0, 1, 0]
    flags = {g.id for f in AuditFolder(found.folder).findings() for g in f.flags}
    assert not flags & {"gradient-mismatch", "zero-gradient", "changes-with-use"}, flags
