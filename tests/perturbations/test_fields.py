"""What may change in a row: the language and all its errors, ties, and members against an enumeration written apart."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch

from assay.arrays import InputError
from assay.numerics.texts import decode
from assay.perturbations import registry
from assay.perturbations.field_changes import FieldChanges
from assay.perturbations.fields import Fields, fields_from, load_fields
from assay.perturbations.protocol import ChoiceSet, Examples, stream
from assay.searches.substitution import exhaustive_choice

AGE = 'kind = "whole"\nrange = [0, 110]'


def written(tmp_path, text: str):
    path = tmp_path / "fields.toml"
    path.write_text(text)
    return path


def rows(*values: tuple[float, ...]) -> Examples:
    return Examples(ids=tuple(map(str, range(len(values)))), inputs=torch.tensor(values, dtype=torch.float64))


def test_a_declaration_is_read_in_order_with_its_ties(tmp_path):
    declared = load_fields(written(tmp_path, f"""
[fields.sex]
kind = "category"
values = ["f", "m", "x"]
irrelevant = true
[fields.age]
{AGE}
monotone = "up"
[fields.low]
kind = "number"
range = [30, 150]
step = 0.5
may_change = true
by = 0.1
[fields.high]
kind = "number"
range = [60, 240]
[fields.smokes]
kind = "flag"
may_change = true
[[ties]]
kind = "order"
fields = ["low", "high"]
[[ties]]
kind = "implies"
if = {{ sex = "m" }}
then = {{ smokes = 0 }}
"""))
    assert declared.names == ("sex", "age", "low", "high", "smokes")
    assert [f.kind for f in declared.fields] == ["category", "whole", "number", "number", "flag"]
    assert [f.may_change for f in declared.fields] == [False, False, True, False, True]          # unsaid: it stays
    assert declared.holds((0.0, 60.0, 80.0, 120.0, 1.0)) and not declared.holds((1.0, 60.0, 80.0, 120.0, 1.0))
    assert declared.broken((0.0, 60.0, 130.0, 120.0, 1.0)) == "low ≤ high"
    assert declared.broken((1.0, 60.0, 80.0, 120.0, 1.0)) == "sex = m implies smokes = no"
    assert declared.text((2.0, 60.0, 80.5, 120.0, 1.0)) == "sex: x\nage: 60\nlow: 80.5\nhigh: 120\nsmokes: yes"


def test_the_digest_knows_the_order_of_fields_and_every_number():
    a, b = {"kind": "flag"}, {"kind": "whole", "range": [0, 5]}
    first = fields_from({"fields": {"a": a, "b": b}})
    assert first.digest == fields_from({"fields": {"a": a, "b": b}}, name="other").digest
    assert first.digest != fields_from({"fields": {"b": b, "a": a}}).digest                      # the columns' order
    assert first.digest != fields_from({"fields": {"a": a, "b": {**b, "range": [0, 6]}}}).digest


ERRORS = [
    ("", "no field is declared"),
    ("[feilds.a]\nkind = \"flag\"", "key 'feilds' is unknown; is 'fields' meant"),
    ("[fields]\na = 3", "field 'a': not a table"),
    ("[fields.a]\nkind = \"flags\"", "field 'a': kind 'flags' is unknown; is 'flag' meant.*number, whole, category, flag"),
    ("[fields.a]\nrange = [0, 1]", "kind None is unknown"),
    (f"[fields.a]\n{AGE}\nrnage = 3", "field 'a': key 'rnage' is unknown; is 'range' meant"),
    ("[fields.a]\nkind = \"flag\"\nrange = [0, 1]", "key 'range' belongs to kind number or whole, and this is a flag"),
    ("[fields.a]\nkind = \"number\"", "range is None; give .low, high."),
    ("[fields.a]\nkind = \"number\"\nrange = [5, 1]", "the lower first"),
    ("[fields.a]\nkind = \"number\"\nrange = [0, nan]", "two finite numbers"),
    ("[fields.a]\nkind = \"number\"\nrange = [0, inf]", "two finite numbers"),
    ("[fields.a]\nkind = \"whole\"\nrange = [0.5, 3]", "a whole number lies between whole numbers"),
    (f"[fields.a]\n{AGE}\nmay_change = 1", "may_change is 1; write true or false"),
    (f"[fields.a]\n{AGE}\nmay_change = true", "needs to be told how far; give within, by or to"),
    (f"[fields.a]\n{AGE}\nmay_change = true\nwithin = 0", "within is 0; give a number above 0"),
    (f"[fields.a]\n{AGE}\nmay_change = true\nby = nan", "by is nan; give a number above 0"),
    (f"[fields.a]\n{AGE}\nmay_change = true\nwithin = 1\nby = 0.1", "within and by say the same thing twice"),
    (f"[fields.a]\n{AGE}\nwithin = 1", "within has no effect on a field that never changes"),
    (f"[fields.a]\n{AGE}\nmay_change = true\nto = []", "to is .*; give a list of values"),
    (f"[fields.a]\n{AGE}\nmay_change = true\nto = [200]", "to holds 200, which is no whole from 0 to 110"),
    (f"[fields.a]\n{AGE}\nmay_change = true\nto = [nan]", "to holds nan, which is not a finite number"),
    (f"[fields.a]\n{AGE}\nstep = 0.5", "step 0.5 does not fit"),
    (f"[fields.a]\n{AGE}\nmonotone = \"upward\"", "monotone 'upward'; known are up and down"),
    (f"[fields.a]\n{AGE}\nmonotone = \"up\"\nirrelevant = true", "irrelevant and monotone contradict each other"),
    ("[fields.a]\nkind = \"category\"\nvalues = [\"x\"]", "give at least two words"),
    ("[fields.a]\nkind = \"category\"\nvalues = [1, 2]", "give at least two words in quotation marks"),
    ("[fields.a]\nkind = \"category\"\nvalues = [\"x\", \"y\", \"x\"]", "values holds 'x' twice"),
    ("[fields.a]\nkind = \"category\"\nvalues = [\"yes\", \"no\"]\nmay_change = true\nto = [\"yse\"]", "is 'yes' meant"),
    ("[fields.a]\nkind = \"flag\"\nmay_change = true\nto = [2]", "holds 2; a flag is 0 or 1"),
    ("[fields.a\nkind = 3", "not a TOML file"),
    ("[fields.a]\nkind = \"number\"\nrange = [0, 1" + "0" * 400 + "]", "two finite numbers"),
    ("[fields.a]\nkind = \"number\"\nrange = [0, 1" + "0" * 5000 + "]", "not a TOML file that can be read"),
    ("a = " + "[" * 5000, "not a TOML file that can be read"),
    (f"[fields.a]\n{AGE}\nmay_change = true\nwithin = 1" + "0" * 400, "give a number above 0"),
    ("[fields.a]\nkind = \"number\"\nrange = [0, 1]\nstep = 1e-300", "step 1e-300 is too fine"),
    ("[fields.\"a\\u0000b\"]\nkind = \"flag\"", "letters that can be printed"),
    ("[fields.a]\nkind = \"category\"\nvalues = [\"x\", \"y\\nz\"]", "at least two words in quotation marks"),
]
TWO = "[fields.a]\nkind = \"flag\"\n[fields.b]\nkind = \"flag\"\n"
NUMBERS = ("[fields.a]\nkind = \"number\"\nrange = [0, 9]\n[fields.b]\nkind = \"number\"\nrange = [5, 9]\n"
           "[fields.c]\nkind = \"number\"\nrange = [0, 3]\nmay_change = true\nwithin = 1\n")
TIES = [
    (TWO, "kind = \"onehot\"\nfields = [\"a\", \"b\"]", "tie 1: kind 'onehot' is unknown; is 'one-hot' meant"),
    (TWO, "kind = \"sum\"\nfeilds = [\"a\"]", "tie 1: key 'feilds' is unknown; is 'fields' meant"),
    (TWO, "kind = \"one-hot\"\nfields = [\"a\", \"c\"]", "field 'c' is not declared"),
    (TWO, "kind = \"one-hot\"\nfields = [\"a\"]", "name at least two fields"),
    (TWO, "kind = \"one-hot\"\nfields = [\"a\", \"a\"]", "each once"),
    (TWO, "kind = \"order\"\nfields = [\"a\", \"b\"]", "'a' is a flag, and a tie order is of numbers"),
    (NUMBERS, "kind = \"one-hot\"\nfields = [\"a\", \"b\"]", "'a' is a number, and a tie one-hot is of flags"),
    (NUMBERS, "kind = \"order\"\nfields = [\"a\", \"b\", \"c\"]", "an order is of two fields, and 3 are named"),
    (NUMBERS, "kind = \"order\"\nfields = [\"b\", \"c\"]", "b ≤ c contradicts their ranges"),
    (NUMBERS, "kind = \"sum\"\nfields = [\"a\", \"c\"]", "change together; declare may_change and irrelevant alike"),
    (NUMBERS, "kind = \"order\"\nfields = [\"a\", \"b\"]\n[[ties]]\nkind = \"order\"\nfields = [\"b\", \"a\"]",
     "by their order 'a' lies below itself"),
    (TWO, "kind = \"one-hot\"\nfields = [\"a\", \"b\"]\n[[ties]]\nkind = \"one-hot\"\nfields = [\"b\", \"a\"]",
     "stands in two ties"),
    (TWO, "kind = \"implies\"\nif = { a = 1 }", "then is None; write then = { field = value }"),
    (TWO, "kind = \"implies\"\nif = { a = 1 }\nthen = { a = 0 }", "both about 'a'"),
    (TWO, "kind = \"implies\"\nif = { a = 7 }\nthen = { b = 0 }", "if holds 7; a flag is 0 or 1"),
    (TWO, "kind = \"implies\"\nif = { a = 1 }\nthen = { b = 0 }\n"
     "[[ties]]\nkind = \"implies\"\nif = { a = 1 }\nthen = { b = 1 }",
     "a = yes implies two values of b"),
    (TWO, "kind = \"one-hot\"\nfields = [\"a\", \"b\"]\n[[ties]]\nkind = \"implies\"\nif = { a = 1 }\nthen = { b = 1 }",
     "only one of the two can be 1"),
    (TWO + "monotone = \"up\"\n", "kind = \"one-hot\"\nfields = [\"a\", \"b\"]", "'b' cannot be monotone"),
]


@pytest.mark.parametrize(("text", "words"), [*ERRORS, *((f"{a}[[ties]]\n{b}\n", words) for a, b, words in TIES)])
def test_every_fault_names_file_field_and_remedy(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as raised:
        load_fields(written(tmp_path, text))
    assert "fields.toml" in str(raised.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_fields(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# fi\xe8vre\n")
    with pytest.raises(InputError, match="not UTF-8"):
        load_fields(tmp_path / "latin.toml")


def number(**said) -> dict:
    return {"kind": "number", "range": [0, 10], "may_change": True, **said}


@pytest.mark.parametrize(("said", "present", "expected"), [
    (number(within=1), 5.0, 8), (number(within=1, step=0.5), 5.0, [4.0, 4.5, 5.5, 6.0]),
    (number(within=1, step=0.5), 10.0, [9.0, 9.5]), (number(by=0.1, step=1), 10.0, [9.0]),
    (number(within=0.1, step=0.1), 0.2, [0.1, 0.3]),                                   # no 0.30000000000000004
    (number(to=[1, 2, 5]), 5.0, [1.0, 2.0]), (number(by=0.1), 0.0, []),
    ({"kind": "whole", "range": [0, 110], "may_change": True, "within": 2}, 109.0, [107.0, 108.0, 110.0]),
])
def test_what_a_number_may_become_by_hand(said, present, expected):
    within = FieldChanges(fields=fields_from({"fields": {"a": said}}), which="changeable", most=1)
    (place,) = within.places((present,))
    found = [move[0] for move in place.moves]
    if isinstance(expected, int):
        assert len(found) == expected and present not in found and min(found) == 4.0 and max(found) == 6.0
    else:
        assert found == expected


def test_of_many_values_the_ends_are_tried():
    wide = {"kind": "whole", "range": [0, 1_000_000_000], "irrelevant": True}
    within = FieldChanges(fields=fields_from({"fields": {"a": wide}}), which="irrelevant", most=1)
    moves = [m[0] for m in within.places((17.0,))[0].moves]
    assert len(moves) == 8 and moves[0] == 0 and moves[-1] == 1_000_000_000 and all(m == round(m) for m in moves)


def test_monotone_fields_are_only_raised_and_each_direction_has_its_own():
    declared = fields_from({"fields": {
        "a": {"kind": "whole", "range": [0, 3], "monotone": "up"},
        "b": {"kind": "category", "values": ["x", "y", "z"], "monotone": "down"}, "c": {"kind": "flag", "monotone": "up"}}})
    up = FieldChanges(fields=declared, which="monotone", direction="up", most=2)
    down = FieldChanges(fields=declared, which="monotone", direction="down", most=2)
    assert [p.moves for p in up.places((1.0, 1.0, 0.0))] == [((2.0,), (3.0,)), ((1.0,),)]
    assert [p.moves for p in up.places((3.0, 1.0, 1.0))] == [(), ()]
    assert [p.moves for p in down.places((1.0, 1.0, 0.0))] == [((2.0,),)]


def test_a_group_moves_as_one_and_its_total_stays():
    flag = {"kind": "flag", "irrelevant": True}
    hours = {"kind": "whole", "range": [0, 4], "may_change": True, "within": 1}
    declared = fields_from({"fields": {"r": flag, "g": flag, "b": flag, "u": hours, "v": hours}, "ties": [
        {"kind": "one-hot", "fields": ["r", "g", "b"]}, {"kind": "sum", "fields": ["u", "v"]}]})
    row = (1.0, 0.0, 0.0, 0.0, 2.0)
    (hot,) = FieldChanges(fields=declared, which="irrelevant", most=1).places(row)
    assert hot.moves == ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    (total,) = FieldChanges(fields=declared, which="changeable", most=1).places(row)
    assert total.moves == ((1.0, 1.0),)                     # u cannot give, v gives one


def schema(seed: int) -> tuple[Fields, tuple[float, ...], str, str]:
    """A small declaration at random, a row that keeps its ties, which fields change and in which direction."""
    r = random.Random(seed)
    while True:
        which = r.choice(["irrelevant", "changeable", "monotone"])
        direction = r.choice(["up", "down"]) if which == "monotone" else ""
        tied = r.choice(["one-hot", "sum", "order", "implies"])
        suits = {"one-hot": ["flag"], "sum": ["whole", "number"], "order": ["whole", "number"]}.get(tied)
        fields, ties, group = {}, [], r.randint(2, 3)
        for i, name in enumerate("abcd"[: r.randint(3, 4)]):
            changes = {"changeable": {"may_change": True}, "irrelevant": {"irrelevant": True},
                       "monotone": {"monotone": r.choice(["up", "down"])}}[which] if r.random() < 0.75 else {}
            if tied in ("one-hot", "sum") and 0 < i < group:        # alike, as these ties want
                changes = {k: v for k, v in fields["a"].items() if k in ("may_change", "irrelevant")}
            kind = r.choice(suits if suits and i < group else ["whole", "number", "category", "flag"])
            if kind in ("whole", "number"):
                fields[name] = {"kind": kind, "range": [0, 4], **changes, **({"step": 0.5} if kind == "number" else {})}
                if which != "monotone" and changes:
                    fields[name] |= r.choice([{"within": 1}, {"by": 0.5}, {"to": [0, 2, 3]}])
            else:
                fields[name] = {"kind": kind, **changes, **({"values": ["x", "y", "z"]} if kind == "category" else {})}
        names = list(fields)
        if tied != "implies":
            ties.append({"kind": tied, "fields": names[: 2 if tied == "order" else group]})
        for _ in range(r.randint(0, 2)):
            pair = r.sample(names, 2)
            kind = r.choice(["order", "implies"])
            word = {"category": "y", "flag": 1, "whole": 2, "number": 2}
            first, second = ({name: word[fields[name]["kind"]]} for name in pair)
            ties.append({"kind": kind, "if": first, "then": second} if kind == "implies" else {"kind": kind, "fields": pair})
        try:
            declared = fields_from({"fields": fields, "ties": ties})
        except InputError:
            continue
        valid = [row for row in itertools.product(*(every(f) for f in declared.fields)) if kept(declared, row)]
        if valid:
            return declared, r.choice(valid), which, direction


def every(field) -> list[float]:
    """All values on the grid of a small field."""
    return [k / 2 for k in range(9)] if field.kind == "number" else [float(v) for v in range(int(field.high) + 1)]


def kept(declared: Fields, row) -> bool:
    """The ties but sums, written apart."""
    for tie in declared.declared.get("ties", []):
        at = {name: (declared.fields[i], row[i]) for i, name in enumerate(declared.names)}
        if tie["kind"] == "one-hot" and sum(at[n][1] for n in tie["fields"]) != 1:
            return False
        if tie["kind"] == "order" and at[tie["fields"][0]][1] > at[tie["fields"][1]][1]:
            return False
        if tie["kind"] == "implies":
            (a, va), (b, vb) = *tie["if"].items(), *tie["then"].items()
            if said(at[a]) == va and said(at[b]) != vb:
                return False
    return True


def said(pair):
    field, value = pair
    return field.values[int(value)] if field.kind == "category" else value


def enumerated(declared: Fields, row, which: str, direction: str, most: int) -> set:
    """Every member by trying all rows there are."""
    tables = declared.declared["fields"]
    groups = [set(t["fields"]) for t in declared.declared.get("ties", []) if t["kind"] in ("one-hot", "sum")]
    sums = [set(t["fields"]) for t in declared.declared.get("ties", []) if t["kind"] == "sum"]

    def free(name: str, present: float, value: float) -> bool:
        if value == present:
            return True
        t = tables[name]
        if which == "monotone":
            return t.get("monotone") == direction and value > present
        if not t.get("may_change" if which == "changeable" else "irrelevant"):
            return False
        if "to" in t:
            return value in t["to"]
        return abs(value - present) <= t.get("within", t.get("by", math.inf) * abs(present) if "by" in t else math.inf)

    found = set()
    for other in itertools.product(*(every(f) for f in declared.fields)):
        changed = {n for n, a, b in zip(declared.names, row, other, strict=True) if a != b}
        moved = dict(zip(declared.names, zip(row, other, strict=True), strict=True))
        if not all(free(n, *moved[n]) for n in declared.names) or not kept(declared, other):
            continue
        if any(changed & s and (len(changed & s) != 2 or sum(moved[n][1] - moved[n][0] for n in s) != 0) for s in sums):
            continue
        loose = changed - set().union(*groups) if groups else changed
        if len(loose) + sum(bool(changed & g) for g in groups) <= most:
            found.add(other)
    return found


def members(within: FieldChanges, row) -> set:
    """Every member that the choices make."""
    x = rows(row)
    choices = within.choices(x)[0].tolist()
    found = set()
    for p in itertools.product(*(range(c + 1) for c in choices)):
        if sum(map(bool, p)) <= within.most:
            found.add(tuple(within.apply(x, torch.tensor([p])).inputs[0].tolist()))
    return found


def disagreements(seeds: range) -> list[int]:
    """The seeds of the schemas whose members are not those of the enumeration."""
    wrong = []
    for seed in seeds:
        declared, row, which, direction = schema(seed)
        for most in (1, 2, 3):
            within = FieldChanges(fields=declared, which=which, direction=direction, most=most, points=20)
            if members(within, row) != enumerated(declared, row, which, direction, most):
                wrong.append(seed)
                break
    return wrong


def test_members_are_those_of_an_enumeration_on_a_hundred_schemas():
    assert disagreements(range(100)) == []


@pytest.mark.parametrize("broken", ["ties", "range", "direction"])
def test_a_set_that_forgets_something_is_caught(monkeypatch, broken):
    if broken == "ties":
        monkeypatch.setattr("assay.perturbations.fields.Fields.holds", lambda self, row: True)
    elif broken == "range":
        monkeypatch.setattr("assay.perturbations.field.Field.room", lambda self, present: (self.low, self.high))
    else:
        values = "assay.perturbations.field_changes._values"
        monkeypatch.setattr(values, lambda within, field, present: [v for v in every(field) if v != present])
    assert disagreements(range(100))


def test_random_members_are_members_of_the_size_asked_and_the_generator_decides():
    for seed in range(40):
        declared, row, which, direction = schema(seed)
        within = FieldChanges(fields=declared, which=which, direction=direction, most=2, points=20)
        all_of_them = enumerated(declared, row, which, direction, 2)
        x = rows(row)
        p, again = (within.sample(x, [stream(seed, "a")]) for _ in range(2))
        assert torch.equal(p, again) and tuple(within.apply(x, p).inputs[0].tolist()) in all_of_them
        assert float(within.size(x, p)) == int((p != 0).sum()) <= 2
        one = within.sample(x, [stream(seed, "b")], size=torch.tensor([1.0]))
        assert float(within.size(x, one)) <= 1


def test_a_choice_that_breaks_a_tie_does_nothing_and_an_unknown_one_is_refused():
    both = {"kind": "whole", "range": [0, 3], "may_change": True, "within": 3}
    declared = fields_from({"fields": {"a": both, "b": both}, "ties": [{"kind": "order", "fields": ["a", "b"]}]})
    within = FieldChanges(fields=declared, which="changeable", most=2)
    assert isinstance(within, ChoiceSet)
    x = rows((1.0, 2.0))
    assert within.choices(x).tolist() == [[3, 3]]
    broken = torch.tensor([[3, 1]])                         # a = 3, b = 0
    assert within.apply(x, broken).inputs.tolist() == [[1.0, 2.0]] and float(within.size(x, broken)) == 0
    good = torch.tensor([[3, 3]])                           # both 3: a alone could not
    assert within.apply(x, good).inputs.tolist() == [[3.0, 3.0]] and float(within.size(x, good)) == 2
    with pytest.raises(InputError, match="other alternatives"):
        within.apply(x, torch.tensor([[4, 0]]))
    with pytest.raises(InputError, match="rows of 2 fields"):
        within.choices(rows((1.0, 2.0, 3.0)))


def test_exhaustion_keeps_the_fewest_changes():
    free = {"kind": "flag", "irrelevant": True}
    declared = fields_from({"fields": {"a": free, "b": free, "c": free}})
    within, x = FieldChanges(fields=declared, which="irrelevant", most=3), rows((0.0, 0.0, 0.0))

    def harm(p):
        made = within.apply(x.repeated(len(p)), p).inputs
        return (made[:, 1] * (made[:, 0] + made[:, 2]).clamp_max(1)).double()
    found = exhaustive_choice(harm, within.choices(x)[0], most=3)
    assert found.value == 1 and int((found.choice != 0).sum()) == 2 and found.asked == 8


def test_the_words_of_a_check_build_the_set_and_say_where_it_has_nothing_to_change(tmp_path):
    path = written(tmp_path, "[fields.a]\nkind = \"flag\"\nirrelevant = true\n")
    spec, x = {"kind": "fields", "which": "irrelevant", "fields": str(path)}, rows((1.0,))
    within = registry.build(spec, 2.0, x)
    assert isinstance(within, FieldChanges) and within.most == 2 and isinstance(within, registry.NESTED)
    assert registry.table_of(spec) == (str(path), load_fields(path).digest)
    assert registry.unfit(spec, x) == "" and "declares no field with may_change" in registry.unfit(
        {**spec, "which": "changeable"}, x)
    up = {**spec, "which": "monotone", "direction": "up"}
    assert registry.unfit(up, x).endswith('declares no field with monotone = "up"')
    with pytest.raises(InputError, match="say up or down"):
        registry.build({**spec, "which": "monotone"}, 1.0, x)
    with pytest.raises(InputError, match="which is 'all'"):
        registry.build({**spec, "which": "all"}, 1.0, x)
    with pytest.raises(InputError, match=r"say --fields FILE\.toml"):
        registry.build({"kind": "fields", "which": "irrelevant"}, 1.0, x)
    with pytest.raises(InputError, match="perturbation 'fields'"):
        registry.build({**spec, "witch": 1}, 1.0, x)


def test_rows_are_told_line_by_line():
    declared = fields_from({"fields": {"sex": {"kind": "category", "values": ["f", "m"], "irrelevant": True},
                                       "dose": {"kind": "number", "range": [0, 9]}}})
    within = FieldChanges(fields=declared, which="irrelevant", most=1)
    assert decode(within.texts(rows((1.0, 7.1))).numpy()) == ("sex: m\ndose: 7.1",)


def test_the_declaration_of_the_documents_is_one():
    import tomllib
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "how-to.md").read_text()
    block = text.split("```toml\n# fields.toml\n")[1].split("```")[0]
    declared = fields_from(tomllib.loads(block))
    assert declared.names == ("gender", "age", "systolic", "diastolic", "insured") and len(declared.ties) == 1
