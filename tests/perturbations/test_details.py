"""Details: exact contrast, places on anatomy, kernel details, images without room; each law beside a broken set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from assay.arrays import InputError
from assay.operators.algebra import Scaled
from assay.operators.fourier import MaskedFourier
from assay.operators.sensitivity import simulate_maps
from assay.operators.spectral_norm import operator_norm
from assay.perturbations.details import SHAPES, TISSUE, Details, stamp
from assay.perturbations.protocol import Examples, stream

SIDE = 40


def picture(seed: int = 0) -> Tensor:
    """A bright disc with texture and a slow phase on a black ground; peak about 3."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    disc = ((rows - 18) ** 2 + (columns - 21) ** 2 < 15**2).float()
    texture = 2 + torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return disc * texture * torch.exp(1j * (0.1 * rows + 0.05 * columns))


def examples(truth: Tensor | None = None) -> Examples:
    truth = torch.stack([picture(0), picture(1)]) if truth is None else truth
    operator = MaskedFourier(mask=torch.rand(truth.shape[1:], generator=torch.Generator().manual_seed(3)) < 0.4)
    noise = 0.05 * torch.randn(len(truth), *operator.range, dtype=torch.complex64,
                               generator=torch.Generator().manual_seed(4))
    return Examples(ids=tuple(f"s{i}" for i in range(len(truth))), truth=truth, operator=operator,
                    inputs=operator.forward(truth) + noise)


def details(x: Examples, **options) -> Details:
    return Details(operator=x.operator, **{"contrast": 0.3, "pixels": 5, **options})


def generators(x: Examples, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, sample) for sample in x.ids]


def contrast_is_exact(within: Details, x: Examples) -> None:
    """|d| = contrast · max|x| · stamp at the place, 0 elsewhere; d has the phase of the image at its centre."""
    p = within.sample(x, generators(x))
    drawn, form = within.draw(x, p), stamp(within.shape, within.pixels)
    for i, (row, column) in enumerate(p.long().tolist()):
        top, left = row - form.shape[0] // 2, column - form.shape[1] // 2
        expected = torch.zeros(SIDE, SIDE)
        expected[top: top + form.shape[0], left: left + form.shape[1]] = form * within.contrast * x.truth[i].abs().max()
        assert torch.allclose(drawn[i].abs(), expected, atol=1e-5)
        inside = expected > 0.1
        turned = drawn[i][inside] * x.truth[i, row, column].conj()
        assert torch.allclose(turned.imag / turned.abs(), torch.zeros(()), atol=1e-4)
        assert bool((turned.real > 0).all())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("contrast", [0.05, 0.3])
def test_contrast_is_exact(shape, contrast):
    x = examples()
    contrast_is_exact(details(x, shape=shape, contrast=contrast, pixels=5 if shape != "text" else 7), x)


@pytest.mark.parametrize("fault", ["contrast", "phase"])
def test_a_wrong_contrast_or_phase_is_caught(fault):
    class Broken(Details):
        def draw(self, x, p):
            return super().draw(x, p) * (1.02 if fault == "contrast" else 1j)

    x = examples()
    with pytest.raises(AssertionError):
        contrast_is_exact(Broken(operator=x.operator, contrast=0.3, pixels=5), x)


def test_a_black_pixel_in_the_middle_of_tissue_does_not_swallow_the_detail():
    truth = torch.full((1, 24, 24), 1.0, dtype=torch.complex64)
    truth[0, ::2, ::2] = 0
    x = examples(truth)
    drawn = details(x).draw(x, torch.tensor([[12.0, 12.0]]))
    assert float(drawn.abs().max()) == pytest.approx(0.3, rel=1e-2)


def tissue(image: Tensor) -> np.ndarray:
    """Where the 5×5 mean of the modulus is above the threshold, by scipy."""
    modulus = image.abs().double().numpy()
    return ndimage.uniform_filter(modulus, 5, mode="constant") > TISSUE * modulus.max()


