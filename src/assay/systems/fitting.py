"""Fitting the established classifiers: linear SVMs on HOG features, and multinomial regression on the pixels.

Both objectives are convex, so what is fitted depends on data and regularisation alone: no seed, no schedule. Sums are
taken in double precision by one thread, so that one machine gives the same weights every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assay.solvers.linear_svm import svm_path
from assay.solvers.multinomial import cross_entropy, regression_path
from assay.systems.established_classifiers import HogSvm, MultinomialRegression
from assay.systems.hog import cell_for, hog

C = 0.5                                             # of the shipped SVM
CS = (0.05, 0.15, 0.5, 1.5, 5.0, 15.0, 50.0)        # strongest regularisation first
WEIGHTS = tuple(10.0 ** -k for k in range(6))       # ℓ2 weights of the regression, the same
MOST_IMAGES = 10_000                                # of one fit
CHUNK = 256                                         # images whose features are computed at once

Batches = Iterable[tuple[Tensor, Tensor]]           # images (batch, channels, height, width) in [0, 1], labels (batch,)


@dataclass(frozen=True, kw_only=True)
class Method:
    """How a classifier is fitted: what it sees of images, the minimisers for each regularisation, how one is chosen.

    θ (classes, features + 1) has the biases in its last column. `loss` (θ, rows, labels) is taken on other images.
    """

    rows: Callable[[Tensor], Tensor]
    path: Callable[[Tensor, Tensor, int, Sequence[float]], Iterator[Tensor]]
    loss: Callable[[Tensor, Tensor, Tensor], float]
    build: Callable[[tuple[int, ...], Tensor], nn.Module]       # (channels, height, width), θ
    strength: str                                               # what the regularisation is called
    strengths: tuple[float, ...]
    by: str                                                     # what `loss` is called
    most_values: int                                            # of all images of a fit: for a minute or two, below 1 GB


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted classifier, the regularisation chosen for it, and the tuning images' verdict: loss of all, accuracy of it."""

    module: nn.Module
    strength: float
    losses: Mapping[float, float]
    accuracy: float


def fit(name: str, train: Batches, tuning: Batches, *, classes: int, strengths: Sequence[float] = ()) -> Fit:
    """The classifier `name` of `METHODS`, fitted to `train`; its regularisation is the best on `tuning`.

    The regularisation is weakened step by step until the loss on `tuning` rises. `strengths` takes the place of the
    method's own. Raises `InputError` if a minimiser is not reached.
    """
    method, threads = METHODS[name], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows, labels, shape = _rows(method, train)
        others, truth, _ = _rows(method, tuning)
        tried = tuple(strengths) or method.strengths
        losses: dict[float, float] = {}
        chosen, best = tried[0], torch.empty(0)
        for strength, theta in zip(tried, method.path(rows, labels, classes, tried), strict=True):
            losses[strength] = method.loss(theta, others, truth)
            if losses[strength] > losses[chosen]:
                break
            if strength == tried[0] or losses[strength] < losses[chosen]:
                chosen, best = strength, theta
        return Fit(module=method.build(shape, best), strength=chosen, losses=losses,
                   accuracy=1 - wrong(best, others, truth))
    finally:
        torch.set_num_threads(threads)


def columns(name: str, shape: tuple[int, ...]) -> int:
    """How many numbers the classifier sees of one image (channels, height, width).

    >>> columns("hog-svm", (3, 32, 32)), columns("multinomial", (3, 32, 32))
    (1764, 3072)
    """
    return METHODS[name].rows(torch.zeros(1, *shape)).shape[1]


def wrong(theta: Tensor, rows: Tensor, labels: Tensor) -> float:
    """The share of rows whose largest score is not that of their label."""
    return float(((rows @ theta[:, :-1].T + theta[:, -1]).argmax(1) != labels).double().mean())


def _rows(method: Method, batches: Batches) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """What the classifier sees of all images, in double precision; their labels; the shape of one image."""
    rows, labels = [], []
    shape: tuple[int, ...] = ()
    for images, truth in batches:
        shape = tuple(images.shape[1:])
        rows += [method.rows(part.double()) for part in images.split(CHUNK)]
        labels.append(truth)
    return torch.cat(rows), torch.cat(labels), shape


def _hog_rows(images: Tensor) -> Tensor:
    return hog(images, cell=cell_for(*images.shape[2:]))


def _hog_svm(shape: tuple[int, ...], theta: Tensor) -> HogSvm:
    module = HogSvm(features=theta.shape[1] - 1, classes=theta.shape[0], cell=cell_for(*shape[1:]))
    _set(module.svm, theta)
    return module


def _multinomial(shape: tuple[int, ...], theta: Tensor) -> MultinomialRegression:
    module = MultinomialRegression(pixels=theta.shape[1] - 1, classes=theta.shape[0])
    _set(module.linear, theta)
    return module


def _set(layer: nn.Linear, theta: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(theta[:, :-1])
        layer.bias.copy_(theta[:, -1])


METHODS = {
    "hog-svm": Method(rows=_hog_rows, path=svm_path, loss=wrong, build=_hog_svm, strength="C", strengths=CS,
                      by="wrong decisions", most_values=12_000_000),
    "multinomial": Method(rows=lambda images: images.flatten(1), path=regression_path, build=_multinomial,
                          loss=lambda *given: float(cross_entropy(*given)), strength="l2_weight", strengths=WEIGHTS,
                          by="cross-entropy", most_values=8_000_000),
}
