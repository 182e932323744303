"""What is undocumented is red: flags, commands, checks."""

from __future__ import annotations

import re
from pathlib import Path

from assay.cli import cli
from assay.profiles import load as profiles
from assay.reports.wording import FLAGS
from assay.verdicts import SERIOUS

ROOT = Path(__file__).parents[1]


def words(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_flag_is_documented_and_explained():
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", words("docs/flags.md"), flags=re.M))
    assert documented == SERIOUS == set(FLAGS)


def test_every_flag_in_the_code_is_documented():
    raised = {flag for path in (ROOT / "src").rglob("*.py")
              for flag in re.findall(r"Flag\(id=\"([a-z-]+)\"", path.read_text(encoding="utf-8"))}
    assert raised - {"nan"} <= SERIOUS          # "nan" is the example of a docstring


def test_every_command_is_in_the_readme():
    for name in cli.commands:
        assert f"assay {name}" in words("README.md"), name


def test_every_check_of_every_profile_names_its_source_and_is_in_the_readme():
    for profile in profiles.names():
        for check in profiles.load(profile)["checks"]:
            assert check["sources"], check["id"]
            assert check["title"].lower() in words("README.md").lower(), check["title"]
