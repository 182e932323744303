"""Whether a score moves against what was declared: raising a field must not lower it, or must not raise it."""

from __future__ import annotations

import math

from torch import Tensor

from assay.arrays import PerExample
from assay.metrics.classification import positive_score
from assay.metrics.protocol import Metric, Response, register


def score_fall(scores: Tensor, normal: Tensor) -> PerExample:
    """s(x) − s(x′), s the log odds of class 1, (batch, classes) each -> (batch,); above 0 where the score fell.

    >>> import torch
    >>> score_fall(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 3.0]])).tolist()
    [2.0]
    """
    return positive_score(normal) - positive_score(scores)


def _fall(response: Response) -> PerExample:
    return score_fall(response.output, response.normal)


def _rise(response: Response) -> PerExample:
    return -_fall(response)


SCORE_FALL = register(Metric(
    id="score-fall", name="Fall of the score of class 1", unit="log odds", better="lower", least=0.0, greatest=math.inf,
    compute=lambda r: _fall(r).clamp_min(0), rank=_fall, climbs={"score": _fall}, of_all=True, two_classes=True))
SCORE_RISE = register(Metric(
    id="score-rise", name="Rise of the score of class 1", unit="log odds", better="lower", least=0.0, greatest=math.inf,
    compute=lambda r: _rise(r).clamp_min(0), rank=_rise, climbs={"score": _rise}, of_all=True, two_classes=True))
