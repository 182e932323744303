"""What a reconstruction adds in the kernel, on systems whose answer is known; what only leaves out is not blamed for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

import small_audit
from assay.api import Audit
from assay.audits.executors.serial import Serial
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.replay import differing, replays
from assay.audits.run import run_audit
from assay.checks import hallucination
from assay.checks.asked_once import asked_positions
from assay.checks.check import Bench, Check, run_check
from assay.operators.algebra import Identity, Matrix
from assay.operators.fourier import MaskedFourier
from assay.perturbations.protocol import Examples, stream
from assay.profiles.load import load
from assay.records import Outcome, Verdict
from assay.store import AuditFolder
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from assay.verdicts import harmed, judge

ITEM = next(c for c in load("research", task="reconstruction")["checks"] if c["id"] == "hallucination")
CHECK = Check(**{f.name: ITEM[f.name] for f in dataclasses.fields(Check) if f.name in ITEM})
SEEN, SIZE, WAYS = 36, 120, 6           # measurements, values of an image, ways in which images differ

System = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class World:
    """Images m + B c, c random, of which the first SEEN values of a rotated copy are measured: c is known from the data."""

    middle: Tensor
    basis: Tensor
    operator: Matrix
    images: Tensor

    @classmethod
    def of(cls, seed: int, n: int = 32, *, middle: float = 1.0, spread: float = 1.0, hidden: bool = True) -> World:
        g = stream("world", seed)
        turn, _ = torch.linalg.qr(torch.randn(SIZE, SIZE, dtype=torch.float64, generator=g))
        m, basis = (torch.randn(SIZE, k, dtype=torch.float64, generator=g) for k in (1, WAYS))
        c = spread * torch.randn(n, WAYS, dtype=torch.float64, generator=g)
        images = middle * m[:, 0] + c @ basis.T
        operator = Matrix(turn[:SEEN])
        return cls(middle * m[:, 0], basis, operator, images if hidden else images @ turn[:SEEN].T @ turn[:SEEN])

    def unseen(self, x: Tensor) -> Tensor:
        return x - x @ self.operator.matrix.T @ self.operator.matrix

    def zero_filled(self, y: Tensor) -> Tensor:
        return y @ self.operator.matrix

    def exact(self, y: Tensor) -> Tensor:
        a = self.operator.matrix
        return self.middle + (y - a @ self.middle) @ torch.linalg.pinv(a @ self.basis).T @ self.basis.T

    def shows(self, share: float, added: Tensor | float = 0.0) -> System:
        """This share of what the kernel holds, and something added."""
        return lambda y: self.zero_filled(y) + share * self.unseen(self.exact(y)) + added

    def structure(self, contrast: float) -> Tensor:
        """A structure in the kernel, of that greatest value as a share of the mean peak."""
        d = self.unseen(torch.randn(1, SIZE, dtype=torch.float64, generator=stream("planted")))[0]
        return d / d.abs().max() * contrast * float(self.images.abs().amax(1).mean())

    def bench(self, system: System, **others: System) -> Bench:
        def fetch(positions: Sequence[int]) -> Examples:
            x = self.images[list(positions)]
            return Examples(ids=tuple(map(str, positions)), inputs=self.operator.forward(x), truth=x, operator=self.operator)

        systems = {name: Metered(FunctionSystem(f), name=name) for name, f in {"net": system, **others}.items()}
        return Bench(systems=systems, roles={name: "audited" if name == "net" else "established" for name in systems},
                     seed=0, families={}, fetch=fetch, count=len(self.images))


def ask(world: World, system: System, **others: System):
    bench = world.bench(system, **others)
    return run_check(CHECK, "net", bench, bench.fetch(asked_positions(CHECK, bench.count, labelled=False)))


def verdict(world: World, system: System) -> Verdict:
    return judge(ask(world, system).findings, ITEM, "net", role="audited")


def test_a_planted_structure_is_shown_exactly_once_where_nothing_else_is_hidden() -> None:
    world = World.of(0, hidden=False)
    d = world.structure(0.2)
    found = ask(world, lambda y: world.zero_filled(y) + d)
    assert [row.extra["amount"] for row in found.findings] == pytest.approx([1.0] * 16)
    assert [row.worst for row in found.findings] == pytest.approx([row.size for row in found.findings])
    assert found.findings[0].extra["p"] == pytest.approx(2.0**-16)
    assert found.findings[0].extra["invention"] == pytest.approx(1.0)
    assert torch.allclose(next(iter(found.witnesses.values())), d)
    peaks = world.images[::2].abs().amax(1)
    assert [row.size for row in found.findings] == pytest.approx((d.abs().max() / peaks).tolist())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_planted_structure_is_found_beside_what_is_left_out(share: float, seed: int) -> None:
    world = World.of(seed, middle=0.3, spread=0.3)
    found = verdict(world, world.shows(share, world.structure(0.8)))
    assert found.outcome is Outcome.UNSTABLE and found.harmed >= 15


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_leaving_out_shrinking_and_exact_answers_invent_nothing(share: float, seed: int) -> None:
    world = World.of(seed)
    found = ask(world, world.shows(share))
    assert max(row.worst for row in found.findings) <= 1e-9
    assert {row.extra["p"] > 0.1 for row in found.findings} == {True}
    assert judge(found.findings, ITEM, "net", role="audited").outcome is Outcome.NONE_FOUND


def test_every_contraction_leaves_out_and_none_invents() -> None:
    """⟨S m, S m − m⟩ ≤ 0 for 0 ≤ S ≤ 1: the mean over pairs is not above 0 but by chance."""
    for seed in range(20):
        world = World.of(seed, spread=0.2)
        q, _ = torch.linalg.qr(torch.randn(SIZE, SIZE, dtype=torch.float64, generator=stream("turn", seed)))
        s = q * torch.rand(SIZE, dtype=torch.float64, generator=stream("values", seed)) @ q.T
        found = ask(world, lambda y, world=world, s=s: world.zero_filled(y) + world.unseen(world.unseen(world.exact(y)) @ s))
        assert found.findings[0].extra["invention"] < 0
        assert judge(found.findings, ITEM, "net", role="audited").harmed == 0


@pytest.mark.parametrize("share", [1.7, -0.5])
def test_showing_more_than_there_is_or_its_opposite_is_invention(share: float) -> None:
    world = World.of(0, spread=0.1)
    assert verdict(world, world.shows(share)).harmed == 16


def test_filling_in_the_mean_is_judged_by_whose_mean_it_is() -> None:
    """The mean of the images asked about is no common error. That of others is one: their structure, in every image."""
    world = World.of(1, spread=0.3)
    mine, others = world.unseen(world.images.mean(0)), world.unseen(World.of(2, spread=0.3).images.mean(0))
    assert verdict(world, lambda y: world.zero_filled(y) + mine).outcome is Outcome.NONE_FOUND
    assert verdict(world, lambda y: world.zero_filled(y) + others).harmed == 16


def test_other_systems_are_told_under_the_structure_and_random_signs_are_not_it() -> None:
    world = World.of(0, middle=0.3, spread=0.3)
    rows = ask(world, world.shows(1.0, world.structure(0.5)), zero=world.zero_filled).findings
    own, other = ([row for row in rows if row.system == name] for name in ("net", "zero"))
    assert len(other) == 16 and max(row.worst for row in other) <= 1e-9 and {row.origin for row in rows} == {"net"}
    assert all(row.average < 0.5 * row.worst and row.controls == CHECK.controls for row in own)


def test_a_naive_test_of_the_error_alone_would_blame_the_zero_filled_image(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World.of(0, spread=0.3)
    assert verdict(world, world.zero_filled).outcome is Outcome.NONE_FOUND
    monkeypatch.setattr(hallucination, "added", lambda w, v: w - v)
    assert verdict(world, world.zero_filled).outcome is Outcome.NONE_FOUND          # each of the parts would see it alone
    monkeypatch.setattr(hallucination, "invention", lambda w, v, w2, v2: ((w - v) * (w2 - v2)).sum(1))
    assert verdict(world, world.zero_filled).outcome is Outcome.NONE_FOUND
    monkeypatch.setattr(hallucination, "invented", lambda w, v, d: ((w - v) * d).sum(1) / d.square().sum())
    assert verdict(world, world.zero_filled).harmed == 16


def test_a_structure_found_on_the_judged_images_would_be_there_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact but for scatter of its own in every image: nothing in common. The twin finds and judges on the same half."""
    world = World.of(0, 16)
    scatter = world.unseen(torch.randn(16, SIZE, dtype=torch.float64, generator=stream("scatter")))

    def shows(y: Tensor) -> Tensor:
        which = (world.operator.forward(world.images)[:, None] - y[None]).norm(dim=2).argmin(0)
        return world.exact(y) + scatter[which]

    assert verdict(world, shows).outcome is Outcome.NONE_FOUND
    same = asked_positions(CHECK, 16, labelled=False)
    monkeypatch.setattr(hallucination, "fit_positions", lambda check, count: (*same[4:], *same[:4]))
    assert [row.extra["amount"] for row in ask(world, shows).findings] != pytest.approx([0.0] * 8, abs=0.3)
    monkeypatch.setattr(hallucination, "invention", lambda w, v, w2, v2: ((w - v) * (w - v)).sum(1))
    assert ask(world, shows).findings[0].extra["p"] == 2.0**-8


