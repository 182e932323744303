"""Phrases scored by CTC: every path counted by hand, gradients, what is refused, and the shipped network that spells."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from assay.arrays import InputError
from assay.datasets.sounds import bundled_commands
from assay.systems import catalogue
from assay.systems.ctc import CtcPhrases, collapsed, phrase_scores, spelled

PHRASES = ([1], [2], [1, 2], [1, 1], [2, 1, 2], [1, 2, 2])


def by_paths(logits: torch.Tensor, phrase: list[int], merge: bool = True) -> float:
    """log of the sum over all paths, each looked at by itself; without `merge` a broken twin that merges nothing."""
    log_p, total = logits.double().log_softmax(1), 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        seen = collapsed(path) if merge else [symbol for symbol in path if symbol]
        if seen == phrase:
            total += math.exp(sum(float(log_p[t, symbol]) for t, symbol in enumerate(path)))
    return math.log(total) if total else -math.inf


def targets(phrases=PHRASES):
    longest = max(map(len, phrases))
    return (torch.tensor([[*p, *[0] * (longest - len(p))] for p in phrases]), torch.tensor([len(p) for p in phrases]))


def agree(found, logits, **options):
    for i, one in enumerate(logits):
        for k, phrase in enumerate(PHRASES):
            assert abs(float(found[i, k]) - by_paths(one, phrase, **options)) < 1e-5


@pytest.mark.parametrize("frames", [4, 5, 6])
def test_scores_are_sums_over_all_paths(frames):
    logits = 2 * torch.randn(3, frames, 3, generator=torch.Generator().manual_seed(frames))
    found = phrase_scores(logits, *targets())
    agree(found, logits)
    with pytest.raises(AssertionError):
        agree(found, logits, merge=False)


def test_the_probabilities_of_all_phrases_sum_to_one():
    logits = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(0))
    every = [list(p) for n in (1, 2, 3) for p in itertools.product((1, 2), repeat=n)
             if n + sum(a == b for a, b in itertools.pairwise(p)) <= 3]
    empty = math.exp(float(logits.double().log_softmax(2)[0, :, 0].sum()))
    assert abs(float(phrase_scores(logits, *targets(every)).double().exp().sum()) + empty - 1) < 1e-6


def test_the_gradient_is_the_derivative():
    logits = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: phrase_scores(x, *targets()), logits)


def test_too_few_frames_are_refused_where_equal_letters_need_a_blank_between():
    logits = torch.zeros(1, 2, 3)
    assert phrase_scores(logits, *targets([[1, 2]])).isfinite().all()
    with pytest.raises(InputError, match="2 frames are too few"):
        phrase_scores(logits, *targets([[1, 1]]))


@pytest.mark.parametrize(("phrases", "letters", "reason"), [
    ([], "ab", "all different"), (["a"], "aa", "all different"), ([""], "ab", "phrase ''"), (["c"], "ab", "phrase 'c'")])
def test_lists_that_make_no_sense_are_refused(phrases, letters, reason):
    with pytest.raises(InputError, match=reason):
        CtcPhrases(nn.Identity(), phrases=phrases, letters=letters)


def test_a_module_with_other_outputs_is_refused():
    with pytest.raises(InputError, match=r"logits \(batch, frames, 3\)"):
        CtcPhrases(nn.Identity(), phrases=["a"], letters="ab")(torch.zeros(1, 4, 2))


def test_what_is_written_is_the_likeliest_symbol_of_each_frame_collapsed():
    logits = torch.zeros(1, 6, 3)
    for frame, symbol in enumerate([1, 1, 0, 1, 2, 2]):
        logits[0, frame, symbol] = 1
    assert CtcPhrases(nn.Identity(), phrases=["a"], letters="ab").written(logits) == ["aab"]


def test_the_shipped_network_writes_and_decides_what_was_said():
    data = bundled_commands()
    x = data.fetch(range(len(data.ids)))
    system = catalogue.load("commands-ctc", role="audited").system
    words = [data.classes[label] for label in data.labels]
    with torch.no_grad():
        decided = system(x.inputs).argmax(1)
    assert int((decided == x.truth).sum()) >= 98
    written = system.module.spoken.written(x.inputs)
    assert sum(a == b for a, b in zip(written, words, strict=True)) >= 95


def test_a_network_keeps_its_phrases_among_its_weights():
    module = spelled(["ab", "ba"])
    assert module.state_dict()["vocabulary"].dtype == torch.uint8
    assert module(torch.zeros(2, 8000)).shape == (2, 2)
