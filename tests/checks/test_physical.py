"""The check of stickers: counted views, controls, held-out seeds, batches, replay; and a blind search is caught."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assay.audits.replayed_rows import differing
from assay.checks.check import METHODS, Bench, Check, run_check
from assay.checks.held_out import held_out, judge, mask_of, sticker_set
from assay.checks.physical import replayed
from assay.metrics import protocol as metrics
from assay.metrics.physical import HELD_OUT, success_rate
from assay.metrics.protocol import Response
from assay.numerics.intervals import clopper_pearson
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.viewing import ViewSampler
from assay.records import Access
from assay.systems.metered import Metered
from assay.verdicts import harmed

SIDE = 8
VIEWS = {"rotation": 10.0, "shift": 0.05, "light": 0.02, "noise": 0.02}
CHECK = Check(
    id="sticker", title="", question="", method="physical", metric="held-out-success", sources=(), unit="share of the image",
    perturbation={"kind": "sticker", "mask": [[0.0, 0.0, 0.5, 0.5]], "views": VIEWS,
                  "held_out": {"distances": [1.0, 1.5], "angles": [0.0, 20.0], "draws": 5}},
    search={"kind": "expectation", "steps": 15, "draws": 2, "query": 5, "targeted": True}, levels=(0.25,), controls=3,
    criterion={"kind": "grows", "level": 0.25, "absolute": 0.6, "over_control": 2.0, "sentence": "…"})


class Linear:
    """Three classes by ⟨w_k, x⟩; a sticker in the corner, light beside dark, can turn every decision."""

    def __init__(self, access: Access = Access.GRADIENT, scale: float = 1.0) -> None:
        self.access = access
        w = torch.zeros(3, 1, SIDE, SIDE)
        w[0] += 1.0
        w[1, :, :4, :2] = 10.0 * scale
        w[1, :, :4, 2:4] = -10.0 * scale
        w[2, :, 4:, 4:] = 2.0
        self.w = w / 10

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bchw,kchw->bk", inputs, self.w.to(inputs.dtype))


def examples(batch: int = 3) -> Examples:
    inputs = 0.5 + 0.1 * torch.rand(batch, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    inputs[:, :, :5, :5] = 0.02
    inputs[:, :, 4:, 4:] = 0.05
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=inputs, truth=torch.zeros(batch, dtype=torch.long),
                    box=(0.0, 1.0))


def bench(*systems: Linear, seed: int = 0) -> Bench:
    named = {name: Metered(system, name=name) for name, system in zip(("net", "other"), systems, strict=False)}
    return Bench(systems=named, roles={"net": "audited", "other": "established"}, seed=seed, families=named,
                 fetch=lambda positions: examples(), keep=2)


def turns_every_decision(check: Check) -> None:
    rows = run_check(check, "net", bench(Linear()), examples()).findings
    for row in rows:
        assert row.worst == 1.0 and row.normal == 0.0 and harmed(row, check.criterion)
        assert row.average is not None and row.average < row.worst
        assert row.extra["targeted.worst"] >= row.extra["targeted.average"]
        assert row.extra["barely.worst"] < 0.8 < row.extra["still.worst"]


def test_the_sticker_turns_a_linear_classifier_on_views_held_out():
    turns_every_decision(CHECK)


def test_a_search_that_does_not_move_is_caught(monkeypatch):
    from assay.checks import physical

    def still(objective, within, *, x, **options):
        return physical.random_search(lambda p: torch.zeros(len(x)), within, x=x, draws=1,
                                      generators=[stream("blind", i) for i in x.ids])
    monkeypatch.setattr(physical, "expectation_ascent", still)
    with pytest.raises(AssertionError):
        turns_every_decision(CHECK)


def test_the_rate_is_of_the_views_that_are_right_without_a_sticker():
    stuck, clean = torch.tensor([[1, 1, 0, 2], [0, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1], [1, 1, 1, 1]])
    rate, count = success_rate(stuck, clean, torch.tensor([0, 0]))
    assert rate[0] == pytest.approx(2 / 3) and bool(rate[1].isnan()) and count.tolist() == [3, 0]
    assert success_rate(stuck, clean, torch.tensor([0, 0]), torch.tensor([2, 2]))[0][0] == 0


def test_the_metric_is_registered_and_counts_one_view():
    assert metrics.find("held-out-success") is HELD_OUT and HELD_OUT.unit == "share of the views"
    x = examples(3)
    scores = torch.eye(3)
    response = Response(output=scores[[1, 0, 1]], changed=x, normal=scores[[0, 0, 1]], original=x)
    assert HELD_OUT.compute(response).tolist() == [1, 0, 0]        # the last was wrong without any change


def test_rates_come_with_their_exact_interval_and_by_distance_and_angle():
    row = run_check(CHECK, "net", bench(Linear()), examples()).findings[0]
    count = int(row.extra["views.counted"])
    assert (row.extra["success.low"], row.extra["success.high"]) == clopper_pearson(count, count)
    assert {name for name in row.extra if name.startswith("success.d")} == {
        f"success.distance-{d}.angle-{a}" for d in (1, 1.5) for a in (0, 20)}


def differ(first: ViewSampler, second: ViewSampler, one: object, two: object) -> None:
    x = examples()
    views = [sampler.draw(x.inputs, [stream(*name, i) for i in x.ids], 20).table
             for sampler, name in ((first, one), (second, two))]
    assert not (views[0][:, None] == views[1][None]).all(2).any()


def test_held_out_views_are_none_of_the_searchs():
    x, of = examples(), bench(Linear())
    held = held_out(CHECK, of, x, 0.25)
    searched = ViewSampler(**VIEWS).draw(x.inputs, [stream(0, CHECK.id, 0.25, s, "search") for s in x.ids], 200)
    angles = set(held.views.column("degrees").tolist())
    assert len(angles) == len(x) * held.count and not angles & set(searched.column("degrees").tolist())
    differ(ViewSampler(**VIEWS), ViewSampler(**VIEWS), ("search",), ("held-out",))
    with pytest.raises(AssertionError):
        differ(ViewSampler(**VIEWS), ViewSampler(**VIEWS), ("search",), ("search",))


def test_results_do_not_depend_on_the_batch():
    x = examples()
    whole = run_check(CHECK, "net", bench(Linear()), x).findings
    parts = [run_check(CHECK, "net", bench(Linear()), x.only(i)).findings[0] for i in range(len(x))]
    assert [(r.worst, r.average, r.extra) for r in whole] == [(r.worst, r.average, r.extra) for r in parts]


@pytest.mark.parametrize("mask", ["auto", [[0.0, 0.0, 0.5, 0.5]]])
def test_a_stored_sticker_gives_its_numbers_again(mask):
    check = replace(CHECK, perturbation={**CHECK.perturbation, "mask": mask, "count": 1})
    x, of = examples(), bench(Linear(), Linear(scale=0.5))
    result = run_check(check, "net", of, x)
    assert len(result.witnesses) == 2
    for row in result.findings:
        name = f"{row.origin}|{row.sample}|0.25"
        if name not in result.witnesses:
            continue
        i = x.ids.index(row.sample)
        numbers = replayed(check, row, of, x.only(i), result.witnesses[name][None])
        assert numbers["worst"] == row.worst and numbers["size"] == row.size == 0.25
        assert all(numbers[n] == row.extra[n] for n in numbers if "." in n and n in row.extra)
        if row.origin == row.system:
            assert numbers["average"] == row.average
            assert {"targeted.worst", "targeted.average"} <= set(numbers)
    i = x.ids.index(next(iter(result.witnesses)).split("|")[1])
    broken = result.witnesses[f"net|s{i}|0.25"].clone()
    broken[:x.inputs.shape[1]] = 0.0
    assert replayed(check, result.findings[i], of, x.only(i), broken[None])["worst"] != result.findings[i].worst


def test_the_sticker_for_one_class_is_replayed_from_a_witness_of_its_own():
    """Broken twins: another sticker, and none at all, do not give the recorded success."""
    x, of = examples(), bench(Linear())
    result = run_check(CHECK, "net", of, x)
    channels = x.inputs.shape[1]
    name = next(iter(result.witnesses))
    i = x.ids.index(name.split("|")[1])
    row, stored = replace(result.findings[i], extra={**result.findings[i].extra}), result.witnesses[name]
    assert stored.shape[0] == 2 * channels + 1 and row.extra["targeted.worst"] > 0
    assert replayed(CHECK, row, of, x.only(i), stored[None])["targeted.worst"] == row.extra["targeted.worst"]
    other = stored.clone()
    other[channels + 1:] = 1 - other[channels + 1:]
    assert replayed(CHECK, row, of, x.only(i), other[None])["targeted.worst"] != row.extra["targeted.worst"]
    missing = replayed(CHECK, row, of, x.only(i), stored[None, :channels + 1])
    assert any("targeted.worst" in line for line in differing(row, missing))


def test_a_system_without_gradients_is_asked_and_told_so():
    rows = run_check(CHECK, "net", bench(Linear(Access.SCORE)), examples()).findings
    assert all("query-only" in {flag.id for flag in row.flags} for row in rows)
    assert all("still.worst" not in row.extra for row in rows)


def test_samples_that_are_seldom_right_are_not_judged():
    x = replace(examples(), truth=torch.full((3,), 2))
    rows = run_check(CHECK, "net", bench(Linear()), x).findings
    assert all(row.worst is None and "without a change" in row.notes and row.extra["already-wrong"] == 1 for row in rows)


def test_data_without_classes_are_a_failed_row_with_the_reason():
    x = replace(examples(1), truth=None)
    row = run_check(CHECK, "net", bench(Linear()), x).findings[0]
    assert row.worst is None and "right classes" in row.notes


def test_masks_by_name_and_those_unknown():
    x = examples()
    assert int(mask_of(replace(CHECK, perturbation={"mask": "octagon"}), x, 0.25).sum()) <= 16
    assert bool(mask_of(replace(CHECK, perturbation={"mask": "auto"}), x, 0.25).all())
    row = run_check(replace(CHECK, perturbation={"mask": "star"}), "net", bench(Linear()), examples(1)).findings[0]
    assert "known: auto, octagon" in row.notes
    assert METHODS["physical"] is not None


def test_another_system_is_judged_against_its_own_clean_decisions():
    x, of = examples(), bench(Linear(), Linear(scale=0.01))
    rows = [row for row in run_check(CHECK, "net", of, x).findings if row.system == "other"]
    within = sticker_set(CHECK, x, mask_of(CHECK, x, 0.25))
    counted = judge(CHECK, of.systems["other"], of, x, 0.25, within).counted()
    assert [row.extra["views.counted"] for row in rows] == counted.tolist() and all(r.origin == "net" for r in rows)
