"""The wording rules hold in code: each broken rule is refused with its field, and every built-in profile keeps them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import synthetic_audit
from synthetic_labels import ISSUED, labelled

from assay.profiles import plain_words
from assay.profiles.load import ProfileError, load, names
from assay.reports import label_rules, warning_label
from assay.reports.warning_label import LabelError

BUILT_IN = [(community, task) for community, tasks in names().items() for task in tasks]


@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_every_label_keeps_the_rules(word: str) -> None:
    assert label_rules.broken_rule(labelled(word)) == ""


@pytest.mark.parametrize(("community", "task"), BUILT_IN)
def test_every_built_in_profile_keeps_the_rules(community: str, task: str) -> None:
    plain_words.validate_words(load(community, task=task), "profile")


BROKEN: list[tuple[str, str, Any, str]] = [         # signal, field, text, what the error says
    ("WARNING", "headline.hazard", "A change damaged many images.", "no count; write how many of how many"),
    ("WARNING", "headline.hazard", "A change damages 6 of 6 images.", "no past tense"),
    ("WARNING", "headline.hazard", "A change of 1.25 % damaged 6 of 6 images.", "two significant digits; write “1.2”"),
    ("WARNING", "headline.hazard", "A change of 123 % damaged 6 of 6 images.", "“123” has more than two significant digits"),
    ("NOTICE", "headline.hazard", "It reached 16.25 dB.", "two significant digits"),
    ("WARNING", "headline.consequence", "Structures will vanish.", "write “Structures can vanish.”"),
    ("WARNING", "headline.consequence", "Structures vanish.", "without “can”"),
    ("CAUTION", "headline.reason", "This is non-human behaviour.", "human reference; write “unstable”"),
    ("NONE FOUND", "headline.reason", "The system is safe.", "“safe” is never said; write “no harmful case was found”"),
    ("NONE FOUND", "actions.0", "Trust it: it is robust.", "“robust” is never said"),
    ("NONE FOUND", "actions.1", "DANGER.", "never said; write WARNING"),
    ("NONE FOUND", "not_tested.0", "It complies with Article 15.", "“evidence relevant to” and the clause"),
    ("NONE FOUND", "results.title", "A certified AI", "“a bound was proved”"),
    ("NONE FOUND", "evidence.checks.0.title", "Passed", "“Passed” is never said"),
    ("NONE FOUND", "results.criterion", "the worst case is bad", "write “worst case found”"),
    ("NOTICE", "headline.reason", "It is so, " * 25, "more than 180; write two sentences"),
]


@pytest.mark.parametrize(("word", "field", "text", "says"), BROKEN)
def test_a_broken_rule_is_refused_with_its_field(word: str, field: str, text: str, says: str) -> None:
    label = copy.deepcopy(labelled(word))
    *parents, last = field.split(".")
    place: Any = label
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    place[int(last) if isinstance(place, list) else last] = text
    label["digest"]["sha256"] = warning_label._digest(label)
    with pytest.raises(LabelError) as error:
        warning_label.validate(label)
    assert str(error.value).startswith(f"{field}: ") and says in str(error.value)


def test_who_tested_is_always_said() -> None:
    label = copy.deepcopy(labelled("WARNING"))
    label["auditor"]["name"] = "  "
    assert label_rules.broken_rule(label).startswith("auditor.name: nobody")


def test_a_name_is_its_owners_and_no_claim() -> None:
    """A system may be called what its makers like; a sentence that repeats the name is not theirs."""
    label = copy.deepcopy(labelled("WARNING"))
    label["results"]["established"]["name"] = label["subject"]["name"] = "safe-net"
    label["headline"]["reason"] = "Harm was demonstrated for 6 of 6; safe-net did better."
    assert label_rules.broken_rule(label) == ""
    label["headline"]["reason"] = "Harm was demonstrated for 6 of 6; safe-net is safe."
    assert "“safe” is never said" in label_rules.broken_rule(label)


def test_the_worst_case_may_be_said_of_a_proof_alone() -> None:
    label = copy.deepcopy(labelled("BOUND PROVED"))
    label["headline"]["reason"] = "The worst case is bounded."
    assert label_rules.broken_rule(label) == ""
    label["evidence"]["kind"] = "searched-none-found"
    assert "found, not proved" in label_rules.broken_rule(label)


LONG_WORDS = "word " * 40
PROFILE = """extends = "research"
id = "mine"
title = "Mine"
version = "1"
{top}
[override.tiny-data]
{check}
"""


@pytest.mark.parametrize(("top", "check", "says"), [
    ("", 'verb = "damages {}"', "check 'tiny-data', verb: “damages” is no past tense; write “damaged {}”"),
    ("", 'verb = "damaged"', "no one place {} for the count; write “damaged {}”"),
    ("", 'consequence = "Tumours will vanish."', "write “Tumours can vanish.”"),
    ("", 'plain = "a safe change of {level}"', "check 'tiny-data', plain: “safe” is never said"),
    ("", 'title = "The worst case"', "write “worst case found”"),
    ('actions = ["Rely on it, for it is robust."]', "", "actions[0]: “robust” is never said"),
    (f'actions = ["{LONG_WORDS}."]', "", "actions[0]: a sentence of 201 characters, more than 140"),
    ('actions = ["a.", "b.", "c.", "d.", "e."]', "", "actions: 5 of them, and a label has room for 4"),
    (f'not_tested = ["{LONG_WORDS[:120]}, {LONG_WORDS[:120]}"]', "", "write two sentences: “word"),
])
def test_a_users_profile_that_breaks_a_rule_gets_the_lawful_wording(tmp_path: Path, top: str, check: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE.format(top=top, check=check), encoding="utf-8")
    with pytest.raises(ProfileError) as error:
        load(str(path))
    assert "mine.toml" in str(error.value) and says in str(error.value)


def test_an_error_message_of_a_system_cannot_stop_or_colour_the_label() -> None:
    folder = synthetic_audit.with_signal("NONE FOUND")
    folder.skipped = ({"check": "local-gain", "system": synthetic_audit.NETWORK, "reason": "this robust model is safe"},)
    folder.rows = [row for row in folder.rows if row.check != "local-gain"]
    made = warning_label.build(folder, folder.verdicts(), issued=ISSUED)
    assert "Local gain: the report says why" in made["not_tested"]


def test_the_check_of_built_in_profiles_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list with one ordinary word more must find it: else the rule is never looked at."""
    monkeypatch.setattr(plain_words, "_WORDS", ((plain_words.re.compile("decision"), "x"),))
    with pytest.raises(ProfileError, match="“decision” is never said"):
        load("research", task="classification")
