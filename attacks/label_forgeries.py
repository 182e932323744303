"""Unsigned forgeries that agree with themselves, so that a replay must see them; and folders that would run a program."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from assay.file_digests import root_digest
from assay.records import digest_of
from attacks.attack import OTHER, Attack, attack, scaled
from attacks.forger import Forger

ATTACKS: list[Attack] = []

# --- forgeries that agree with themselves: a replay sees them ---

@attack(ATTACKS, "replay", "replayed witnesses give the recorded numbers")
def a_milder_worst_case_and_everything_made_anew(f: Forger) -> None:
    f.rows(scaled("worst", by=0.9))
    f.issued()


@attack(ATTACKS, "replay", "replayed witnesses give the recorded numbers")
def a_worse_normal_case_to_hide_the_harm(f: Forger) -> None:
    f.rows(scaled("normal", by=3.0))
    f.issued()


@attack(ATTACKS, "replay", "replayed witnesses give the recorded numbers")
def witnesses_of_two_samples_exchanged(f: Forger) -> None:
    f.tensors(lambda found: dict(zip(found, [v.copy() for v in reversed(list(found.values()))], strict=True)))
    f.issued()


@attack(ATTACKS, "replay", "a witness of size")
def witnesses_larger_than_they_say(f: Forger) -> None:
    f.tensors(lambda found: {name: 10 * value for name, value in found.items()})
    f.issued()


@attack(ATTACKS, "replay", "replayed witnesses give the recorded numbers")
def witnesses_that_are_not_numbers(f: Forger) -> None:
    f.tensors(lambda found: {name: np.full_like(value, np.nan) for name, value in found.items()})
    f.issued()


@attack(ATTACKS, "replay", "witness is missing")
def witnesses_taken_away(f: Forger) -> None:
    f.part(kind="witnesses").unlink()
    f.issued()


@attack(ATTACKS, "replay", "not a whole safetensors file")
def witnesses_in_a_hostile_file(f: Forger) -> None:
    f.part(kind="witnesses").write_bytes(struct.pack("<Q", 100) + b'{"__proto__": {"dtype": "EVIL"}}')
    f.issued()


@attack(ATTACKS, "replay", "the plan is what the profile asks")
def a_check_dropped_from_plan_and_parts(f: Forger) -> None:
    f.part("local-gain").unlink()
    f.part("local-gain", kind="witnesses").unlink(missing_ok=True)
    f.edit("plan.json", lambda d: d.update(units=[u for u in d["units"] if u["id"] != f.part("local-gain").stem]))
    f.issued()


@attack(ATTACKS, "replay", "the plan is what the profile asks")
def a_check_said_not_to_apply(f: Forger) -> None:
    a_check = f.part("local-gain")
    a_check.unlink()
    f.part("local-gain", kind="witnesses").unlink(missing_ok=True)

    def skipped(plan: Any) -> None:
        plan["units"] = [u for u in plan["units"] if u["id"] != a_check.stem]
        plan["skipped"].append({"check": "local-gain", "system": "deep-cascade", "reason": "not of interest"})
    f.edit("plan.json", skipped)
    f.issued()


@attack(ATTACKS, "replay", "the profile is the one that was asked")
def a_profile_edited_with_its_digest(f: Forger) -> None:
    def change(header: Any) -> None:
        profile = header["profile"]
        profile["checks"][0]["criterion"]["per_level"] = 1e6
        profile["digest"] = digest_of({k: v for k, v in profile.items() if k != "digest"})
    f.edit("audit.json", change)
    f.issued()


def renamed(f: Forger, **words: str) -> None:
    """The folder's own mild profile, under another name and with a digest that holds."""
    def change(header: Any) -> None:
        profile = {key: value for key, value in {**header["profile"], **words}.items() if key != "digest"}
        header["profile"] = {**profile, "digest": digest_of(profile)}
    f.edit("audit.json", change)
    f.issued()


@attack(ATTACKS, "hashes", "has other content")
def a_mild_profile_under_the_name_of_one_that_comes_with_assay(f: Forger) -> None:
    renamed(f, id="research", version="0.1.0", community="research")


