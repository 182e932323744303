"""Words of a profile that only an audit knows, multiples of the noise level, and why a check is not applicable."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

import small_audit
from assay.audits.plan import make_plan
from assay.audits.vocabulary import SEARCHES, validate_words
from assay.checks.catalogue import METHODS
from assay.profiles import load as profiles
from assay.profiles.errors import ProfileError

NOISE = ("levels = [0.02, 0.05]", 'levels = [1.0, 2.0]\nrelative_to = "noise"')


@pytest.mark.parametrize("name", profiles.names())
def test_every_word_of_every_profile_is_known(name):
    for task in profiles.names()[name]:
        validate_words(profiles.load(name, task=task))


@pytest.mark.parametrize(("place", "bad", "good"), [
    (("method",), "worst-cas", "worst-case"), (("metric",), "error-rat", "error-rate"),
    (("extra_metrics",), ["confidance"], "confidence"), (("perturbation", "kind"), "input", "inputs"),
    (("search", "kind"), "bounde", "bounded")])
def test_a_wrong_word_is_told_with_check_key_and_the_nearest(place, bad, good):
    profile = copy.deepcopy(profiles.load("research", task="classification"))
    check = next(c for c in profile["checks"] if c["id"] == "tiny-pixels")
    for key in place[:-1]:
        check = check[key]
    check[place[-1]] = bad
    with pytest.raises(ProfileError, match=f"tiny-pixels.*did you mean '{good}'"):
        validate_words(profile)


def test_every_method_that_ships_says_which_searches_it_knows():
    assert set(SEARCHES) - set(METHODS) == set()
    silent = {"preflight", "sampling", "local-gain", "hallucination"}       # these search nothing that a profile could name
    assert set(METHODS) - set(SEARCHES) <= silent, set(METHODS) - set(SEARCHES) - silent


def test_a_proof_is_asked_for_by_its_own_name():
    profile = copy.deepcopy(profiles.load("research", task="classification"))
    check = next(c for c in profile["checks"] if c["id"] == "proved-pixels")
    check["search"]["kind"] = "bounded"
    with pytest.raises(ProfileError, match=r"proved-pixels.*certificate"):
        validate_words(profile)


def test_the_session_looks_the_words_up(tmp_path):
    toml = small_audit.profile(tmp_path, replace=('norm = "l2"', 'norm = "l2", kind2 = 1'))
    small_audit.session(toml)                           # keys of a set are the set's own business
    toml = small_audit.profile(tmp_path, replace=('metric = "detail-lost"', 'metric = "detail-loss"'))
    with pytest.raises(ProfileError, match="did you mean 'detail-lost'"):
        small_audit.session(toml)


def multiples(folder: Path) -> str:
    path = Path(small_audit.profile(folder, replace=NOISE))
    path.write_text(path.read_text(encoding="utf-8").replace("level = 0.02", "level = 2.0"), encoding="utf-8")
    return str(path)


def test_multiples_of_the_noise_become_sizes(tmp_path):
    session = small_audit.session(multiples(tmp_path), noise=0.03)
    check = session.checks()["tiny-data"]
    assert check.levels == pytest.approx((0.03, 0.06)) and check.criterion["level"] == check.levels[1]
    assert session.profile["digest"] == profiles.load(multiples(tmp_path))["digest"]   # one profile everywhere
    assert profiles.at_noise(session.profile, 0.5) == session.profile                  # once


def test_without_a_noise_level_they_are_not_applicable(tmp_path):
    plan = make_plan(small_audit.session(multiples(tmp_path), noise=0.0))
    assert {s["check"]: s["reason"] for s in plan.skipped} == {
        "tiny-data": "its sizes are multiples of the noise level, and the noise of these data is not known"}


def test_a_comparison_needs_somebody_to_compare_with(tmp_path):
    toml = small_audit.profile(tmp_path, "preflight", "structure", replace=(
        'kind = "reaches", level = 0.25, threshold = 0.5', 'kind = "worse-than-established", level = 0.25, margin = 0.1'))
    plan = make_plan(small_audit.session(toml, established=("none",)))
    assert [s["check"] for s in plan.skipped] == ["structure"] and "--established NAME" in plan.skipped[0]["reason"]
    assert not make_plan(small_audit.session(toml)).skipped
