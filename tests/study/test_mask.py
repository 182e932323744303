"""The mask of sparse changes: one coordinate of a linear system, the border where only that matters; a search that does not
ask for few pixels is told apart."""

from __future__ import annotations

import pytest
import torch

from assay.study.instability import Flips
from assay.study.mask import SHARES, sparse_map, spatial_mask

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
    """Images of which a system sees the frame alone, 20 of 36 pixels."""
    frame = torch.ones(SIDE, SIDE, dtype=torch.float64)
    frame[1:-1, 1:-1] = 0.0
    x = inputs(24)
    empty = torch.zeros(0)
    y = scores_of(frame[None], 1.0)(x).argmax(1)
    return Flips(x=x, y=y, change=empty, size=empty, truth=empty), frame


def test_where_only_the_border_matters_the_mask_is_the_border():
    found, frame = framed()
    told = spatial_mask(scores_of(frame[None], 1.0), found, (0.0, 1.0), seed=0)
    where = torch.tensor(told["map"])
    assert float(where.sum()) == pytest.approx(1.0)
    assert float((where * (1 - frame)).sum()) == 0.0
    assert told["n"] == 12
    assert told["moved"] <= 20 / 36
    assert told["turned"][-1] == 1.0                   # ten pixels of the frame turn what a twentieth of their room decides
    assert told["half"]["turned"] <= told["half"]["random"]


def test_pixels_that_do_not_matter_turn_nothing():
    """The broken twin: a map that is upside down begins where the system does not look."""
    found, frame = framed()
    inside = scores_of(1 - frame[None], 1.0)
    blind = spatial_mask(lambda x: inside(x).detach() + 0 * x.flatten(1).sum(1)[:, None], found, (0.0, 1.0), seed=0)
    seen = spatial_mask(inside, Flips(x=found.x, y=inside(found.x).argmax(1), change=found.change, size=found.size,
                                      truth=found.truth), (0.0, 1.0), seed=0)
    assert seen["turned"][-1] == 1.0
    assert float((torch.tensor(seen["map"]) * frame).sum()) == 0.0
    assert sum(map(sum, blind["map"])) == 0.0          # no gradient, no map


def test_no_right_decision_has_no_mask():
    empty = torch.zeros(0)
    none = Flips(x=torch.zeros(0, 1, SIDE, SIDE), y=empty.long(), change=empty, size=empty, truth=empty)
    assert spatial_mask(scores_of(linear()), none, (0.0, 1.0), seed=0) == {"n": 0}
    assert SHARES[-1] < 1
