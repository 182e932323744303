"""What is written freely: letter by letter, before and after a change, and how many edits that is from what was asked."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from assay.checks.written import letters_wrong, with_texts, writer, written_texts
from assay.metrics.protocol import Response
from assay.metrics.sound import hidden_word
from assay.numerics.texts import decode, edits
from assay.perturbations.protocol import Examples
from assay.records import Finding
from assay.systems.ctc import CtcPhrases
from assay.systems.metered import Metered
from assay.systems.torch import TorchSystem

PHRASES = ("ab", "b")


class Spells(nn.Module):
    """Three frames of logits straight from the sound: 9 samples are 3 symbols (a blank, a, b) at 3 times."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (3, 3))


def heard(*paths: str) -> Tensor:
    """Sounds whose frames are most probably these symbols, "-" the blank."""
    return torch.stack([torch.eye(3)[["-ab".index(c) for c in path]].flatten() for path in paths])


def system() -> Metered:
    return Metered(TorchSystem(CtcPhrases(Spells(), phrases=PHRASES, letters="ab"), name="net"), name="net")


def examples() -> Examples:
    return Examples(ids=("one", "two"), inputs=heard("aab", "-b-"), truth=torch.tensor([0, 1]), rate=8)


def by_recursion(one: str, other: str) -> int:
    @functools.cache
    def least(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        return min(least(i - 1, j) + 1, least(i, j - 1) + 1, least(i - 1, j - 1) + (one[i - 1] != other[j - 1]))
    return least(len(one), len(other))


def is_edits(count) -> None:
    chosen = random.Random(0)
    for _ in range(200):
        one, other = ("".join(chosen.choices("abc", k=chosen.randrange(7))) for _ in range(2))
        assert count(one, other) == by_recursion(one, other)


def test_edits_are_the_least_insertions_deletions_and_replacements():
    is_edits(edits)
    for broken in (lambda a, b: sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b)),
                   lambda a, b: abs(len(a) - len(b)), lambda a, b: edits(a, b) + (a[:1] != b[:1])):
        with pytest.raises(AssertionError):
            is_edits(broken)


def test_what_is_written_before_and_after_is_kept_as_text():
    plain = Metered(TorchSystem(nn.Flatten(), name="other"), name="other")
    found = written_texts({"net": system(), "other": plain}, examples().inputs, heard("bab", "---"))
    assert set(found) == {"written:net", "written-normal:net"}
    assert [text.strip() for text in decode(found["written-normal:net"].numpy())] == ["ab", "b"]
    assert [text.strip() for text in decode(found["written:net"].numpy())] == ["bab", ""]
    assert writer(plain) is None and writer(system()).phrases == PHRASES


def test_letters_wrong_are_counted_against_what_was_asked():
    x = examples()
    changed = x.changed(inputs=heard("bab", "---"), truth=x.truth)
    target = system()
    own = Response(output=target(changed.inputs), changed=changed, normal=target(x.inputs), original=x)
    assert hidden_word(x, 2).tolist() == [1, 0]
    hidden = letters_wrong(target, "heard-as", own)
    assert hidden["written-error.normal"].tolist() == [0.0, 0.0]
    assert hidden["written-error.worst"].tolist() == [2.0, 1.0]           # "bab" is two edits from "b", "" two from "ab"
    assert letters_wrong(target, "error-rate", own)["written-error.worst"].tolist() == [0.5, 1.0]
    plain = Metered(TorchSystem(nn.Flatten(), name="other"), name="other")
    assert letters_wrong(plain, "heard-as", own) == {}


def test_rows_keep_what_was_written_before_and_after():
    x, rows = examples(), [replace(row(sample), worst=worst) for sample, worst in (("a", 1.0), ("b", None))]
    kept = with_texts(rows, system(), x.inputs, heard("bab", "---"))
    assert kept[0].texts == {"written.normal": "ab", "written.worst": "bab"} and kept[1].texts == {"written.normal": "b"}
    assert with_texts(rows, Metered(TorchSystem(nn.Flatten(), name="other"), name="other"), x.inputs, x.inputs) == rows


def row(sample: str) -> Finding:
    return Finding.empty(check="c", system="net", role="audited", sample=sample, unit="dB", metric="m", better="lower")
