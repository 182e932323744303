"""What a reconstruction adds in the kernel, on systems whose answer is known; what only leaves out is not blamed for it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import small_audit
from assay.api import Audit
from assay.audits.executors.serial import Serial
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.replay import replay_all
from assay.audits.replayed_rows import differing, replays
from assay.audits.run import run_audit
from assay.audits.session import Session
from assay.checks import hallucination, kernel_parts
from assay.checks.asked_once import asked_positions
from assay.checks.check import Bench, Check, run_check
from assay.checks.kernel_parts import halves, is_real, parts
from assay.experiments.hallucination import phantoms
from assay.operators.algebra import Identity, Matrix, RealImages
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import cartesian_lines
from assay.operators.wavelet import Wavelet
from assay.perturbations.protocol import Examples, stream
from assay.profiles.load import load
from assay.records import Outcome, Verdict
from assay.solvers.kernel import kernel_part
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

    def at(self, y: Tensor) -> Tensor:
        """Which of the images these are the data of."""
        return torch.cdist(y, self.operator.forward(self.images)).argmin(1)

    def bench(self, system: System, *, groups: tuple[str, ...] = (), **others: System) -> Bench:
        def fetch(positions: Sequence[int]) -> Examples:
            x = self.images[list(positions)]
            return Examples(ids=tuple(map(str, positions)), inputs=self.operator.forward(x), truth=x, operator=self.operator)

        systems = {name: Metered(FunctionSystem(f), name=name) for name, f in {"net": system, **others}.items()}
        return Bench(systems=systems, roles={name: "audited" if name == "net" else "established" for name in systems},
                     seed=0, families={}, fetch=fetch, count=len(self.images), groups=groups)


def ask(world: World, system: System, *, groups: tuple[str, ...] = (), check: Check = CHECK, **others: System):
    bench = world.bench(system, groups=groups, **others)
    return run_check(check, "net", bench, bench.fetch(asked_positions(check, bench.count, labelled=False, groups=groups)))


def verdict(world: World, system: System, **how: Any) -> Verdict:
    return judge(ask(world, system, **how).findings, ITEM, "net", role="audited")


def blind_to_shrinkage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: no shrinkage of coefficients is looked for, only one linear shrinkage of all images."""
    monkeypatch.setattr(hallucination, "_in_each_basis",
                        lambda x, found: torch.full((len(x.shown), 6), 9.0, dtype=torch.float64))


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
    blind_to_shrinkage(monkeypatch)
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
    monkeypatch.setattr(hallucination, "halves", lambda check, count, groups: (
        tuple((i,) for i in (*same[4:], *same[:4])), tuple((i,) for i in same)))
    assert [row.extra["amount"] for row in ask(world, shows).findings] != pytest.approx([0.0] * 8, abs=0.3)
    monkeypatch.setattr(hallucination, "invention", lambda w, v, w2, v2: ((w - v) * (w - v)).sum(1))
    assert ask(world, shows).findings[0].extra["p"] < 0.01


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
        w = parts(structure.expand(16, 8, 8), x, real=True).shown
        assert torch.allclose(w, left * structure.expand(16, 8, 8), atol=1e-5)
    w = parts(shown.expand(16, 8, 8).to(torch.complex64), x, real=False).shown
    assert float(w.norm() / shown.expand(16, 8, 8).norm()) == pytest.approx(0.5**0.5, rel=1e-5)


def test_what_cannot_be_asked_says_why() -> None:
    world = World.of(0)
    x = world.bench(world.exact).fetch((0,))
    assert hallucination.cannot_ask(CHECK, x, 14) == ""
    assert "needs 7 of them in each; 13 samples make 6 pairs" in hallucination.cannot_ask(CHECK, x, 13)
    few = dataclasses.replace(CHECK, samples=6)             # of which 6 are judged, whatever there is to find a structure on
    assert "200 samples make 6 pairs" in hallucination.cannot_ask(few, x, 200)
    patients = tuple("abcdefghijklmn")
    assert hallucination.cannot_ask(CHECK, x, 42, patients * 3) == ""
    assert "13 groups of 39 samples make 6 pairs" in hallucination.cannot_ask(CHECK, x, 39, patients[:13] * 3)
    assert "1 groups of 39 samples make 0 pairs" in hallucination.cannot_ask(CHECK, x, 39, ("a",) * 39)
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


