"""Rule bases: points for what a record mentions, and a threshold, as scores that people fill in by hand are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.arrays import InputError
from assay.perturbations.phrases import mentions
from assay.systems.texts import TextSystem

AT = 1e-6       # the score at the threshold itself, which counts as reached


def points_score(points: Mapping[str, float], threshold: float, *, name: str = "points") -> TextSystem:
    """Class 1 where Σ points of the phrases (or codes) that the text mentions ≥ threshold; the score is the difference.

    A phrase counts once, as whole words, in any case, and not in a negated clause. Raises `InputError` without any points.

    >>> from assay.numerics.texts import encode
    >>> import torch
    >>> system = points_score({"back pain": 1, "alcohol abuse": 2}, threshold=3)
    >>> system(torch.from_numpy(encode(["Back pain. Alcohol abuse.", "Back pain. No alcohol abuse."]))).argmax(1).tolist()
    [1, 0]
    """
    if not points:
        raise InputError("points: a score needs at least one phrase or code")

    def scores(texts: Sequence[str]) -> list[list[float]]:
        sums = [sum(worth for phrase, worth in points.items() if mentions(text, phrase)) - threshold for text in texts]
        return [[0.0, AT if s == 0 else float(s)] for s in sums]

    return TextSystem(scores, name=name, kind="classical", settings={"points": dict(points), "threshold": threshold})
