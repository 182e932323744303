"""The chain is the system, and whatever might not be is refused with its reason."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from assay.bounds.layers import Sum
from assay.bounds.region import around
from assay.bounds.rounding import output_error
from assay.systems import catalogue
from assay.systems.branches import NoChain
from assay.systems.chains import affine, chain_of
from assay.systems.function import FunctionSystem
from assay.systems.literature.standardise import Standardise
from assay.systems.preprocessing import Preprocessed, Preprocessing
from assay.systems.torch import TorchSystem, TwoClass

SHAPE = (1, 8, 8)


def made(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    standard, norm = Standardise(size=8, channels=1), nn.BatchNorm2d(4)
    standard.set(mean=[0.3], deviation=[0.2])
    module = nn.Sequential(standard, nn.Conv2d(1, 4, 3, padding=1), norm, nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5),
                           nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    for _ in range(3):
        module(torch.rand(16, *SHAPE))          # statistics of the batch norms
    return module.eval()


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(64, 3)

    def forward(self, x):
        return self.last(x.flatten(1) + torch.relu(x.flatten(1)))


class Residuals(nn.Module):
    """Two blocks as in residual networks: batch normalisation, a sum in place, a projected shortcut, means of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu, self.down = nn.ReLU(inplace=True), nn.Sequential(nn.Conv2d(4, 6, 1, stride=2), nn.BatchNorm2d(6))
        self.three, self.pool, self.last = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, x):
        x = self.relu(self.first(x))
        out = self.two(self.one(x))
        out += x
        x = self.relu(out)
        x = torch.relu(self.three(x) + self.down(x))
        return self.last(torch.flatten(self.pool(x), 1))


class Multiplied(Residual):
    def forward(self, x):
        return self.last(x.flatten(1) * torch.relu(x.flatten(1)))


class Scaled(Residual):
    def forward(self, x):
        x = x.flatten(1)
        return self.last(torch.add(x, torch.relu(x), alpha=2))


class Overwritten(Residual):
    """The sum reads what ReLU has written over: twice the ReLU, and not x + ReLU."""

    def forward(self, x):
        x = self.wide(x.flatten(1))
        return self.last(x + torch.relu_(x))

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(64, 64)


class OverwrittenView(Overwritten):
    def forward(self, x):
        x = self.wide(x.flatten(1))
        return self.last(x + nn.functional.relu(x.flatten(1), inplace=True))


class OverwrittenByALayer(Overwritten):
    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.Linear(64, 64))

    def forward(self, x):
        x = self.wide(x.flatten(1))
        return self.last(x + self.inside(x))


class Unread(Overwritten):
    def forward(self, x):
        x = self.wide(x.flatten(1))
        x.clamp_(0)
        return self.last(x)


