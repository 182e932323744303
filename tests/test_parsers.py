"""Laws of the parsers of what others send: read, or refused by the documented error; and what was written is read."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.arrays import InputError
from assay.datasets.columns import rows_of
from assay.datasets.formats_mat5 import check_variable
from assay.datasets.formats_wav import read_wav
from assay.perturbations.fields import load_fields
from assay.profiles.load import ProfileError
from assay.profiles.load import load as load_profile
from assay.pseudonyms import read_key
from assay.reports import warning_label
from assay.signing import envelope, keyless
from assay.store import StoreError, read_object
from assay.strict_json import StrictJsonError, parse

NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(), lambda inner: st.lists(inner, max_size=4) |
                     st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12)
WORDS = ("id", "=", "\n", "[", "]", "{", "}", '"', "checks", ".", "1", "1e9", "nan", ",", "é", "fields", "kind",
         "1979-05-27", "'''", "#")
TOML_LIKE = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)
QUICK = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("parsed") / "file"


def read_or_refused(read, content: bytes, place, error: type[Exception]) -> None:
    """No other exception leaves the reader."""
    place.write_bytes(content)
    try:
        read(place)
    except error as told:
        assert str(told)


@QUICK
@given(TREES)
def test_strict_json_reads_what_json_writes(value):
    assert parse(json.dumps(value)) == value == parse(json.dumps(value, ensure_ascii=False).encode())


@QUICK
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_strict_json_reads_nothing_that_json_refuses(content):
    try:
        value = parse(content)
    except StrictJsonError:
        return
    assert json.loads(content) == value


@QUICK
@given(st.binary(max_size=80), st.lists(st.binary(min_size=64, max_size=64), min_size=1, max_size=3))
def test_an_envelope_is_read_as_it_was_written(payload, sigs):
    written = envelope.Envelope(payload=payload, signatures=tuple(
        envelope.Signature(keyid=f"{i}", sig=sig) for i, sig in enumerate(sigs)))
    assert envelope.read(written.to_bytes()) == written


@QUICK
@given(TREES)
def test_what_is_no_envelope_bundle_label_or_object_is_refused(path, value):
    content = json.dumps(value).encode()
    read_or_refused(lambda p: envelope.read(p.read_bytes()), content, path, envelope.EnvelopeError)
    read_or_refused(lambda p: keyless.statement_of(p.read_bytes()), content, path, keyless.KeylessError)
    read_or_refused(lambda p: warning_label.read(p.read_bytes()), content, path, warning_label.LabelError)
    read_or_refused(lambda p: read_object(p, missing="?"), content, path, StoreError)


@QUICK
@given(TOML_LIKE | st.text(max_size=60), st.binary(max_size=4))
def test_profiles_fields_and_keys_are_read_or_refused(path, text, more):
    content = text.encode("utf-8", "surrogatepass") + more
    toml = path.with_suffix(".toml")
    read_or_refused(lambda p: load_profile(str(p)), content, toml, ProfileError)
    read_or_refused(load_fields, content, toml, InputError)
    read_or_refused(read_key, content, path, StoreError)


@QUICK
@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2), min_size=1, max_size=5))
def test_a_table_is_read_as_it_was_written(path, rows):
    import csv
    import io

    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    table = path.with_suffix(".csv")
    try:
        table.write_bytes(out.getvalue().encode())
    except UnicodeEncodeError:          # half a surrogate pair is in no file of UTF-8
        return
    found, names = rows_of(table, "rows")
    assert names == ["a", "b"] and [[row["a"], row["b"]] for _, row in found] == rows


@QUICK
@given(st.binary(max_size=80), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))
def test_a_sound_is_read_or_refused(path, rest, length, kind):
    head = b"RIFF" + struct.pack("<I", length) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, kind, 1, 8000, 16000, 2, 16)
    read_or_refused(read_wav, head + b"data" + rest, path.with_suffix(".wav"), InputError)


@QUICK
@given(st.lists(st.integers(0, 2**32 - 1) | st.sampled_from([14, 15, 5, 6, 1, 7, 8, 64]), max_size=20), st.booleans())
def test_a_matlab_file_is_walked_or_refused(path, words, swapped):
    order = ">" if swapped else "<"
    content = b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}H", 0x0100) + (b"MI" if swapped else b"IM")
    content += struct.pack(f"{order}{len(words)}I", *words)
    read_or_refused(lambda p: check_variable(p, "k", "k.mat"), content, path, InputError)


@QUICK
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.booleans(), st.booleans(),
       st.text("abk_", min_size=1, max_size=9))
def test_a_matlab_file_that_scipy_writes_is_whole(path, shape, whole, packed, name):
    import scipy.io

    numbers = np.random.default_rng(0).random(shape)
    values = numbers if whole else numbers + 1j * numbers
    if name.startswith("_"):            # scipy leaves such variables out
        return
    scipy.io.savemat(path, {"first": np.arange(3), name: values}, do_compression=packed, appendmat=False)
    check_variable(path, name, "k.mat")
    content = path.read_bytes()
    path.write_bytes(content[:(len(content) + 128) // 2])
    with pytest.raises(InputError, match="truncated"):
        check_variable(path, name, "k.mat")
