"""Confidence on nonsense: how sure a classifier is of a class, and how unlike every real image an image is."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.metrics.protocol import Metric, Response, register

USUAL = 0.99            # the share of real images that lie nearer to another real image than what counts as unlike


def class_confidence(scores: Float[Tensor, "batch classes"], label: Tensor) -> PerExample:
    """softmax(z)_c = exp(z_c) / Σ_j exp(z_j) of the class c given for each example, (batch,) in [0, 1].

    A probability only where the system was trained to give one: the scores of a support vector machine, for example, are
    distances, and their softmax is not calibrated. Raises `InputError` for a class that the scores do not have.

    >>> class_confidence(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])).tolist()
    [0.5, 0.5]
    """
    if scores.ndim != 2 or (len(label) and not 0 <= int(label.min()) <= int(label.max()) < scores.shape[1]):
        raise InputError(f"scores of shape {tuple(scores.shape)} do not have the classes {label.unique().tolist()}; check "
                         "that the system was made for these data")
    return scores.double().softmax(1).gather(1, label[:, None])[:, 0]


def nearest_distance(images: Tensor, real: Tensor, *, own: bool = False) -> PerExample:
    """min over the real images r of ‖x − r‖₂, (batch,), in the unit of the images (batch, …) and (n, …).

    With `own`, `images` and `real` are the same set and an image is not compared with itself.

    >>> nearest_distance(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [3.0]])).tolist()
    [1.0, 2.0]
    """
    distance = torch.cdist(images.double().flatten(1), real.double().flatten(1))
    return (distance.fill_diagonal_(torch.inf) if own else distance).amin(1)


def standardised(images: Tensor) -> Tensor:
    """(x − mean(x)) / ‖x − mean(x)‖₂, (batch, values): what is left of an image where brightness and contrast are nothing.

    A faint digit is far from every digit in pixels, and the same digit here. A flat image becomes 0.

    >>> standardised(torch.tensor([[0.0, 0.0, 0.0, 4.0], [0.5, 0.5, 0.5, 0.6]])).diff(dim=0).abs().max() < 1e-6
    tensor(True)
    """
    flat = images.double().flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-30)


def usual_distance(real: Tensor, *, share: float = USUAL) -> float:
    """The distance below which that share of real images have another real image: farther is unlike every real one.

    A proxy of "no person would recognise it", and a weak one: it knows distances between pixels and no shapes.
    Raises `InputError` for fewer than two images.

    >>> usual_distance(torch.tensor([[0.0], [1.0], [1.5]]), share=0.5)
    0.5
    """
    if len(real) < 2:
        raise InputError("how near real images lie to each other needs at least two of them; give more samples")
    return float(nearest_distance(real, real, own=True).quantile(share))


def _of_the_class(response: Response) -> PerExample:
    return class_confidence(response.output, response.truth)


FOOLING_CONFIDENCE = register(Metric(
    id="fooling-confidence", name="Confidence in a class", unit="share", better="lower", least=0.0, greatest=1.0,
    compute=_of_the_class, needs_truth=True))
