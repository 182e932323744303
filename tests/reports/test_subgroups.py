"""Groups by hand: the worst is named, intervals allow for many groups, chance is called chance; where groups are read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import assay
import small_classifier as small
from assay.arrays import InputError
from assay.datasets.groups import groups_of
from assay.numerics.intervals import clopper_pearson
from assay.records import Finding
from assay.reports import label_fields
from assay.reports.comparison import compare
from assay.reports.subgroups import data, subgroups
from assay.reports.warning_label import differences
from assay.verdicts import judge, judge_all

CHECK = {"id": "tiny", "title": "Tiny", "method": "worst-case", "metric": "error-rate", "unit": "ℓ2",
         "criterion": {"kind": "grows", "absolute": 0.5, "sentence": "s"}}


def row(sample: int, normal: float, worst: float) -> Finding:
    empty = Finding.empty(check="tiny", system="net", role="audited", sample=str(sample), unit="ℓ2", metric="error-rate",
                          better="lower", level=0.1)
    return replace(empty, normal=normal, average=0.0, worst=worst, extra={"already-wrong": normal})


def found(rows, groups, check=CHECK):
    verdict = judge(rows, check, "net", role="audited")
    return subgroups(compare([verdict], {"id": "p", "rate": 0.05, "headline": "tiny", "checks": [check]}), rows, groups)


ROWS = [row(i, 0, i < 9) for i in range(10)] + [row(i, 0, i < 12) for i in range(10, 50)] + [row(50, 1, 1)]
GROUPS = {str(i): "rare" if i < 10 else "common" for i in range(50)} | {"50": "rare"}


def test_the_worst_group_is_named_and_wrong_samples_are_counted_apart():
    (told,) = found(ROWS, GROUPS)
    assert [(g.name, g.harmed, g.n, g.wrong, g.known) for g in told.groups] == [
        ("rare", 9, 10, 1, 11), ("common", 2, 40, 0, 40)]
    assert told.worst.name == "rare" and told.apart
    json.dumps(data(told), allow_nan=False)


def test_intervals_hold_for_all_groups_together():
    (told,) = found(ROWS, GROUPS)
    assert (told.worst.low, told.worst.high) == pytest.approx(clopper_pearson(9, 10, level=0.975))
    alone = clopper_pearson(9, 10)
    assert told.worst.low < alone[0] and told.worst.high > alone[1]         # the broken twin: each as if alone


def test_all_intervals_hold_together_as_often_as_they_say():
    generator, missed, naive = np.random.default_rng(0), 0, 0
    for _ in range(400):
        counts = generator.binomial(20, 0.5, size=10)
        together, alone = ([clopper_pearson(k, 20, level=level) for k in counts.tolist()] for level in (0.995, 0.95))
        missed += any(not low <= 0.5 <= high for low, high in together)
        naive += any(not low <= 0.5 <= high for low, high in alone)
    assert missed / 400 <= 0.05 and naive / 400 > 0.15


def test_a_difference_that_may_be_chance_is_not_told_apart():
    (told,) = found([row(i, 0, i in (0, 1, 4)) for i in range(8)], {str(i): "ab"[i >= 4] for i in range(8)})
    assert told.worst.name == "a" and not told.apart


def test_one_group_or_a_measurement_is_not_told():
    assert found(ROWS, dict.fromkeys(GROUPS, "all")) == []
    assert found(ROWS, {}) == []
    assert found(ROWS, GROUPS, {**CHECK, "criterion": {"kind": "measures", "sentence": "s"}}) == []


def test_groups_of_a_comparison_are_judged_beside_the_other_system():
    """Twelve samples: worse than the established method on the first four, which are the rare group, and better on one."""
    check = {**CHECK, "criterion": {"kind": "worse-than-established", "margin": 0.1, "sentence": "s"}}
    ours = [replace(row(i, 0, i < 4), extra={}) for i in range(12)]
    theirs = [replace(row(i, 0, i == 11), system="old", origin="old", role="established", extra={}) for i in range(12)]
    verdicts = judge_all([*ours, *theirs], {"checks": [check]}, systems={"net": "audited", "old": "established"})
    rows = compare(verdicts, {"id": "p", "rate": 0.05, "headline": "tiny", "checks": [check]})
    groups = {str(i): "rare" if i < 4 else "common" for i in range(12)}
    told = {(s.system, g.name): (g.harmed, g.n) for s in subgroups(rows, [*ours, *theirs], groups) for g in s.groups}
    assert told == {("net", "rare"): (4, 4), ("net", "common"): (0, 8), ("old", "rare"): (0, 4), ("old", "common"): (1, 8)}
    counts = {v.system: v.harmed for v in verdicts}         # the same rows fire as in the verdicts
    assert counts == {name: sum(k for (who, _), (k, _) in told.items() if who == name) for name in ("net", "old")}


def test_a_group_whose_letters_deceive_is_named_by_its_escapes():
    """Cyrillic a in a Latin word: a label with it is refused, and the audit's groups are what they are."""
    told = found(ROWS, {s: "Ex\u0430mple" if g == "rare" else g for s, g in GROUPS.items()})
    (made,) = [label_fields.groups(told, None, "net")]
    assert made["worst"] == {"name": "Ex\\u0430mple", "harmed": 9, "n": 10, "ci95": made["worst"]["ci95"]}
    assert label_fields.groups(told, None, "other") is None


