"""MAP-Elites: for every class the image that the system takes for it most confidently, all classes searched together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.perturbations.encodings import Encoding, G
from assay.records import Stop

Confidences = Callable[[Tensor], Tensor]            # images (n, *shape) -> (n, classes)


@dataclass(frozen=True, kw_only=True)
class Elites(Generic[G]):
    """One elite for each class (cell), in the order of the classes.

    `images` (classes, *shape) and their `confidence` (classes,), −inf in a cell that no child could fill; `history`
    (generations, classes) the confidence after each generation; `evaluations` images shown to the system.
    """

    genomes: G
    images: Float[Tensor, "classes ..."]
    confidence: PerExample
    history: Float[Tensor, "generations classes"] = field(repr=False)
    evaluations: int
    stop: tuple[Stop, ...]


def map_elites(confidences: Confidences, encoding: Encoding[G], *, generations: int, generator: torch.Generator,
               children: int = 200, enough: float = 1.0) -> Elites[G]:
    """Illumination over classes: every child is compared with the elite of every class and replaces those it beats.

    The first generation is random; each later one draws pairs of parents uniformly from the filled cells, crosses and
    mutates them. `confidences` gives (n, classes), larger is better; what is not finite fills no cell, so −inf refuses
    an image. The search ends when every cell has reached `enough`, or after `generations` × `children` evaluations.
    Source: Mouret and Clune, "Illuminating search spaces by mapping elites", arXiv 1504.04909 (2015), as used by Nguyen,
    Yosinski and Clune, "Deep neural networks are easily fooled", CVPR 2015. Raises `InputError` for no children, and for
    confidences of another shape.

    >>> from assay.perturbations.encodings import Direct
    >>> dark_or_bright = lambda images: torch.stack((1 - images.mean(1), images.mean(1)), dim=1)
    >>> found = map_elites(dark_or_bright, Direct(shape=(2,)), generations=60, generator=torch.Generator().manual_seed(0))
    >>> found.images.tolist(), found.confidence.tolist()
    ([[0.0, 0.0], [1.0, 1.0]], [1.0, 1.0])
    """
    if generations < 1 or children < 1:
        raise InputError(f"need at least one generation and one child, got generations={generations}, children={children}")
    archive = _seen(confidences, encoding, encoding.random(children, generator))
    archive = _kept(None, archive)
    history = [archive.value]
    while len(history) < generations and not bool((archive.value >= enough).all()):
        born = _children(encoding, archive, children, generator)
        archive = _kept(archive, _seen(confidences, encoding, born))
        history.append(archive.value)
    return Elites(genomes=archive.genomes, images=archive.images, confidence=archive.value, history=torch.stack(history),
                  evaluations=children * len(history), stop=tuple(_stop(v, enough) for v in archive.value.tolist()))


def first_reaching(history: Float[Tensor, "generations classes"], threshold: float) -> Tensor:
    """The number of generations (1, 2, …) after which each class has reached the threshold; 0 where it never did.

    >>> first_reaching(torch.tensor([[0.1, 0.2], [0.9, 0.3]]), 0.5).tolist()
    [2, 0]
    """
    reached = history >= threshold
    return torch.where(reached.any(0), reached.long().argmax(0) + 1, 0)


class _Population(NamedTuple, Generic[G]):
    """Genomes, their images, and what these are worth: (n, classes) of children, (classes,) of the elites."""

    genomes: G
    images: Tensor
    value: Tensor


def _seen(confidences: Confidences, encoding: Encoding[G], genomes: G) -> _Population[G]:
    images = encoding.express(genomes)
    value = confidences(images)
    if value.ndim != 2 or len(value) != len(images):
        raise InputError(f"confidences must be (images, classes) for {len(images)} images, got shape {tuple(value.shape)}")
    value = value.detach().double()
    return _Population(genomes, images, torch.where(value.isfinite(), value, -torch.inf))


def _children(encoding: Encoding[G], archive: _Population[G], children: int, generator: torch.Generator) -> G:
    """Pairs of filled cells, crossed, then mutated; as in the first generation where no cell is filled."""
    filled = archive.value.isfinite().nonzero().flatten()
    if len(filled) == 0:
        return encoding.random(children, generator)
    parents = filled[torch.randint(len(filled), (2, (children + 1) // 2), generator=generator)]
    first, second = encoding.cross(archive.genomes.take(parents[0]), archive.genomes.take(parents[1]), generator)
    return encoding.mutate(first.joined(second).take(torch.arange(children)), generator)


def _kept(archive: _Population[G] | None, born: _Population[G]) -> _Population[G]:
    """For every class the best of its elite and all children; the elite goes only where a child is better."""
    best, place = born.value.max(0)
    if archive is None:
        return _Population(born.genomes.take(place), born.images[place], best)
    cells = torch.arange(len(best))
    index = torch.where(best > archive.value, len(best) + place, cells)
    return _Population(archive.genomes.joined(born.genomes).take(index), torch.cat((archive.images, born.images))[index],
                       torch.maximum(best, archive.value))


def _stop(value: float, enough: float) -> Stop:
    if value == -torch.inf:
        return Stop.NON_FINITE
    return Stop.CONVERGED if value >= enough else Stop.BUDGET
