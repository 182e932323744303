"""The picture rows of the report: original, original + change, the audited system's image, the established method's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.records import Finding
from assay.reports.comparison import Folder, compare, metric_name, metric_unit, same_level
from assay.reports.decisions import decision_pictures, nonsense_pictures
from assay.reports.headline import space_of
from assay.reports.kinds import kind_of
from assay.reports.passages import Passage, decided_passages
from assay.reports.pictures import data_uri
from assay.reports.sounds import heard_panels, written_lines
from assay.reports.wording import CLASSIFYING, MISSING, amount, significant

BUDGET = 3_600_000      # characters of pictures in one report, which leaves room for the rest under 5 MB
CHANGED = {"codes": "Coded otherwise", "table": "With other values"}        # what an altered record is called, by space
SIZES = 4               # sizes of change shown per ladder
DIFFERENCES = ("Change: |changed − original|. Errors: |image − truth|, the truth being the changed image where the image "
               "was changed, and the original where the data were. One grey window for the row: {window}.")
HIDDEN = ("The structure: what outputs for other samples have in common in the kernel of the measurement, and true images "
          "not; with it the original gives the same data. Errors: |image − original|. One grey window: {window}.")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture with what is printed under it, and the sound that it is the picture of, if it is one."""

    title: str
    uri: str
    lines: tuple[str, ...]
    alt: str
    audio: str = ""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Pictures of one sample at one size of change, all under one grey window; differences under another.

    Of a text the `passages` stand in place of pictures.
    """

    title: str
    panels: tuple[Panel, ...]
    differences: tuple[Panel, ...]
    note: str
    difference_note: str
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The strips of one check: the same sample at several sizes, then the worst and the best case."""

    check: Mapping[str, Any]
    sizes: tuple[Strip, ...]
    cases: tuple[Strip, ...]


@dataclass
class _Purse:
    """Counts the characters that pictures take, so that the report stays small."""

    left: int
    refused: int = 0

    def pays(self, strip: Strip) -> bool:
        cost = sum(len(panel.uri) + len(panel.audio) for panel in strip.panels + strip.differences)
        cost += sum(len(text) for passage in strip.passages for text, _ in passage.pieces)
        if cost > self.left:
            self.refused += 1
            return False
        self.left -= cost
        return True


@dataclass(frozen=True, kw_only=True)
class _View:
    """What the strips of one check are drawn from."""

    check: Mapping[str, Any]
    arrays: Arrays
    rows: Sequence[Finding]
    audited: str
    established: str | None
    labelled: bool = False              # the systems decide between classes
    classes: Sequence[str] = ()
    rate: int = 0                       # of sounds, samples a second


def galleries(folder: Folder, findings: Sequence[Finding], verdicts: Sequence[Any], *,
              budget: int = BUDGET) -> tuple[list[Gallery], int]:
    """The galleries of every check that stored pictures, and how many strips were left out to keep the file small."""
    profile = folder.header["profile"]
    pairs = {(row.audited.check, row.audited.system): row for row in compare(verdicts, profile)}
    order = {str(check["id"]): i for i, check in enumerate(profile["checks"])}
    purse, found = _Purse(left=budget), []
    stored: dict[str, dict[str, NDArray[Any]]] = {}
    for identity, arrays in folder.exhibits():            # one file per unit of work: a check has several
        stored.setdefault(identity, {}).update(arrays)
    for identity in sorted(stored, key=lambda check: order.get(check, len(order))):
        for (check, system), row in pairs.items():
            if check == identity:
                view = _View(check=row.check, arrays=stored[identity], rows=[f for f in findings if f.check == check],
                             audited=system, established=row.established.system if row.established else None,
                             labelled=profile.get("task") in CLASSIFYING,
                             classes=folder.header["data"].get("classes", ()),
                             rate=int(folder.header["data"].get("options", {}).get("rate", 0)))
                gallery = _gallery(view, row.audited.level, purse)
                if gallery.sizes or gallery.cases:
                    found.append(gallery)
    return found, purse.refused


def _gallery(view: _View, level: float | None, purse: _Purse) -> Gallery:
    if view.check.get("method") == "fooling":
        made = [_nonsense(view, s) for s in (view.audited, view.established) if s is not None]
        return Gallery(check=view.check, sizes=(), cases=tuple(s for s in made if s.panels and purse.pays(s)))
    own = [f for f in view.rows if f.system == f.origin == view.audited and _pictured(view, f)]
    at_level = [f for f in own if same_level(f.level, level)] or own
    if not at_level:
        return Gallery(check=view.check, sizes=(), cases=())
    ranked = sorted(at_level, key=_harm)
    worst, best = ranked[-1], ranked[0]
    ladder = sorted((f for f in own if f.sample == worst.sample), key=lambda f: f.level or 0.0)
    sizes = [_strip(view, f, f"{f.sample}, {_size_text(view, f)}") for f in _spread(ladder, worst)]
    cases = []
    if len(ladder) < 2:
        cases.append(_strip(view, worst, f"Worst case: {worst.sample}"))
    if other := _own_worst(view, worst):
        cases.append(_strip(view, other, f"{worst.sample} under {view.established}’s own worst case"))
    if best is not worst:
        cases.append(_strip(view, best, f"Best case: {best.sample}"))
    return Gallery(check=view.check, sizes=tuple(s for s in sizes if purse.pays(s)) if len(ladder) > 1 else (),
                   cases=tuple(s for s in cases if purse.pays(s)))


