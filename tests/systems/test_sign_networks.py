"""The six sign networks: what makes each its family, that no layer looks at the batch, and the weights that ship."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from assay.arrays import InputError
from assay.systems.literature.signs import FAMILIES, build
from assay.systems.literature.signs.googlenet import Inception
from assay.systems.literature.signs.network import ResponseNormalisation, SignNetwork
from assay.systems.literature.signs.resnet import Bottleneck
from assay.systems.weights import SHIPPED, fill, read_weights

NAMES = list(FAMILIES)
PRESENT = [name for name in NAMES if Path(str(SHIPPED / FAMILIES[name].weights(name))).exists()]


def seeded(name: str) -> SignNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(name).eval()


def shipped(name: str) -> tuple[SignNetwork, dict[str, str], Path]:
    path = Path(str(SHIPPED / FAMILIES[name].weights(name)))
    state, facts = read_weights(path)
    model = build(name).eval()
    fill(model, state, path)
    return model, facts, path


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def kinds(module: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [m for m in module.modules() if isinstance(m, kind)]


def depth(module: nn.Module) -> int:
    """Weighted layers along the longest path, counted as the papers do (branches once, projections not)."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        return 1
    if isinstance(module, Inception):
        return max(depth(branch) for branch in module.branches)
    if isinstance(module, Bottleneck):
        return depth(module.residual)
    return sum(depth(child) for child in module.children())


@pytest.mark.parametrize(("name", "layers"), [("caffenet", 8), ("vgg-f", 8), ("vgg-16", 16), ("vgg-19", 19),
                                              ("googlenet", 22), ("resnet-152", 41)])
def test_depth_is_the_published_one_or_what_the_statement_says(name, layers):
    assert depth(build(name)) == layers
    assert ("depth kept" in FAMILIES[name].reduced) == (name != "resnet-152")


@pytest.mark.parametrize(("name", "convolutions", "dense"), [("caffenet", 5, 3), ("vgg-f", 5, 3), ("vgg-16", 13, 3),
                                                             ("vgg-19", 16, 3), ("googlenet", 57, 1), ("resnet-152", 44, 1)])
def test_counts_of_weighted_layers(name, convolutions, dense):
    model = build(name)
    assert (len(kinds(model, nn.Conv2d)), len(kinds(model, nn.Linear))) == (convolutions, dense)


def test_caffenet_groups_and_pools_before_it_normalises():
    layers = list(build("caffenet").features)
    assert [m.groups for m in layers if isinstance(m, nn.Conv2d)] == [1, 2, 1, 2, 2]
    assert all(isinstance(layers[i - 1], nn.MaxPool2d) for i, m in enumerate(layers) if isinstance(m, ResponseNormalisation))
    assert all((m.kernel_size, m.stride) == (3, 2) for m in layers if isinstance(m, nn.MaxPool2d))


def test_vgg_f_normalises_before_it_pools_and_has_no_groups():
    layers = list(build("vgg-f").features)
    assert {m.groups for m in layers if isinstance(m, nn.Conv2d)} == {1}
    assert all(isinstance(layers[i + 1], nn.MaxPool2d) for i, m in enumerate(layers) if isinstance(m, ResponseNormalisation))


@pytest.mark.parametrize(("name", "blocks"), [("vgg-16", [2, 2, 3, 3, 3]), ("vgg-19", [2, 2, 4, 4, 4])])
def test_vgg_has_five_blocks_of_3_by_3_convolutions(name, blocks):
    counts, found = 0, []
    for layer in build(name).features:
        if isinstance(layer, nn.Conv2d):
            assert layer.kernel_size == (3, 3)
            counts += 1
        elif isinstance(layer, nn.MaxPool2d):
            found.append(counts)
            counts = 0
    assert found == blocks


