"""Verification by embedding and threshold: the angle by hand, statistics of cepstra, voices, and the shipped ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from assay.datasets.sounds import bundled_voices
from assay.datasets.voices import PARTS, person, voices
from assay.numerics.binary import auroc
from assay.systems import catalogue
from assay.systems.verification import CepstralStatistics, Verifier


def test_the_score_is_a_line_in_the_cosine():
    verifier = Verifier(nn.Identity(), template=torch.tensor([0.0, 2.0]), slope=4.0, offset=-1.0)
    angles = torch.tensor([0.0, 30.0, 90.0, 180.0]).deg2rad()
    x = torch.stack((angles.sin(), angles.cos()), dim=1) * torch.tensor([[3.0], [1.0], [0.5], [7.0]])
    expected = [4 * c - 1 for c in (1.0, math.sqrt(3) / 2, 0.0, -1.0)]
    assert torch.allclose(verifier(x), torch.stack((torch.zeros(4), torch.tensor(expected)), 1), atol=1e-6)


def test_statistics_are_means_and_deviations_over_time():
    module = CepstralStatistics(kept=2)
    waves = torch.randn(3, 8000, generator=torch.Generator().manual_seed(0)) * 0.1
    cepstra = module.cepstra(waves).numpy().astype(np.float64)
    expected = np.concatenate((cepstra.mean(1), cepstra.std(1, ddof=1)), axis=1)
    assert np.allclose(module.statistics(waves).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_voices_are_the_same_again_and_parts_share_no_clip_and_no_stranger():
    first, again = voices("audited"), voices("audited")
    assert all((a.samples == b.samples).all() and a.label == b.label for a, b in zip(first, again, strict=True))
    assert sum(clip.label for clip in first) == PARTS["audited"][1]
    seen = [clip.samples.tobytes() for part in PARTS for clip in voices(part)]
    assert len(set(seen)) == len(seen)


def test_a_person_differs_from_another_in_pitch_and_formants_alone():
    one, two = person(1), person(2)
    assert one == person(1) and one.own != two.own and one.pitch != two.pitch
    assert all(0.92 <= factor <= 1.08 for factor in (*one.own, *two.own))


@pytest.mark.parametrize("name", ["voices-res8", "voices-cepstra"])
def test_the_shipped_ones_know_the_enrolled_person(name):
    """By rank better than 0.9 of 1; with the shipped threshold fewer than one in five wrong on either side."""
    data = bundled_voices()
    x = data.fetch(range(len(data.ids)))
    system = catalogue.load(name, role="audited").system
    with torch.no_grad():
        scores = system(x.inputs)
    assert torch.equal(scores[:, 0], torch.zeros(len(x)))
    assert auroc(scores[:, 1].tolist(), x.truth.tolist()) > 0.9
    for label in (0, 1):
        assert float((scores.argmax(1) != label)[x.truth == label].double().mean()) < 0.2


def test_a_search_can_follow_the_gradient():
    data = bundled_voices()
    x = data.fetch([0, 1]).inputs.requires_grad_(True)
    for name in ("voices-res8", "voices-cepstra"):
        (gradient,) = torch.autograd.grad(catalogue.load(name, role="audited").system(x)[:, 1].sum(), x)
        assert bool(torch.isfinite(gradient).all()) and bool((gradient.abs().amax(1) > 0).all())