@attack(ATTACKS, "hashes", "has other content")
def a_mild_profile_as_a_version_to_come(f: Forger) -> None:
    renamed(f, id="healthcare", version="9.0.0", community="healthcare")


@attack(ATTACKS, "hashes", "may be read as 'public_sector'")
def a_mild_profile_in_capitals(f: Forger) -> None:
    renamed(f, id="Public-Sector")


@attack(ATTACKS, "hashes", "cannot be asked so")
def a_mild_profile_for_a_task_that_does_not_exist(f: Forger) -> None:
    renamed(f, id="healthcare", task="diagnosis")


@attack(ATTACKS, "replay", "is the system that was audited")
def a_better_network_under_the_same_name(f: Forger) -> None:
    def change(header: Any) -> None:
        system = header["systems"][0]
        system["files"] = {"weights.safetensors": OTHER}
        system["digest"] = root_digest(system["files"])
    f.edit("audit.json", change)
    f.issued()


@attack(ATTACKS, "replay", "the data are those that were audited")
def other_data_under_the_same_name(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["data"].update(digest=OTHER))
    f.issued()


@attack(ATTACKS, "replay", "but of another licence")
def data_of_another_licence(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["data"].update(licence="CC0-1.0"))
    f.issued()


@attack(ATTACKS, "replay", "but of another simulated")
def simulated_data_that_are_called_measured(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["data"].update(simulated=False))
    f.issued()


@attack(ATTACKS, "replay", "but of another description")
def a_network_that_is_told_as_another(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["systems"][0].update(description="cleared for clinical use"))
    f.issued()


@attack(ATTACKS, "replay", "is the system that was audited")
def a_network_audited_that_the_recipe_does_not_make(f: Forger) -> None:
    def change(header: Any) -> None:
        header["recipe"]["systems"] = ["tikhonov"]
    f.edit("audit.json", change)
    f.issued()


@attack(ATTACKS, "replay", "every system that the audit names was built")
def a_second_model_that_was_never_asked(f: Forger) -> None:
    def change(header: Any) -> None:
        system = {**header["systems"][0], "name": "borrowed", "role": "surrogate", "files": {"a": OTHER}}
        header["surrogates"] = [{**system, "digest": root_digest(system["files"])}]
    f.edit("audit.json", change)
    f.issued()


@attack(ATTACKS, "replay", "the data are those that were audited")
def another_seed(f: Forger) -> None:
    f.edit("audit.json", lambda d: (d.update(seed=7), d["recipe"].update(seed=7), d["provenance"].update(seed=7)))
    f.issued()


@attack(ATTACKS, "replay", "look at that code")
def a_folder_that_runs_a_program_when_it_is_checked(f: Forger) -> None:
    spec = "subprocess:getoutput"
    f.edit("audit.json", lambda d: d["recipe"].update(systems=[spec], options={spec: {"cmd": f"touch {f.top / 'ran'}"}}))
    f.issued()


@attack(ATTACKS, "replay", "look at that code")
def a_program_behind_an_adapter(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["recipe"].update(established=["maite:os:abort"]))
    f.issued()


@attack(ATTACKS, "replay", "replayed witnesses give the recorded numbers")
def witnesses_of_another_shape(f: Forger) -> None:
    f.tensors(lambda found: {name: value.reshape(-1)[:7].copy() for name, value in found.items()})
    f.issued()


@attack(ATTACKS, "replay", "the recipe is whole")
def a_word_more_in_the_recipe(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["recipe"].update(shell="true"))
    f.issued()


@attack(ATTACKS, "replay", "KeyError")
def findings_of_a_check_that_was_not_asked(f: Forger) -> None:
    f.rows(lambda row: row.update(check="unheard-of"), f.part("local-gain"))
    f.tensors(lambda found: found)
    f.issued()


@attack(ATTACKS, "replay", "recipe is whole")
def a_recipe_without_its_options(f: Forger) -> None:
    f.edit("audit.json", lambda d: d["recipe"].pop("options"))
    f.issued()