def test_googlenet_has_nine_inception_modules_of_four_branches():
    modules = kinds(build("googlenet"), Inception)
    assert len(modules) == 9
    for module in modules:
        kernels = [[m.kernel_size[0] for m in kinds(branch, nn.Conv2d)] for branch in module.branches]
        assert kernels == [[1], [1, 3], [1, 5], [1]]
        assert isinstance(module.branches[3][0], nn.MaxPool2d)
    assert [m.width for m in modules] == [n // 4 for n in (256, 480, 512, 512, 512, 528, 832, 832, 1024)]    # table 1


def test_resnet_has_bottlenecks_in_the_published_proportions():
    blocks = kinds(build("resnet-152"), Bottleneck)
    assert [len([b for b in blocks if b.residual[0].out_channels == w]) for w in (16, 32, 64, 128)] == [1, 2, 9, 1]
    assert [[m.kernel_size[0] for m in kinds(b.residual, nn.Conv2d)] for b in blocks] == [[1, 3, 1]] * 13
    assert sum(not isinstance(b.shortcut, nn.Identity) for b in blocks) == 4


def test_a_bottleneck_without_residual_is_the_identity_on_what_is_positive():
    block, x = Bottleneck(8, 2, stride=1), torch.rand(1, 8, 4, 4)
    for parameter in block.parameters():
        parameter.data.zero_()
    assert torch.equal(block(x), x)


def test_response_normalisation_is_torchs_own_in_the_unit_of_the_images():
    x = torch.randn(2, 7, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ours = ResponseNormalisation(7, alpha=1e-4, k=2.0)
    assert torch.allclose(ours(x), nn.LocalResponseNorm(5, alpha=ours.alpha, beta=0.75, k=2.0)(x))
    grey = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)
    assert torch.allclose(ours(x) * 58, grey(x * 58))
    assert not torch.allclose(ours(x), grey(x), rtol=1e-2)                  # unconverted it would do nothing
    assert "band" not in ours.state_dict()


def looks_at_the_batch(model: nn.Module) -> bool:
    x = images(4)
    with torch.no_grad():
        together, alone = model(x), torch.cat([model(x[i: i + 1]) for i in range(4)])
        others = model(torch.cat((x[:1], 1 - x[1:])))[0]
    return not (torch.allclose(together, alone, rtol=1e-4, atol=1e-5) and torch.allclose(others, together[0], rtol=1e-4,
                                                                                        atol=1e-5))


@pytest.mark.parametrize("name", NAMES)
def test_logits_do_not_depend_on_the_batch(name):
    model = seeded(name)
    assert model(images(2)).shape == (2, 43)
    assert not looks_at_the_batch(model)
    assert not kinds(model, nn.modules.batchnorm._BatchNorm)


def test_a_layer_that_standardises_over_the_batch_is_caught():
    model = seeded("vgg-f")
    model.features.append(nn.BatchNorm2d(96, track_running_stats=False))
    assert looks_at_the_batch(model.eval())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_inputs_are_finite_and_not_zero(name):
    x = images(2).requires_grad_()
    gradient, = torch.autograd.grad(seeded(name)(x).square().sum(), x)
    assert bool(torch.isfinite(gradient).all()) and bool((gradient.flatten(1).norm(dim=1) > 0).all())


@pytest.mark.parametrize("bad", [torch.zeros(1, 32, 32, 3), torch.zeros(1, 3, 28, 28), torch.zeros(3, 32, 32),
                                 torch.zeros(1, 3, 32, 32, dtype=torch.uint8)], ids=["channels last", "28", "one", "uint8"])
def test_other_images_are_refused(bad):
    with pytest.raises(InputError, match=r"expected floating point \(batch, 3, 32, 32\)"):
        build("caffenet")(bad)


def test_the_constants_are_part_of_the_state_and_survive_half_precision():
    model = build("vgg-16")
    model.standardise.set(mean=[0.1, 0.2, 0.3], deviation=[0.7, 0.8, 0.9])
    state = model.state_dict()
    for name in ("standardise.mean", "standardise.deviation"):
        assert torch.equal(state[name], state[name].half().float())


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match="known: caffenet, vgg-f"):
        build("alexnet")


def test_all_six_ship_within_ten_megabytes():
    assert PRESENT == NAMES
    sizes = [shipped(name)[2].stat().st_size for name in NAMES]
    assert max(sizes) < 2.5e6 and sum(sizes) < 10e6


@pytest.mark.parametrize("name", PRESENT)
def test_headers_say_how_the_weights_were_made(name):
    model, facts, _ = shipped(name)
    assert facts["recipe"] == f"recipes/signs.py --network {name}" and facts["reduced"] == FAMILIES[name].reduced
    assert {"seed", "steps", "batch", "data", "data_sha256", "data_licence", "augmentation"} <= facts.keys()
    assert float(facts["held_out_accuracy"].split()[0]) >= 0.9
    assert not looks_at_the_batch(model)


@pytest.mark.data
def test_accuracy_in_the_headers_is_measured_again(real_data):
    path = real_data / "gtsrb" / "gtsrb_32x32.npz"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with np.load(path, allow_pickle=False) as file:
        x = torch.from_numpy(file["test_images"]).permute(0, 3, 1, 2).float() / 255
        labels = torch.from_numpy(file["test_labels"].astype(np.int64))
    for name in PRESENT:
        model, facts, _ = shipped(name)
        with torch.no_grad():
            right = int((torch.cat([model(part) for part in x.split(421)]).argmax(1) == labels).sum())
        recorded = int(facts["held_out_accuracy"].split("(")[1].split()[0])
        assert abs(right - recorded) <= 2, name          # rounding may turn an image that lies on the boundary
        assert facts["data_sha256"] == digest
