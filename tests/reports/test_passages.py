"""What differs between two texts is marked, in both, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assay.reports.passages import SHOWN, differences

WORDS = st.lists(st.sampled_from(["back", "pain", "lumbago", "and", "fever", ".", "👩‍⚕️", "שלום"]), max_size=12).map(" ".join)


@given(WORDS, WORDS)
def test_the_pieces_are_the_texts_and_the_unmarked_ones_are_common(old, new):
    mine, theirs = differences(old, new)
    assert "".join(text for text, _ in mine) == old and "".join(text for text, _ in theirs) == new
    assert "".join(t for t, marked in mine if not marked).replace(" ", "") == \
        "".join(t for t, marked in theirs if not marked).replace(" ", "")


def test_a_phrase_is_one_piece():
    mine, theirs = differences("a heart attack.", "a myocardial infarction.")
    assert mine == (("a ", False), ("heart attack", True), (".", False))
    assert theirs == (("a ", False), ("myocardial infarction", True), (".", False))


def test_what_both_share_is_shortened_in_its_middle():
    mine, _ = differences("word " * 1000 + "old", "word " * 1000 + "new")
    assert len(mine[0][0]) < SHOWN + 10 and "…" in mine[0][0] and mine[-1] == ("old", True)
