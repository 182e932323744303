"""The gate: which rules fire on what, as an option, as an assertion, as a pytest plugin, as an action."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import small_classifier
from assay.cli import cli
from assay.profiles.load import load
from assay.records import Outcome, Verdict
from assay.reports.gate import SIGNALS, fired, not_judged, rules_of
from assay.reports.refusals import Measured, RefusalLine
from assay.systems.torch import TorchSystem
from assay.testing import assert_stable

EXAMPLES = Path(__file__).parents[1] / "examples"
SOURCE = Path(__file__).parents[1] / "src"


def verdict(outcome: str, check: str = "noise", role: str = "audited") -> Verdict:
    unknown = dict.fromkeys(("level", "rate", "rate_low", "rate_high", "normal", "average", "worst", "worst_low",
                             "worst_high"))
    return Verdict(check=check, system="net\x1b", role=role, outcome=Outcome(outcome), reason="3 of 4", criterion="",
                   metric="m", better="lower", unit="", n=4, harmed=3, **unknown)


@pytest.mark.parametrize(("rule", "closed_by"), [
    ("WARNING", {"WARNING"}), ("CAUTION", {"WARNING", "CAUTION"}), ("notice", {"WARNING", "CAUTION", "NOTICE"}),
    ("never", set()), ("unstable", set()), (None, {"WARNING", "CAUTION"}),
])
def test_a_signal_counts_with_every_stronger_one(rule, closed_by):
    rules = rules_of([] if rule is None else [rule])
    assert {s for s in (*SIGNALS, "NONE FOUND", "BOUND PROVED") if fired(rules, s, [], {})} == closed_by


def test_an_outcome_fires_on_its_check_of_the_audited_system_alone():
    rules = rules_of(["unstable:noise"])
    assert fired(rules, "NOTICE", [verdict("unstable")], {}) == ["noise is unstable for net\\x1b: 3 of 4"]
    assert not fired(rules, "WARNING", [verdict("unstable", "other"), verdict("unstable", role="established"),
                                        verdict("none found"), verdict("inconclusive")], {})
    assert fired(rules_of(["unstable"]), "NOTICE", [verdict("unstable", "other")], {})
    assert fired(rules_of(["inconclusive:noise"]), "NOTICE", [verdict("inconclusive")], {})
    assert len(fired(rules_of(["unstable", "unstable:noise", "NOTICE"]), "NOTICE", [verdict("unstable")], {})) == 2


def test_an_open_gate_says_what_it_could_not_see():
    rules = rules_of(["unstable:noise"])
    (line,) = not_judged(rules, [verdict("inconclusive"), verdict("inconclusive", "other")], {})
    assert line.startswith("noise was not judged")
    assert not not_judged(rules, [verdict("none found")], {})


def refusal(state: str, name: str = "few-harmed") -> RefusalLine:
    return RefusalLine(id=name, check="noise", sentence="at most 5 %", state=state, limit=0.05, why="", status="proposal",
                       source="us", measured=Measured(value=0.5, low=0.2, high=0.8, n=20))


def test_a_crossed_refusal_line_fires_and_one_that_cannot_be_told_is_told():
    lines = {"net": [refusal("crossed"), refusal("not crossed", "other"), refusal("cannot be told", "third")]}
    for word in ("crossed", "Crossed:few-harmed"):
        (reason,) = fired(rules_of([word]), "NONE FOUND", [], lines)
        assert reason.startswith("refusal line few-harmed is crossed by net: Refusal line of this profile (proposal)")
    for word in ("crossed:other", "crossed:third", "NOTICE", "unstable"):
        assert not fired(rules_of([word]), "NONE FOUND", [], lines)
    (line,) = not_judged(rules_of(["crossed"]), [], lines)
    assert line.startswith("refusal line third cannot be told for net")
    assert not not_judged(rules_of(["crossed:other"]), [], lines) and not not_judged(rules_of(["NOTICE"]), [], lines)


def test_a_rule_on_a_refusal_line_that_there_is_not_is_refused():
    profile = load("healthcare", task="classification")
    assert rules_of(["crossed", "crossed:sensitivity-scanner"], profile)
    with pytest.raises(ValueError, match="has no refusal line 'sensitivity-scaner'; did you mean 'sensitivity-scanner'"):
        rules_of(["crossed:sensitivity-scaner"], profile)
    with pytest.raises(ValueError, match="has no refusal line, so this could never fire"):
        rules_of(["crossed"], load("research"))


@pytest.mark.parametrize(("words", "told"), [
    (["sometimes"], "give WARNING, CAUTION"), (["unstable:"], "give WARNING"), (["never", "WARNING"], "'never'"),
    (["none found"], "give WARNING"), (["unstable:tiny-dta"], "did you mean 'tiny-data'"),
    (["unstable:xyz"], "it has tiny-data"), (["unstable:preflight"], "has no check"),
])
def test_a_rule_that_could_never_fire_is_refused(words, told):
    with pytest.raises(ValueError, match=told):
        rules_of(words, load("research"))


@pytest.fixture(scope="module")
def toml(tmp_path_factory) -> str:
    return small_classifier.profile(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def words(toml, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("gate")
    return {"data": small_classifier.data(folder), "profile": toml, "established": ("none",), "out": folder / "audit"}


def linear() -> TorchSystem:
    return TorchSystem(small_classifier.Linear(), name="net")


def test_an_unstable_system_fails_with_the_labels_sentences_and_the_report(words):
    finished = assert_stable(linear(), fail_on="never", **words)
    head = finished.warning_label["headline"]
    assert head["signal"] == "CAUTION"
    with pytest.raises(AssertionError) as stop:
        assert_stable(linear(), **words)
    text = str(stop.value)
    assert head["hazard"] in text and head["consequence"] in text and str(finished.folder / "report.html") in text
    assert (finished.folder / "report.html").exists()


def test_finer_rules_fail_where_they_fire_alone(words):
    assert assert_stable(linear(), fail_on="WARNING", **words).folder == words["out"]
    with pytest.raises(AssertionError, match="tiny-energy is unstable for net"):
        assert_stable(linear(), fail_on=["WARNING", "unstable:tiny-energy"], **words)
    with pytest.raises(ValueError, match="has no check"):
        assert_stable(linear(), fail_on="unstable:nothing", **words)
    with pytest.raises(ValueError, match="give WARNING"):
        assert_stable(None, fail_on="nonsense")                     # before anything is loaded


def test_a_crossed_line_of_the_profile_closes_the_gate(words, toml, tmp_path):
    lined = tmp_path / "lined.toml"
    lined.write_text(Path(toml).read_text() + """
