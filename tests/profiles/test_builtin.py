"""The profiles that ship: each loads in every budget, every number has an origin, and no word claims what none can."""

from __future__ import annotations

import datetime
import re

import pytest

from assay.profiles.clauses import clauses_for, instruments
from assay.profiles.keys import COMMUNITIES, STATUSES
from assay.profiles.load import ProfileError, impostor, load, names
from assay.profiles.thresholds import numbers_of, thresholds_of
from assay.records import digest_of
from assay.reports import explained

TASKS = [(name, task) for name, tasks in names().items() for task in tasks]
# What no label, report or explanation may say of a system. "Robustness" stands in titles of documents.
CLAIMS = re.compile(r"\b(complies|comply|compliant|compliance|conforms|conformant|certified|approved|safe|robust|passed|"
                    r"trustworthy|secure|DANGER)\b", re.IGNORECASE)


def test_the_three_communities_stand_beside_research():
    assert {name: set(tasks) for name, tasks in names().items()} == {
        "research": {"classification", "codes", "reconstruction", "sound", "table", "text", "verification"},
        "healthcare": {"classification", "codes", "reconstruction", "table", "text"},
        "defence": {"classification", "sound", "verification"},
        "public_sector": {"classification", "codes", "table", "text"}}


@pytest.mark.parametrize(("name", "task"), TASKS)
@pytest.mark.parametrize("budget", ["standard", "demo"])
@pytest.mark.parametrize("truth", [True, False])
def test_each_loads_in_every_budget(name, task, budget, truth):
    if not truth and task != "reconstruction":
        with pytest.raises(ProfileError, match="without_truth"):
            load(name, task=task, budget=budget, truth=False)
        return
    profile = load(name, task=task, budget=budget, truth=truth)
    assert (profile["id"], profile["task"], profile["budget"]) == (name, task, budget)
    assert profile["community"] in COMMUNITIES and profile["not_tested"] and 1 <= len(profile["actions"]) <= 4
    assert len({check["id"] for check in profile["checks"]}) == len(profile["checks"])
    assert profile["checks"][0]["id"] == "preflight"            # whose flags the others' verdicts need


def without_origin(profile) -> list[str]:
    """The numbers that are judged by and have no status and source."""
    told = {(t.check, t.key) for t in thresholds_of(profile) if t.status in STATUSES and t.source.strip()}
    wanted = [("", "rate"), *((check["id"], key) for check in profile["checks"] for key in numbers_of(check)),
              *((line["check"], f"refusal.{line['id']}.{'least' if 'least' in line else 'most'}")
                for line in profile.get("refusal", ()))]
    return [f"{check} {key}" for check, key in wanted if (check, key) not in told]


@pytest.mark.parametrize(("name", "task"), TASKS)
@pytest.mark.parametrize("budget", ["standard", "demo"])
def test_every_number_that_is_judged_has_an_origin(name, task, budget):
    profile = load(name, task=task, budget=budget)
    assert without_origin(profile) == []
    assert not any("gives no source" in t.source for t in thresholds_of(profile))       # the default for users' own files


def test_a_number_without_origin_is_caught():
    profile = load("research", task="classification")
    check = next(c for c in profile["checks"] if c["id"] == "patch")
    check["thresholds"] = check["thresholds"][1:]
    assert without_origin(profile) == ["patch levels"]
    assert len(without_origin({**profile, "thresholds": []})) == 2


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_no_word_claims_what_a_test_cannot(name, task):
    profile = load(name, task=task)
    text = "\n".join([*explained.overview(profile), *explained.in_full(profile), *(
        line for check in profile["checks"] for line in explained.of_check(check, profile))])
    assert not CLAIMS.search(text), CLAIMS.search(text)
    for check in profile["checks"]:
        assert check["title"] in text and check["id"] in text
    if profile.get("clauses"):
        assert "vidence relevant to" in text


