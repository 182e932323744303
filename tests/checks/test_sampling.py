"""Change of sampling: nothing but the mask changes, neither truth nor noise; beside a twin that forgets the noise."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

import small_audit
from assay.api import verify
from assay.checks import sampling
from assay.operators.fourier import MaskedFourier
from assay.operators.sensitivity import simulate_maps
from assay.perturbations.protocol import Examples, stream
from assay.store import FINDINGS, AuditFolder

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


# --- the witness is the mask, and is replayed ---

CHECK = """
question = "Does more data make the image worse?"
method = "sampling"
unit = "share of k-space sampled"
levels = [0.1, 0.25, 0.45]
metric = "relative-error"
controls = 2
criterion = { kind = "reaches", threshold = 0.01, sentence = "the error was large" }
"""


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampling")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(small_audit.CHECKS, "sampling", CHECK)
        return small_audit.run(small_audit.profile(folder, "sampling"), folder / "audit", limit=2)


def replayed(folder) -> tuple[bool, str]:
    claims = {claim.claim: claim for claim in verify(folder)}
    told = claims["replayed witnesses give the recorded numbers"]
    return told.holds, told.detail


def test_harm_by_a_change_of_sampling_has_witnesses_and_is_demonstrated(audited):
    assert all(row.witness for row in audited.store.findings())
    (verdict,) = [v for v in audited.verdicts if v.role == "audited"]
    assert verdict.harmed and verdict.witnesses
    assert "N4" not in audited.warning_label["headline"]["rule"]
    holds, detail = replayed(audited.folder)
    assert holds and "numbers in" in detail


@pytest.mark.parametrize(("change", "reason"), [
    (lambda mask: np.roll(mask, (7, 7), (0, 1)), "size recorded"),                 # lines that the audited mask has not
    (lambda mask: np.ones_like(mask), "worst recorded"),                           # nested, and of another share
    (lambda mask: mask * 3, "size recorded")])                                     # no mask at all
def test_a_witness_that_is_no_such_mask_is_refused(audited, tmp_path, change, reason):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    for path in (folder / "witnesses").glob("sampling~*"):
        save_file({name: change(value) for name, value in load_file(path).items()}, path)
    AuditFolder(folder).seal()
    holds, detail = replayed(folder)
    assert not holds and reason in detail, detail


def test_a_number_that_the_mask_does_not_give_is_refused(audited, tmp_path):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    for path in (folder / "parts").glob("sampling~*"):
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["worst"] *= 1.5
        pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), path)
    AuditFolder(folder).seal()
    holds, detail = replayed(folder)
    assert not holds and "worst recorded" in detail