def test_false_alarms_and_power_over_a_hundred_audits_each() -> None:
    """Scatter of each image's own on an exact answer, with and without a structure as large as a quarter of its norm."""
    def audit(seed: int, planted: float) -> bool:
        world = World.of(seed, 28, middle=0.3, spread=0.3)
        scatter = world.unseen(torch.randn(28, SIZE, dtype=torch.float64, generator=stream("scatter", seed)))
        d = world.structure(1.0)
        d = planted * d / d.norm() * scatter.norm(dim=1).mean()

        def shows(y: Tensor) -> Tensor:
            which = (world.operator.forward(world.images)[:, None] - y[None]).norm(dim=2).argmin(0)
            return world.exact(y) + scatter[which] + d
        return verdict(world, shows).outcome is Outcome.UNSTABLE

    assert sum(audit(seed, 0.0) for seed in range(100)) <= 5
    assert sum(audit(seed, 1.0) for seed in range(100)) >= 95


def test_rows_count_by_amount_contrast_and_p() -> None:
    world = World.of(0, hidden=False)
    row = ask(world, lambda y: world.zero_filled(y) + world.structure(0.2)).findings[0]
    for change, fires in (
            ({}, True), ({"worst": 0.04}, False), ({"worst": 0.05}, True), ({"extra": {"p": 0.01, "amount": 0.5}}, True),
            ({"extra": {"p": 0.01, "amount": 0.4}}, False), ({"extra": {"p": 0.02, "amount": 1.0}}, False),
            ({"extra": {}}, False)):
        assert harmed(dataclasses.replace(row, **change), ITEM["criterion"]) is fires


