"""Randomised smoothing: how far the decision of a smoothed classifier is proved to hold, from votes under noise."""

from __future__ import annotations

import math

from assay.arrays import InputError
from assay.numerics.intervals import clopper_pearson


def smoothed_radius(votes: int, draws: int, *, sigma: float, alpha: float) -> tuple[float, float]:
    """(radius, p_A): within ‖p‖₂ < σ Φ⁻¹(p_A) the class c of g stays, with probability at least 1 − α.

    g(x) = argmax_c P(f(x + σN) = c), N standard normal. p_A is the lower end of Clopper and Pearson's one-sided interval
    for P(f(x + σN) = c), of `votes` of `draws` independent draws, where c was chosen from others. The radius is 0 (abstain)
    where p_A ≤ ½, and never infinite. Holds for every f, and for g alone: it says nothing of f. Source: Cohen, Rosenfeld
    and Kolter, ICML 2019 (arXiv 1902.02918), theorem 1 with p_B = 1 − p_A, and the algorithm CERTIFY.

    >>> radius, p = smoothed_radius(100_000, 100_000, sigma=1.0, alpha=0.001)
    >>> round(radius, 2), round(p, 5)
    (3.81, 0.99993)
    """
    from scipy.special import ndtri

    if not 0 < alpha < 0.5 or sigma <= 0:
        raise InputError(f"alpha={alpha}, sigma={sigma}: give a failure probability in (0, ½) and noise above 0")
    p = clopper_pearson(votes, draws, level=1 - 2 * alpha)[0]
    return (sigma * float(ndtri(p)) if p > 0.5 else 0.0), p


def votes_needed(radius: float, *, sigma: float, alpha: float) -> int:
    """The fewest draws, all voting alike, that prove a radius: ⌈log α / log Φ(r/σ)⌉.

    >>> votes_needed(0.5, sigma=0.25, alpha=0.001)
    301
    """
    from scipy.special import log_ndtr

    return math.ceil(math.log(alpha) / float(log_ndtr(radius / sigma)))
