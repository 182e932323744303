"""Attacks on labels, folders and signatures: each is refused for its reason, and the judgement itself can fail."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))           # attacks/ stands beside the package: it is no part of what is installed

from attacks import labels  # noqa: E402
from attacks.labels import ATTACKS, Told, answers, assay, attacked, scene, tool, wrongly  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return scene(tmp_path_factory.mktemp("scene"))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused_for_its_reason(attack, made):
    assert wrongly(attack, *answers(attack, made)) == ""


@pytest.mark.parametrize("asked", ["hashes", "replay", "signed"])
def test_what_was_not_attacked_is_accepted(asked, made):
    """So that a refusal means something."""
    with attacked(None, made) as forger:
        theirs, ours = tool(forger), assay(forger, asked)
        assert (ours.code, theirs.code) == (0, 0), ours.text + theirs.text
        assert "Every claim that was checked holds." in ours.text and "FAILS" not in ours.text


def test_there_are_more_than_forty_and_the_table_has_them_all():
    names = [attack.name for attack in ATTACKS]
    table = (ROOT / "attacks" / "README.md").read_text(encoding="utf-8").partition(labels.BEGIN)[2]
    assert len(set(names)) == len(names) >= 40
    assert [name for name in names if f"| {name} |" not in table] == []
    assert f"{len(names)} of {len(names)} refused" in table


def test_no_program_was_run(made):
    attack = next(a for a in ATTACKS if a.name == "a folder that runs a program when it is checked")
    with attacked(attack, made) as forger:
        assert assay(forger, "replay").code == 1
        assert not (forger.top / "ran").exists()


def test_the_judgement_can_fail(made):
    """An accepted attack, a fault of ours, another reason and a blind second verifier are each told."""
    attack = ATTACKS[0]
    refused, accepted = Told(code=1, text=f"FAILS {attack.reason}"), Told(code=0, text="holds")
    assert wrongly(attack, refused, refused) == ""
    assert "ended with 0" in wrongly(attack, accepted, refused)
    assert "ended with 4" in wrongly(attack, Told(code=4, text=attack.reason), refused)
    assert "another reason" in wrongly(attack, Told(code=1, text="FAILS for some reason"), refused)
    assert "verify_label.py ended with 0" in wrongly(attack, refused, accepted)
    harmless = replace(attack, does=lambda forger: None)
    assert "ended with 0" in wrongly(harmless, *answers(harmless, made))


def test_a_verifier_without_the_new_checks_lets_forgeries_through(made, monkeypatch):
    """Broken twins: without its check each of these is accepted, so it is this check that refuses it."""
    twins = {"a threshold loosened after the fact": ("assay.verification._wrong_header", lambda header: ""),
             "evidence from outside the hashed files": ("assay.verification._wrong_plan", lambda folder: ""),
             "signed by somebody else": ("assay.signing.keys.is_by", lambda public, sig, message: True)}
    for name, (where, twin) in twins.items():
        attack = next(a for a in ATTACKS if a.name == name)
        with monkeypatch.context() as patch, attacked(attack, made) as forger:
            patch.setattr(where, twin)
            told = assay(forger, attack.asked)
            assert attack.reason not in told.text, name