[[refusal]]
id = "few-harmed"
kind = "rate-above"
check = "tiny-energy"
most = 0.001
sentence = "at most 0.1 % of decisions turned by a tiny change"
source = "a test"
status = "proposal"
""")
    with pytest.raises(AssertionError, match="refusal line few-harmed is crossed by net"):
        assert_stable(linear(), fail_on=["WARNING", "crossed"],
                      **{**words, "profile": str(lined), "out": tmp_path / "audit"})


def test_the_option_decides_the_exit_code(words, toml, monkeypatch, capsys, tmp_path):
    import small_audit
    from assay.cli import main

    profile = small_audit.profile(tmp_path, "preflight", "tiny-data", replace=("per_level = 2.0, over_control = 3.0",
                                                                               "per_level = 0.01"))
    def code(*more: str) -> int:
        monkeypatch.setattr(sys, "argv", ["assay", *small_audit.words(profile, tmp_path / "a"), *more])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code)

    assert code() == 1
    assert code("--fail-on", "WARNING") == 0
    assert code("--fail-on", "never") == 0
    assert code("--fail-on", "WARNING", "--fail-on", "unstable:tiny-data") == 1
    assert "--fail-on: tiny-data is unstable for zero-filled" in capsys.readouterr().err
    assert code("--fail-on", "crossed") == 2                        # before the audit runs: the profile has no such line
    assert code("--fail-on", "unstable:tiny-date") == 2
    assert "did you mean 'tiny-data'" in capsys.readouterr().err


PLUGIN_TEST = """
import small_classifier, torch
from assay.systems.torch import TorchSystem

def test_stable(assert_stable, tmp_path):
    words = {"data": small_classifier.data(tmp_path), "profile": small_classifier.profile(tmp_path),
             "established": ("none",)}
    first = assert_stable(TorchSystem(small_classifier.Linear(), name="net"), fail_on="WARNING", **words)
    assert first.folder == tmp_path / "assay-1"
    assert_stable(TorchSystem(small_classifier.Linear(), name="net"), **words)
"""
NO_TORCH = """
import sys

def pytest_collection_finish(session):
    assert "assay.pytest_plugin" in sys.modules
    assert not {"torch", "numpy", "pyarrow", "assay.api"} & set(sys.modules)
