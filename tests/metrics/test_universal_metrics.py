"""What one change does to many inputs: definitions written again, closed forms of spectra, and refused input."""

from __future__ import annotations

import math

import pytest
import torch

from assay.arrays import InputError
from assay.metrics.universal import (
    cosines,
    directions_for,
    dominant,
    fooling_rate,
    leading_span,
    random_units,
    share_of_directions,
    singular_values,
    unit_normals,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_rate_share_and_entropy_are_those_counted_by_hand():
    before = torch.randint(0, 5, (200,), generator=generator())
    after = torch.randint(0, 5, (200,), generator=generator(1))
    new = [b for a, b in zip(before.tolist(), after.tolist(), strict=True) if a != b]
    shares = [new.count(k) / len(new) for k in range(5)]
    found = dominant(before, after)
    assert fooling_rate(before, after) == pytest.approx(len(new) / 200)
    assert found is not None and found.share == pytest.approx(max(shares)) and shares[found.label] == max(shares)
    assert found.entropy == pytest.approx(-sum(p * math.log2(p) for p in shares if p))


def test_entropy_is_nought_for_one_label_and_log_k_for_k_even_ones():
    before = torch.zeros(8, dtype=torch.long)
    one, even = dominant(before, before + 3), dominant(before, torch.tensor([1, 2, 3, 4] * 2))
    assert one is not None and (one.label, one.share, one.entropy) == (3, 1.0, 0.0)
    assert even is not None and (even.label, even.share, even.entropy) == (1, 0.25, 2.0)
    assert dominant(before, before) is None and fooling_rate(before, before) == 0.0


def test_unchanged_decisions_do_not_count_towards_the_dominant_label():
    before = torch.tensor([7, 7, 7, 7, 1])
    after = torch.tensor([7, 7, 7, 7, 2])
    found = dominant(before, after)
    assert found is not None and found.label == 2 and found.share == 1.0      # a count over all decisions would say 7


def test_singular_values_are_roots_of_the_gram_matrix_and_their_squares_sum_to_the_rows():
    rows = unit_normals(torch.randn(30, 2, 4, generator=generator()).double())
    values = singular_values(rows)
    gram = torch.linalg.eigvalsh(rows.T @ rows).flip(0).clamp_min(0).sqrt()
    assert rows.shape == (30, 8) and torch.allclose(values, gram)
    assert float(values.square().sum()) == pytest.approx(30.0)


def test_normals_of_a_plane_need_two_directions_and_random_ones_nearly_all():
    plane = torch.randn(100, 2, generator=generator()).double() @ torch.randn(2, 50, generator=generator(1)).double()
    values = singular_values(unit_normals(plane))
    assert directions_for(values, 1 - 1e-9) == 2 and share_of_directions(values, 1 - 1e-9) == 0.04
    random = singular_values(random_units(4000, 50, generator()).double())
    assert share_of_directions(random, 0.9) == pytest.approx(0.9, abs=0.04)   # n ≫ d: no direction is favoured
    basis = leading_span(unit_normals(plane), 2)
    assert torch.allclose(basis @ basis.T, torch.eye(2).double(), atol=1e-12)
    assert torch.allclose(plane @ basis.T @ basis, plane)                     # the span holds every normal


def test_flips_without_a_direction_are_left_out():
    flips = torch.tensor([[0.0, 0.0], [0.0, -5.0], [torch.inf, 1.0], [torch.nan, 0.0]])
    assert unit_normals(flips).tolist() == [[0.0, -1.0]]


def test_random_units_have_norm_one_and_obey_the_generator():
    one = random_units(5, 7, generator(3))
    assert torch.allclose(one.norm(dim=1), torch.ones(5)) and torch.equal(one, random_units(5, 7, generator(3)))
    assert not torch.equal(one, random_units(5, 7, generator(4)))


def test_cosines_match_a_second_form_and_ignore_size():
    v = torch.randn(4, 3, 2, generator=generator())
    v[3] = 0
    for i in range(4):
        for j in range(4):
            second = torch.nn.functional.cosine_similarity(v[i].flatten(), v[j].flatten(), dim=0)
            assert float(cosines(v)[i, j]) == pytest.approx(float(second), abs=1e-6)
    assert torch.allclose(cosines(v), cosines(100 * v)) and float(cosines(v)[3, 3]) == 0.0


@pytest.mark.parametrize("call, words", [
    (lambda: fooling_rate(torch.tensor([0, 1]), torch.tensor([0])), "same inputs"),
    (lambda: fooling_rate(torch.tensor([0.5, 1.0]), torch.tensor([0, 1])), "before"),
    (lambda: dominant(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)), "before"),
    (lambda: singular_values(torch.zeros(0, 3)), "at least one row"),
    (lambda: directions_for(torch.zeros(3)), "not all 0"),
    (lambda: directions_for(torch.ones(3), 0.0), "energy"),
    (lambda: leading_span(torch.ones(2, 3), 3), "count")])
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(InputError, match=words):
        call()
