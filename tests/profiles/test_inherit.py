"""Profiles made from others: what is taken, changed, left out, and every way in which that can go wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import small_audit
from assay.profiles.load import ProfileError, load, task_of
from assay.profiles.thresholds import counts, thresholds_of
from assay.records import digest_of

CHILD = """
extends = "research"
task = "classification"
id = "mine"
version = "1"
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def checks(profile: dict) -> dict[str, dict]:
    return {check["id"]: check for check in profile["checks"]}


def child(folder: Path, more: str = "", **options) -> dict:
    return load(write(folder, CHILD + more), task="classification", **options)


def test_a_child_that_changes_nothing_asks_what_its_parent_asks(tmp_path):
    parent, made = load("research", task="classification"), child(tmp_path)
    assert made["checks"] == parent["checks"] and made["not_tested"] == parent["not_tested"]
    assert (made["id"], made["version"], made["title"]) == ("mine", "1", parent["title"])
    assert made["digest"] != parent["digest"]                   # another name is another profile


def test_one_number_is_changed_and_the_sentence_says_so(tmp_path):
    made = checks(child(tmp_path, "[override.patch]\ncriterion = { absolute = 0.8 }\n"))["patch"]
    before = checks(load("research", task="classification"))["patch"]
    assert made["criterion"] == {**before["criterion"], "absolute": 0.8, "sentence":
                                 f"{before['criterion']['sentence']} (here absolute = 0.8, not 0.6)"}
    assert {k: v for k, v in made.items() if k not in ("criterion", "thresholds")} == {
        k: v for k, v in before.items() if k not in ("criterion", "thresholds")}


def test_a_changed_number_loses_its_source_and_an_unchanged_one_keeps_it(tmp_path):
    def said(profile, check):
        return {t.key: (t.status, t.source) for t in thresholds_of(profile) if t.check == check}

    before = said(load("research", task="classification"), "patch")
    assert before["criterion.level"][0] == "published"
    made = said(child(tmp_path, "[override.patch]\nlevels = [0.25, 0.3]\ncriterion = { level = 0.3 }\n"), "patch")
    assert made["criterion.level"][0] == "proposal" and "set by mine," in made["criterion.level"][1]
    assert made["criterion.absolute"] == before["criterion.absolute"]
    own = said(child(tmp_path, '[thresholds]\nstatus = "draft"\nsource = "our draft"\n[override.patch]\n'
                               'criterion = { absolute = 0.8 }\n'), "patch")
    assert own["criterion.absolute"] == ("draft", "our draft") and own["criterion.level"] == before["criterion.level"]


def test_a_ladder_that_only_lost_levels_keeps_its_source(tmp_path):
    made = child(tmp_path, "[override.corruptions]\nlevels = [3]\n")
    assert next(t.status for t in thresholds_of(made) if (t.check, t.key) == ("corruptions", "levels")) == "published"
    made = child(tmp_path, "[override.corruptions]\nlevels = [3, 7]\n")
    assert next(t.status for t in thresholds_of(made) if (t.check, t.key) == ("corruptions", "levels")) == "proposal"


def test_checks_are_left_out_with_their_budgets_and_added_at_the_end(tmp_path):
    made = child(tmp_path, 'without = ["boundary", "invariance"]\n[[checks]]\nid = "softer"\nlike = "noise"\n'
                           'title = "Softer noise"\nlevels = [0.05, 0.1]\n', budget="demo")
    names = list(checks(made))
    assert names[-1] == "softer" and "boundary" not in names and "invariance" not in names
    assert checks(made)["softer"]["metric"] == "error-rate" and "like" not in checks(made)["softer"]


def test_limits_of_the_parent_stay(tmp_path):
    made = child(tmp_path, 'not_tested = ["Mine"]\n')
    assert made["not_tested"] == [*load("research", task="classification")["not_tested"], "Mine"]


def test_a_table_of_another_kind_replaces_the_old_one(tmp_path):
    made = checks(child(tmp_path, '[override.noise]\nsearch = { kind = "random", draws = 3 }\n'
                                  'perturbation = { kind = "occlusion" }\n'))["noise"]
    assert made["search"] == {"kind": "random", "draws": 3} and made["perturbation"] == {"kind": "occlusion"}