def test_a_claim_is_caught():
    assert CLAIMS.search("The system complies with Art. 15") and CLAIMS.search("It is safe.")
    assert not CLAIMS.search("Evidence relevant to Art. 15, accuracy, robustness and cybersecurity")


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_explanations_are_readable_in_a_terminal(name, task):
    profile = load(name, task=task)
    assert max(map(len, explained.in_full(profile))) <= explained.WIDTH
    assert all(line == line.rstrip() for line in explained.in_full(profile))


def test_the_documents_are_dated_and_say_what_was_seen():
    today = datetime.date.today().isoformat()
    for document in instruments():
        assert document["status"] in ("published", "draft", "background"), document["id"]
        assert document["url"].startswith("https://") and document["version"] and document["title"]
        assert set(document["communities"]) <= set(COMMUNITIES)
        if document["checked"]:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", document["checked"]) and document["checked"] <= today
            assert document["seen"], "a date needs what was looked at"
        for clause in document["clauses"]:
            assert clause["id"] and clause["title"] and clause["checks"]


def test_every_clause_is_reached_and_every_check_it_names_exists():
    known = {check["id"] for name, task in TASKS for check in load(name, task=task)["checks"]}
    reached = {clause["id"] for name, task in TASKS for clause in load(name, task=task).get("clauses", ())}
    for document in instruments():
        for clause in document["clauses"]:
            assert clause["checks"] == ["*"] or set(clause["checks"]) <= known, (document["id"], clause["checks"])
            assert f"{document['id']}, {clause['id']}" in reached


def test_an_unverified_document_says_so(monkeypatch):
    from assay.profiles import clauses

    document = {"id": "X", "title": "x", "status": "draft", "version": "1", "url": "https://x", "checked": "", "seen": "",
                "communities": ["research"], "clauses": [{"id": "1", "title": "y", "checks": ["*"]}]}
    monkeypatch.setattr(clauses, "instruments", lambda: (document,))
    found = clauses_for({"community": "research", "checks": [{"id": "noise"}]})
    assert found[0]["checked"] == "not verified" and found[0]["checks"] == ["noise"]


def test_a_profile_of_ones_own_gets_no_clauses(tmp_path):
    """Its checks may mean something else under the same names; one made from ours gets them."""
    import small_audit

    path = small_audit.profile(tmp_path)
    assert "clauses" not in load(path)
    (tmp_path / "child.toml").write_text('extends = "research"\nid = "mine"\nversion = "1"\ntask = "reconstruction"\n')
    assert load(str(tmp_path / "child.toml"))["clauses"] == load("research")["clauses"]


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_shipped_profile_is_itself_and_an_edited_one_is_not(name, task):
    for budget, truth in [("standard", True), ("demo", True)] + [("demo", False)] * (task == "reconstruction"):
        profile = load(name, task=task, budget=budget, truth=truth)
        assert impostor(profile, truth=truth) == ""
        milder = {key: value for key, value in profile.items() if key != "digest"} | {"rate": 0.9}
        assert "has other content" in impostor({**milder, "digest": digest_of(milder)}, truth=truth)
        assert impostor({**milder, "id": "mine", "digest": digest_of(milder)}, truth=truth) == ""
    if task == "reconstruction":            # how it judges without a truth is another profile than with one
        assert impostor(load(name, budget="demo"), truth=False)
        assert impostor(load(name, budget="demo", truth=False), truth=True)


@pytest.mark.parametrize(("identity", "said"), [
    ("research", "'research' that comes with Assay"), ("Health Care", ""), ("HEALTHCARE", "'healthcare'"),
    ("public-sector", "'public_sector'"), ("rese\u0430rch", "look alike"), ("defence-2", "")])
def test_a_profile_of_ones_own_may_not_take_a_shipped_name(identity, said, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(f'extends = "research"\nid = "{identity}"\nversion = "1"\n', encoding="utf-8")
    if not said:
        assert load(str(path))["id"] == identity
        return
    with pytest.raises(ProfileError, match="a name of its own") as refused:
        load(str(path))
    assert said in str(refused.value)
