from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from synthetic_audit import ESTABLISHED, NETWORK, SyntheticFolder

from assay.reports.curves import ladder_charts
from assay.reports.figures import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Series, line_chart, table, ticks

CHART = Chart(title="<t>", x_label="x", y_label="y", x_text=lambda x: f"{x:g}", y_text=lambda y: f"{y:g}", series=(
    Series(name="a & b", style="worst", points=((0, 1), (1, 3))),
    Series(name="c", style="average", points=((0, 1), (2, 2)), band=((0, 0.5, 1.5), (2, 1, 4)))))


@pytest.mark.parametrize(("low", "high"), [(0, 0.037), (0, 1), (3, 3), (17.2, 41), (-5, 5), (0, 1e-9)])
def test_ticks_cover_the_range_in_round_steps(low: float, high: float) -> None:
    found = ticks(low, high)
    steps = [b - a for a, b in itertools.pairwise(found)]
    assert found[0] <= low and found[-1] >= high and 2 <= len(found) <= 9
    assert max(steps) == pytest.approx(min(steps), rel=1e-2)


def test_the_table_twin_holds_every_number_of_the_chart() -> None:
    head, body = table(CHART)
    assert head == ["x", "a & b", "c", "c: least to greatest"]
    assert body == [["0", "1", "1", "0.5 to 1.5"], ["1", "3", "–", "–"], ["2", "–", "2", "1 to 4"]]


def test_the_chart_is_well_formed_and_stays_inside() -> None:
    root = ElementTree.fromstring(line_chart(CHART))
    points = [p for p in root.iter("g") if p.get("tabindex") == "0"]
    assert len(points) == 4 and all(p.find("title") is not None for p in points)
    for line in [*root.iter("polyline"), *(p for p in root.iter("polygon") if "band" in (p.get("class") or ""))]:
        for pair in (line.get("points") or "").split():
            x, y = map(float, pair.split(","))
            assert LEFT - 1 <= x <= WIDTH - RIGHT + 1 and TOP - 1 <= y <= HEIGHT
    assert root.get("aria-label") == "<t>"


def test_higher_values_stand_higher() -> None:
    root = ElementTree.fromstring(line_chart(CHART))
    (_, first), (_, second) = (tuple(map(float, p.split(","))) for p in (
        next(root.iter("polyline")).get("points") or "").split())
    assert second < first


def test_ladders_have_all_four_lines_and_start_without_change(folder: SyntheticFolder) -> None:
    check = next(c for c in folder.header["profile"]["checks"] if c["id"] == "tiny-data")
    error, psnr = ladder_charts(check, folder.rows, NETWORK, ESTABLISHED)
    assert [s.style for s in error.series] == ["worst", "average", "own", "transfer"]
    assert [x for x, _ in error.series[0].points] == [0.0, 0.01, 0.02, 0.05]
    assert error.series[1].band and not psnr.series[1].band
    at = {f.sample: f.worst for f in folder.rows if f.check == "tiny-data" and f.system == f.origin == NETWORK
          and f.level == 0.02}
    assert error.series[0].points[2][1] == pytest.approx(sum(v or 0 for v in at.values()) / len(at))
    under = [f.worst or 0 for f in folder.rows if f.check == "tiny-data" and f.system == ESTABLISHED
             and f.origin == NETWORK and f.level == 0.02]
    assert error.series[3].points[2][1] == pytest.approx(sum(under) / len(under))


def test_sampling_has_no_size_and_single_levels_no_chart(folder: SyntheticFolder) -> None:
    checks = {c["id"]: c for c in folder.header["profile"]["checks"]}
    (chart,) = ladder_charts(checks["sampling"], folder.rows, NETWORK, ESTABLISHED)
    assert chart.series[0].points[0][0] == 0.25 and "sampled" in chart.x_label
    assert ladder_charts(checks["local-gain"], folder.rows, NETWORK, ESTABLISHED) == []