def test_the_result_is_stored_whole(tmp_path):
    """Nothing has to be looked up again: no key of inheritance is left, and the digest covers what is there."""
    made = child(tmp_path, "[override.patch]\ncriterion = { absolute = 0.8 }\n", budget="demo")
    assert not {"extends", "override", "without"} & set(made)
    assert made["digest"] == digest_of({key: value for key, value in made.items() if key != "digest"})
    assert counts(made)["total"] > 20


def test_grandparents_and_paths_beside_the_file(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", CHILD + 'without = ["boundary"]\n', "parent.toml")
    path = write(tmp_path, 'extends = "sub/parent.toml"\nid = "third"\nversion = "2"\nrate = 0.1\n')
    made = load(path, task="classification")
    assert made["rate"] == 0.1 and "boundary" not in checks(made)
    assert task_of(path) == "classification"


def test_another_task_of_a_community_by_name(tmp_path):
    path = write(tmp_path, 'extends = "research/text"\nid = "mine"\nversion = "1"\n')
    assert task_of(path) == "text" and load(path, task="text")["headline"] == "synonyms"


WRONG = {
    "cycle": ('extends = "mine.toml"\nid = "a"\nversion = "1"\n', "extends itself"),
    "unknown parent": ('extends = "reserch"\nid = "a"\nversion = "1"\n', "did you mean 'research'"),
    "no parent": ('without = ["noise"]\nid = "a"\n', "there is none"),
    "unknown override": (CHILD + "[override.noize]\nsamples = 3\n", "did you mean 'noise'"),
    "unknown without": (CHILD + 'without = ["noize"]\n', "did you mean 'noise'"),
    "both": (CHILD + 'without = ["noise"]\n[override.noise]\nsamples = 3\n', "both left out and changed"),
    "twice": (CHILD + '[[checks]]\nid = "noise"\ntitle = "again"\n', r"\[override.noise\]"),
    "no id": ('extends = "research/text"\nversion = "1"\n', "key 'id' is missing"),
    "like nothing": (CHILD + '[[checks]]\nid = "b"\nlike = "noize"\n', "did you mean 'noise'"),
    "headline gone": (CHILD + 'without = ["tiny-pixels"]\n', "headline 'tiny-pixels' is not one"),
    "another task": ('extends = "research/text"\ntask = "codes"\nid = "a"\nversion = "1"\n', "its task is 'codes'"),
    "bad threshold": (CHILD + '[override.noise]\n[[override.noise.thresholds]]\nkey = "criterion.absolut"\n'
                      'status = "draft"\nsource = "x"\n',
                      "did you mean 'criterion.absolute'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_made_says_why(name, tmp_path):
    text, message = WRONG[name]
    with pytest.raises(ProfileError, match=message) as caught:
        load(write(tmp_path, text), task="classification")
    assert "mine.toml" in str(caught.value)


def test_two_files_that_extend_one_another(tmp_path):
    write(tmp_path, 'extends = "b.toml"\nid = "a"\nversion = "1"\n', "a.toml")
    write(tmp_path, 'extends = "a.toml"\nid = "b"\nversion = "1"\n', "b.toml")
    with pytest.raises(ProfileError, match=r"extends itself.*a.toml → .*b.toml → .*a.toml"):
        load(str(tmp_path / "a.toml"))


def test_the_example_is_what_it_says():
    path = Path(__file__).parents[2] / "examples" / "stricter.toml"
    made, parent = load(str(path), task="classification"), load("research", task="classification")
    assert set(checks(parent)) - set(checks(made)) == {"boundary", "invariance", "universal", "fooling", "sticker", "patch"}
    assert set(checks(made)) - set(checks(parent)) == {"softer-noise"}
    assert checks(made)["tiny-pixels"]["criterion"] == {**checks(parent)["tiny-pixels"]["criterion"], "level": 0.03}
    said = {(t.check, t.key): t.status for t in thresholds_of(made)}
    assert said["", "rate"] == "draft" and said["tiny-pixels", "criterion.level"] == "draft"
    assert said["tiny-pixels", "criterion.absolute"] == "proposal" and said["rotation", "criterion.level"] == "published"
    assert said["tiny-pixels", "refusal.tiny.most"] == "draft"


def test_equal_profiles_have_equal_digests_wherever_they_lie(tmp_path):
    """A source that nobody gave is not told by the place of the file: no other machine could take the digest again."""
    made = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        made.append(load(small_audit.profile(tmp_path / place)))
    assert made[0] == made[1] and str(tmp_path) not in json.dumps(made[0])
