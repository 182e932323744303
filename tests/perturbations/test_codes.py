"""Claims coded otherwise: only what the documented findings support, rule by rule, and the talk's own example."""

from __future__ import annotations

import itertools

import pytest
import torch

from assay.arrays import InputError
from assay.datasets.claims import SLIDE, claims
from assay.numerics.texts import encode
from assay.perturbations.codes import (
    CodeRewrites,
    codes_from,
    load_codes,
    read_claim,
    write_claim,
)
from assay.perturbations.protocol import ChoiceSet, Examples, stream
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
    with pytest.raises(InputError, match="'I10' is neither"):            # a code of another revision
        read_claim("I10")
    assert read_claim("V85.4 Body mass index\n\nE11").codes == ("V85.4", "E11")


@pytest.mark.parametrize(("content", "words"), [
    (b"", "no rows"),
    (b"codes,instead\n1,2\n", "column 'documented' is missing"),
    (b"codes,instead,documented,grade,source\n277.7,E11.9,a,same,x\n", "'E11.9' is no code of this revision"),
    (b"codes,instead,documented,grade,source\n277.7,401.9,,same,x\n", "nothing documents"),
    (b"codes,instead,documented,grade,source\n277.7,277.7,a,same,x\n", "by themselves"),
    (b"codes,instead,documented,grade,source\n277.7,401.9,a,sure,x\n", "grade 'sure'"),
    (b"codes,instead,documented,grade,source\n,401.9,a,same,x\n", "codes is empty"),
])
def test_bad_tables_are_refused_by_line(content, words):
    with pytest.raises(InputError, match=words):
        codes_from(content, "mine.csv", TABLE.names)


def test_a_change_made_for_another_claim_is_refused():
    x, within = examples("277.7\nDocumented: hypertension"), CodeRewrites(table=TABLE, most=2)
    with pytest.raises(InputError, match="other rules"):
        within.apply(x, torch.tensor([[1]]))
    with pytest.raises(InputError, match="and the change more"):
        within.of_one(x, torch.tensor([[0, 1]]))