"""


def pytest_with_plugin(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    paths = f"{SOURCE}:{Path(__file__).parent}"
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "assay.pytest_plugin", "-p", "no:cacheprovider",
                           *more], cwd=folder, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": paths, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})


def test_the_plugin_gives_the_fixture_and_hides_its_own_frames(tmp_path):
    (tmp_path / "test_mine.py").write_text(PLUGIN_TEST, encoding="utf-8")
    ran = pytest_with_plugin(tmp_path)
    assert ran.returncode == 1 and "1 failed" in ran.stdout, ran.stdout + ran.stderr
    assert "CAUTION. " in ran.stdout and "report.html" in ran.stdout and "assay-2" in ran.stdout
    assert "raise AssertionError" not in ran.stdout


def test_the_plugin_loads_nothing_heavy(tmp_path):
    (tmp_path / "conftest.py").write_text(NO_TORCH, encoding="utf-8")
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n", encoding="utf-8")
    ran = pytest_with_plugin(tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (tmp_path / "test_nothing.py").write_text("import torch\ndef test_nothing(): pass\n", encoding="utf-8")
    assert pytest_with_plugin(tmp_path).returncode != 0            # the check can fail


def test_the_plugin_is_registered():
    import tomllib

    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"assay": "assay.pytest_plugin"}


def unknown_words(script: str) -> list[str]:
    """Commands `assay …` of a shell script, and options of them, that there are not."""
    wrong = []
    for name, rest in re.findall(r"^\s*assay (\S+)(.*)$", script, flags=re.M):
        known = {o for p in cli.commands[name].params for o in p.opts} if name in cli.commands else set()
        wrong += [] if known else [name]
        wrong += [word for word in re.findall(r"(?<=\s)--[\w-]+", rest) if word not in known]
    return wrong


def test_the_actions_commands_exist():
    folder = EXAMPLES / "github_action"
    text = "".join((folder / f"{name}.yml").read_text(encoding="utf-8") for name in ("action", "workflow"))
    scripts = text.replace("run: assay", "assay")
    assert len(re.findall(r"^\s*assay ", scripts, flags=re.M)) == 2 and unknown_words(scripts) == []
    assert unknown_words("assay conquer\nassay audit x --fast") == ["conquer", "--fast"]
    arguments = re.search(r"arguments: (--.*)", text)[1]
    assert unknown_words(f"assay audit x {arguments}") == []
    for name in ("fail-on", "profile"):
        assert re.search(rf"^  {name}:\n    description: ", text, flags=re.M)


def test_the_action_is_yaml_and_puts_no_input_into_its_script():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    action = yaml.safe_load((EXAMPLES / "github_action" / "action.yml").read_text(encoding="utf-8"))
    workflow = yaml.safe_load((EXAMPLES / "github_action" / "workflow.yml").read_text(encoding="utf-8"))
    steps = action["runs"]["steps"]
    assert action["runs"]["using"] == "composite" and all("${{" not in step["run"] and step["shell"] for step in steps)
    used = next(s for s in workflow["jobs"]["audit"]["steps"] if s.get("uses", "").endswith("/assay"))
    needed = {name for name, value in action["inputs"].items() if value.get("required")}
    assert needed <= set(used["with"]) <= set(action["inputs"])
    told = set(re.findall(r"inputs\.([\w-]+)", str(action)))
    assert told == set(action["inputs"])


def test_the_actions_script_keeps_the_exit_code(tmp_path):
    """Run as a shell would, with a command `assay` that ends with 1."""
    text = (EXAMPLES / "github_action" / "action.yml").read_text(encoding="utf-8")
    script = "\n".join(line.strip() for line in text[text.index("      run: |\n") + 13:].splitlines())
    (tmp_path / "assay").write_text("#!/bin/sh\necho \"$@\"\nexit 1\n")
    (tmp_path / "assay").chmod(0o755)
    variables = {"SYSTEM": "a; touch hacked", "DATA": "", "PROFILE": "p", "BUDGET": "demo", "FAIL_ON": "NOTICE",
                 "OUT": "runs/ci", "ARGUMENTS": "--limit 5", "GITHUB_OUTPUT": str(tmp_path / "out"),
                 "GITHUB_STEP_SUMMARY": str(tmp_path / "sum"), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    ran = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=tmp_path, env=variables, check=False)
    assert ran.returncode == 1 and (tmp_path / "out").read_text() == "exit-code=1\n" and not (tmp_path / "hacked").exists()
    assert "--fail-on NOTICE" in (tmp_path / "assay.sarif").read_text()


def test_a_result_has_a_place_beside_the_code():
    from assay.reports.exports import sarif

    found = [verdict("unstable")]
    def place(folder: Path) -> str:
        return sarif(found, folder)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert place(Path("runs/my audit")) == "runs/my%20audit/warning_label.txt"
    assert place(Path("/root/secret/a")) == place(Path("../a")) == "a/warning_label.txt"
    assert "locations" not in sarif(found)["runs"][0]["results"][0]
