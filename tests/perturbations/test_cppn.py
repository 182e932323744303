"""CPPNs: closed-form images, a second evaluation by recursion, structure that stays lawful, colours."""

from __future__ import annotations

import colorsys
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.cppn import ACTIVATIONS, INPUTS, Cppn, Networks, rgb

STRUCTURE = ("add_connection", "delete_connection", "change_connection", "add_neuron", "delete_neuron")
STILL = Cppn(shape=(1, 6, 5), rate=0.0, **dict.fromkeys(STRUCTURE, 0.0))
LINEAR = ACTIVATIONS.index("linear")


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def evolved(encoding: Cppn, n: int = 40, generations: int = 25) -> Networks:
    generator = g()
    genomes = encoding.random(n, generator)
    for _ in range(generations):
        genomes = encoding.mutate(genomes, generator)
    return genomes


def lawful(encoding: Cppn, genomes: Networks) -> bool:
    """Connections go forward, between nodes that are there, not into inputs and not out of outputs."""
    first_output = encoding.nodes - encoding.channels
    there = genomes.present[:, :, None] & genomes.present[:, None, :]
    return not bool((genomes.linked.tril() | (genomes.linked & ~there)).any()
                    or genomes.linked[:, :, :len(INPUTS)].any() or genomes.linked[:, first_output:].any()
                    or not genomes.present[:, first_output:].all() or not genomes.present[:, :len(INPUTS)].all())


def recursive(encoding: Cppn, genomes: Networks, k: int) -> list[list[float]]:
    """The answers of one network pixel by pixel, each node asked for its value and asking its sources."""
    functions = (math.sin, lambda z: 2 / (1 + math.exp(-z)) - 1, lambda z: 2 * math.exp(-z * z) - 1, lambda z: z)
    height, width = encoding.shape[-2:]

    def value(j: int, given: tuple[float, ...]) -> float:
        if j < len(INPUTS):
            return given[j]
        z = sum(float(genomes.weights[k, i, j]) * value(i, given) for i in range(j) if bool(genomes.linked[k, i, j]))
        return functions[int(genomes.activation[k, j])](z)

    found = []
    for row in range(height):
        for column in range(width):
            x, y = 2 * column / (width - 1) - 1, 2 * row / (height - 1) - 1
            found.append([value(encoding.nodes - encoding.channels + c, (x, y, math.hypot(x, y), 1.0))
                          for c in range(encoding.channels)])
    return found


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (3, 6, 5)])
def test_zero_weights_give_a_constant_image(shape):
    encoding = Cppn(shape=shape)
    genomes = evolved(encoding)
    images = encoding.express(replace(genomes, weights=torch.zeros_like(genomes.weights)))
    assert images.shape == (40, *shape)
    assert bool((images.flatten(-2) == images.flatten(-2)[..., :1]).all())
    assert float(encoding.express(genomes).flatten(-2).std(-1).median()) > 0.01, "nothing is drawn at all"


def test_a_linear_output_draws_its_inputs():
    genomes = STILL.random(4, g())
    weights, output = torch.zeros_like(genomes.weights), STILL.nodes - 1
    for k in range(4):
        weights[k, k, output] = 1.0
    images = STILL.express(replace(genomes, weights=weights, activation=torch.full_like(genomes.activation, LINEAR)))
    x, y = torch.linspace(-1, 1, 5).expand(6, 5), torch.linspace(-1, 1, 6)[:, None].expand(6, 5)
    expected = torch.stack((x, y, (x * x + y * y).sqrt(), torch.ones(6, 5)))
    assert torch.allclose(images[:, 0], ((1 + expected) / 2).clamp(0, 1), atol=1e-6)


def test_second_evaluation_by_recursion():
    encoding = replace(Cppn(shape=(1, 4, 3)), hidden=6)
    genomes = evolved(encoding)
    assert int(genomes.present.sum(1).max()) > 8, "no hidden neurons to test"
    images = encoding.express(genomes)
    for k in range(12):
        expected = torch.tensor(recursive(encoding, genomes, k))[:, 0]
        assert torch.allclose(images[k].flatten(), ((1 + expected) / 2).clamp(0, 1), atol=1e-5)


