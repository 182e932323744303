"""Images drawn by evolved functions of the coordinates: compositional pattern-producing networks (CPPNs)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.encodings import polynomial_mutation, simulated_binary_crossover

INPUTS = ("x", "y", "distance from the centre", "bias")
ACTIVATIONS = ("sine", "sigmoid", "gaussian", "linear")


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Genomes of CPPNs: nodes in an order in which every connection goes forward: inputs, hidden places, outputs.

    `weights[:, i, j]` is that of the connection i → j, which exists where `linked`; `activation` numbers `ACTIVATIONS`;
    a hidden place holds a neuron where `present`.
    """

    weights: Float[Tensor, "n nodes nodes"]
    linked: Bool[Tensor, "n nodes nodes"]
    activation: Int[Tensor, "n nodes"]
    present: Bool[Tensor, "n nodes"]

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, index: Tensor) -> Networks:
        return Networks(weights=self.weights[index], linked=self.linked[index], activation=self.activation[index],
                        present=self.present[index])

    def joined(self, other: Networks) -> Networks:
        return Networks(weights=torch.cat((self.weights, other.weights)), linked=torch.cat((self.linked, other.linked)),
                        activation=torch.cat((self.activation, other.activation)),
                        present=torch.cat((self.present, other.present)))


@dataclass(frozen=True, kw_only=True)
class Cppn:
    """Regular images: every pixel is a network's answer to (x, y, distance from the centre, 1), x and y in [−1, 1].

    `shape` is (height, width) or (1, height, width) for grey, (3, height, width) for colour, whose three answers are hue,
    saturation and value; `box` the least and greatest value. Node j returns a_j(Σ_i w_ij v_i) with a_j sine,
    2/(1 + e^−z) − 1, 2e^{−z²} − 1 or z; an answer o becomes (1 + o)/2 cut to [0, 1]. A random genome joins every input
    to every output. Each structural mutation happens with its own probability per child; each weight mutates
    (`polynomial_mutation` within ± `reach`) and each activation is drawn anew with probability `rate`. Crossing, with
    probability `crossover`, mixes the weights of the connections that both parents have (`simulated_binary_crossover`).

    Source: Stanley, "Compositional pattern producing networks", 2007; probabilities as in the code of Nguyen, Yosinski and
    Clune, "Deep neural networks are easily fooled", CVPR 2015. Ours: the reach, the ranges of the activations, and that
    there are no more than `hidden` neurons, so that a generation is computed at once. Raises `InputError` for images that
    are neither grey nor RGB.

    >>> draw = Cppn(shape=(1, 4, 4))
    >>> draw.express(draw.random(2, torch.Generator().manual_seed(0))).shape
    torch.Size([2, 1, 4, 4])
    """

    shape: tuple[int, ...]
    box: tuple[float, float] = (0.0, 1.0)
    hidden: int = 16
    reach: float = 3.0
    add_connection: float = 0.5
    delete_connection: float = 0.3
    change_connection: float = 0.5
    add_neuron: float = 0.5
    delete_neuron: float = 0.2
    rate: float = 0.1
    crossover: float = 0.1
    eta_mutation: float = 15.0
    eta_crossover: float = 10.0

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or self.channels not in (1, 3) or not self.box[0] < self.box[1]:
            raise InputError(f"a CPPN draws grey or RGB images within a range, not shape {self.shape} and box {self.box}; "
                             "use the direct encoding for other inputs")

    @property
    def channels(self) -> int:
        return 1 if len(self.shape) == 2 else self.shape[0]

    @property
    def nodes(self) -> int:
        return len(INPUTS) + self.hidden + self.channels

    def random(self, n: int, generator: torch.Generator) -> Networks:
        first_output = self.nodes - self.channels
        linked = torch.zeros(n, self.nodes, self.nodes, dtype=torch.bool)
        linked[:, :len(INPUTS), first_output:] = True
        present = torch.ones(n, self.nodes, dtype=torch.bool)
        present[:, len(INPUTS): first_output] = False
        return Networks(linked=linked, present=present,
                        weights=torch.where(linked, self._weight((n, self.nodes, self.nodes), generator), 0.0),
                        activation=torch.randint(len(ACTIVATIONS), (n, self.nodes), generator=generator))

    def mutate(self, genomes: Networks, generator: torch.Generator) -> Networks:
        """Structure first (add, delete, change a connection; add, delete a neuron), then weights and activations."""
        for step, chance in ((self._add_connection, self.add_connection), (self._delete_connection, self.delete_connection),
                             (self._change_connection, self.change_connection), (self._add_neuron, self.add_neuron),
                             (self._delete_neuron, self.delete_neuron)):
            happens = torch.rand(len(genomes), generator=generator) < chance
            genomes = step(genomes, happens, generator)
        weights = polynomial_mutation(genomes.weights, generator, rate=self.rate, eta=self.eta_mutation, low=-self.reach,
                                      high=self.reach)
        redrawn = torch.randint(len(ACTIVATIONS), genomes.activation.shape, generator=generator)
        changed = torch.rand(genomes.activation.shape, generator=generator) < self.rate
        return replace(genomes, weights=torch.where(genomes.linked, weights, 0.0),
                       activation=torch.where(changed, redrawn, genomes.activation))

    def cross(self, first: Networks, second: Networks, generator: torch.Generator) -> tuple[Networks, Networks]:
        crossed = torch.rand(len(first), 1, 1, generator=generator) < self.crossover
        both = first.linked & second.linked & crossed
        a, b = simulated_binary_crossover(first.weights, second.weights, generator, eta=self.eta_crossover, low=-self.reach,
                                          high=self.reach)
        return (replace(first, weights=torch.where(both, a, first.weights)),
                replace(second, weights=torch.where(both, b, second.weights)))

    def express(self, genomes: Networks) -> Float[Tensor, "n ..."]:
        height, width = self.shape[-2:]
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        given = torch.stack((x, y, (x.square() + y.square()).sqrt(), torch.ones_like(x))).reshape(len(INPUTS), -1)
        values = torch.zeros(len(genomes), self.nodes, given.shape[1])
        values[:, :len(INPUTS)] = given
        strength = torch.where(genomes.linked, genomes.weights, 0.0)
        for j in range(len(INPUTS), self.nodes):
            z = (strength[:, :j, j, None] * values[:, :j]).sum(1)          # many tiny products: faster than matrices
            values[:, j] = _activated(z, genomes.activation[:, j, None])
        answers = ((1 + values[:, -self.channels:]) / 2).clamp(0, 1).reshape(-1, self.channels, height, width)
        low, high = self.box
        return low + (high - low) * (answers if self.channels == 1 else rgb(answers)).reshape(-1, *self.shape)

    def _weight(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return self.reach * (2 * torch.rand(shape, generator=generator) - 1)

    def _free(self, g: Networks) -> Bool[Tensor, "n nodes nodes"]:
        """Pairs that may be joined and are not: forward, both present, not into an input, not out of an output."""
        forward = torch.ones(self.nodes, self.nodes, dtype=torch.bool).triu(1)
        forward[:, :len(INPUTS)] = False
        forward[self.nodes - self.channels:] = False
        return forward & g.present[:, :, None] & g.present[:, None, :] & ~g.linked

    def _add_connection(self, g: Networks, happens: Tensor, generator: torch.Generator) -> Networks:
        at, place = _pick(self._free(g).flatten(1), happens, generator)
        weights, linked = g.weights.flatten(1).clone(), g.linked.flatten(1).clone()
        linked[at, place] = True
        weights[at, place] = self._weight((len(g),), generator)[at]
        return replace(g, weights=weights.view_as(g.weights), linked=linked.view_as(g.linked))

    def _delete_connection(self, g: Networks, happens: Tensor, generator: torch.Generator) -> Networks:
        at, place = _pick(g.linked.flatten(1), happens, generator)
        linked = g.linked.flatten(1).clone()
        linked[at, place] = False
        return replace(g, linked=linked.view_as(g.linked))

    def _change_connection(self, g: Networks, happens: Tensor, generator: torch.Generator) -> Networks:
        """One end of a connection goes elsewhere; its weight stays."""
        at, place = _pick(g.linked.flatten(1), happens, generator)
        source, target = place // self.nodes, place % self.nodes
        nodes = torch.arange(self.nodes)
        shares = (nodes[:, None] == source[:, None, None]) ^ (nodes[None] == target[:, None, None])
        among = self._free(g)[at] & shares
        chosen, new = _pick(among.flatten(1), torch.ones(len(at), dtype=torch.bool), generator)
        weights, linked = g.weights.flatten(1).clone(), g.linked.flatten(1).clone()
        at, place = at[chosen], place[chosen]
        linked[at, place], linked[at, new] = False, True
        weights[at, new] = weights[at, place]
        return replace(g, weights=weights.view_as(g.weights), linked=linked.view_as(g.linked))

    def _add_neuron(self, g: Networks, happens: Tensor, generator: torch.Generator) -> Networks:
        """A connection i → j becomes i → h → j with weights 1 and its own, h a free place between them."""
        nodes = torch.arange(self.nodes)
        free = (~g.present).cumsum(1)
        room = free[:, None, :] > free[:, :, None]
        at, place = _pick((g.linked & room).flatten(1), happens, generator)
        source, target = place // self.nodes, place % self.nodes
        between = (nodes > source[:, None]) & (nodes < target[:, None]) & ~g.present[at]
        _, h = _pick(between, torch.ones(len(at), dtype=torch.bool), generator)
        weights, linked, present = g.weights.clone(), g.linked.clone(), g.present.clone()
        weights[at, source, h], weights[at, h, target] = 1.0, g.weights[at, source, target]
        linked[at, source, target] = False
        linked[at, source, h] = linked[at, h, target] = present[at, h] = True
        return replace(g, weights=weights, linked=linked, present=present)

    def _delete_neuron(self, g: Networks, happens: Tensor, generator: torch.Generator) -> Networks:
        """A hidden neuron goes with all its connections."""
        hidden = g.present.clone()
        hidden[:, :len(INPUTS)] = hidden[:, self.nodes - self.channels:] = False
        at, h = _pick(hidden, happens, generator)
        linked, present = g.linked.clone(), g.present.clone()
        present[at, h] = linked[at, h] = linked[at, :, h] = False
        return replace(g, linked=linked, present=present)


def rgb(hsv: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n 3 height width"]:
    """Hue, saturation and value in [0, 1] as red, green and blue: v − v s max(0, min(k, 4 − k, 1)), k = (m + 6h) mod 6.

    m is 5, 3 and 1 for red, green and blue. Smith, "Color gamut transform pairs", SIGGRAPH 1978, in closed form.

    >>> rgb(torch.tensor([1 / 3, 1.0, 0.5]).reshape(1, 3, 1, 1)).flatten().tolist()
    [0.0, 0.5, 0.0]
    """
    hue, saturation, value = hsv.unbind(1)
    k = [(m + 6 * hue) % 6 for m in (5, 3, 1)]
    return torch.stack([value - value * saturation * torch.minimum(a, 4 - a).clamp(0, 1) for a in k], dim=1)


def _activated(z: Tensor, activation: Tensor) -> Tensor:
    """sin z, 2/(1 + e^−z) − 1 = tanh(z/2), 2e^{−z²} − 1 or z, by the number of the activation."""
    found = torch.where(activation == 0, z.sin(), z)
    found = torch.where(activation == 1, (z / 2).tanh(), found)
    return torch.where(activation == 2, 2 * (-z.square()).exp() - 1, found)


def _pick(allowed: Bool[Tensor, "n places"], happens: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each row that happens and allows any: its number, and one allowed place drawn uniformly."""
    draw = torch.where(allowed, torch.rand(allowed.shape, generator=generator), -math.inf)
    at = (happens & allowed.any(1)).nonzero().flatten()
    return at, draw.argmax(1)[at]
