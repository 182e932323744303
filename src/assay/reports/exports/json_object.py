"""The same facts as one JSON object: what `--format json` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.records import Verdict
from assay.reports import label_fields
from assay.reports.comparison import Comparison, Folder, compare
from assay.reports.headline import headline
from assay.reports.two_classes import as_tests


def json_object(folder: Folder, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What `--format json` prints.

    `folder`, `signal`, `rule`, `reason`, `complete`, and `checks`: per check and audited system `id`, `system`,
    `radius`, `unit`, `n`, `harmed`, `metric`, `better`, `normal`, `average`, `worst`, `established` (`name`, `normal`,
    `average`, `own_worst`, `transfer`, `harmed`, `verdict`; null where none was judged) and `verdict`. Numbers that
    were not measured are null. For a classifier of two classes, `as_test` is a list of what each check shows of it as a
    test: the label's field of that name (`check`, `positive`, `prevalence`, …); for others it is empty.
    """
    header, findings = folder.header, list(folder.findings())
    top = headline(folder, verdicts, findings=findings)
    rows = compare(verdicts, header["profile"])
    finished, planned = folder.done
    return {"folder": str(folder.path), "signal": top.signal.word, "rule": top.signal.rule,
            "reason": top.signal.reason, "complete": planned > 0 and finished >= planned,
            "checks": [_check(row) for row in rows],
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
