"""Mistyped words: one edit inside the word, first and last letter kept, and only words that may be touched."""

from __future__ import annotations

import string

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.arrays import InputError
from assay.numerics.texts import encode
from assay.perturbations.protocol import ChoiceSet, Examples
from assay.perturbations.substitutions import Mistyped
from assay.perturbations.typing_errors import KINDS, mistyped, neighbours, spellings
from assay.perturbations.written import texts_of

WORDS = st.text(string.ascii_letters, min_size=4, max_size=12)


def distance(a: str, b: str) -> int:
    """Damerau and Levenshtein's, with swaps of neighbours as one edit."""
    table = {(i, j): max(i, j) for i in range(len(a) + 1) for j in range(len(b) + 1) if 0 in (i, j)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            steps = [table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1])]
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                steps.append(table[i - 2, j - 2] + 1)
            table[i, j] = min(steps)
    return table[len(a), len(b)]


@given(WORDS)
def test_every_spelling_is_one_edit_inside_the_word(word):
    found = spellings(word)
    assert len(set(found)) == len(found) and word not in found
    for spelling in found:
        assert distance(word, spelling) == 1
        assert (spelling[0], spelling[-1]) == (word[0], word[-1])


def test_keys_beside_each_other_are_so_both_ways():
    for letter in string.ascii_lowercase:
        assert neighbours(letter) and all(letter in neighbours(other) for other in neighbours(letter))


@pytest.mark.parametrize(("text", "words"), [
    ("Known back pain.", ["Known", "back", "pain"]), ("the 45-year-old man's B12 low", []),
    ("read by Doctor Smith", ["read"]),
    ("denies fever without cough", ["fever", "cough"]), ("SEVERE PAIN", ["SEVERE", "PAIN"]), ("היה כאב", []),
])
def test_which_words_may_be_mistyped(text, words):
    assert [text[slot.start: slot.end] for slot in mistyped(text)] == words


def test_the_set_is_one_of_choices_and_changes_no_other_word():
    x = Examples(ids=("a",), inputs=torch.from_numpy(encode(["Known back pain."])))
    within = Mistyped(most=1, kinds=("swap",))
    assert isinstance(within, ChoiceSet) and within.choices(x).tolist() == [[2, 1, 1]]
    assert texts_of(within.apply(x, torch.tensor([[0, 1, 0]]))) == ("Known bcak pain.",)
    assert int(Mistyped(most=1).choices(x).sum()) == sum(len(spellings(word)) for word in ("Known", "back", "pain"))
    with pytest.raises(InputError, match="unknown 'slip'"):
        Mistyped(most=1, kinds=("slip",))
    assert KINDS == ("swap", "omit", "double", "key")