def test_of_real_images_only_what_neither_frequency_shows_is_hidden() -> None:
    """With one of k and −k measured, a real image is known there: a structure of these frequencies is seen."""
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[4], mask[5] = True, True                           # row 3 is the mirror of row 5
    a, images = MaskedFourier(mask=mask), torch.randn(16, 8, 8, generator=stream("images")).to(torch.complex64)
    line = torch.arange(8.0)
    shown, hidden = ((2 * torch.pi * k * line / 8).cos()[:, None].expand(8, 8) for k in (1, 2))
    x = Examples(ids=("a",) * 16, inputs=a.forward(images), truth=images, operator=a)
    for structure, left in ((shown, 0.0), (hidden, 1.0)):
        w, _ = hallucination.kernel_parts(structure.expand(16, 8, 8), x, real=True)
        assert torch.allclose(w, left * structure.expand(16, 8, 8), atol=1e-5)
    w, _ = hallucination.kernel_parts(shown.expand(16, 8, 8).to(torch.complex64), x, real=False)
    assert float(w.norm() / shown.expand(16, 8, 8).norm()) == pytest.approx(0.5**0.5, rel=1e-5)


def test_what_cannot_be_asked_says_why() -> None:
    world = World.of(0)
    x = world.bench(world.exact).fetch((0,))
    assert hallucination.cannot_ask(CHECK, x, 14) == ""
    assert "needs 14 of them; there are 13" in hallucination.cannot_ask(CHECK, x, 13)
    whole = dataclasses.replace(x, operator=Identity((SIZE,), dtype=torch.float64))
    assert "no kernel" in hallucination.cannot_ask(CHECK, whole, 14)
    assert "not known" in hallucination.cannot_ask(CHECK, dataclasses.replace(x, operator=None), 14)

    class Squared(Matrix):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x * x)

    squared = dataclasses.replace(x, operator=Squared(world.operator.matrix))
    assert "not linear" in hallucination.cannot_ask(CHECK, squared, 14)