class Looks(nn.Module):
    """Answers otherwise where an input is bright: a chain without that branch would be another system."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(64, 3)

    def forward(self, x):
        return self.last(torch.relu(x.flatten(1))) if x.mean() < 0.5 else -self.last(x.flatten(1))


class Watched(nn.Linear):
    def __call__(self, x):
        return -super().__call__(x)


def is_the_system(system, shape=SHAPE) -> None:
    chain, x = chain_of(system, shape), torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    error = output_error(chain, around(x, torch.zeros(5), "linf", (0.0, 1.0)))
    with torch.no_grad():
        assert bool(((system(x).double() - chain(x)).abs() <= error).all())


@pytest.mark.parametrize("name", ["mlp", "multinomial", "lenet"])
def test_shipped_networks_are_chains(name):
    is_the_system(catalogue.load(name, role="audited").system)


def test_a_network_of_every_layer_is_its_chain():
    is_the_system(TorchSystem(made()))
    is_the_system(Preprocessed(system=TorchSystem(made()), preprocessing=Preprocessing(scale=2.0, mean=(0.1,), std=(0.5,))))
    one = TorchSystem(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))
    is_the_system(TwoClass(one))


def test_a_residual_network_is_its_chain():
    torch.manual_seed(1)
    network = Residuals()
    for _ in range(3):
        network(torch.rand(16, *SHAPE))
    is_the_system(TorchSystem(network.eval()))
    is_the_system(TorchSystem(Residual().eval()))
    assert sum(isinstance(layer, Sum) for layer in chain_of(TorchSystem(network), SHAPE).layers) == 2


def test_a_chain_that_forgets_a_layer_is_caught():
    module = made()
    without = TorchSystem(nn.Sequential(*[m for m in module if not isinstance(m, nn.BatchNorm1d)]))
    chain, x = chain_of(without, SHAPE), torch.rand(5, *SHAPE)
    error = output_error(chain, around(x, torch.zeros(5), "linf", (0.0, 1.0)))
    assert not bool(((TorchSystem(module)(x).double() - chain(x)).abs() <= error).all())


def hooked() -> nn.Module:
    module = made()
    module[8].register_forward_hook(lambda m, args, out: -out)
    return module


def replaced() -> nn.Module:
    module = made()
    module[8].forward = lambda x: -nn.functional.linear(x, module[8].weight)
    return module


def training() -> nn.Module:
    module = made()
    return nn.Sequential(nn.Sequential(module))


@pytest.mark.parametrize(("system", "why"), [
    (lambda: TorchSystem(Multiplied()), "step mul is neither one layer after another nor a sum"),
    (lambda: TorchSystem(Overwritten()), "may write over what another branch reads"),
    (lambda: TorchSystem(OverwrittenView()), "may write over what another branch reads"),
    (lambda: TorchSystem(OverwrittenByALayer()), "may write over what another branch reads"),
    (lambda: TorchSystem(Scaled()), "neither one layer after another nor a sum"),
    (lambda: TorchSystem(Unread()), "is read by nothing"),
    (lambda: TorchSystem(nn.Sequential(nn.AdaptiveAvgPool2d(3))), "windows of several sizes"),
    (lambda: TorchSystem(Looks()), "cannot be recorded without data"),
    (lambda: TorchSystem(nn.Sequential(nn.Flatten(), Watched(64, 3))), "hooks or a replaced method"),
    (lambda: TorchSystem(hooked()), "hooks or a replaced method"),
    (lambda: TorchSystem(replaced()), "hooks or a replaced method"),
    (lambda: TorchSystem(made().half()), "not single or double"),
    (lambda: TorchSystem(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Sigmoid())), "layer Sigmoid has no bounds"),
    (lambda: TorchSystem(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"))), "pads by reflect"),
    (lambda: TorchSystem(nn.Sequential(nn.MaxPool2d(3, ceil_mode=True))), "ceil_mode"),
    (lambda: TorchSystem(nn.Sequential(nn.Flatten(), nn.Linear(63, 3))), "does not fit"),
    (lambda: TorchSystem(nn.Sequential(nn.Linear(8, 3))), "flatten before"),
    (lambda: TwoClass(TorchSystem(nn.Sequential(nn.Flatten(), nn.Linear(64, 1))), output="probability"), "probabilities"),
    (lambda: Preprocessed(system=TorchSystem(made()), preprocessing=Preprocessing(size=8)), "preprocessing size"),
    (lambda: FunctionSystem(made()), "no torch network"),
    (lambda: catalogue.load("hog-svm", role="audited").system, "cannot be recorded without data"),
])
def test_whatever_might_not_be_a_chain_is_refused(system, why):
    with pytest.raises(NoChain, match=why):
        chain_of(system(), SHAPE)


def test_training_mode_is_refused():
    system = TorchSystem(training())
    system.module[0].train()
    with pytest.raises(NoChain, match="training mode"):
        chain_of(system, SHAPE)


def test_fewer_digits_are_refused():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(NoChain, match="fewer digits"):
            chain_of(TorchSystem(made()), SHAPE)
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_matrix_of_a_linear_chain():
    module = catalogue.load("multinomial", role="audited").system.module
    weight, bias = affine(chain_of(TorchSystem(module), SHAPE))
    assert torch.allclose(weight.float(), module.linear.weight) and torch.allclose(bias.float(), module.linear.bias)
    with pytest.raises(NoChain, match="not linear"):
        affine(chain_of(TorchSystem(made()), SHAPE))


class Deep(nn.Module):
    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks, self.last = nn.ModuleList(nn.Linear(64, 64) for _ in range(blocks)), nn.Linear(64, 3)

    def forward(self, x):
        x = x.flatten(1)
        for block in self.blocks:
            x = x + torch.relu(block(x))
        return self.last(x)


def test_a_sum_is_looked_through_once_and_not_once_for_each_way_to_it():
    """Forty blocks have 2⁴⁰ ways; a reader that follows each does not end."""
    from torch import fx

    from assay.systems import branches

    graph = fx.symbolic_trace(Deep(40)).graph
    (last,) = (node.args[0] for node in graph.nodes if node.op == "output")
    assert len(branches.spine(last)) == 43          # the input, its flattening, forty sums, the last layer
