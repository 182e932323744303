"""Synonyms of a WordNet, from a few lines in Princeton's format: what stands for what, in which form, and what stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assay.arrays import InputError
from assay.perturbations import wordnet
from assay.perturbations.phrases import load_table, slots

LICENCE = "  1 This software and database is being provided to you, the LICENSEE\n"
# offset: (lexicographer file, words); senses are lines of an index, the most frequent first
SYNSETS = {
    "noun": {
        "00000001": ("26", "hypertension high_blood_pressure"), "00000002": ("26", "biopsy tissue_test"),
        "00000003": ("26", "worry headache"), "00000004": ("26", "headache cephalalgia"),
        "00000005": ("23", "dozen twelve"), "00000006": ("23", "milligram mg"),
        "00000007": ("18", "Einstein genius_of_science"), "00000008": ("05", "ox oxen_beast"),
        "00000009": ("04", "record account"), "00000010": ("26", "affliction absence"),
        "00000011": ("13", "vitamin_B12 cobalamin")},
    "verb": {
        "00000101": ("32", "diagnose recognise_illness"), "00000102": ("30", "stop halt"), "00000103": ("29", "record log"),
        "00000104": ("30", "carry_out execute"), "00000105": ("30", "begin commence"), "00000106": ("30", "deny disclaim")},
    "adj": {
        "00000201": ("00", "painful hurtful"), "00000202": ("00", "asleep(p) sleeping(a)"),
        "00000203": ("00", "unlikely doubtful")},
    "adv": {"00000301": ("02", "quickly rapidly"), "00000302": ("02", "again anew")}}
SENSES = {"headache": ["00000003", "00000004"]}
EXCEPTIONS = {"noun": "oxen ox\n", "verb": "stopped stop\nstopping stop\nbegan begin\nbegun begin\nbeginning begin\n",
              "adj": "", "adv": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path, SYNSETS)


def made(path: Path, synsets: dict) -> Path:
    for part, found in synsets.items():
        letter = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}[part]
        lemmas: dict[str, list[str]] = {}
        rows = []
        for offset, (file, words) in found.items():
            told = words.split()
            said = " ".join(f"{word} 0" for word in told)
            pointer = "001 @i 00000001 n 0000" if "Einstein" in words else "000"
            rows.append(f"{offset} {file} {letter} {len(told):02x} {said} {pointer} | a gloss; with data\n")
            for word in told:
                lemmas.setdefault(word.lower().split("(")[0], []).append(offset)
        lines = [f"{lemma} {letter} {len(offsets)} 1 @ {len(offsets)} 0 {' '.join(SENSES.get(lemma, offsets))}\n"
                 for lemma, offsets in lemmas.items()]
        (path / f"data.{part}").write_text(LICENCE + "".join(rows))
        (path / f"index.{part}").write_text(LICENCE + "".join(lines))
        (path / f"{part}.exc").write_text(EXCEPTIONS[part])
    return path


def told(folder: Path, phrase: str) -> list[tuple[str, str]]:
    return [(a.text, a.grade) for a in load_table(str(folder)).entries.get(phrase, ())]


@pytest.mark.parametrize(("phrase", "found"), [
    ("hypertension", [("high blood pressure", "near")]),
    ("biopsies", [("tissue tests", "near")]),                           # the same form: plural
    ("oxen", [("oxen beasts", "near")]),                                # an irregular one, from the list
    ("headache", [("worry", "disputed")]),                              # the first of two senses
    ("cephalalgia", [("headache", "near")]),                            # not in both directions: this word has one sense
    ("diagnosed", [("recognised illness", "near")]),
    ("diagnosing", [("recognising illness", "near")]),
    ("diagnoses", [("recognises illness", "near")]),
    ("stopped", [("halted", "near")]), ("halting", [("stopping", "near")]),
    ("executed", [("carried out", "near")]), ("carries out", [("executes", "near")]),
    ("begins", [("commences", "near")]), ("began", []), ("commenced", []),          # which of began and begun: unknown
    ("painful", [("hurtful", "near")]), ("quickly", [("rapidly", "near")]),
    ("record", []), ("records", []),                                    # a noun and a verb: which, nobody can tell
    ("dozen", []), ("milligram", []),                                   # quantities
    ("genius of science", []), ("einstein", []),                        # an instance; a name
    ("cobalamin", []),                                                  # its synset has digits
    ("asleep", []), ("sleeping", []),                                   # adjectives of some places only
    ("again", []), ("anew", []),                                        # a word of grammar neither goes nor comes
    ("unlikely", []), ("doubtful", []), ("affliction", []), ("absence", []),           # nor words that negate
])
def test_what_may_stand_for_what(folder, phrase, found):
    assert told(folder, phrase) == found


@pytest.mark.parametrize("negation", ["deny", "denies", "denied"])
def test_words_that_negate_are_neither_replaced_nor_put_in(folder, negation):
    assert told(folder, negation) == []
    assert told(folder, "disclaims") == told(folder, "disclaimed") == []


def test_in_a_text_negations_names_and_numbers_are_left_alone_as_for_any_table(folder):
    found = slots("A biopsy quickly. No hypertension. 3 biopsies. Dr. Headache. BIOPSIES hurt.", load_table(str(folder)))
    assert [(s.start, [a.text for a in s.alternatives]) for s in found] == [
        (0, ["A tissue test"]), (9, ["rapidly"]), (61, ["TISSUE TESTS"])]


def test_the_grade_keeps_doubtful_senses_out(folder):
    text = "headache and hypertension"
    assert len(slots(text, load_table(str(folder)), ("near",))) == 1 and len(slots(text, load_table(str(folder)))) == 2


@pytest.mark.parametrize("broken", ["senses", "instances", "forms"])
def test_each_rule_is_missed_where_it_is_gone(folder, broken, monkeypatch):
    if broken == "senses":                      # all synonyms graded alike
        monkeypatch.setattr(wordnet, "_senses", lambda content, plain=wordnet._senses: {
            lemma: offsets[:1] for lemma, offsets in plain(content).items()})
        assert ("worry", "near") in told_anew(folder, "headache")
    elif broken == "instances":
        monkeypatch.setattr(wordnet, "QUANTITIES", frozenset())
        assert told_anew(folder, "dozen") == [("twelve", "near")]
    else:
        monkeypatch.setattr(wordnet, "_with_s", lambda word: word + "s")
        assert told_anew(folder, "biopsies") == []


def told_anew(folder: Path, phrase: str) -> list[tuple[str, str]]:
    entries, _ = wordnet.read(folder, kept=())
    return list(entries.get(phrase, {}).items())


def test_the_digest_is_that_of_the_files(folder, tmp_path_factory):
    other = dict(SYNSETS, adv={"00000301": ("02", "quickly rapidly speedily")})
    one = wordnet.read(folder, kept=())[1]
    assert one == wordnet.read(made(tmp_path_factory.mktemp("again"), SYNSETS), kept=())[1]
    assert one != wordnet.read(made(tmp_path_factory.mktemp("other"), other), kept=())[1]


def test_a_folder_without_the_files_is_refused_with_what_to_install(tmp_path):
    with pytest.raises(InputError, match=r"index.noun cannot be read .*; give the folder of an installed WordNet"):
        load_table(str(tmp_path))


def test_an_installed_wordnet_is_a_table():
    place = Path(os.environ.get("WNSEARCHDIR", "/usr/share/wordnet"))
    if not (place / "data.noun").exists():
        pytest.skip("no WordNet is installed: apt install wordnet-base, or set WNSEARCHDIR")
    assert ("hypertension", "near") in told(place, "high blood pressure")
    assert ("urinary calculi", "near") in told(place, "kidney stones")
    assert all(grade == "disputed" for _, grade in told(place, "headache"))
