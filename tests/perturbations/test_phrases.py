"""Where a phrase may be replaced: whole words, never negated, never part of a name, never beside a number; case kept."""

from __future__ import annotations

import re
import sys

import pytest

from assay.arrays import InputError
from assay.perturbations import phrases
from assay.perturbations.phrases import load_table, rewrite, slots, table_from

TABLE = table_from(b"""phrase,alternative,grade,source
back pain,lumbago,same,x
low back pain,lumbago,same,x
heart attack,myocardial infarction,same,x
stroke,apoplexy,same,x
fever,pyrexia,same,x
alcohol abuse,alcohol dependence,disputed,x
""", "mine")


def said(text: str, grades: tuple[str, ...] = phrases.GRADES) -> list[tuple[str, list[str]]]:
    return [(text[s.start: s.end], [a.text for a in s.alternatives]) for s in slots(text, TABLE, grades)]


@pytest.mark.parametrize(("text", "found"), [
    ("Known back pain.", [("back pain", ["lumbago"])]),
    ("Back  pain\nsince May", [("Back  pain", ["Lumbago"])]),                   # any blank between the words
    ("LOW BACK PAIN", [("LOW BACK PAIN", ["LUMBAGO"])]),                        # the longest phrase
    ("lumbago", [("lumbago", ["back pain", "low back pain"])]),                 # both directions, no chains
    ("A stroke in May", [("A stroke", ["An apoplexy"])]),                       # the article goes with it
    ("strokes, heatstroke, post-stroke", []),                                   # whole words only
    ("No fever. Back pain.", [("Back pain", ["Lumbago"])]),                     # the negation ends with its sentence
    ("No fever, but back pain", [("back pain", ["lumbago"])]),                  # and with a turn
    ("Denies fever and back pain", []),
    ("Stroke was ruled out", []),
    ("Negative for fever", []),
    ("without any back pain at all", []),
    ("seen by Dr. Stroke", []),
    ("the Heart Attack Grill", []),
    ("moved to Stroke unit", []),
    ("fever 39", []),
    ("3 fever", []),
    ("2-fever", []),
    ("no-one saw the fever", []),                                               # cautious: "no" stands in the clause
])
def test_places(text, found):
    assert said(text) == found


def test_grades_leave_out_what_is_disputed():
    assert said("alcohol abuse", ("same",)) == []
    assert said("alcohol abuse") == [("alcohol abuse", ["alcohol dependence"])]


def test_a_search_without_the_rule_on_negation_would_be_caught(monkeypatch):
    monkeypatch.setattr(phrases, "_negated", lambda before, after: False)
    assert slots.__wrapped__("Denies fever", TABLE) != ()


def test_only_the_chosen_places_change():
    text = "Back pain, then a stroke; fever."
    places = slots(text, TABLE)
    assert [text[s.start: s.end] for s in places] == ["Back pain", "a stroke", "fever"]
    assert rewrite(text, places, (0, 0, 0)) == text
    assert rewrite(text, places, (1, 0, 1)) == "Lumbago, then a stroke; pyrexia."
    assert rewrite(text, places, (-1, 1, 0)) == ", then an apoplexy; fever."


def test_a_text_of_a_megabyte_is_searched():
    text = "Known back pain. " * 60_000
    assert len(slots(text, TABLE)) == 60_000


@pytest.mark.parametrize(("content", "words"), [
    (b"", "no rows"),
    (b"phrase,alternative\na,b\n", "column 'grade' is missing"),
    (b"phrase,alternative,grade,source\na,b,good,x\n", "line 2: grade 'good'"),
    (b"phrase,alternative,grade,source\na,A,same,x\n", "its own alternative"),
    (b"phrase,alternative,grade,source\n10 mg,20 mg,same,x\n", "numbers, doses and codes"),
    (b"phrase,alternative,grade,source\n ,b,same,x\n", "phrase is empty"),
    (b"phrase,alternative,grade,source\nf\xe9vrier,b,same,x\n", "not UTF-8"),
])
def test_bad_tables_are_refused_by_line(content, words):
    with pytest.raises(InputError, match=words):
        table_from(content, "mine.csv")


def test_cycles_and_repeated_rows_do_no_harm():
    table = table_from(b"phrase,alternative,grade,source\na a,b b,same,x\nb b,c c,same,x\nc c,a a,same,x\n"
                       b"a a,b b,near,y\n", "t")
    assert {p: [a.text for a in found] for p, found in table.entries.items()} == {
        "a a": ["b b", "c c"], "b b": ["a a", "c c"], "c c": ["b b", "a a"]}


def test_the_shipped_table_names_a_source_for_every_row_and_holds_the_slides_pairs():
    table = load_table("clinical")
    assert [a.text for a in table.entries["back pain"] if a.grade == "same"] == ["lumbago"]
    assert ("alcohol dependence", "disputed") in [(a.text, a.grade) for a in table.entries["alcohol abuse"]]
    with pytest.raises(InputError, match="known are clinical, spelling and icd10cm"):
        load_table("no-such-table")
    with pytest.raises(InputError, match="cannot be read"):
        load_table("/no/such/table.csv")


def test_spellings_go_both_ways_and_never_in_a_name():
    table = load_table("spelling")
    found = slots("Anaemia and oedema. Seen by Dr. Gray.", table)
    assert [s.alternatives[0].text for s in found] == ["Anemia", "edema"]


def test_inclusion_terms_of_icd_10_cm_are_a_table_where_the_package_is_installed():
    pytest.importorskip("simple_icd_10_cm", reason="simple-icd-10-cm is not installed: pip install 'assay[icd]'")
    table = load_table("icd10cm")
    assert len(table.entries) > 5000 and "varicella without complication" in [a.text for a in table.entries["varicella"]]
    assert all(a.grade == "near" and a.text.lower() != phrase for phrase, found in table.entries.items() for a in found)
    assert not any(re.search(r"\d|\bother\b", phrase) for phrase in table.entries)


def test_without_the_package_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "simple_icd_10_cm", None)
    with pytest.raises(InputError, match="needs the package simple-icd-10-cm"):
        phrases.load_table.__wrapped__("icd10cm")


def whole_sentence(text, start, end, ends):
    """What stands around a phrase, however far."""
    return text[:start], text[end:]


def test_a_long_sentence_is_not_copied_for_each_of_its_phrases(monkeypatch):
    """A note of a megabyte in one sentence took minutes; what is read near a phrase decides as the whole sentence does."""
    table = table_from(b"phrase,alternative,grade,source\nback pain,lumbago,same,x\n", "mine")
    text = "with back pain " * 500 + "and no fever or back pain " + "but with back pain " * 500
    start = text.index("back pain", 7000)
    assert max(map(len, phrases._around(text, start, start + 9, [0, len(text)]))) <= 2 * phrases.FAR
    found = [slot.start for slot in slots(text, table)]
    assert len(found) == 1000 and text.index("no fever or ") + 12 not in found
    monkeypatch.setattr(phrases, "_around", whole_sentence)
    assert max(map(len, phrases._around(text, start, start + 9, [0, len(text)]))) > 2 * phrases.FAR
    slots.cache_clear()
    assert [slot.start for slot in slots(text, table)] == found
