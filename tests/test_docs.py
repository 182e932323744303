"""What is undocumented is red: flags, commands, checks. What a document names exists: links, commands, options, modules."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from assay.cli import cli
from assay.profiles import load as profiles
from assay.profiles.keys import CHECK, CRITERION, REFUSAL, TOP
from assay.reports.wording import FLAGS
from assay.verdicts import SERIOUS

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "examples/README.md",
             *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


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


def test_every_check_of_every_profile_names_its_source_and_is_documented():
    told = (words("README.md") + words("docs/communities.md")).lower()
    for profile, tasks in profiles.names().items():
        for task in tasks:
            for check in profiles.load(profile, task=task)["checks"]:
                assert check["sources"], check["id"]
                assert check["title"].lower() in told or f"`{check['id']}`" in told, (profile, task, check["title"])


def test_every_key_of_a_profile_is_documented():
    told = words("docs/how-to.md") + words("docs/mathematics.md") + words("docs/communities.md")
    for key in {*TOP, *CHECK, *CRITERION, *REFUSAL, *(k for pair in CRITERION.values() for keys in pair for k in keys)}:
        assert f"`{key}`" in told, key


def test_every_profile_is_documented():
    for profile, tasks in profiles.names().items():
        assert f"`{profile}`" in words("README.md"), profile
        section = words("docs/communities.md").split(f"## {profile}\n")[1].split("\n## ")[0]
        assert all(task in section for task in tasks), profile


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of a language."""
    return [body for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S) if language == kind]


def anchors(text: str) -> set[str]:
    """What code hosts make of the headings: lower case, letters, digits and hyphens, spaces as hyphens."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(name: str, text: str) -> list[str]:
    """Links and pictures of a document that lead to no file, or to no heading of one."""
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    dead = []
    for link in found:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            dead.append(link)
    return dead


def wrong_commands(text: str) -> list[str]:
    """Lines `assay …` in shell blocks that name a command or an option that there is not."""
    wrong = []
    for line in "".join(blocks(text, "sh")).splitlines():
        if not (match := re.match(r"(?:\w+=\S+ )?assay (.*)", line)):
            continue
        name, *words = shlex.split(match[1], comments=True)
        known = {"--help", *(o for p in cli.commands[name].params for o in p.opts)} if name in cli.commands else set()
        if not known or any(word.startswith("--") and word not in known for word in words):
            wrong.append(line)
    return wrong


def unknown_names(text: str) -> list[str]:
    """`assay.a.b` in a document that cannot be imported and is no attribute of what can."""
    unknown = []
    for name in sorted(set(re.findall(r"`(assay(?:\.\w+)+)", text))):
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:end]))
            except ModuleNotFoundError:
                continue
            for part in parts[end:]:
                found = getattr(found, part, None)
            if found is None:
                unknown.append(name)
            break
    return unknown


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_names_exists(name):
    text = words(name)
    assert not dead_links(name, text)
    assert not wrong_commands(text)
    assert not unknown_names(text)
    for block in blocks(text, "python"):
        ast.parse(block)


def test_the_readme_leads_to_every_document():
    for name in [d for d in DOCUMENTS if d.startswith("docs/")] + ["examples/README.md"]:
        assert name in re.findall(r"\]\(([^)#]+)", words("README.md")), name


def test_what_does_not_exist_is_noticed():
    assert dead_links("README.md", "[a](docs/nowhere.md) [b](docs/flags.md#nowhere) [c](docs/flags.md#flags)") == [
        "docs/nowhere.md", "docs/flags.md#nowhere"]
    assert wrong_commands("```sh\nassay conquer\nassay audit lenet --fast\nassay audit lenet --seed 1\n```\n") == [
        "assay conquer", "assay audit lenet --fast"]
    assert unknown_names("`assay.nowhere` `assay.api.audit` `assay.api.nothing`") == ["assay.api.nothing", "assay.nowhere"]
