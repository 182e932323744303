"""Tables of texts: what is read, and every way in which they are refused."""

from __future__ import annotations

import pytest
import torch

from assay.arrays import InputError
from assay.datasets.notes import CLASSES, notes
from assay.datasets.texts import bundled_notes, labelled_texts, load_texts
from assay.perturbations.written import texts_of


def table(folder, content: str | bytes, name: str = "notes.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_table_of_texts_with_words_as_classes(tmp_path):
    data = load_texts(table(tmp_path, 'id,text,label\na,"One, two",yes\nb,שלום 👩‍⚕️,no\n'))
    assert (data.ids, data.classes, data.labels) == (("a", "b"), ("no", "yes"), (1, 0))
    x = data.fetch([0, 1])
    assert texts_of(x) == ("One, two", "שלום 👩‍⚕️") and x.inputs.dtype == torch.int32 and x.labelled
    assert data.record.task == "text" and not data.record.simulated and data.record.n == 2


def test_numbers_are_labels_and_names_may_be_given(tmp_path):
    path = table(tmp_path, "note\ty\nfirst\t0\nsecond\t2\nthird\t1\n", "notes.tsv")
    assert load_texts(path).classes == ("0", "1", "2")
    assert load_texts(path, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    assert load_texts(path, limit=2).ids == ("row-2", "row-3")


@pytest.mark.parametrize(("content", "options", "words"), [
    ("", {}, "the file is empty"),
    ("text,label\n", {}, "no rows"),
    ("body,label\na,0\nb,1\n", {}, "which column is meant"),
    ("body,label\na,0\nb,1\n", {"text_key": "note"}, "no column 'note'"),
    ("text,label\na,0\n ,1\n", {}, "line 3: the text is empty"),
    ("text,label\na,0\nb,\n", {}, "line 3: no label"),
    ("text,label\na,0\nb,0\n", {}, "of one class"),
    ("text,label\na,x\nb,y\n", {"classes": ["x", "z"]}, "line 3: label 'y' is not one of x, z"),
    ("text,label\na,0\nb,5\n", {"classes": ["x", "z"]}, "label 5 is out of range"),
    ("text,label\na,b,0\nb,1\n", {}, "line 2: another number of fields"),
    ("text,label\n\"a,0\nb,1\n", {}, "quotation mark"),
    ("id,text,label\na,one,0\na,two,1\n", {}, "both named 'a'"),
    (b"text,label\nfi\xe8vre,0\nb,1\n", {}, "line 2: not UTF-8"),
    ("text,label\na\0b,0\nb,1\n", {}, "NUL"),
    ("text,label\na,0\nb,1\n", {"limit": 0}, "limit=0"),
])
def test_bad_tables_are_refused_by_file_and_line(tmp_path, content, options, words):
    with pytest.raises(InputError, match=words):
        load_texts(table(tmp_path, content), **options)


def test_a_text_of_a_megabyte_is_read_and_a_longer_one_refused(tmp_path):
    assert len(load_texts(table(tmp_path, f"text,label\n{'a ' * 500_000},0\nb,1\n")).texts[0]) == 1_000_000
    with pytest.raises(InputError, match="more than 1000000"):
        load_texts(table(tmp_path, f"text,label\n{'a' * 1_000_001},0\nb,1\n"))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"give a \.csv"):
        load_texts(table(tmp_path, "x", "notes.pt"))
    with pytest.raises(InputError):
        load_texts(tmp_path / "missing.csv")


def test_texts_in_memory_need_as_many_labels():
    with pytest.raises(InputError, match="give one of each"):
        labelled_texts(["a", "b"], [0], classes=("x", "y"))


def test_notes_are_the_same_everywhere_and_their_class_is_that_of_their_points():
    first, again = notes("audited"), notes("audited")
    assert first == again and first[0].id == "note-of-the-talk" and "back pain" in first[0].text
    assert all(note.label == (note.points >= 4) for part in ("train", "tuning", "audited") for note in notes(part))
    assert not {n.text for n in notes("train")} & {n.text for n in notes("audited")[1:]}
    assert bundled_notes().record.digest == bundled_notes().record.digest and bundled_notes().classes == CLASSES
    assert bundled_notes().record.simulated
    with pytest.raises(InputError, match="known: train"):
        bundled_notes("test")
