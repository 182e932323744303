"""The universal patch on a classifier of brightness, where the worst patch is black and its effect is an area."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from assay.audits.plan import sample_positions
from assay.checks import patch as asked
from assay.checks.asked_once import fit_positions
from assay.checks.catalogue import METHODS  # noqa: F401
from assay.checks.check import Bench, Check, UnitResult, run_check
from assay.perturbations.patches import Placing, placed
from assay.perturbations.protocol import Examples, stream
from assay.records import Access
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem

THRESHOLD, SIDE, LEVEL = 0.5, 16, 0.5
CHECK = Check(id="p", title="", question="", method="patch", metric="held-out-success", criterion={}, sources=(),
              levels=(LEVEL,), controls=3, search={"kind": "expectation", "steps": 40, "query": 10},
              perturbation={"kind": "patch", "fit": 6, "places": 5, "rotation": 20.0})


class Bright(nn.Module):
    """Class 1 where the mean is above the threshold; a slope steep enough that both classes are sure of themselves."""

    def forward(self, x: Tensor) -> Tensor:
        above = 20 * (x.flatten(1).mean(1) - THRESHOLD)
        return torch.stack((-above, above), 1)


def images(n: int = 12) -> Examples:
    """Flat bright pictures: the mean under a black patch of area a is v (1 − a)."""
    values = torch.linspace(0.52, 0.8, n)[:, None, None, None]
    return Examples(ids=tuple(f"s{i}" for i in range(n)),
                    inputs=values.expand(n, 1, SIDE, SIDE).clone(), box=(0.0, 1.0),
                    truth=torch.ones(n, dtype=torch.long))


def bench(x: Examples, access: Access = Access.GRADIENT, **others: TorchSystem) -> Bench:
    systems = {"net": TorchSystem(Bright(), access=access), **others}
    return Bench(systems={name: Metered(system, name=name) for name, system in systems.items()}, seed=0, families={},
                 roles=dict.fromkeys(systems, "audited"), fetch=lambda positions: _picked(x, positions), count=len(x),
                 classes=("dark", "bright"))


def _picked(x: Examples, positions: tuple[int, ...]) -> Examples:
    at = list(positions)
    return replace(x, ids=tuple(x.ids[i] for i in at), inputs=x.inputs[at], truth=x.truth[at])


def result(check: Check = CHECK, **systems: TorchSystem) -> tuple[UnitResult, Bench, Examples]:
    x = images()
    of = bench(x, **systems)
    audited = _picked(x, tuple(i for i in range(len(x)) if i not in fit_positions(check, len(x))))
    return run_check(check, "net", of, audited), of, audited


def rate_by_hand(x: Examples, i: int, picture: Tensor) -> float:
    """Draws the same places from the same seeds, one image at a time, and decides by the mean."""
    g = stream(0, "p", LEVEL, x.ids[i], "held-out")
    wrong = []
    for _ in range(5):
        place = Placing(scale=(LEVEL, LEVEL), rotation=20.0).draw(x.inputs[i:i + 1], [g])
        wrong.append(float(placed(x.inputs[i:i + 1], picture[None], place).mean()) <= THRESHOLD)
    return float(np.mean(wrong))


def test_the_worst_patch_for_brightness_is_black_and_counts_as_by_hand():
    found, _, x = result()
    own = [row for row in found.findings if row.origin == row.system]
    picture = next(iter(found.witnesses.values()))
    assert float(picture.max()) < 0.01
    assert [row.worst for row in own] == [rate_by_hand(x, i, picture) for i in range(len(x))]
    assert 0 < sum(row.worst for row in own) < len(own)                 # neither all nor none: the count can be wrong
    white = torch.ones_like(picture)
    assert [rate_by_hand(x, i, white) for i in range(len(x))] == [0.0] * len(x)


def test_the_area_of_the_disc_says_which_images_turn():
    found, _, x = result()
    disc = np.pi / 4 * LEVEL ** 2
    for row in (r for r in found.findings if r.origin == r.system):
        value = float(x.inputs[x.ids.index(row.sample)].mean())
        if abs(value * (1 - disc) - THRESHOLD) > 0.02:                  # the edge of the disc is soft
            assert row.worst == float(value * (1 - disc) < THRESHOLD)


def test_random_discs_are_the_average_and_one_disc_serves_all_images():
    found, of, x = result()
    with torch.no_grad():
        normal = of.systems["net"](x.inputs)
    rates = asked._controls(CHECK, of.systems["net"], of, x, LEVEL, normal)
    assert rates.shape == (3, len(x))
    own = [row for row in found.findings if row.origin == row.system]
    assert [row.average for row in own] == pytest.approx(rates.mean(0).tolist())
    assert sum(row.average for row in own) < sum(row.worst for row in own)


def test_a_row_replays_from_its_witness_and_not_from_another_picture():
    found, of, x = result()
    row = max((r for r in found.findings if r.origin == r.system and r.witness is None), key=lambda r: r.worst)
    picture = next(iter(found.witnesses.values()))
    one = x.only(x.ids.index(row.sample))
    numbers = asked.replayed(CHECK, row, of, one, picture[None])
    assert numbers["worst"] == row.worst and numbers["average"] == pytest.approx(row.average)
    assert asked.replayed(CHECK, row, of, one, 1 - picture[None])["worst"] != row.worst


def test_fitting_samples_are_not_audited():
    record = SimpleNamespace(classes=("dark", "bright"))
    session = SimpleNamespace(grouped=(), data=SimpleNamespace(ids=images().ids, record=record))
    assert not set(sample_positions(CHECK, session)) & set(fit_positions(CHECK, 12))
    assert len(sample_positions(CHECK, session)) == 6
    assert sample_positions(replace(CHECK, samples=3), session) == (0, 2, 4)           # evenly, not the first class alone


def test_a_wrong_decision_is_counted_apart():
    x = replace(images(), truth=torch.tensor([0] + [1] * 11))
    rows = run_check(CHECK, "net", bench(x), _picked(x, tuple(range(6)))).findings
    assert rows[0].extra["already-wrong"] == 1.0 and rows[0].worst is None and rows[1].worst is not None


def test_a_system_without_gradients_borrows_the_patches_of_those_with():
    x = images()
    of = bench(x, other=TorchSystem(Bright()), access=Access.SCORE)
    rows = run_check(CHECK, "net", of, _picked(x, tuple(range(6)))).findings
    own = [row for row in rows if row.origin == row.system == "net"]
    assert {flag.id for row in own for flag in row.flags} >= {"query-only"}
    lent = run_check(CHECK, "other", of, _picked(x, tuple(range(6)))).findings
    assert [r.worst for r in own] == [r.worst for r in lent if r.system == "other" == r.origin]


def test_other_systems_are_seen_under_the_same_patch():
    found, _, _ = result(other=TorchSystem(Bright()))
    own = [row.worst for row in found.findings if row.system == row.origin == "net"]
    assert [row.worst for row in found.findings if row.system == "other" and row.origin == "net"] == own
