"""A check over changes of several kinds: every kind tried once, its own mean told, the worst one named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from assay.checks import worst_case
from assay.checks.catalogue import METHODS  # noqa: F401
from assay.checks.check import Bench, Check, run_check
from assay.perturbations.corruptions import NAMES, corrupt
from assay.perturbations.protocol import Examples, stream
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem

KINDS = ("brightness", "contrast", "fog")
SPREAD = 0.2            # the classifier calls an image flat (1) where its standard deviation is less
CHECK = Check(id="c", title="", question="", method="worst-case", metric="error-rate", criterion={}, sources=(),
              levels=(2, 5), controls=3, search={"kind": "exhaustive"}, perturbation={"kind": "corruption", "names": KINDS})


class Flat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        spread = x.flatten(1).std(1)
        return torch.stack((spread - SPREAD, SPREAD - spread), 1)


def examples() -> Examples:
    g = torch.Generator().manual_seed(0)
    scale = torch.tensor([0.7, 0.8, 0.9, 1.0])[:, None, None, None]
    return Examples(ids=("a", "b", "c", "d"), inputs=scale * torch.rand(4, 1, 16, 16, generator=g),
                    truth=torch.zeros(4, dtype=torch.long), box=(0.0, 1.0))


def by_hand(x: Examples, i: int, kind: str, severity: int) -> float:
    changed = corrupt(x.inputs[i], kind, severity, stream("corruption", 0, x.ids[i], kind, severity))
    return float(changed.std() < SPREAD)


def rows(x: Examples):
    bench = Bench(systems={"net": Metered(TorchSystem(Flat()), name="net")}, roles={"net": "audited"}, seed=0, families={},
                  fetch=lambda positions: x, count=4, classes=("textured", "flat"))
    return {(f.sample, f.level): f for f in run_check(CHECK, "net", bench, x).findings}


def test_each_kind_has_its_own_number_and_the_average_is_their_mean():
    x = examples()
    for (sample, level), row in rows(x).items():
        i = x.ids.index(sample)
        expected = {kind: by_hand(x, i, kind, int(level)) for kind in KINDS}
        assert {kind: row.extra[f"kind.{kind}"] for kind in KINDS} == expected
        assert row.average == pytest.approx(sum(expected.values()) / len(KINDS))
        assert row.worst == max(expected.values())


def test_the_worst_kind_is_named():
    found = rows(examples())
    assert found["d", 5].extra["worst-kind.contrast"] == 1.0 and found["d", 5].worst == 1.0
    assert {by_hand(examples(), 3, kind, 5) for kind in ("brightness",)} == {0.0}
    assert NAMES.index("contrast") != KINDS.index("contrast")           # the two numberings must not be confused


def test_random_kinds_instead_of_each_in_turn_would_be_seen(monkeypatch):
    monkeypatch.setattr(worst_case, "drawn", lambda within, draw, x, g, size: within.sample_of(0, x, g, size))
    x = examples()
    told = [row.extra["kind.contrast"] == by_hand(x, x.ids.index(sample), "contrast", int(level))
            for (sample, level), row in rows(x).items()]
    assert not all(told)