def test_groups_are_read_from_a_file_an_array_or_a_column(tmp_path):
    ids = ["0", "1", "2"]
    (tmp_path / "g.csv").write_text("group,sample\nold,2\nyoung,0\nold,1\n", encoding="utf-8")
    assert groups_of(str(tmp_path / "g.csv"), "bundled:digits", ids) == {"0": "young", "1": "old", "2": "old"}
    np.savez(tmp_path / "d.npz", age=np.array([3, 4, 3]), x=np.zeros((3, 2)), odd=np.array([{}], dtype=object))
    assert groups_of("age", str(tmp_path / "d.npz"), ids) == {"0": "3", "1": "4", "2": "3"}
    (tmp_path / "t.csv").write_text("id,text,site\na,one,x\n,two,y\n", encoding="utf-8")
    assert groups_of("site", str(tmp_path / "t.csv"), ["a", "row-3"]) == {"a": "x", "row-3": "y"}
    for where, source, names, why in (
            ("age", str(tmp_path / "d.npz"), ["7"], "'7' has no group"), ("x", str(tmp_path / "d.npz"), ids, "shape"),
            ("odd", str(tmp_path / "d.npz"), ids, "neither numbers nor text"),
            ("nothing", str(tmp_path / "d.npz"), ids, "neither a file"),
            ("nothing", str(tmp_path / "t.csv"), ids, "neither a file"), ("nothing", "bundled:digits", ids, "no such file"),
            (str(tmp_path / "t.csv"), "bundled:digits", ids, "sample and group")):
        with pytest.raises(InputError, match=why):
            groups_of(where, source, names)
    (tmp_path / "twice.csv").write_text("group,sample\nold,2\nyoung,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="second time"):
        groups_of(str(tmp_path / "twice.csv"), "", ["2"])
    (tmp_path / "many.csv").write_text("sample,group\n" + "".join(f"{i},{i}\n" for i in range(60)), encoding="utf-8")
    with pytest.raises(InputError, match="at most 50"):
        groups_of(str(tmp_path / "many.csv"), "", [str(i) for i in range(60)])


def test_groups_reach_the_report_end_to_end(tmp_path):
    source = small.data(tmp_path)
    lines = "".join(f"{name},{'a<b>' if i % 2 else 'other'}\n" for i, name in enumerate(source.ids))
    (tmp_path / "groups.csv").write_text(f"sample,group\n{lines}", encoding="utf-8")
    audit = assay.audit(small.Linear(), source, profile=small.profile(tmp_path), established=("none",),
                        out=tmp_path / "audit", groups=str(tmp_path / "groups.csv"))
    assert set(audit.header["groups"].values()) == {"a<b>", "other"}
    page = (audit.folder / "report.html").read_text(encoding="utf-8")
    told = audit.warning_label["groups"]
    assert told["count"] == 2 and told["worst"]["name"] in ("a<b>", "other") and told["worst"]["n"] > 0
    text = " ".join((audit.folder / "warning_label.txt").read_text(encoding="utf-8").split())
    assert f"the worst of 2 groups is “{told['worst']['name']}”" in text or "no harm was found in any of 2 groups" in text
    drawing = (audit.folder / "warning_label.svg").read_text(encoding="utf-8")
    assert "Groups" in drawing and "a<b>" not in drawing
    assert differences({k: v for k, v in audit.warning_label.items() if k != "groups"}, audit.store, audit.verdicts)
    assert 'id="groups"' in page and "Worst group: <b>" in page and "a<b>" not in page
    assert all(claim.holds for claim in assay.api.verify(audit.folder, replay=False))


def long_names(tmp_path, *names: str) -> dict[str, str]:
    (tmp_path / "long.csv").write_text("sample,group\n" + "".join(f"{i},{name}\n" for i, name in enumerate(names)),
                                       encoding="utf-8")
    return groups_of(str(tmp_path / "long.csv"), "bundled:digits", [str(i) for i in range(len(names))])


def test_long_names_of_groups_stay_apart(tmp_path):
    """Groups whose names agree in their first sixty letters were counted as one."""
    same = "University hospital of the northern region: department of radiology: site "
    found = long_names(tmp_path, same + "A", same + "B", same + "B", "x" * 60)
    assert len(set(found.values())) == 3 and found["1"] == found["2"] and found["3"] == "x" * 60
    assert all(len(name) <= 60 for name in found.values())
    assert [name[-6:] for name in found.values()][:2] == ["site A", "site B"]
    with pytest.raises(InputError, match=r"are alike in the 60 letters .*shorten one"):
        long_names(tmp_path, "a" * 40 + "one" + "b" * 40, "a" * 40 + "two" + "b" * 40)
