"""The mask of sparse changes: one coordinate of a linear system, the border where only that matters; a search that does not
ask for few pixels is told apart."""

from __future__ import annotations

import pytest
import torch

from assay.study import mask
from assay.study.instability import Flips
from assay.study.mask import halves_of, sparse_map, spatial_mask

SIDE = 6


def linear(channels: int = 1) -> torch.Tensor:
    """Weights (channels, 6, 6) of which the pixel (2, 3) has the greatest norm over channels, twice the next."""
    generator = torch.Generator().manual_seed(0)
    w = torch.rand((channels, SIDE, SIDE), generator=generator, dtype=torch.float64) * 2 - 1
    size = w.norm(dim=0)
    w = w * 0.5 / size.max()
    w[:, 2, 3] *= 1 / w[:, 2, 3].norm()
    return w


def scores_of(w: torch.Tensor, scale: float = 6.0):
    def scores(x):
        odds = scale * ((x - 0.5) * w).flatten(1).sum(1)
        return torch.stack((-odds / 2, odds / 2), 1)

    return scores


def inputs(n: int, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.45 + 0.1 * torch.rand((n, channels, SIDE, SIDE), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("channels", [1, 3])
def test_of_a_linear_system_all_lies_on_the_greatest_weight(channels):
    """min λ Σ‖r_pixel‖ − log P(other) of a linear system: w·r is greatest for its size on the pixel of greatest ‖w‖."""
    scores, x = scores_of(linear(channels)), inputs(12, channels)
    y = scores(x).argmax(1)
    assert y.unique().tolist() == [0, 1]
    found = sparse_map(scores, x, y, (0.0, 1.0), seed=0)
    assert float(found[:, 2, 3].min()) == pytest.approx(1.0)
    spread = sparse_map(scores, x, y, (0.0, 1.0), seed=0, price=0.0)          # its broken twin asks for no sparsity
    assert float(spread[:, 2, 3].max()) < 0.2


def framed() -> tuple[Flips, torch.Tensor]:
    """Images of which a system sees the frame alone, 20 of 36 pixels, all 0.3 or all 0.7 by the class."""
    frame = torch.ones(SIDE, SIDE, dtype=torch.float64)
    frame[1:-1, 1:-1] = 0.0
    x, y = inputs(24), torch.arange(24) % 2
    x = torch.where(frame > 0, 0.3 + 0.4 * y[:, None, None, None], x)
    empty = torch.zeros(0)
    return Flips(x=x, y=y, change=empty, size=empty, truth=empty), frame


def test_where_only_the_border_matters_the_mask_is_the_border():
    """The sum over the frame is 4 from the other side, and a pixel of it has room for 0.7: six turn it, five do not."""
    found, frame = framed()
    told = spatial_mask(scores_of(frame[None], 1.0), found, (0.0, 1.0), seed=0)
    where = torch.tensor(told["map"])
    assert float(where.sum()) == pytest.approx(1.0)
    assert float((where * (1 - frame)).sum()) == 0.0
    assert (told["n"], told["orders"]) == (24, 48)
    assert told["moved"] <= 20 / 36
    assert told["shares"] == pytest.approx([n / 36 for n in (1, 2, 3, 4, 7, 11)])
    assert told["turned"] == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    half = told["half"]["turned"]
    assert (half["value"], half["low"], half["high"]) == (pytest.approx((4 * 7) ** 0.5 / 36),) * 3
    assert told["random"][-2] <= 0.15                   # of seven pixels by lot six of the frame: probability .09
    assert told["fewer"]["value"] >= 1.5
    assert told["fewer"]["p"] < 0.001


def test_pixels_that_do_not_matter_turn_nothing(monkeypatch):
    """The broken twin: a map that is upside down begins where the system does not look."""
    found, frame = framed()
    scores = scores_of(frame[None], 1.0)
    blind = spatial_mask(lambda x: scores(x).detach() + 0 * x.flatten(1).sum(1)[:, None], found, (0.0, 1.0), seed=0)
    assert sum(map(sum, blind["map"])) == 0.0           # no gradient, no map
    monkeypatch.setattr(mask, "sparse_map", lambda *a, **k: (1 - frame).expand(24, SIDE, SIDE) / 16)
    assert spatial_mask(scores, found, (0.0, 1.0), seed=0)["turned"] == [0.0] * 6


def test_no_right_decision_has_no_mask():
    empty = torch.zeros(0)
    none = Flips(x=torch.zeros(0, 1, SIDE, SIDE), y=empty.long(), change=empty, size=empty, truth=empty)
    assert spatial_mask(scores_of(linear()), none, (0.0, 1.0), seed=0) == {"n": 0}


def one_pixel() -> tuple[Flips, torch.Tensor]:
    """A system that sees one pixel of 36 alone: k pixels by lot turn a decision with probability k/36."""
    x, y, w = inputs(60), torch.arange(60) % 2, torch.zeros(1, SIDE, SIDE, dtype=torch.float64)
    w[0, 2, 3] = 1.0
    x[:, 0, 2, 3] = 0.3 + 0.4 * y
    empty = torch.zeros(0)
    return Flips(x=x, y=y, change=empty, size=empty, truth=empty), w


def test_orders_by_lot_are_many(monkeypatch):
    """120 orders of one pixel in 36: shares of k/36. Its broken twin, one order for all inputs, turns all or none."""
    found, w = one_pixel()
    told = spatial_mask(scores_of(w), found, (0.0, 1.0), seed=0)
    assert told["turned"] == [1.0] * 6
    for share, rate in zip(told["shares"], told["random"], strict=True):
        assert rate == pytest.approx(share, abs=3.5 * (share * (1 - share) / 120) ** 0.5)
    assert told["half"]["random"]["value"] is None              # by lot it takes half of the pixels, more than are tried
    assert told["fewer"]["value"] == pytest.approx(11)          # counted as the most that is tried
    drawn = mask.stream
    monkeypatch.setattr(mask, "stream", lambda *words: drawn(words[1] if words[1] == "random pixels" else words))
    assert set(spatial_mask(scores_of(w), found, (0.0, 1.0), seed=0)["random"]) <= {0.0, 1.0}


def test_both_halves_are_judged_by_the_map_of_the_other(monkeypatch):
    """The first half looks right, the second left: the map of the other half turns none, its broken twin, its own, all."""
    found, _ = one_pixel()
    own = torch.zeros(60, SIDE, SIDE, dtype=torch.float64)
    own[:30, 2, 3], own[30:, 4, 4] = 1.0, 1.0
    monkeypatch.setattr(mask, "sparse_map", lambda *a, **k: own)

    def scores(x):
        first = x[:, 0, 0, 0] > 0.9
        odds = torch.where(first, x[:, 0, 2, 3], x[:, 0, 4, 4]) - 0.5
        return torch.stack((-odds, odds), 1) * 6

    found.x[:30, 0, 0, 0], found.x[30:, 0, 0, 0] = 1.0, 0.0
    found.x[:, 0, 4, 4] = found.x[:, 0, 2, 3]
    assert spatial_mask(scores, found, (0.0, 1.0), seed=0)["turned"][0] == 0.0
    monkeypatch.setattr(mask, "sparse_map", lambda *a, **k: own.flip(0))
    assert spatial_mask(scores, found, (0.0, 1.0), seed=0)["turned"][0] == 1.0


def test_the_ratio_is_of_the_same_inputs():
    """Inputs from easy to hard, each twice as hard by lot: the ratio is sure, though neither half is."""
    shares = [0.01, 0.02, 0.04, 0.08, 0.16]
    level = torch.arange(80)[:, None] % 4
    told = halves_of(level, level + 1, shares, 0)
    assert told["fewer"]["value"] == pytest.approx(2.0)
    assert (told["fewer"]["low"], told["fewer"]["high"]) == (pytest.approx(2.0), pytest.approx(2.0))
    assert told["half"]["turned"]["high"] > 1.3 * told["half"]["turned"]["low"]
    apart = halves_of(level, level[torch.randperm(80, generator=torch.Generator().manual_seed(0))] + 1, shares, 0)
    assert apart["fewer"]["high"] - apart["fewer"]["low"] > 0.3        # the broken twin: other inputs by lot


def test_a_map_no_better_than_lot_is_seldom_called_so():
    generator, shares = torch.Generator().manual_seed(0), [0.01, 0.02, 0.04, 0.08, 0.16]
    ps = [halves_of(torch.randint(6, (40, 1), generator=generator), torch.randint(6, (40, 2), generator=generator), shares,
                    k)["fewer"]["p"] for k in range(60)]
    assert sum(p <= 0.05 for p in ps) <= 9                      # 3 expected; above has probability .002
