"""Records survive the way to JSON and back, and whatever is wrong with stored data is named by its field."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import subprocess
import sys
import typing
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import assay.records as records_module
from assay.records import (
    Access,
    DataRecord,
    Finding,
    Flag,
    Outcome,
    Provenance,
    Stop,
    SystemRecord,
    Verdict,
    digest_of,
    from_data,
    to_data,
    to_json,
)

RECORDS = (Flag, Finding, Verdict, SystemRecord, DataRecord, Provenance)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(st.none() | st.booleans() | st.integers(-2**53, 2**53) | FINITE | TEXT,
                     lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5)


def values(kind: typing.Any) -> st.SearchStrategy:
    """Values of a field's type; written anew here, so that it does not lean on what it tests."""
    arguments = typing.get_args(kind)
    simple = {str: TEXT, int: st.integers(0, 2**53), float: FINITE, bool: st.booleans(), type(None): st.none(),
              typing.Any: PLAIN}
    if kind in simple:
        return simple[kind]
    if typing.get_origin(kind) is typing.Literal:
        return st.sampled_from(arguments)
    if typing.get_origin(kind) is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(list(kind))
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return records(kind)
    if typing.get_origin(kind) is Mapping:
        return st.dictionaries(TEXT, values(arguments[1]), max_size=3)
    return st.one_of([values(option) for option in arguments])


def records(kind: type) -> st.SearchStrategy:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})


def finding(**changes) -> Finding:
    row = Finding.empty(check="c", system="s", role="audited", sample="1", unit="u", metric="m", better="lower")
    return dataclasses.replace(row, **changes)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_round_trip(kind, data):
    record = data.draw(records(kind))
    text = to_json(record)
    again = from_data(kind, json.loads(text))
    assert again == record and to_json(again) == text
    assert digest_of(again) == digest_of(record)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_each_field_is_stored_under_its_name(kind, data):
    record = data.draw(records(kind))
    assert list(to_data(record)) == [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_missing_unknown_and_wrong_fields_are_named(kind, data):
    stored = to_data(data.draw(records(kind)))
    with pytest.raises(ValueError, match=f"{kind.__name__}: unknown field 'surplus'"):
        from_data(kind, {**stored, "surplus": 1})
    for field in dataclasses.fields(kind):
        with pytest.raises(ValueError, match=rf"{kind.__name__}\.{field.name}"):
            from_data(kind, {**stored, field.name: object()})
        without = {name: value for name, value in stored.items() if name != field.name}
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            with pytest.raises(ValueError, match=f"{kind.__name__}: missing field '{field.name}'"):
                from_data(kind, without)
        else:
            from_data(kind, without)


@pytest.mark.parametrize(("field", "value", "words"), [
    ("check", 1, "Finding.check: expected str, got int"), ("check", None, "Finding.check: expected str"),
    ("controls", True, "Finding.controls: expected int, got bool"), ("controls", 1.0, "Finding.controls: expected int"),
    ("level", True, "Finding.level: expected a number"), ("level", "0.1", "Finding.level: expected a number"),
    ("stop", "finished", "Finding.stop: 'finished' is not a valid Stop"),
    ("role", "suspect", "Finding.role: 'suspect' is not one of"), ("better", None, "Finding.better"),
    ("flags", {}, "Finding.flags: expected list"), ("flags", [{"id": 1}], r"Finding.flags\[0\].id: expected str"),
    ("flags", [{"id": "a"}, {}], r"Finding.flags\[1\]: missing field 'id'"),
    ("extra", [], "Finding.extra: expected dict"), ("extra", {"a": "x"}, "Finding.extra.a: expected a number"),
    ("witness", 3, "Finding.witness: expected str"),
])
def test_wrong_types(field, value, words):
    with pytest.raises(ValueError, match=words):
        from_data(Finding, {**to_data(finding()), field: value})


@pytest.mark.parametrize("data", [None, [], "text", 3, [{"id": "a"}]])
def test_what_is_no_record(data):
    with pytest.raises(ValueError, match="Flag: expected dict"):
        from_data(Flag, data)


def test_defaults_are_filled_in():
    assert from_data(Flag, {"id": "a"}) == Flag(id="a", detail="")


def test_whole_numbers_become_floats():
    row = from_data(Finding, {**to_data(finding()), "level": 1})
    assert row.level == 1.0 and isinstance(row.level, float)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_stored_as_missing(value):
    again = from_data(Finding, json.loads(to_json(finding(worst=value))))
    assert again.worst is None
    assert "NaN" not in to_json([value]) and "Infinity" not in to_json([value])


DEFECT = "known defect of records.py: "


def test_infinite_extra_metrics_can_be_read_back():
    """The PSNR of a perfect reconstruction is infinite, and one of them must not make an audit unreadable."""
    from_data(Finding, json.loads(to_json(finding(extra={"psnr.normal": math.inf}))))


def test_a_number_too_large_is_named():
    with pytest.raises(ValueError, match=r"Finding\.worst"):
        from_data(Finding, {**to_data(finding()), "worst": 10**400})


def test_nan_in_stored_text_is_refused():
    text = to_json(finding(level=0.5)).replace('"level": 0.5', '"level": NaN')
    with pytest.raises(ValueError, match=r"Finding\.level"):
        from_data(Finding, json.loads(text))


def test_unknown_names_of_different_types_are_named():
    with pytest.raises(ValueError, match="unknown field"):
        from_data(Flag, {"id": "a", 1: 2, "x": 3})


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, Flag])
def test_only_plain_values_are_stored(value):
    with pytest.raises(TypeError, match="plain values only"):
        to_data({"a": [value]})


def test_json_is_sorted_and_keeps_letters():
    assert to_json({"b": "ℓ₂", "a": 1}) == '{"a": 1, "b": "ℓ₂"}'


@given(st.dictionaries(TEXT, PLAIN, max_size=4))
def test_digest_does_not_depend_on_order(value):
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_digest_changes_with_any_field(data):
    record = data.draw(records(SystemRecord))
    assert digest_of(record) != digest_of(dataclasses.replace(record, name=record.name + "x"))
    assert digest_of(record) != digest_of(dataclasses.replace(record, access=record.access + 1))


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding().worst = 0.0


def test_key_tells_rows_apart():
    rows = [finding(), finding(check="d"), finding(system="t"), finding(sample="2"), finding(origin="t"),
            finding(origin_sample="2"), finding(level=0.1), finding(level=0.2)]
    assert len({row.key for row in rows}) == len(rows)
    assert finding(worst=1.0).key == finding(worst=2.0).key


def test_an_empty_row_holds_no_number():
    row = finding()
    assert all(getattr(row, name) is None for name in ("normal", "average", "average_low", "average_high", "worst",
                                                       "size", "control_size", "gain", "control_gain", "level"))
    assert row.controls == row.forward == row.backward == 0 and row.stop is Stop.NOT_RUN


@pytest.mark.parametrize("stop", Stop)
def test_every_stop_has_a_sentence(stop):
    assert stop.sentence.endswith(".") and len(stop.sentence.split()) > 3


def test_access_is_ordered_and_no_outcome_says_passed():
    assert Access.DECISION < Access.SCORE < Access.GRADIENT
    assert not any("pass" in outcome.value for outcome in Outcome)


def test_records_load_no_torch():
    code = "import sys, assay.records; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_records_module_itself_needs_the_standard_library_only():
    """Run as a file, apart from the package, in an interpreter that sees no installed packages (-I -S)."""
    code = f"import runpy; runpy.run_path({str(Path(records_module.__file__))!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
