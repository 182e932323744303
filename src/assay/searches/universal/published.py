"""One perturbation for all inputs, as first published: DeepFool steps from one input after another."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.records import Stop
from assay.searches.smallest.deepfool import OVERSHOOT, deepfool
from assay.searches.universal.fit import Box, FitSet, Scores, Universal, check_arguments, onto

CHUNK = 100             # inputs per forward evaluation of the whole set: bounds the memory


def published(scores: Scores, x: Tensor, *, norm: str = "linf", radius: float, generator: torch.Generator,
              box: Box | None = None, delta: float = 0.2, passes: int = 10, steps: int = 10,
              overshoot: float = OVERSHOOT, classes: int = 10) -> Universal:
    """v ← P(v + DeepFool(x + v)) for each x in a new random order whose decision is still the old one; pass after pass.

    The DeepFool step (ℓ2, at most `steps` iterations, the `classes` of greatest score) is accepted only if it took fewer
    than `steps` − 1 iterations; P is the projection onto ‖v‖ ≤ `radius`. Ends when the share of changed decisions
    reaches 1 − `delta`, or after `passes`; v is the last one, as published, which need not be the best of its passes
    (`rates`). With a `box` the inputs are clipped in front of the system: DeepFool then sees the system behind the clip.
    Raises `InputError` for bad arguments. Source: Moosavi-Dezfooli, Fawzi, Fawzi and Frossard, "Universal adversarial
    perturbations", CVPR 2017, algorithm 1; iterations, overshoot, classes and acceptance as in the authors' code.

    >>> w, x = torch.tensor([[3.0, 4.0]]), torch.tensor([[-0.1, 0.0], [-0.2, 0.0]])
    >>> found = published(lambda x: torch.cat((0 * x[:, :1], x @ w.T), 1), x, norm="l2", radius=0.5,
    ...                   generator=torch.Generator().manual_seed(0))
    >>> found.rate, round(float(found.perturbation[1] / found.perturbation[0]), 4)
    (1.0, 1.3333)
    """
    check_arguments(x, norm, radius, box, passes=passes, steps=steps, classes=classes - 1)
    if not 0 <= delta < 1:
        raise InputError(f"delta, the share of decisions that may stay, must be in [0, 1), got {delta}")
    fit = FitSet(scores, x, generator, box=box, chunk=CHUNK)
    rivals = min(classes, fit.classes) - 1
    v, rates, sloped = torch.zeros_like(x[0]), [], False
    for _ in range(passes):
        for i in torch.randperm(len(fit), generator=generator).tolist():
            found = deepfool(lambda z: scores(fit.clipped(z)), fit.x[i: i + 1] + v, fit.decision[i: i + 1], steps=steps,
                             overshoot=overshoot, classes=classes)
            fit.forward += int(found.forward)
            fit.backward += int(found.backward)
            fit.broken |= found.stop[0] is Stop.NON_FINITE
            sloped |= found.stop[0] is not Stop.ZERO_GRADIENT
            if bool(found.found) and int(found.backward) // rivals < steps - 1:
                v = onto((v + found.perturbation[0])[None], norm, radius)[0]
        rates.append(float((fit.margins(v[None]) > 0).double().mean()))
        if rates[-1] >= 1 - delta:
            break
    stop = Stop.CONVERGED if rates[-1] >= 1 - delta else Stop.BUDGET
    stop = Stop.NON_FINITE if fit.broken else stop if sloped else Stop.ZERO_GRADIENT
    return Universal(perturbation=v, rate=rates[-1], rates=tuple(rates), forward=fit.forward, backward=fit.backward,
                     stop=stop)
