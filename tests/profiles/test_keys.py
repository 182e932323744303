"""What a profile may say: every mistake is told with file, place, key and the nearest good one; nothing else is raised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import small_audit
from assay.profiles.keys import CHECK, CRITERION, TOP
from assay.profiles.load import ProfileError, load

MISTAKES = {
    "top level": ("headline =", "headlin =", "headlin", "headline"),
    "check": ("controls = 2", "kontrols = 2", "kontrols", "controls"),
    "criterion kind": ('kind = "grows"', 'kind = "grow"', "grow", "grows"),
    "criterion key": ("per_level", "per_levl", "per_levl", "per_level"),
    "community": ('"research"', '"resarch"', "resarch", "research"),
    "headline": ('headline = "tiny-data"', 'headline = "tiny-dat"', "tiny-dat", "tiny-data"),
    "type": ("rate = 0.05", 'rate = "a lot"', "rate", "a share above 0"),
    "rate of nothing": ("rate = 0.05", "rate = 0.0", "rate", "a share above 0"),
    "rate above all": ("rate = 0.05", "rate = 1.5", "rate", "a share above 0"),
    "rate that is no number": ("rate = 0.05", "rate = nan", "rate", "a share above 0"),
    "level outside": ("level = 0.02", "level = 0.03", "0.03", "0.02"),
    "levels": ("levels = [0.02, 0.05]", 'levels = ["small"]', "levels", "a list of finite numbers"),
    "a date": ('unit = "relative ℓ2"', "unit = 1979-05-27", "unit", "is not a text"),
    "a date deep inside": ('norm = "l2"', "norm = 1979-05-27", "perturbation", "a table of plain values"),
    "needs": ('needs = "GRADIENT"', 'needs = "GRADIENTS"', "GRADIENTS", "GRADIENT"),
    "no sources": ('sources = ["a test"]', "sources = []", "sources", "at least one"),
    "budget": ("", "[budgets.demo.tiny-dat]\nsamples = 3\n", "tiny-dat", "tiny-data"),
    "budget key": ("", "[budgets.demo.tiny-data]\nsample = 3\n", "sample", "samples"),
    "refusal kind": ("", '[[refusal]]\nid = "a"\nkind = "rate-abov"\ncheck = "tiny-data"\nmost = 0.1\nsentence = "x"\n',
                     "rate-abov", "rate-above"),
    "refusal key": ("", '[[refusal]]\nid = "a"\nkind = "rate-above"\ncheck = "tiny-data"\nmosst = 0.1\nsentence = "x"\n',
                    "mosst", "most"),
    "refusal check": ("", '[[refusal]]\nid = "a"\nkind = "rate-above"\ncheck = "tiny-dat"\nmost = 0.1\nsentence = "x"\n',
                      "tiny-dat", "tiny-data"),
    "refusal of less than all": ("", '[[refusal]]\nid = "a"\nkind = "sensitivity-below"\ncheck = "tiny-data"\nleast = 1.0\n'
                                     'sentence = "x"\n', "least", "below 1"),
    "share of a proof": ('kind = "reaches", level = 0.25, threshold = 0.5',
                         'kind = "certifies", level = 0.25, within = 0.5, share = 1.5', "share", "at most 1"),
    "status": ("", '[thresholds]\nstatus = "final"\nsource = "x"\n', "final", "published, draft, proposal"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_file_key_and_remedy(name, tmp_path):
    old, new, bad, good = MISTAKES[name]
    path = Path(small_audit.profile(tmp_path))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")
    with pytest.raises(ProfileError) as caught:
        load(str(path))
    message = str(caught.value)
    assert "small.toml" in message and bad in message and good in message.split(bad, 1)[1]


def test_the_unchanged_file_is_good(tmp_path):
    assert load(small_audit.profile(tmp_path))["id"] == "small"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a = " + b"[" * 5000, b"id = 1979-05-27", b"", b"checks = 3",
                                     b"extends = \"\\u0000\"\nid = 'a'\nversion = 'b'"])
def test_files_that_are_no_profile(content, tmp_path):
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(ProfileError, match=re.escape("bad.toml")):
        load(str(tmp_path / "bad.toml"))


def test_a_folder_is_no_profile(tmp_path):
    with pytest.raises(ProfileError, match="unknown profile"):
        load(str(tmp_path))


PLAIN = st.recursive(
    st.one_of(st.booleans(), st.integers(-10**20, 10**20), st.floats(), st.text(max_size=8), st.dates(), st.just([]),
              st.sampled_from(["grows", "reaches", "research", "noise", "rate-above", "proposal", "mine"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
        st.sampled_from([*TOP, *CHECK, *CRITERION["grows"][0], "kind", "level", "status", "source", "rate", "most"])
        | st.text(max_size=5), inner, max_size=5)), max_leaves=12)


def toml(value: object) -> str:
    """The value in TOML, tables inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'
    return str(value)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=st.dictionaries(st.sampled_from(list(TOP)), PLAIN, max_size=8), changes=PLAIN, extends=st.booleans())
def test_random_files_raise_nothing_but_a_profile_error(top, changes, extends, tmp_path):
    """Tables of known keys with values of every type, alone and as changes of a good profile."""
    base = {"id": "mine", "version": "1", "extends": "research", "task": "classification"} if extends else {}
    content = {**base, **top, **({"override": {"noise": changes}} if extends else {})}
    path = tmp_path / "random.toml"
    path.write_text("\n".join(f"{toml(key)} = {toml(value)}" for key, value in content.items()), encoding="utf-8")
    try:
        made = load(str(path), task="classification")
    except ProfileError as error:
        assert "random.toml" in str(error)
    else:
        assert len(made["digest"]) == 64


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_random_bytes_raise_nothing_but_a_profile_error(tmp_path, content):
    (tmp_path / "random.toml").write_bytes(content)
    with pytest.raises(ProfileError):
        load(str(tmp_path / "random.toml"))
