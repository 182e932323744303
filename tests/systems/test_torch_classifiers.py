"""A user's own module: what it is given, what it returns, and what is said where the two do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from assay.arrays import InputError
from assay.metrics.classification import decision
from assay.metrics.losses import margin
from assay.records import Access
from assay.systems import catalogue
from assay.systems.function import FunctionSystem
from assay.systems.torch import TorchSystem, TwoClass

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))


class WantsChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = convolution()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.permute(0, 3, 1, 2))


def test_uint8_images_are_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"torch.uint8.*images.float\(\) / 255"):
        TorchSystem(convolution())((IMAGES * 255).to(torch.uint8))


@pytest.mark.parametrize(("module", "images", "words"), [
    (convolution(), IMAGES.permute(0, 2, 3, 1), r"channels last, and the module wants them first.*permute\(0, 3, 1, 2\)"),
    (WantsChannelsLast(), IMAGES, "channels first, and the module seems to want them last.*layout=\"NHWC\""),
    (convolution(), IMAGES[:, :1], r"1 channels, and the module wants 3.*Preprocessing\(channels=3\)"),
])
def test_a_wrong_order_or_number_of_channels_is_recognised(module, images, words):
    with pytest.raises(InputError, match=words):
        TorchSystem(module)(images)


def test_another_error_of_the_module_is_left_as_it_is():
    """Images of another size break the last layer, not the channels: torch's own words are the better ones."""
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        TorchSystem(convolution())(IMAGES[..., :6])
    assert not isinstance(caught.value, InputError)


def test_a_module_without_weights_is_refused():
    with pytest.raises(InputError, match="meta device"):
        TorchSystem(convolution().to("meta"))(IMAGES)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: a module on another device cannot be run here")
def test_a_module_on_another_device_gives_the_same_scores_and_gradients_here():
    module = convolution()
    here, leaf = TorchSystem(module)(IMAGES).detach(), IMAGES.clone().requires_grad_(True)
    there = TorchSystem(module.to("cuda"))(leaf)
    (gradient,) = torch.autograd.grad(there[:, 0].sum(), leaf)
    assert there.device.type == gradient.device.type == "cpu"
    torch.testing.assert_close(there, here, atol=1e-5, rtol=1e-4)


def test_two_classes_of_one_logit_decide_by_its_sign_and_keep_its_gradient():
    z = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 1))
    two, leaf = TwoClass(z), IMAGES.clone().requires_grad_(True)
    scores = two(leaf)
    assert scores.shape == (3, 2) and two.access is Access.GRADIENT and two.name == "Sequential"
    assert torch.equal(decision(scores), (z(IMAGES)[:, 0] > 0).long())
    (gradient,) = torch.autograd.grad(margin(scores, torch.zeros(3, dtype=torch.int64)).sum(), leaf)
    torch.testing.assert_close(gradient.flatten(1), z[1].weight.detach().expand(3, -1))


def test_two_classes_of_a_probability_are_its_logarithms():
    p = torch.tensor([[0.25], [1.0], [0.0]])
    scores = TwoClass(FunctionSystem(lambda x: p), output="probability")(IMAGES)
    assert torch.isfinite(scores).all() and decision(scores).tolist() == [0, 1, 0]
    torch.testing.assert_close(scores[0].exp(), torch.tensor([0.75, 0.25]))


@pytest.mark.parametrize(("output", "value", "words"), [
    ("probability", 3.0, "no probabilities.*output=\"logit\""), ("odds", 0.0, "known: logit, probability")])
def test_what_is_no_probability_is_refused(output, value, words):
    with pytest.raises(InputError, match=words):
        TwoClass(FunctionSystem(lambda x: torch.full((len(x), 1), value)), output=output)(IMAGES)


def test_two_classes_are_not_made_of_many():
    with pytest.raises(InputError, match="not one number for each input; leave out TwoClass"):
        TwoClass(convolution())(IMAGES)


def test_what_is_wrapped_and_how_both_enter_the_digest():
    module = nn.Linear(2, 1)
    digests = {catalogue.adopt(s, role="audited").record.digest
               for s in (TwoClass(module), TwoClass(module, output="probability"), TwoClass(nn.Linear(2, 1)))}
    assert len(digests) == 3
