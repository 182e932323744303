"""The check of one shared change: who it is fitted on, what it does, what can be replayed; on linear and shipped systems."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.audits.cost import evaluations
from assay.audits.executors.serial import Serial
from assay.audits.plan import make_plan
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.replayed_rows import differing, replays
from assay.audits.run import run_audit
from assay.audits.session import Session
from assay.checks.asked_once import fit_positions
from assay.checks.check import Bench, Check
from assay.checks.universal import fitted, laid_on, universal
from assay.numerics.norms import norm
from assay.perturbations import registry
from assay.perturbations.protocol import Examples
from assay.records import Access, Finding
from assay.store import AuditFolder, StoreError
from assay.systems.metered import Metered

PROFILE = """
id = "small"
task = "classification"
title = "Small"
community = "research"
version = "0.1"
rate = 0.05
headline = "universal"
not_tested = ["Everything else"]
actions = ["Look at the numbers."]

[[checks]]
id = "universal"
title = "One change for all"
question = "How many decisions does one change alter?"
method = "universal"
perturbation = { kind = "inputs", norm = "linf", relative = "range", fit = 20 }
unit = "share of the range, ℓ∞"
levels = [0.1, 0.3]
search = { kind = "universal", passes = 6, batch = 10, query = 2 }
metric = "changed-decisions"
extra_metrics = ["decision"]
controls = 2
sources = ["a test"]
criterion = { kind = "grows", level = 0.3, absolute = 0.5, over_control = 2.0, sentence = "the decision changed" }
"""


def session(folder: Path, *, shard: int = 50, limit: int = 50) -> Session:
    path = folder / "small.toml"
    path.write_text(PROFILE, encoding="utf-8")
    words = Recipe(systems=("lenet",), established=("multinomial",), data="bundled:digits", limit=limit, profile=str(path))
    return dataclasses.replace(session_from(words), shard=shard)


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> tuple[Session, AuditFolder]:
    folder = tmp_path_factory.mktemp("universal")
    made = session(folder)
    return made, run_audit(made, folder / "audit", executor=Serial())


def test_no_audited_sample_was_fitted_on(audited):
    made, folder = audited
    check = made.checks()["universal"]
    fit = {made.data.ids[i] for i in fit_positions(check, 50)}
    rows = {f.sample for f in folder.findings()}
    assert len(fit) == 20 and fit == set(made.data.ids[-20:]) and rows == set(made.data.ids[:30])


def test_every_row_is_the_same_pattern_laid_on_by_hand(audited):
    made, folder = audited
    bench, rows = made.bench(), folder.findings()
    stored = {name: value for _, tensors in folder.witnesses() for name, value in tensors.items()}
    x = made.data.fetch(range(30))
    for origin in ("lenet", "multinomial"):
        for level in (0.1, 0.3):
            patterns = [v for k, v in stored.items() if k.startswith(f"{origin}|") and k.endswith(f"|{level:.6g}")]
            assert len(patterns) == made.keep and all(np.array_equal(v, patterns[0]) for v in patterns)
            moved = (x.inputs + torch.from_numpy(patterns[0])).clamp(0, 1)
            for system in ("lenet", "multinomial"):
                with torch.no_grad():
                    flips = bench.systems[system](moved).argmax(1) != bench.systems[system](x.inputs).argmax(1)
                seen = {f.sample: f for f in rows if (f.system, f.origin, f.level) == (system, origin, level)}
                assert [seen[s].worst for s in x.ids] == flips.double().tolist()
                assert all(f.normal == 0.0 and f.size <= level * (1 + 1e-6) for f in seen.values())


def test_controls_have_the_same_size_and_own_rows_tell_of_the_span_and_the_fit_set(audited):
    own = [f for f in audited[1].findings() if f.origin == f.system]
    assert all(f.controls == 2 and f.control_size == pytest.approx(f.size) for f in own)
    assert all(0 <= f.extra["span.average"] <= 1 and 0 < f.extra["fit-fooled"] <= 1 for f in own)
    assert all(0 < f.extra["dominant-share"] <= 1 and f.backward > 0 for f in own)


def test_the_fit_set_is_changed_no_less_at_a_greater_level(audited):
    rates = {(f.system, f.level): f.extra["fit-fooled"] for f in audited[1].findings() if f.origin == f.system}
    assert all(rates[s, 0.1] <= rates[s, 0.3] for s in ("lenet", "multinomial"))


def test_results_do_not_depend_on_the_units_of_work(audited, tmp_path):
    again = session(tmp_path, shard=7)
    rows = {f.key: f for f in run_audit(again, tmp_path / "audit", executor=Serial()).findings()}
    for one in audited[1].findings():
        other = rows[one.key]
        assert (one.worst, one.average, one.extra) == (other.worst, other.average, other.extra)


def test_witnesses_replay_to_the_recorded_numbers(audited):
    made, folder = audited
    replayed = list(replays(folder, made, everything=True))
    assert len(replayed) == 2 * 2 * 2 * made.keep                              # origins, levels, systems
    for row, numbers in replayed:
        assert not differing(row, numbers)


class Altered(AuditFolder):
    """The first witness is a little different."""

    def witnesses(self):
        (check, first), *others = super().witnesses()
        name = next(iter(first))
        yield from [(check, {**first, name: first[name] + 0.05}), *others]


def test_a_witness_that_is_not_the_pattern_of_the_others_is_refused(audited):
    made, folder = audited
    with pytest.raises(StoreError, match="no universal change"):
        next(replays(Altered(folder.path), made))


@dataclass(frozen=True)
class Linear:
    """Scores (−⟨w, x⟩, ⟨w, x⟩)."""

    w: Tensor
    access: Access = Access.GRADIENT

    def __call__(self, inputs: Tensor) -> Tensor:
        side = inputs.flatten(1) @ self.w
        scores = torch.stack((-side, side), 1)
        return scores if self.access >= Access.GRADIENT else scores.detach()


def check(**changes) -> Check:
    words = {"id": "universal", "title": "", "question": "", "method": "universal", "metric": "changed-decisions",
             "criterion": {"kind": "reaches", "threshold": 0.5}, "sources": (), "levels": (0.1, 0.2), "controls": 2,
             "search": {"kind": "universal", "passes": 6, "batch": 10, "query": 2},
             "perturbation": {"kind": "inputs", "norm": "l2", "relative": False, "fit": 40}}
    return Check(**{**words, **changes})


def bench(systems: Mapping[str, object], x: Tensor, box=None) -> tuple[Bench, Examples]:
    """The last 40 samples are the fit set; the others are given as the audited ones."""
    def fetch(positions) -> Examples:
        return Examples(ids=tuple(f"s{i}" for i in positions), inputs=x[list(positions)], box=box)

    made = Bench(systems={name: Metered(system, name=name) for name, system in systems.items()},
                 roles=dict.fromkeys(systems, "audited"), seed=0, families={}, fetch=fetch, count=len(x))
    return made, fetch(range(len(x) - 40))


def near_plane(seed: int = 0) -> tuple[Tensor, Tensor]:
    """w, and points whose signed distances from its plane are spread over [−0.25, −0.05]: all of one class."""
    g = torch.Generator().manual_seed(seed)
    w, x = torch.randn(12, generator=g), torch.randn(80, 12, generator=g)
    depth = -0.25 + 0.2 * torch.linspace(0, 1, 80)[torch.randperm(80, generator=g)]
    return w, x + (depth - x @ w / w.norm())[:, None] * w / w.norm()


def rates(findings: tuple[Finding, ...]) -> dict[float, float]:
    levels = {f.level for f in findings}
    return {v: float(np.mean([f.worst for f in findings if f.level == v and f.origin == f.system])) for v in levels}


def test_of_a_linear_system_the_held_out_rate_is_the_share_nearer_than_the_level():
    w, x = near_plane()
    made, samples = bench({"a": Linear(w)}, x)
    found = universal(check(), "a", made, samples)
    distance = -(samples.inputs @ w) / w.norm()
    for level, rate in rates(found.findings).items():
        assert rate == float((distance < level).double().mean())
    blindfold = Bench(**{**vars(made), "systems": {"a": Metered(Linear(w.flip(0)), name="a")}, "cache": {}})
    other = universal(check(), "a", blindfold, samples)                         # fitted to another system
    levels, _ = fitted(check(), "a", blindfold)
    moved = samples.inputs + levels[0.2].pattern
    assert float(((moved @ w) > 0).double().mean()) < rates(found.findings)[0.2] and other.findings


def test_relative_sizes_follow_each_input_and_the_box_cuts_them():
    w, x = near_plane(1)
    x = x.abs().clamp(0, 1)
    words = check(perturbation={"kind": "inputs", "norm": "l2", "fit": 40})
    made, samples = bench({"a": Linear(w)}, x, box=(0.0, 1.0))
    levels, _ = fitted(words, "a", made)
    pattern = levels[0.2].pattern
    assert float(pattern.norm()) <= 0.2 * (1 + 1e-6)
    p = laid_on(registry.build(words.perturbation, 0.2, samples), samples, pattern)
    uncut = pattern * norm(samples.inputs)[:, None]
    assert torch.allclose(samples.inputs + p, (samples.inputs + uncut).clamp(0, 1), atol=1e-6)
    assert bool((norm(p) / norm(samples.inputs) <= 0.2 * (1 + 1e-6)).all())


def test_a_system_without_gradients_borrows_the_patterns_of_those_that_give_them_and_says_so():
    w, x = near_plane()
    made, samples = bench({"blind": Linear(w, Access.SCORE), "seeing": Linear(w)}, x)
    blind, seeing = (universal(check(), name, made, samples).findings for name in ("blind", "seeing"))
    own = [f for f in blind if f.origin == f.system]
    assert rates(blind) == rates(seeing) and all(f.flags[0].id == "query-only" for f in own)
    assert all("span.average" not in f.extra for f in own)


@dataclass(frozen=True)
class Masked(Linear):
    """A gradient of nought where there is a slope."""

    def __call__(self, inputs: Tensor) -> Tensor:
        return super().__call__(inputs.detach()) + 0 * inputs.sum()


def test_masked_gradients_are_flagged():
    w, x = near_plane()
    made, samples = bench({"a": Masked(w)}, x)
    rows = universal(check(search={"kind": "universal", "passes": 2, "query": 200}), "a", made, samples).findings
    assert {flag.id for f in rows for flag in f.flags} >= {"zero-gradient"}


def test_a_failure_is_computed_once():
    calls = []

    @dataclass(frozen=True)
    class Broken(Linear):
        def __call__(self, inputs: Tensor) -> Tensor:
            calls.append(len(inputs))
            raise RuntimeError("no answer")

    made, samples = bench({"a": Broken(torch.ones(12))}, near_plane()[1])
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no answer"):
            universal(check(), "a", made, samples)
    assert len(calls) == 1


def test_the_fit_set_is_the_end_or_evenly_spread_and_never_more_than_half():
    assert fit_positions(check(), 100) == tuple(range(60, 100))
    spread = check(perturbation={"kind": "inputs", "fit": 20, "fit_from": "even"})
    assert fit_positions(spread, 100) == tuple(range(4, 100, 5))
    assert fit_positions(check(), 10) == (5, 6, 7, 8, 9) and fit_positions(check(), 1) == ()
    with pytest.raises(InputError, match="fit_from"):
        fit_positions(check(perturbation={"kind": "inputs", "fit_from": "start"}), 10)
    w, x = near_plane()
    with pytest.raises(InputError, match="none to spare"):
        universal(check(), "a", bench({"a": Linear(w)}, x[:1])[0], Examples(ids=("s0",), inputs=x[:1]))


def test_one_sample_is_not_applicable_and_the_cost_is_planned(tmp_path):
    plan = make_plan(session(tmp_path, limit=1))
    assert not plan.units and "one sample only" in plan.skipped[0]["reason"]
    forward, backward = evaluations(check())
    assert backward == 2 * 5 * 6 * 40 // 100 and forward > backward
