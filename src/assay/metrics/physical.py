"""Success of a sticker on views that its search never saw."""

from __future__ import annotations

from torch import Tensor

from assay.arrays import PerExample
from assay.metrics.classification import CLIMBS, decision, wrong
from assay.metrics.protocol import Metric, Response, register


def success_rate(stuck: Tensor, clean: Tensor, label: Tensor, target: Tensor | None = None) -> tuple[PerExample, PerExample]:
    """Share of the counted views that are decided wrongly (or as the target), and how many are counted; (batch,) each.

    `stuck` and `clean` are decisions (batch, views) with the sticker and without; a view counts where the decision without
    is right. Nothing counted gives NaN. Source: Eykholt et al., CVPR 2018 (their success rate of stickers).

    >>> import torch
    >>> stuck, clean = torch.tensor([[1, 1, 0, 2]]), torch.tensor([[0, 0, 0, 1]])
    >>> [v.tolist() for v in success_rate(stuck, clean, torch.tensor([0]))]
    [[0.6666666666666666], [3.0]]
    """
    counted = clean == label[:, None]
    reached = stuck != label[:, None] if target is None else stuck == target[:, None]
    count = counted.sum(1).double()
    return (reached & counted).sum(1).double() / count, count


def _one_view(response: Response) -> PerExample:
    """Of the one view that a response is: 1 where a right decision became wrong."""
    right = decision(response.normal) == response.truth
    return wrong(response.output, response.truth) * right


HELD_OUT = register(Metric(
    id="held-out-success", name="Success on views held out", unit="share of the views", better="lower", least=0.0,
    greatest=1.0, compute=_one_view, rank=CLIMBS["margin"], climbs=CLIMBS, goal=0.0, needs_truth=True))
