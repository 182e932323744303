"""Numbers about all changes at once, proved (the size within which a decision holds, the greatest gain) or estimated."""

from __future__ import annotations

import math

from assay.arrays import InputError, PerExample
from assay.metrics.protocol import Metric, Response, register


def _of_a_proof(response: Response) -> PerExample:
    raise InputError('certified-radius is proved, not measured on an output: ask with method = "certificate"')


def _of_a_norm(response: Response) -> PerExample:
    raise InputError('gain-bound is proved, not measured on an output: ask with method = "operator-norm"')


GAIN_BOUND = register(Metric(
    id="gain-bound", name="Magnification proved to be the greatest", unit="output change per input change", better="lower",
    least=0.0, greatest=math.inf, has_normal=False, compute=_of_a_norm))
def _of_slopes(response: Response) -> PerExample:
    raise InputError('clever is estimated from slopes, not measured on an output: ask with method = "clever"')


CLEVER = register(Metric(
    id="clever", name="Smallest flip, estimated from slopes", unit="share", better="higher", least=0.0, greatest=math.inf,
    has_normal=False, needs_truth=True, compute=_of_slopes))
def _of_particles(response: Response) -> PerExample:
    raise InputError('noise-risk is estimated by splitting, not measured on an output: ask with method = "rare-event"')


NOISE_RISK = register(Metric(
    id="noise-risk", name="Probability that noise turns the decision", unit="share", better="lower", least=0.0, greatest=1.0,
    has_normal=False, needs_truth=True, compute=_of_particles))
CERTIFIED = register(Metric(
    id="certified-radius", name="Size within which the decision was proved to hold", unit="share", better="higher",
    least=0.0, greatest=math.inf, has_normal=False, needs_truth=True, compute=_of_a_proof))
