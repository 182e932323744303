"""How long a study takes, told before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable

from assay.study import controls, non_robust, simplicity, usefulness
from assay.study.learner import fit
from assay.study.run import Study
from assay.study.small_net import STEPS, trained

MASK = 100 * (40 * 3 + 12 * 3 * 10)     # questions for the mask of sparse changes, and ten levels of what its pixels turn
FLIPS = 100 * 200 * 3                   # for smallest flips


def forecast(study: Study) -> float:
    """Seconds of one processor that a study takes, from the time of a few questions, fits and one short training."""
    data = study.data
    x, y = data.part(data.fit)
    few = x[:64]
    study.decide(few)                               # the first question, and training, take longer
    question = _seconds(lambda: study.decide(few)) / len(few)
    features = [g.features(x) for g in study.structures]
    fits = sum(_seconds(lambda f=f: fit(f, y, data.classes)) for f in features)         # type: ignore[misc]
    asked = len(features) * len(data.judged) * 6 * question
    if study.gradients:
        asked += (2 * len(x) * non_robust.STEPS * 3 + FLIPS + MASK * (x.ndim == 4)) * question
    return asked + fits * (controls.PERMUTED + simplicity.SEEDS * simplicity.SIZES) + _trainings(study)


def _trainings(study: Study) -> float:
    """Of small networks; few structures come so far that learning curves are asked."""
    x, y = study.data.part(study.data.fit)
    if not x.is_floating_point():
        return 0.0
    trained(x, y, study.data.classes, "forecast", steps=2)
    step = _seconds(lambda: trained(x, y, study.data.classes, "forecast", steps=10)) / 10
    if study.gradients:
        step *= 1.5                                 # changed inputs cost steps of their own
    structures, curve = len(study.structures), simplicity.SEEDS * (simplicity.SIZES + len(simplicity.WIDTHS) - 1)
    each = controls.PLANTED_STEPS + usefulness.SEEDS * STEPS
    return step * (structures * each + curve * STEPS + 6 * non_robust.TRAINING)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
