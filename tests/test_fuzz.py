"""Broken files for every reader: a few of each here, thousands by `python -m attacks.fuzz`; and twins that must be told."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from random import Random

import pytest

for package in ("cryptography", "h5py", "nibabel", "pydicom", "onnx", "onnxruntime"):
    pytest.importorskip(package)
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))           # attacks/ stands beside the package: it is no part of what is installed

from attacks import fuzz, mutations  # noqa: E402
from attacks.fuzz import READ, REFUSED, Told, given, outcomes, table  # noqa: E402
from attacks.fuzz_readers import Reader, readers  # noqa: E402

FEW = 30


@pytest.fixture(scope="module")
def all_readers(tmp_path_factory) -> list[Reader]:
    return readers(tmp_path_factory.mktemp("fuzz"))


def test_every_reader_reads_what_is_valid_and_refuses_the_rest_as_documented(all_readers, tmp_path):
    for reader in all_readers:
        told = Told()
        for i, outcome in outcomes(reader, range(FEW), tmp_path):
            told.add(i, outcome)
            assert i >= len(reader.seeds) or outcome == READ, (reader.name, i, outcome)
        assert not told.faults, (reader.name, told.faults)
        assert told.counts[REFUSED] > 0, reader.name


def test_an_input_is_a_function_of_its_number(all_readers):
    for reader in all_readers[:8]:
        assert [given(reader, i) for i in (3, 9, 4)] == [given(reader, i) for i in (3, 9, 4)]
        assert given(reader, 50) != given(reader, 51) and given(reader, 50, seed=1) != given(reader, 50)


@pytest.mark.parametrize("name", ["of_bytes", "of_json", "of_toml", "of_lines", "of_npy", "of_header"])
def test_a_mutation_takes_whatever_another_has_left(name):
    mutate, r = getattr(mutations, name), Random(0)
    for content in (b"", b"\0", b'{"a": [1, {"b": null}]}', b"a = 1\n[b]\nc = [1, 2]", b"a,b\n1,2\n"):
        for _ in range(40):
            content = mutate(content, r)[:100_000]
            assert isinstance(content, bytes)


def crash(path: Path) -> None:
    if len(path.read_bytes()) % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def undocumented(path: Path) -> None:
    {}[path.read_bytes()[:1]]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("twin", "fault"), [(crash, "the process ended with -9"), (undocumented, "KeyError at ?")])
def test_a_reader_that_crashes_or_raises_something_else_is_told(twin, fault):
    reader = Reader(name="twin", place="x", seeds=(b"abc", b"abcd"), read=twin, documented=(ValueError,))
    told = fuzz.run(reader, 12, 0)
    assert sum(told.counts.values()) == 12 and told.counts[fault] >= 1 and told.faults[fault] == 0
    assert f"| twin | 12 | {told.counts[READ]} | 0 | {12 - told.counts[READ]} |" in table({"twin": told})


def test_the_table_has_every_reader_and_no_fault(all_readers):
    text = (ROOT / "attacks" / "README.md").read_text(encoding="utf-8").partition(fuzz.BEGIN)[2].partition(fuzz.END)[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [reader.name for reader in all_readers]
    assert all(line.endswith("| 0 |") for line in lines)
    assert "; 0 ended otherwise" in text