def stored_audit(tmp_path: Path, **words: Any) -> tuple[Session, AuditFolder]:
    """Zero-filled beside Tikhonov on sixteen slices, asked of invented structures."""
    toml = small_audit.profile(tmp_path, "preflight", "tiny-data")
    with Path(toml).open("a", encoding="utf-8") as file:
        file.write('\n[[checks]]\nid = "hallucination"\ntitle = "Invented structure"\nquestion = "q"\n'
                   'sources = ["a test"]\n'
                   'method = "hallucination"\nperturbation = { fit_from = "even" }\nunit = "contrast"\nmetric = "invented"\n'
                   'controls = 2\ncriterion = { kind = "invents", threshold = 0.5, contrast = 0.05, alpha = 0.01, '
                   'sentence = "s" }\n')
    session = session_from(Recipe(systems=("zero-filled",), established=("tikhonov",), size=48, profile=toml, **words))
    run_audit(session, tmp_path / "audit", executor=Serial())
    return session, AuditFolder(tmp_path / "audit")


INDEPENDENT = "Invented structure: images were taken as independent, since no groups were told"


def test_an_audit_asks_it_and_what_it_stored_can_be_replayed(tmp_path: Path) -> None:
    session, folder = stored_audit(tmp_path)
    (mine, theirs) = (v for v in Audit(tmp_path / "audit").verdicts if v.check == "hallucination")
    assert (mine.outcome, mine.n, theirs.outcome) == (Outcome.NONE_FOUND, 8, Outcome.NONE_FOUND)
    assert mine.reason.endswith("of no invention, from 8 pairs")
    replayed = [(row, numbers) for row, numbers in replays(folder, session, everything=True)
                if row.check == "hallucination"]
    assert len(replayed) >= 4 and all(differing(row, numbers) == [] for row, numbers in replayed)
    assert any(line.startswith(INDEPENDENT) for line in Audit(tmp_path / "audit").warning_label["not_tested"])


