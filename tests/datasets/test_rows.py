"""Tables of rows: what is read, and every way in which they are refused."""

from __future__ import annotations

import pytest
import torch

from assay.arrays import InputError
from assay.datasets.tables import labelled_rows, load_rows
from assay.perturbations.fields import fields_from

DECLARED = {"fields": {
    "sex": {"kind": "category", "values": ["f", "m"], "irrelevant": True},
    "age": {"kind": "whole", "range": [0, 110]},
    "dose": {"kind": "number", "range": [0, 10]},
    "smokes": {"kind": "flag"}},
    "ties": [{"kind": "implies", "if": {"smokes": 1}, "then": {"sex": "m"}}]}
FIELDS = fields_from(DECLARED, name="mine")
HEAD = "id,sex,age,dose,smokes,label\n"
GOOD = HEAD + "a,f,61,7.1,no,0\nb,m,44,0.5,1,1\n"


def table(folder, content: str, name: str = "rows.csv"):
    path = folder / name
    path.write_text(content)
    return path


def test_a_table_of_rows_is_read_as_declared(tmp_path):
    data = load_rows(table(tmp_path, GOOD), fields=FIELDS)
    assert (data.ids, data.classes, data.labels) == (("a", "b"), ("0", "1"), (0, 1))
    x = data.fetch([0, 1])
    assert x.inputs.dtype == torch.float64 and x.inputs.tolist() == [[0, 61, 7.1, 0], [1, 44, 0.5, 1]] and x.labelled
    assert x.box is None and data.record.task == "table" and data.record.n == 2 and not data.record.simulated
    assert data.record.options["fields"] == DECLARED and set(data.record.samples) == {"a", "b"}


def test_other_columns_and_their_order_do_not_matter_and_tabs_separate_too(tmp_path):
    moved = table(tmp_path, "label\tward\tsmokes\tdose\tage\tsex\tid\n"
                            "0\tx\t0\t7.1\t61\tf\ta\n1\ty\tyes\t.5\t44\tm\tb\n", "r.tsv")
    assert load_rows(moved, fields=FIELDS).record.digest == load_rows(table(tmp_path, GOOD), fields=FIELDS).record.digest


def test_the_digest_of_a_row_is_that_of_its_values_and_label(tmp_path):
    first = load_rows(table(tmp_path, GOOD), fields=FIELDS).record.samples
    other = load_rows(table(tmp_path, GOOD.replace("7.1", "7.2")), fields=FIELDS).record.samples
    assert first["a"] != other["a"] and first["b"] == other["b"]
    turned = load_rows(table(tmp_path, GOOD.replace(",no,0", ",no,1").replace(",1,1", ",1,0")), fields=FIELDS).record.samples
    assert turned["a"] != first["a"]


@pytest.mark.parametrize(("content", "options", "words"), [
    ("", {}, "the file is empty"),
    (HEAD, {}, "no rows"),
    (GOOD.replace("dose", "does"), {}, "no column 'dose', which mine declares"),
    (GOOD.replace("label", "risk"), {}, "which column is meant cannot be told.*label_key"),
    (GOOD, {"label_key": "risk"}, "no column 'risk'"),
    (GOOD, {"label_key": "age"}, "field 'age' is the column of the classes"),
    (GOOD.replace("a,f", "a,"), {}, "line 2, field 'sex': the cell is empty"),
    (GOOD.replace("7.1", " "), {}, "line 2, field 'dose': the cell is empty"),
    (GOOD.replace("7.1", "nan"), {}, "line 2, field 'dose': 'nan' is not a finite number"),
    (GOOD.replace("7.1", "inf"), {}, "'inf' is not a finite number"),
    (GOOD.replace("7.1", "7,1"), {}, "another number of fields"),
    (GOOD.replace("7.1", "much"), {}, "'much' is not a number"),
    (GOOD.replace("7.1", "1_0"), {}, "'1_0' is not a number"),
    (GOOD.replace("dose", "age"), {}, "two columns are both named 'age'"),
    (GOOD.replace("7.1", "70"), {}, "70 is outside the range 0 to 10"),
    (GOOD.replace("61", "61.5"), {}, "line 2, field 'age': 61.5 is not whole"),
    (GOOD.replace("b,m", "b,male"), {}, "line 3, field 'sex': 'male' is not one of f, m"),
    (GOOD.replace(",no,", ",never,"), {}, "'never' is no flag; write 0 or 1"),
    (GOOD.replace(",no,", ",yes,"), {}, "rows.csv, a: the row breaks a tie, smokes = yes implies sex = m"),
    (GOOD.replace(",no,0", ",no,1"), {}, "of one class"),
    (GOOD.replace(",no,0", ",no,"), {}, "line 2: no label"),
    (GOOD.replace("\nb", "\na"), {}, "both named 'a'"),
    (GOOD, {"limit": 0}, "limit=0"),
    (GOOD, {"classes": ["none"]}, "label 1 is out of range"),
])
def test_bad_tables_are_refused_by_file_line_and_field(tmp_path, content, options, words):
    with pytest.raises(InputError, match=words):
        load_rows(table(tmp_path, content), fields=FIELDS, **options)


def test_a_table_of_another_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a table of rows"):
        load_rows(table(tmp_path, GOOD, "rows.xlsx"), fields=FIELDS)


@pytest.mark.parametrize(("row", "words"), [
    ((0.0, 61.0, float("nan"), 0.0), "field 'dose': nan is no number from 0 to 10"),
    ((2.0, 61.0, 1.0, 0.0), "field 'sex': 2.0 is no category"),
    ((0.0, 61.0, 1.0), "3 values, and 4 fields are declared"),
])
def test_rows_in_memory_are_checked_alike(row, words):
    with pytest.raises(InputError, match=words):
        labelled_rows([row, (1.0, 44.0, 1.0, 0.0)], [0, 1], fields=FIELDS, classes=("n", "y"))


def test_no_more_than_the_limit_are_taken_and_only_those_are_checked(tmp_path):
    many = HEAD + "".join(f"s{i},f,{i},1,0,{i % 4 // 2}\n" for i in range(8)) + "last,f,999,1,0,1\n"
    assert load_rows(table(tmp_path, many), fields=FIELDS, limit=4).ids == ("s0", "s2", "s4", "s6")
