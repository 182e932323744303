"""The distance of the boundary as chance sees it, over what a flat boundary at the smallest flip's distance would show."""

from __future__ import annotations

import math

from assay.arrays import InputError, PerExample
from assay.metrics.protocol import Metric, Response, register


def boundary_ratio(distance: PerExample, worst: PerExample, m: int, d: int) -> PerExample:
    """r_S √(m/d) / r*: `distance` within m random dimensions of d, `worst` in all of them (both (…, batch), one unit).

    About 1 where the boundary is flat; at m = 1 the median of a single plane is 1.483. Smaller where it bends around the
    input, larger where it bends away. Fawzi, Moosavi-Dezfooli and Frossard, NIPS 2016, section 3.

    >>> import torch
    >>> boundary_ratio(torch.tensor([4.0]), torch.tensor([2.0]), 1, 4).tolist()
    [1.0]
    """
    return distance * math.sqrt(m / d) / worst


def _of_two_searches(response: Response) -> PerExample:
    raise InputError('boundary-ratio compares the results of two searches, not two outputs: ask with method = "boundary"')


BOUNDARY_RATIO = register(Metric(
    id="boundary-ratio", name="Distance to the boundary by chance, over that to a flat one", unit="×", better="higher",
    least=0.0, greatest=math.inf, has_normal=False, needs_truth=True, compute=_of_two_searches))
