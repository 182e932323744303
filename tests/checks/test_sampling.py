"""Change of sampling: nothing but the mask changes, neither truth nor noise; beside a twin that forgets the noise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from assay.checks import sampling
from assay.operators.fourier import MaskedFourier
from assay.operators.sensitivity import simulate_maps
from assay.perturbations.protocol import Examples, stream

SIDE = 32


def examples(coils: int) -> Examples:
    generator = torch.Generator().manual_seed(1)
    maps = simulate_maps(coils, (SIDE, SIDE)) if coils > 1 else None
    operator = MaskedFourier(mask=torch.rand(SIDE, SIDE, generator=generator) < 0.4, maps=maps)
    truth = torch.randn(2, SIDE, SIDE, dtype=torch.complex64, generator=generator)
    clean = operator.forward(truth)
    return Examples(ids=("a", "b"), truth=truth, operator=operator,
                    inputs=clean + 0.1 * torch.randn(clean.shape, dtype=clean.dtype, generator=generator))


def full_data_are_right(complete, coils: int, rtol: float = 0.15) -> None:
    x = examples(coils)
    assert isinstance(x.operator, MaskedFourier)
    full = complete(x.operator, x, [stream(0, sample) for sample in x.ids])
    seen = x.operator.mask.flatten()
    assert torch.equal(full[..., seen], x.inputs)
    clean = MaskedFourier(mask=torch.ones(SIDE, SIDE, dtype=torch.bool), maps=x.operator.maps).forward(x.truth)
    noise = (full - clean)[..., ~seen].flatten(1)
    assert torch.allclose(noise.abs().square().mean(1), torch.full((2,), 0.01), rtol=rtol)


@pytest.mark.parametrize("coils", [1, 4])
def test_the_audited_data_are_part_of_the_full_and_the_rest_is_as_noisy(coils):
    full_data_are_right(sampling._full_data, coils)


def test_what_the_maps_do_not_explain_is_not_taken_for_noise():
    """A tenth of the coefficients is far off, as low frequencies are under imperfect maps."""
    def spoilt(operator: MaskedFourier, x: Examples, generators: Sequence[torch.Generator]) -> Tensor:
        inputs = x.inputs.clone()
        inputs[..., : inputs.shape[-1] // 10] += 5
        full = sampling._full_data(operator, x.changed(inputs=inputs, truth=x.truth), generators)
        return torch.where(operator.mask.flatten(), operator.embed(x.inputs).flatten(-2), full)

    full_data_are_right(spoilt, 4, rtol=0.5)         # their mean power is 250 times that of the noise


def without_noise(operator: MaskedFourier, x: Examples, generators: Sequence[torch.Generator]) -> Tensor:
    return sampling._full_data(operator, x.changed(inputs=operator.forward(x.truth), truth=x.truth), generators)


def test_data_that_lose_their_noise_with_the_mask_are_caught():
    with pytest.raises(AssertionError):
        full_data_are_right(without_noise, 1)
