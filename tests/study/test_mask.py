"""The mask of sparse changes: one coordinate of a linear system, the border where only that matters; a search that does not
ask for few pixels is told apart."""

from __future__ import annotations

import pytest
import torch

from assay.study import mask
from assay.study.instability import Flips
from assay.study.mask import sparse_map, spatial_mask

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
    assert told["n"] == 12
    assert told["moved"] <= 20 / 36
    assert told["shares"] == pytest.approx([n / 36 for n in (1, 2, 3, 4, 7, 11)])
    assert told["turned"] == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    assert told["half"]["turned"] == pytest.approx((4 * 7) ** 0.5 / 36)
    assert told["random"][-2] == 0.0                    # of seven pixels by lot six of the frame would be rare


def test_pixels_that_do_not_matter_turn_nothing(monkeypatch):
    """The broken twin: a map that is upside down begins where the system does not look."""
    found, frame = framed()
    scores = scores_of(frame[None], 1.0)
    blind = spatial_mask(lambda x: scores(x).detach() + 0 * x.flatten(1).sum(1)[:, None], found, (0.0, 1.0), seed=0)
    assert sum(map(sum, blind["map"])) == 0.0           # no gradient, no map
    monkeypatch.setattr(mask, "sparse_map", lambda *a, **k: (1 - frame).expand(12, SIDE, SIDE) / 16)
    assert spatial_mask(scores, found, (0.0, 1.0), seed=0)["turned"] == [0.0] * 6


def test_no_right_decision_has_no_mask():
    empty = torch.zeros(0)
    none = Flips(x=torch.zeros(0, 1, SIDE, SIDE), y=empty.long(), change=empty, size=empty, truth=empty)
    assert spatial_mask(scores_of(linear()), none, (0.0, 1.0), seed=0) == {"n": 0}