def test_structure_stays_lawful():
    encoding = Cppn(shape=(3, 4, 4), hidden=5)
    genomes = evolved(encoding, n=60, generations=60)
    assert lawful(encoding, genomes) and bool((genomes.weights.abs() <= encoding.reach).all())
    broken = replace(genomes, linked=genomes.linked | genomes.linked.mT)
    assert not lawful(encoding, broken)


def counts(genomes: Networks) -> tuple[Tensor, Tensor]:
    return genomes.linked.sum((1, 2)), genomes.present.sum(1)


@pytest.mark.parametrize(("name", "links", "neurons"), [
    ("add_connection", 1, 0), ("delete_connection", -1, 0), ("change_connection", 0, 0), ("add_neuron", 1, 1)])
def test_each_structural_mutation_does_what_it_says(name, links, neurons):
    genomes = evolved(replace(STILL, add_neuron=1.0, add_connection=0.5), generations=3)
    before = counts(genomes)
    after = counts(mutated := replace(STILL, **{name: 1.0}).mutate(genomes, g(1)))
    assert bool((after[0] - before[0] == links).all()) and bool((after[1] - before[1] == neurons).all())
    assert bool((mutated.linked != genomes.linked).flatten(1).any(1).all()) and lawful(STILL, mutated)


def test_deleted_neurons_take_their_connections_along():
    genomes = evolved(replace(STILL, add_neuron=1.0), generations=3)
    mutated = replace(STILL, delete_neuron=1.0).mutate(genomes, g(1))
    assert bool((counts(mutated)[1] == counts(genomes)[1] - 1).all()) and lawful(STILL, mutated)


def test_a_linear_neuron_in_a_connection_changes_no_image():
    genomes = STILL.random(200, g())
    split = replace(STILL, add_neuron=1.0).mutate(genomes, g(1))
    linear = replace(split, activation=torch.cat((torch.full_like(split.activation[:, :-1], LINEAR),
                                                  split.activation[:, -1:]), dim=1))
    assert torch.allclose(STILL.express(linear), STILL.express(genomes), atol=1e-6)
    assert not torch.allclose(STILL.express(split), STILL.express(genomes), atol=1e-6)


def test_crossing_mixes_shared_connections_only():
    encoding = replace(Cppn(shape=(1, 4, 4)), crossover=1.0)
    a = evolved(encoding)
    b = a.take(torch.arange(39, -1, -1))
    c, d = encoding.cross(a, b, g(1))
    both = a.linked & b.linked
    assert torch.equal(c.linked, a.linked) and torch.equal(c.weights[~both], a.weights[~both])
    assert torch.allclose((c.weights + d.weights)[both], (a.weights + b.weights)[both], atol=1e-5)


def test_rgb_agrees_with_the_standard_library():
    hsv = torch.rand(1, 3, 10, 10, generator=g())
    expected = torch.tensor([colorsys.hsv_to_rgb(*pixel) for pixel in hsv.flatten(2)[0].T.tolist()]).T
    assert torch.allclose(rgb(hsv).flatten(2)[0], expected, atol=1e-5)


def test_generators_are_obeyed_and_nothing_is_changed_in_place():
    encoding = Cppn(shape=(1, 4, 4))
    genomes = evolved(encoding)
    before = replace(genomes, weights=genomes.weights.clone(), linked=genomes.linked.clone(),
                     activation=genomes.activation.clone(), present=genomes.present.clone())
    one, two = encoding.mutate(genomes, g(5)), encoding.mutate(genomes, g(5))
    assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in vars(one))
    assert all(torch.equal(getattr(genomes, name), getattr(before, name)) for name in vars(before))


def test_other_shapes_are_refused():
    with pytest.raises(InputError, match="direct encoding"):
        Cppn(shape=(2, 4, 4))