def _nonsense(view: _View, origin: str) -> Strip:
    """The images found for one system, class by class."""
    own = [f for f in view.rows if f.system == f.origin == origin]
    found = [(f, image) for f in own if (image := _panel(view, f, "changed")) is not None]
    systems = [s for s in (view.audited, view.established) if s is not None]
    drawn, note = nonsense_pictures(found, view.rows, systems, view.classes)
    return Strip(title=f"Images of nothing, searched for {origin}", note=note, differences=(), difference_note="",
                 panels=tuple(Panel(title=name, uri=uri, lines=lines, alt=alt) for name, uri, lines, alt in drawn))


def _spread(ladder: Sequence[Finding], worst: Finding) -> list[Finding]:
    """At most SIZES rows of the ladder, evenly chosen, always with the one the verdict rests on."""
    if len(ladder) <= SIZES:
        return list(ladder)
    chosen = {round(i) for i in np.linspace(0, len(ladder) - 1, SIZES)}
    place = next(i for i, f in enumerate(ladder) if f is worst)
    if place not in chosen:
        chosen.remove(min(chosen - {0, len(ladder) - 1}, key=lambda i: abs(i - place)))
        chosen.add(place)
    return [ladder[i] for i in sorted(chosen)]


def _harm(row: Finding) -> float:
    """How much worse than without change, in the metric's own direction."""
    if row.worst is None:
        return float("-inf")
    sign = 1.0 if row.better == "lower" else -1.0
    return sign * (row.worst - (row.normal or 0.0))


def _own_worst(view: _View, row: Finding) -> Finding | None:
    if view.established is None:
        return None
    return next((f for f in view.rows if f.system == f.origin == view.established and f.sample == row.sample
                 and same_level(f.level, row.level) and _pictured(view, f)), None)


def _pictured(view: _View, row: Finding) -> bool:
    """Whether there is something to show: the true image, or the system's own image where nobody knows the true one."""
    return any(_panel(view, row, name) is not None for name in ("original", f"normal:{view.audited}"))


def _panel(view: _View, row: Finding, name: str) -> NDArray[Any] | None:
    """The stored picture of a finding's origin and sample, or None."""
    level = "-" if row.level is None else f"{row.level:.6g}"
    image = view.arrays.get(f"{row.origin}|{row.sample}|{level}|{name}")
    kept = image is None or image.dtype == bool or image.dtype in (np.int16, np.int32)    # a mask, a sound, a text
    return image if kept else np.asarray(image, dtype=np.float32)


def _size_text(view: _View, row: Finding) -> str:
    level = amount(row.level, str(view.check.get("unit", "")))
    if str(view.check["id"]) == "sampling":
        return f"{level} of the data"
    counted = row.unit.startswith(("phrases ", "codes ", "words ", "fields "))      # "1 phrase replaced" is the change
    return level if counted else f"change of {level}"