def test_an_output_that_is_no_number_is_told() -> None:
    world = World.of(0)
    rows = ask(world, lambda y: world.exact(y) * torch.where(y[:, :1] > y[:, :1].mean(), torch.nan, 1.0)).findings
    assert all("NaN or infinity" in row.notes for row in rows)
    assert judge(rows, ITEM, "net", role="audited").outcome is Outcome.INCONCLUSIVE


def test_a_structure_that_is_not_the_one_found_is_noticed() -> None:
    world = World.of(0, middle=0.3, spread=0.3)
    system = world.shows(1.0, world.structure(0.5))
    bench, found = world.bench(system, zero=world.zero_filled), ask(world, system, zero=world.zero_filled)
    stored = next(iter(found.witnesses.values()))[None]
    for row in found.findings[::9]:
        x = bench.fetch((int(row.sample),))
        assert differing(row, hallucination.replayed(CHECK, row, bench, x, stored)) == []
        assert differing(row, hallucination.replayed(CHECK, row, bench, x, 1.1 * stored)) != []
    row = found.findings[0]
    forged = dataclasses.replace(row, extra={**row.extra, "p": 0.5})
    assert differing(forged, hallucination.replayed(CHECK, row, bench, bench.fetch((int(row.sample),)), stored)) != []


def test_an_audit_asks_it_and_what_it_stored_can_be_replayed(tmp_path) -> None:
    toml = small_audit.profile(tmp_path, "preflight")
    with Path(toml).open("a", encoding="utf-8") as file:
        file.write('\n[[checks]]\nid = "hallucination"\ntitle = "t"\nquestion = "q"\nsources = ["a test"]\n'
                   'method = "hallucination"\nperturbation = { fit_from = "even" }\nunit = "contrast"\nmetric = "invented"\n'
                   'controls = 2\ncriterion = { kind = "invents", threshold = 0.5, contrast = 0.05, alpha = 0.01, '
                   'sentence = "s" }\n')
    session = session_from(Recipe(systems=("zero-filled",), established=("tikhonov",), size=48, profile=toml))
    run_audit(session, tmp_path / "audit", executor=Serial())
    folder = AuditFolder(tmp_path / "audit")
    (mine, theirs) = (v for v in Audit(tmp_path / "audit").verdicts if v.check == "hallucination")
    assert (mine.outcome, mine.n, theirs.outcome) == (Outcome.NONE_FOUND, 8, Outcome.NONE_FOUND)
    replayed = [(row, numbers) for row, numbers in replays(folder, session, everything=True)
                if row.check == "hallucination"]
    assert len(replayed) >= 4 and all(differing(row, numbers) == [] for row, numbers in replayed)
