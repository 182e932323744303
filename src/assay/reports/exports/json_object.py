"""The same facts as one JSON object: what `--format json` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.profiles.thresholds import counts
from assay.records import Verdict
from assay.reports import brackets, extrapolation, label_fields, spreads, subgroups
from assay.reports.comparison import Comparison, Folder, compare, is_complete
from assay.reports.headline import headline
from assay.reports.refusals import refusals_by_system
from assay.reports.risks import data, risks
from assay.reports.two_classes import as_tests


def json_object(folder: Folder, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What `--format json` prints.

    `folder`, `signal`, `rule`, `reason`, `complete`, and `checks`: per check and audited system `id`, `system`,
    `radius`, `unit`, `n`, `harmed`, `metric`, `better`, `normal`, `average`, `worst`, `established` (`name`, `normal`,
    `average`, `own_worst`, `transfer`, `harmed`, `verdict`; null where none was judged) and `verdict`. Numbers that
    were not measured are null. `risks`: of each bounded check of decisions and each system average, noise, probabilistic
    and worst-case risk and their gaps; `extrapolations`: the worst of a million random uses, or why not;
    `brackets`: of each certificate and each rightly decided sample the size proved harmless and the smallest flip found;
    `spreads`: of texts, codes and rows how far the scores, the decisions and (with a tariff) the money of equivalent records
    lie apart; `subgroups`: where groups were given, the harm of each and the worst one. For a classifier of two classes,
    `as_test` is a list of what each check shows of it as a test: the label's field of that name (`check`, `positive`,
    `prevalence`, …); for others it is empty. `refusal` has, for each audited system, the profile's refusal lines as the
    label's field of that name has them, `thresholds` how many of the profile's numbers are published, drafts and proposals.
    """
    header, findings = folder.header, list(folder.findings())
    top = headline(folder, verdicts, findings=findings)
    rows = compare(verdicts, header["profile"])
    finished, planned = folder.done
    return {"folder": str(folder.path), "signal": top.signal.word, "rule": top.signal.rule,
            "reason": top.signal.reason, "complete": planned > 0 and finished >= planned,
            "checks": [_check(row) for row in rows], "thresholds": counts(header["profile"]),
            "risks": [data(found) for found in risks(rows, findings)],
            "extrapolations": [extrapolation.data(found) for found in extrapolation.extrapolations(rows, findings)],
            "spreads": [spreads.data(found) for found in spreads.spreads(rows, findings)],
            "brackets": [brackets.data(known) for known in brackets.brackets(rows, findings)],
            "subgroups": [subgroups.data(found)
                          for found in subgroups.subgroups(rows, findings, header.get("groups", {}))],
            "refusal": {name: label_fields.refusal(lines) for name, lines in refusals_by_system(
                header, rows, findings, complete=is_complete(folder)).items()},
            "as_test": [label_fields.as_test(told, header["data"]["classes"]) for told in as_tests(rows, findings, header)]}


def _check(row: Comparison) -> dict[str, Any]:
    verdict, other = row.audited, row.established
    established = None if other is None else {
        "name": other.system, "normal": other.normal, "average": other.average, "own_worst": other.worst,
        "transfer": other.transfer, "harmed": other.harmed, "verdict": other.outcome.value}
    return {"id": verdict.check, "system": verdict.system, "radius": verdict.level, "unit": verdict.unit,
            "n": verdict.n, "harmed": verdict.harmed, "metric": verdict.metric, "better": verdict.better,
            "normal": verdict.normal, "average": verdict.average, "worst": verdict.worst, "established": established,
            "verdict": verdict.outcome.value}