def _strip(view: _View, row: Finding, title: str) -> Strip:
    systems = [s for s in (view.audited, view.established) if s is not None]
    original = _panel(view, row, "original")
    if original is not None and original.dtype == np.int32:
        return Strip(title=title, panels=(), differences=(), difference_note="", note="", passages=decided_passages(
            row, view.rows, systems, view.classes, original, _panel(view, row, "changed"),
            title=CHANGED.get(space_of(view.check), "In other words")))
    if original is not None and original.dtype == np.int16:
        written = (written_lines({s: _panel(view, row, f"written-normal:{s}") for s in systems}),
                   written_lines({s: _panel(view, row, f"written:{s}") for s in systems}))
        heard, note = heard_panels(row, view.rows, systems, view.classes, original, _panel(view, row, "changed"), view.rate,
                                   kind=kind_of(row), written=written)
        return Strip(title=title, differences=(), note=note, difference_note="", panels=tuple(
            Panel(title=name, uri=uri, audio=audio, lines=lines, alt=alt) for name, uri, audio, lines, alt in heard))
    if view.labelled:
        drawn, note = decision_pictures(row, view.rows, systems, view.classes, _panel(view, row, "original"),
                                        _panel(view, row, "changed"), kind=kind_of(row))
        panels = tuple(Panel(title=name, uri=uri, lines=lines, alt=alt) for name, uri, lines, alt in drawn)
        return Strip(title=title, panels=panels, differences=(), note=note, difference_note="")
    pictures: list[tuple[str, NDArray[Any] | None, tuple[str, ...]]] = [
        ("Original", _panel(view, row, "original"), ("truth",)),
        (_changed_title(view), _panel(view, row, "changed"), (_norm_text(view, row),)),
    ]
    known = pictures[0][1] is not None
    for system in systems:
        if not known:                       # nobody knows the true image: its own image of the unchanged data
            pictures.append((system, _panel(view, row, f"normal:{system}"), ("data unchanged",)))
        pictures.append((system, _panel(view, row, f"worst:{system}"), (
            *(() if known else (f"data changed by {amount(row.size, row.unit)} ({row.unit})",)),
            *_numbers(view, row, system))))
    shown = [(name, image, lines) for name, image, lines in pictures if image is not None]
    truth = shown[0][1]
    high = float(np.nanmax(truth)) if truth.size else 1.0
    outline = _panel(view, row, "detail")
    told = HIDDEN if _hidden(view) else DIFFERENCES
    panels = tuple(Panel(title=name, uri=data_uri(image, low=0.0, high=high, outline=outline), lines=lines,
                         alt=f"{name}, {row.sample}: {'; '.join(lines)}") for name, image, lines in shown)
    differences, top = _differences(view, row, systems)
    return Strip(title=title, panels=panels, differences=differences,
                 note=f"One grey window for the row: 0 to {significant(high, 3)}.", difference_note=told.format(
                     window=f"0 to {significant(top, 2)}"))


def _differences(view: _View, row: Finding, systems: Sequence[str]) -> tuple[tuple[Panel, ...], float]:
    """|changed − original|, and |output − truth| of each system, under one window.

    The truth under a change of the image is the changed image; under a change of the data it is the original. Where
    nobody knows it, |output − output for the unchanged data|.
    """
    original, changed = _panel(view, row, "original"), _panel(view, row, "changed")
    if original is None:
        pairs = [(system, _panel(view, row, f"worst:{system}"), _panel(view, row, f"normal:{system}")) for system in systems]
        return _difference_panels(row, [(f"{system}: change", np.abs(worst - normal)) for system, worst, normal in pairs
                                        if worst is not None and normal is not None])
    if changed is not None and changed.shape != original.shape:
        return (), 0.0
    hidden = _hidden(view)
    name = "The structure itself" if hidden else "The change itself"
    images = [] if changed is None else [(name, np.abs(changed - original))]
    truth = original if changed is None or hidden or space_of(view.check) == "measurement" else changed
    for system in systems:
        output = _panel(view, row, f"worst:{system}")
        if output is not None and output.shape == truth.shape:
            images.append((f"{system}: error", np.abs(output - truth)))
    return _difference_panels(row, images)


def _difference_panels(row: Finding, images: Sequence[tuple[str, NDArray[Any]]]) -> tuple[tuple[Panel, ...], float]:
    top = max((float(np.max(image, initial=0.0, where=np.isfinite(image))) for _, image in images), default=0.0) or 1.0
    return tuple(Panel(title=name, uri=data_uri(image, low=0.0, high=top), lines=(),
                       alt=f"{name}, {row.sample}, difference image") for name, image in images), top


def _hidden(view: _View) -> bool:
    """Whether the check adds nothing, but finds a structure that the data cannot show."""
    return view.check.get("method") == "hallucination"


def _changed_title(view: _View) -> str:
    if _hidden(view):
        return "Original + structure found"
    return "Original + detail" if str(view.check["id"]) in ("structure", "kernel") else "Original + change"


def _norm_text(view: _View, row: Finding) -> str:
    if row.size is None:
        return "size of the change: not applicable"
    if _hidden(view):
        return f"the same data; the structure has a contrast of {amount(row.size, row.unit)} ({row.unit})"
    if space_of(view.check) == "measurement":
        return f"size of the change: {amount(row.size, row.unit)} of the data ({row.unit}), shown as an image"
    return f"size of the change: {amount(row.size, row.unit)} ({row.unit})"


def _numbers(view: _View, row: Finding, system: str) -> tuple[str, ...]:
    match = next((f for f in view.rows if f.system == system and f.origin == row.origin and f.sample == row.sample
                  and f.origin_sample == row.origin_sample and same_level(f.level, row.level)), None)
    if match is None:
        return (MISSING,)
    name, unit = metric_name(view.check, match.metric), metric_unit(view.check, match.metric)
    usual = "" if match.normal is None else f" (normally {amount(match.normal, unit)})"
    lines = [f"{name}: {amount(match.worst, unit)}{usual}"]
    if match.gain is not None:
        lines.append(f"gain: {significant(match.gain)}")
    if "psnr.worst" in match.extra:
        lines.append(f"PSNR: {significant(match.extra['psnr.worst'], 3)} dB")
    return tuple(lines)
