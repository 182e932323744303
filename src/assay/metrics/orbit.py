"""How far an image can be turned and shifted before it is decided otherwise, measured along its own orbit."""

from __future__ import annotations

import math

from assay.arrays import InputError, PerExample
from assay.metrics.protocol import Metric, Response, register


def _of_a_path(response: Response) -> PerExample:
    raise InputError('manitest is the length of a path, not a number of two outputs: ask with method = "manitest"')


MANITEST = register(Metric(
    id="manitest", name="Distance along the orbit to another decision", unit="share of the image's norm", better="higher",
    least=0.0, greatest=math.inf, has_normal=False, needs_truth=True, compute=_of_a_path))