def test_groups_are_asked_stored_and_verified(tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    ids = session_from(Recipe(systems=("zero-filled",), size=48)).data.ids
    table.write_text("sample,group\n" + "".join(f"{sample},patient {i}\n" for i, sample in enumerate(ids)))
    _, folder = stored_audit(tmp_path, groups=str(table))
    (mine, _) = (v for v in Audit(folder.path).verdicts if v.check == "hallucination")
    assert (mine.outcome, mine.n) == (Outcome.NONE_FOUND, 8) and "8 pairs" in mine.reason
    assert not any(line.startswith(INDEPENDENT) for line in Audit(folder.path).warning_label["not_tested"])
    table.unlink()                                          # what the audit was told stands in its folder
    claims: list[tuple[str, bool, str]] = []
    replay_all(folder, True, lambda *claim: claims.append(claim) or claim[1])
    assert claims and all(holds for _, holds, _ in claims), claims


def test_groups_that_are_too_few_are_told_by_the_plan(tmp_path: Path) -> None:
    table = tmp_path / "sites.csv"
    ids = session_from(Recipe(systems=("zero-filled",), size=48)).data.ids
    table.write_text("sample,group\n" + "".join(f"{sample},site {i % 2}\n" for i, sample in enumerate(ids)))
    _, folder = stored_audit(tmp_path, groups=str(table))
    (mine, _) = (v for v in Audit(folder.path).verdicts if v.check == "hallucination")
    assert mine.outcome is Outcome.NOT_APPLICABLE and "2 groups of 16 samples make 1 pair" in mine.reason


def rare(seed: int, n: int, scatter: float, shrink: System) -> tuple[World, System]:
    """Each hidden value is −1, or 9 in a tenth of the places; all of the kernel is known to a system that shrinks it."""
    world, g = World.of(seed, n), stream("rare", seed)
    seen = Matrix(torch.eye(SEEN, SIZE, dtype=torch.float64))
    images = torch.randn(n, SIZE, dtype=torch.float64, generator=g)
    hidden = torch.where(torch.rand(n, SIZE - SEEN, generator=g) < 0.1, 9.0, -1.0).double()
    noise = scatter * torch.randn(n, SIZE - SEEN, dtype=torch.float64, generator=g)
    world = dataclasses.replace(world, operator=seen, images=torch.cat([images[:, :SEEN], hidden], 1))
    shown = torch.cat([images[:, :SEEN], shrink(hidden) + noise], 1)
    return world, lambda y: shown[world.at(y)]


SHRINKAGES: dict[str, System] = {
    "common content of one sign left out": lambda v: v.clamp_min(0),
    "soft threshold": lambda v: v.sign() * (v.abs() - 1).clamp_min(0),
    "hard threshold": lambda v: torch.where(v.abs() > 3, v, 0 * v),
    "by chance": lambda v: v * (v > torch.randn(v.shape, dtype=v.dtype, generator=stream("by chance"))),
}


@pytest.mark.parametrize("scatter", [0.0, 1.0])
@pytest.mark.parametrize("name", SHRINKAGES)
def test_a_shrinkage_that_is_not_linear_invents_nothing(name: str, scatter: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        told = verdict(*rare(seed, 60, scatter, SHRINKAGES[name]))
        assert (told.outcome, told.harmed) == (Outcome.NONE_FOUND, 0)
    blind_to_shrinkage(monkeypatch)
    assert verdict(*rare(0, 60, scatter, SHRINKAGES[name])).harmed >= 5


def test_the_best_guess_on_average_invents_nothing() -> None:
    """The mean of the truth given a noisy look at it, of values that are −1 or 9: least squared error, no linear map."""
    def posterior(v: Tensor) -> Tensor:
        u = v + 2 * torch.randn(v.shape, dtype=v.dtype, generator=stream("look", float(v.sum())))
        common, other = 0.9 * (-(u + 1).square() / 8).exp(), 0.1 * (-(u - 9).square() / 8).exp()
        return (9 * other - common) / (common + other)

    found = [verdict(*rare(seed, 60, 0.0, posterior)).outcome for seed in range(40)]
    assert found.count(Outcome.UNSTABLE) <= 1


def test_of_such_a_shrinkage_no_row_is_above_nothing() -> None:
    rows = ask(*rare(0, 60, 0.0, SHRINKAGES["soft threshold"])).findings
    assert max(row.worst for row in rows) <= 0 and rows[0].extra["p-linear"] <= 0.01 < rows[0].extra["p"]


@pytest.mark.parametrize("basis", ["pixels", "haar"])
def test_a_shrinkage_of_the_whole_image_invents_nothing(basis: str) -> None:
    """Soft thresholds of images of a common background, which then contradict their own data as well."""
    a = MaskedFourier(mask=cartesian_lines((32, 32), 0.33, generator=stream("mask")), centred=True)
    wavelet = Wavelet(domain=(32, 32), family="haar", levels=3)
    for seed in range(3):
        g = stream("background", seed)
        images = (phantoms(32, g) + phantoms(1, g)).to(torch.complex64)
        values = images.real if basis == "pixels" else wavelet.forward(images).real
        shrunk = (values.sign() * (values.abs() - 0.15).clamp_min(0)).to(torch.complex64)
        output = shrunk if basis == "pixels" else wavelet.adjoint(shrunk)
        assert checked(a, images, output).harmed == 0


def checked(a: MaskedFourier, images: Tensor, output: Tensor) -> Verdict:
    """What is said of a system that gives these outputs for these images."""
    data = torch.view_as_real(a.forward(images)).flatten(1)

    def fetch(positions: Sequence[int]) -> Examples:
        x = images[list(positions)]
        return Examples(ids=tuple(map(str, positions)), inputs=a.forward(x), truth=x, operator=a)

    system = FunctionSystem(lambda y: output[torch.cdist(torch.view_as_real(y).flatten(1), data).argmin(1)])
    bench = Bench(systems={"net": Metered(system, name="net")}, roles={"net": "audited"}, seed=0, families={}, fetch=fetch,
                  count=len(images))
    rows = run_check(CHECK, "net", bench, fetch(asked_positions(CHECK, len(images), labelled=False))).findings
    return judge(rows, ITEM, "net", role="audited")


def test_what_the_measurements_show_as_plainly_is_no_matter_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel to the side, everything: of images with a common background that is in common, and in the data."""
    a, g = MaskedFourier(mask=cartesian_lines((32, 32), 0.33, generator=stream("mask")), centred=True), stream("edges")
    images = (0.7 * (phantoms(1, g) > 0.3) + 0.2 * phantoms(32, g)).to(torch.complex64)
    for axis in (1, 2):
        told = checked(a, images, images.roll(1, axis))
        assert told.outcome is Outcome.INCONCLUSIVE and "misses-data" in told.reason
    ring = 0.5 * kernel_part(torch.randn(1, 32, 32, generator=g), RealImages(a))
    assert checked(a, images, images + ring).outcome is Outcome.UNSTABLE
    monkeypatch.setattr(hallucination, "AT_RANDOM", 2.0)
    assert checked(a, images, images.roll(1, 1)).outcome is Outcome.UNSTABLE


def test_a_scale_that_the_data_show_is_divided_out() -> None:
    world = World.of(0, spread=0.1)
    assert verdict(world, lambda y: 1.2 * world.exact(y)).outcome is Outcome.NONE_FOUND
    assert verdict(world, world.shows(1.2)).harmed == 16                # in the kernel alone it is none
    structure = world.structure(0.5)
    (plain, scaled) = (ask(world, lambda y, s=s: s * (world.exact(y) + structure)).findings for s in (1.0, 1.7))
    assert [row.worst for row in scaled] == pytest.approx([row.worst for row in plain])
    assert verdict(world, lambda y: 0.5 * world.exact(y)).outcome is Outcome.NONE_FOUND


def test_images_of_a_group_are_not_taken_as_independent() -> None:
    """Exact but for what each patient's images have in common, nothing over patients: 40 audits of 16 patients."""
    groups = tuple(f"patient {i // 6}" for i in range(96))

    def alarms(told: tuple[str, ...]) -> int:
        found = 0
        for seed in range(40):
            world = World.of(seed, 96, middle=0.3, spread=0.3)
            own = world.unseen(torch.randn(16, SIZE, dtype=torch.float64, generator=stream("patients", seed)))
            found += verdict(world, lambda y, world=world, own=own: world.exact(y) + own[world.at(y) // 6],
                             groups=told).outcome is Outcome.UNSTABLE
        return found

    assert alarms(groups) <= 1
    assert alarms(()) >= 4


def test_a_structure_in_every_group_is_found_and_no_group_is_in_both_halves() -> None:
    groups = tuple(f"patient {i % 16}" for i in range(48))
    fit, asked = halves(CHECK, 48, groups)
    assert len(fit) == len(asked) == 8 and {i for unit in fit + asked for i in unit} == set(range(48))
    assert not {groups[i] for unit in fit for i in unit} & {groups[i] for unit in asked for i in unit}
    world = World.of(0, 48, middle=0.3, spread=0.3)
    found = ask(world, world.shows(1.0, world.structure(0.5)), groups=groups)
    assert (found.findings[0].extra["pairs"], len(found.findings)) == (8.0, 24)
    told = judge(found.findings, ITEM, "net", role="audited")
    assert told.harmed == 24 and told.reason.endswith("of no invention, from 8 pairs")


def test_too_few_pairs_find_nothing_and_say_so() -> None:
    world = World.of(0, 12, hidden=False)
    rows = ask(world, world.zero_filled).findings
    told = judge(rows, ITEM, "net", role="audited")
    assert (told.outcome, told.reason) == (Outcome.INCONCLUSIVE, "6 pairs cannot give a p of at most 0.01")
    loose = {**ITEM, "criterion": {**ITEM["criterion"], "alpha": 0.02}}
    told = judge(rows, loose, "net", role="audited")
    assert told.outcome is Outcome.NONE_FOUND and "p = 1 of no invention, from 6 pairs" in told.reason


def test_an_imaginary_part_that_is_rounding_makes_no_complex_images() -> None:
    images = torch.randn(2, 8, 8, generator=stream("images")).to(torch.complex64)
    x = Examples(ids=("a", "b"), inputs=images, truth=images)
    assert is_real(x) and is_real(dataclasses.replace(x, truth=images + 1e-7j))
    assert not is_real(dataclasses.replace(x, truth=images + torch.tensor([0.0, 1e-3j])[:, None, None]))


def test_a_kernel_that_is_not_found_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World.of(0)
    slow = Matrix(torch.logspace(-3, 0, SEEN, dtype=torch.float64)[:, None] * world.operator.matrix)
    world = dataclasses.replace(world, operator=slow)
    monkeypatch.setattr(kernel_parts, "kernel_part", functools.partial(kernel_part, iterations=3))
    rows = ask(world, lambda y: y @ slow.matrix).findings
    assert all("the kernel of the forward model 'matrix' was not found" in row.notes for row in rows)
    assert judge(rows, ITEM, "net", role="audited").outcome is Outcome.INCONCLUSIVE
