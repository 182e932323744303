"""Order alone: a sorted file is found, a shuffled one is not, and the vote is that of an independent count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.datasets.groups import times_of
from assay.study import order
from assay.study import stretches as parts
from assay.study.material import halves
from assay.study.order import Fact, by_order, left_out, said, voted
from assay.study.statistics import balanced_accuracy
from assay.study.stretches import Blocks


def by_hand(labels: list[int], out: list[int]) -> list[int]:
    """The vote counted one by one."""
    kept = [i for i in range(len(labels)) if i not in set(out)]
    share = {c: sum(labels[j] == c for j in kept) for c in set(labels)}
    found = []
    for i in out:
        votes = {c: sum(1 / abs(i - j) for j in kept if labels[j] == c and abs(i - j) <= order.REACH) / max(share[c], 1)
                 for c in sorted(share)}
        found.append(max(votes, key=lambda c: round(votes[c], 6)))
    return found


def test_the_vote_is_the_sum_of_inverse_distances():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (90,), generator=generator)
    out = left_out(90, generator)
    assert voted(labels[None], out)[0].tolist() == by_hand(labels.tolist(), out.tolist())


def test_of_every_two_neighbours_one_is_left_out():
    out = left_out(101, torch.Generator().manual_seed(0))
    assert (out // 2).tolist() == list(range(50))
    assert set((out % 2).tolist()) == {0, 1}


def test_a_file_in_two_blocks_is_told_but_for_the_border():
    """In blocks longer than twice the reach every row further from the border than that is certain: a closed form."""
    y = torch.tensor([0] * 100 + [1] * 100)
    found = by_order(torch.arange(200), y, 0.5, 0)
    assert found.success.value >= 1 - 2 / 100                  # of the rows left out at most the two at the border are wrong
    assert (found.near.p, found.runs) == (1 / 1000, 2)
    assert found.near.beyond.value > 0.97                      # of one half, half is chance
    assert found.far.alarms == order.CHECKED                   # two stretches by lot are the same two stretches
    assert not found.far.tells
    text = said("order", found, 2)
    assert "may flatter this system; split by time or site" in text
    assert "sorted by class" in text
    assert "beyond that neighbours are alike" not in text


def two_sites(n: int = 800) -> torch.Tensor:
    """Two sites one after another, a class a quarter of one and three quarters of the other: no row is certain."""
    return torch.from_numpy((np.random.default_rng(0).random(n) < np.repeat([0.25, 0.75], n // 2)).astype(np.int64))


def test_a_site_that_sees_more_of_a_class_is_found():
    """Who knows the site is right in three quarters, half of what chance leaves."""
    found = by_order(torch.arange(800), two_sites(), 0.5, 0)
    assert found.near.tells
    assert found.far.tells
    assert 0.6 < found.success.value < 0.8
    for told in (found.near, found.far):
        assert told.beyond.low < 0.5 < told.beyond.high + 0.02
        assert told.beyond.low > 0.2
    text = said("time", found, 2)
    assert "sorted by class" not in text
    assert "the class goes with when the sample was taken, beyond that neighbours are alike" in text


def stretches(rng: np.random.Generator, mean: int, n: int = 800) -> torch.Tensor:
    """A class drawn anew with probability 1/mean, whatever the place: dependence that reaches so far, and no drift."""
    drawn, y = rng.random(n) < 0.5, np.empty(n, dtype=np.int64)
    again = rng.random(n) < 1 / mean
    for i in range(n):
        y[i] = drawn[i] if i == 0 or again[i] else y[i - 1]
    return torch.from_numpy(y)


def test_stretches_are_no_drift():
    """Data that come in stretches of ten: neighbours are alike, and no part of the file knows of another."""
    rng, blocks = np.random.default_rng(0), Blocks.drawn(199, torch.Generator().manual_seed(0))
    files = [stretches(rng, 10) for _ in range(100)]
    assert sum(blocks.p(y) <= 0.05 for y in files) <= 12       # 5 expected; above has probability .001
    found = by_order(torch.arange(800), files[0], 0.5, 0)
    assert found.near.tells
    assert not found.far.tells
    assert "neighbours in time" in said("time", found, 2)
    assert "when the sample was taken" not in said("time", found, 2)


def test_parts_side_by_side_take_stretches_for_drift(monkeypatch):
    """The broken twin: without a part between, the same stretches raise alarms."""
    monkeypatch.setattr(parts, "APART", (1, 2))
    rng, blocks = np.random.default_rng(0), Blocks.drawn(199, torch.Generator().manual_seed(0))
    assert sum(blocks.p(stretches(rng, 20)) <= 0.05 for _ in range(100)) > 12


def test_few_rows_have_no_parts():
    assert by_order(torch.arange(60), torch.arange(60) % 2, 0.5, 0).far is None


def test_groups_of_rows_widen_the_interval():
    """Votes side by side share rows: of 60 files in stretches the interval of twentieths covers the mean, that of
    rows one by one does not."""
    rng, found = np.random.default_rng(1), []
    for k in range(60):
        one, other = stretches(rng, 12, 400), stretches(rng, 12, 400)
        y = torch.cat((one, other))
        out = left_out(800, torch.Generator().manual_seed(k))
        right = voted(y[None], out)[0] == y[out]
        found.append([balanced_accuracy(right, y[out], 0.0, k, groups=g) for g in (out * 20 // 800, None)])
    mean = np.mean([e.value for e, _ in found])
    grouped, alone = (sum(e.low <= mean <= e.high for e in column) for column in zip(*found, strict=True))
    assert grouped >= 52                                        # of 60, 57 expected; fewer has probability .01
    assert alone < grouped


def test_shuffled_files_raise_no_alarm():
    """100 files in random order: p is uniform where order says nothing, and none is said to tell the class."""
    rng, told, ps = np.random.default_rng(0), 0, []
    for k in range(100):
        y = torch.from_numpy(rng.integers(0, 3, 60))
        found = by_order(torch.arange(60), y, 0.5, k)
        told += found.near.tells
        ps.append(found.near.p)
    assert told == 0                                # one has probability .18, two .02
    assert 0.4 < float(np.mean(ps)) < 0.6           # three and a half standard errors
    assert sum(p <= 0.05 for p in ps) <= 12         # above, with 5 expected, has probability .001


def test_the_control_of_order_can_fail(monkeypatch):
    """The broken twin: what is judged by itself sees its own rows, the orders it is set beside do not."""
    y = two_sites(200)
    assert by_order(torch.arange(200), y, 0.5, 0).near.alarms <= 2
    honest = order._balanced

    def seeing(labels, out):
        return honest(labels, out) if len(labels) > 1 else torch.ones(1, dtype=torch.float64)

    monkeypatch.setattr(order, "_balanced", seeing)
    broken = by_order(torch.arange(200), y[torch.randperm(200, generator=torch.Generator().manual_seed(0))], 0.5, 0)
    assert broken.near.p == 1 / 1000
    assert broken.near.alarms == order.CHECKED                  # nothing is taken for told
    assert not broken.near.tells


def test_a_vote_that_sees_the_row_itself_is_caught(monkeypatch):
    """The broken twin: nothing is left out, so that a shuffled file is told as well as a sorted one."""
    def seeing(labels, out):
        return labels[:, out]

    y = torch.randint(3, (60,), generator=torch.Generator().manual_seed(0))
    honest = by_order(torch.arange(60), y, 0.5, 0)
    assert honest.success.value < 0.6
    monkeypatch.setattr(order, "voted", seeing)
    assert by_order(torch.arange(60), y, 0.5, 0).success.value == 1.0


def test_equal_times_say_nothing_of_the_file():
    """Sorted by class in the file, all taken on one of two days that have nothing to do with the class."""
    y = torch.tensor([0] * 100 + [1] * 100)
    days = torch.arange(200) % 2
    assert not by_order(days, y, 0.5, 0).near.tells
    assert by_order(torch.arange(200), y, 0.5, 0).near.tells


def test_names_of_classes_change_nothing():
    y = torch.randint(3, (120,), generator=torch.Generator().manual_seed(1)).sort().values
    renamed = torch.tensor([2, 0, 1])[y]
    one, other = by_order(torch.arange(120), y, 0.5, 0), by_order(torch.arange(120), renamed, 0.5, 0)
    assert one.success == other.success
    assert (one.near, one.far) == (other.near, other.far)


def test_facts_stay_with_their_samples(monkeypatch):
    from assay.study import material

    monkeypatch.setattr(material, "MOST", 40)
    y = torch.arange(100) % 2
    x = torch.arange(100, dtype=torch.float32)[:, None]
    made = halves(x, y, classes=2, box=None, seed=0,
                  facts=[Fact(id="order", title="", formula="", values=torch.arange(100))])
    assert len(made.y) == 40
    assert torch.equal(made.facts[0].values, made.x[:, 0].long())


def test_times_are_numbers_or_dates(tmp_path):
    from assay.arrays import InputError

    (tmp_path / "t.csv").write_text("sample,time\na,2024-05-31\nb,2024-05-30T23:00\nc,0\n", encoding="utf-8")
    a, b, c = times_of(str(tmp_path / "t.csv"), "", ["a", "b", "c"])
    assert (a - b, c) == (3600.0, 0.0)
    (tmp_path / "bad.csv").write_text("sample,time\na,yesterday\n", encoding="utf-8")
    for ids in (["a"], ["z"]):
        with pytest.raises(InputError, match="give each sample a number, or a date"):
            times_of(str(tmp_path / "bad.csv"), "", ids)
    with pytest.raises(InputError, match="--time when: no such file"):
        times_of("when", "bundled:digits", ["a"])
    with pytest.raises(InputError, match="a table of times has sample and time"):
        (tmp_path / "g.csv").write_text("sample,group\na,1\n", encoding="utf-8")
        times_of(str(tmp_path / "g.csv"), "", ["a"])
