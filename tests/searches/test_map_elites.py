"""MAP-Elites: every child against every cell, closed forms, and archives that are broken."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.cppn import Cppn
from assay.perturbations.encodings import Direct
from assay.records import Stop
from assay.searches import map_elites as module
from assay.searches.map_elites import Elites, first_reaching, map_elites

STEEP, GROUPS, PIXELS = 2.0, 3, 3


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(images: Tensor) -> Tensor:
    """Softmax of scores z_c = STEEP · Σ of the c-th group of pixels."""
    return (STEEP * images.double().reshape(len(images), GROUPS, PIXELS).sum(2)).softmax(1)


CORNER = math.exp(STEEP * PIXELS) / (math.exp(STEEP * PIXELS) + GROUPS - 1)     # own group 1, every other 0


def run(confidences=linear, *, generations: int = 150, children: int = 40, **options) -> Elites:
    return map_elites(confidences, Direct(shape=(GROUPS * PIXELS,)), generations=generations, children=children,
                      generator=g(), **options)


class Watched:
    """Confidences, and the greatest that every class was ever given."""

    def __init__(self, confidences) -> None:
        self.confidences, self.seen = confidences, []

    def __call__(self, images: Tensor) -> Tensor:
        value = self.confidences(images)
        self.seen.append(value.amax(0))
        return value

    def keeps_all(self, found: Elites) -> bool:
        return torch.equal(found.history, torch.stack(self.seen).cummax(0).values) \
            and torch.equal(found.confidence, found.history[-1])


def monotone(found: Elites) -> bool:
    return bool((found.history.diff(dim=0) >= 0).all())


def corner_reached(found: Elites) -> bool:
    expected = torch.eye(GROUPS).repeat_interleave(PIXELS, dim=1)
    return bool((found.confidence >= CORNER - 1e-3).all()) and bool(((found.images - expected).abs() < 0.05).all())


def test_linear_softmax_reaches_the_corner():
    found = run()
    assert corner_reached(found) and bool((found.confidence <= CORNER + 1e-12).all())
    assert torch.allclose(linear(found.images).diag(), found.confidence)
    assert found.evaluations == 150 * 40 and found.stop == (Stop.BUDGET,) * GROUPS


def test_every_child_is_compared_with_every_cell():
    watched = Watched(linear)
    found = run(watched, generations=30)
    assert watched.keeps_all(found) and monotone(found)


def forgetful(archive, born):
    """Keeps the best of the last generation alone."""
    best, place = born.value.max(0)
    return module._Population(born.genomes.take(place), born.images[place], best)


def own_class_only(archive, born):
    """Compares a child with the cell of its own decision alone."""
    own = torch.zeros_like(born.value, dtype=torch.bool).scatter_(1, born.value.argmax(1, keepdim=True), True)
    return KEPT(archive, born._replace(value=torch.where(own, born.value, -torch.inf)))


KEPT = module._kept


@pytest.mark.parametrize("broken", [forgetful, own_class_only])
def test_broken_archives_are_caught(monkeypatch, broken):
    monkeypatch.setattr(module, "_kept", broken)
    watched = Watched(lambda images: linear(images) * torch.tensor([1.0, 1.0, 1e-3]))       # no child is of the third
    found = run(watched, generations=30)
    assert not watched.keeps_all(found)
    if broken is forgetful:
        assert not monotone(found)


def test_a_search_that_does_not_mutate_is_caught():
    class Frozen(Direct):
        def mutate(self, genomes, generator):
            return genomes
    found = map_elites(linear, Frozen(shape=(9,), crossover=0.0), generations=150, children=40, generator=g())
    assert not corner_reached(found)


def test_parents_come_from_filled_cells_alone():
    class Spy(Direct):
        def cross(self, first, second, generator):
            parents.extend((first.levels, second.levels))
            return super().cross(first, second, generator)
    parents: list[Tensor] = []

    def only_the_second(images: Tensor) -> Tensor:
        return torch.where(torch.tensor([False, True, False]), linear(images), -torch.inf)
    found = map_elites(only_the_second, Spy(shape=(9,)), generations=5, children=10, generator=g())
    assert len(parents) == 8 and all(bool((p == p[0]).all()) for p in parents)
    assert found.stop == (Stop.NON_FINITE, Stop.BUDGET, Stop.NON_FINITE)
    assert found.confidence[[0, 2]].tolist() == [-math.inf] * 2


def test_refused_images_are_no_elites():
    def dark(images: Tensor) -> Tensor:
        refused.append(int((images.mean(1) >= 0.4).sum()))
        return torch.where((images.mean(1) < 0.4)[:, None], linear(images), -torch.inf)
    refused: list[int] = []
    found = run(dark, generations=60)
    assert bool((found.images.mean(1) < 0.4).all()) and bool(found.confidence.isfinite().all())
    assert sum(refused) > 50, "hardly any image was refused: nothing is tested"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_fills_no_cell(bad):
    found = run(lambda images: torch.where(images[:, :1] > 0.5, bad, linear(images)), generations=20)
    assert bool(found.history.isfinite().all()) and bool((found.images[:, 0] <= 0.5).all())
    assert run(lambda images: torch.full((len(images), 3), bad), generations=3).stop == (Stop.NON_FINITE,) * 3


def test_it_ends_when_every_cell_has_enough():
    found = run(enough=0.9)
    assert len(found.history) < 150 and found.evaluations == 40 * len(found.history)
    assert found.stop == (Stop.CONVERGED,) * 3 and bool((found.confidence >= 0.9).all())
    assert bool((found.history[:-1].amin(1) < 0.9).all())
    assert first_reaching(found.history, 0.9).amax() == len(found.history)


@pytest.mark.parametrize("encoding", [Direct(shape=(1, 3, 3)), Cppn(shape=(1, 3, 3))])
def test_one_generator_decides_everything(encoding):
    one, two, other = (map_elites(lambda i: linear(i.flatten(1)), encoding, generations=8, children=11, generator=g(seed))
                       for seed in (1, 1, 2))
    assert torch.equal(one.images, two.images) and torch.equal(one.history, two.history)
    assert not torch.equal(one.history, other.history)


def test_more_generations_are_never_worse():
    short, long = run(generations=10), run(generations=40)
    assert torch.equal(long.history[:10], short.history) and bool((long.confidence >= short.confidence).all())


def test_bad_input():
    with pytest.raises(InputError, match="generations"):
        run(generations=0)
    with pytest.raises(InputError, match="confidences"):
        run(lambda images: linear(images)[:, 0])
