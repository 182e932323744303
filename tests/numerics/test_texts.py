"""Texts as code points: nothing is lost, whatever the letters; what is no text is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.numerics.texts import decode, encode

TEXTS = st.lists(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30), max_size=5)


@given(TEXTS)
def test_every_text_comes_back(texts):
    assert decode(encode(texts)) == tuple(texts)


def test_right_to_left_and_emoji_and_combining_letters_come_back():
    texts = ["שלום עולם", "كشف الصدر", "👩‍⚕️ 🩻", "e\u0301tude", "ﬁ"]
    assert decode(encode(texts)) == tuple(texts)


def test_shorter_texts_are_padded_and_an_array_of_padding_is_the_empty_text():
    assert encode(["abc", ""]).tolist() == [[97, 98, 99], [0, 0, 0]]
    assert decode(np.zeros((1, 4), dtype=np.int32)) == ("",)


@pytest.mark.parametrize(("text", "words"), [("a\0b", "NUL"), ("a\ud800", "lone surrogate")])
def test_what_is_no_text_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        encode(["fine", text])