def places_lie_on_anatomy(within: Details, x: Examples) -> None:
    """Every place that is offered holds the whole stamp on tissue, and no such place is left out."""
    height, width = stamp(within.shape, within.pixels).shape
    for image, found in zip(x.truth, within.places(x), strict=True):
        ground, expected = tissue(image), set()
        for top in range(SIDE - height + 1):
            for left in range(SIDE - width + 1):
                if ground[top: top + height, left: left + width].all():
                    expected.add((top + height // 2, left + width // 2))
        assert {(int(r), int(c)) for r, c in found.tolist()} == expected


@pytest.mark.parametrize("shape", ["blob", "bars", "text"])
def test_places_lie_wholly_on_anatomy(shape):
    x = examples()
    places_lie_on_anatomy(details(x, shape=shape, pixels=5 if shape != "text" else 6), x)


def test_places_beside_the_anatomy_are_caught():
    class Broken(Details):
        def places(self, x):
            return [found + 1 for found in super().places(x)]

    x = examples()
    with pytest.raises(AssertionError):
        places_lie_on_anatomy(Broken(operator=x.operator, pixels=5), x)


def test_random_and_neighbouring_places_are_places():
    x = examples()
    within = details(x)
    allowed = [{tuple(place) for place in found.tolist()} for found in within.places(x)]
    p = within.sample(x, generators(x))
    offered = [within.zero(x), p, *within.neighbours(x, p, 4.0)]
    assert len(offered) == 10
    assert all(tuple(q[i].tolist()) in allowed[i] for q in offered for i in range(2))
    assert all(tuple(q.shape) == (2, 2) for q in offered)


def test_random_places_do_not_depend_on_the_batch_and_differ_between_streams():
    x = examples()
    within = details(x)
    together = within.sample(x, generators(x))
    for i, sample in enumerate(x.ids):
        alone = replace(x, ids=(sample,), inputs=x.inputs[i: i + 1], truth=x.truth[i: i + 1])
        assert torch.equal(within.sample(alone, [stream(0, sample)])[0], together[i])
    assert len({tuple(within.sample(x, generators(x, seed))[0].tolist()) for seed in range(20)}) > 5


def test_the_detail_is_measured_with_the_noise_kept_and_the_truth_moved():
    x = examples()
    within = details(x)
    p = within.sample(x, generators(x))
    changed, drawn = within.apply(x, p), within.draw(x, p)
    assert torch.allclose(changed.truth - x.truth, drawn, atol=1e-6)
    assert torch.allclose(changed.inputs - x.inputs, x.operator.forward(drawn), atol=1e-5)
    assert float((changed.inputs - x.operator.forward(changed.truth)).abs().max()) > 0.01


def kernel_details_are_faint(within: Details, x: Examples, *, visible: float) -> None:
    """‖A d‖ is `visible` times that of the plain detail at the same place, and what is left out is in the row space."""
    p = within.sample(x, generators(x))
    hidden, plain = within.draw(x, p), replace(within, kernel=False).draw(x, p)
    shown = torch.linalg.vector_norm(x.operator.forward(hidden), dim=1)
    full = torch.linalg.vector_norm(x.operator.forward(plain), dim=1)
    assert torch.allclose(shown, visible * full, rtol=1e-3)
    kept = hidden - x.operator.adjoint(x.operator.forward(hidden))
    assert torch.allclose(kept, plain - x.operator.adjoint(x.operator.forward(plain)), atol=1e-5)


@pytest.mark.parametrize("visible", [0.05, 0.1, 0.5])
def test_kernel_details_are_faint_in_the_data_by_the_stated_factor(visible):
    x = examples()
    kernel_details_are_faint(details(x, shape="bars", kernel=True, visible=visible), x, visible=visible)


def test_a_kernel_detail_made_faint_by_shrinking_is_caught():
    class Shrunk(Details):
        def draw(self, x, p):
            return super().draw(x, p) if not self.kernel else self.visible * replace(self, kernel=False).draw(x, p)

    x = examples()
    with pytest.raises(AssertionError):
        kernel_details_are_faint(Shrunk(operator=x.operator, pixels=5, kernel=True, visible=0.1), x, visible=0.1)


def hides_in_any_operator(kind: type[Details], visible: float) -> None:
    """‖A d′‖ ≤ v‖A d‖ + ½·0.003‖A‖‖d‖ with coils and in any unit of the data, and the unit does not change d′."""
    x = examples()
    plain = MaskedFourier(mask=x.operator.mask, maps=simulate_maps(3, (SIDE, SIDE)))
    drawn = []
    for unit in (0.1, 1.0, 10.0):
        operator = Scaled(plain, unit)
        y = replace(x, inputs=operator.forward(x.truth), operator=operator)
        within = kind(operator=operator, contrast=0.3, pixels=5, kernel=True, visible=visible)
        p = within.sample(y, generators(y))
        hidden, shown = within.draw(y, p), replace(within, kernel=False).draw(y, p)
        top = operator_norm(operator)
        seen, full = (operator.forward(d).flatten(1).norm(dim=1) for d in (hidden, shown))
        assert bool((seen <= 1.05 * (visible * full + 0.0015 * top * shown.flatten(1).norm(dim=1))).all())
        drawn.append(hidden)
    assert torch.allclose(drawn[0], drawn[1], atol=2e-3) and torch.allclose(drawn[2], drawn[1], atol=2e-3)
    assert bool((drawn[1].flatten(1).norm(dim=1) > 0.1).all())


def test_kernel_details_hide_from_coils_and_in_any_unit():
    hides_in_any_operator(Details, 0.1)


def test_a_detail_hidden_by_the_adjoint_alone_is_caught():
    class ByAdjoint(Details):
        def draw(self, x, p):
            plain = replace(self, kernel=False)
            if not self.kernel:
                return super().draw(x, p)
            d = Details.draw(plain, x, p)
            return d - (1 - self.visible) * self.operator.adjoint(self.operator.forward(d))

    with pytest.raises(AssertionError):
        hides_in_any_operator(ByAdjoint, 0.1)


@pytest.mark.parametrize("image", ["dark", "speck", "one pixel"])
def test_an_image_without_room_is_refused_by_name(image):
    truth = torch.zeros(1, SIDE, SIDE, dtype=torch.complex64)
    if image == "speck":
        truth[0, 10:13, 10:13] = 1
    if image == "one pixel":
        truth[0, 10, 10] = 1
    x = examples(truth)
    with pytest.raises(InputError, match=r"'s0': no place where a 7×7 detail"):
        details(x).sample(x, generators(x))


def test_a_detail_larger_than_the_image_is_refused():
    x = examples()
    with pytest.raises(InputError, match="no place"):
        details(x, pixels=SIDE + 10).places(x)


@pytest.mark.parametrize(("shape", "pixels", "words"), [("star", 5, "unknown detail 'star'"), ("blob", 2, "at least 3")])
def test_unknown_and_too_small_details_are_refused(shape, pixels, words):
    with pytest.raises(InputError, match=words):
        stamp(shape, pixels)


def test_a_detail_without_a_true_image_is_refused():
    x = examples()
    with pytest.raises(InputError, match="true image"):
        details(x).zero(replace(x, truth=None))


@pytest.mark.parametrize("shape", SHAPES)
def test_stamps_lie_between_0_and_1_and_reach_both(shape):
    form = stamp(shape, 9)
    assert 0 <= float(form.min()) < 0.01 and 0.99 < float(form.max()) <= 1
