"""From the parts of a study to structure cards and an account. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.account import Account, Line, Picture, Plot, Strip, Table
from assay.study.judgement import dominance, judge

LIMITS = (
    "A finite test proves neither that a false structure was learnt nor that none was.",
    "“Not consistent” for every structure of the list does not show that the true structure was learnt: the list is finite.",
    "Smallest flips are the smallest found: the true ones may be smaller.",
    "ρ sets them beside distances between inputs, which grow with all that varies in these; where even the nearest class "
    "mean has a ratio below 0.1, instability is not called shown.",
)


def cards(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A structure card for each structure: what it is, success, use, stability, samples needed, where it fails, the
    verdict."""
    simple = results["simplicity"]["structures"]
    found = [{**card, "simplicity": simple.get(card["id"])} for name, card in results.items()
             if name.startswith("structure-")]
    judged = judge(found)
    return [{**card, "verdict": j.verdict, "reason": j.reason, "p": j.p, "follows": dominance(card.get("use")),
             "fails": _fails(card)}
            for card, j in zip(found, judged, strict=True)]


def _fails(card: Mapping[str, Any]) -> str:
    """Where a system that follows the structure goes wrong, in words."""
    if card.get("use") is None or not card["use"]["n"]:
        return "not asked"
    flip, within = card["flip"], card["within"]
    return (f"given the structure of another class {100 * flip['value']:.0f} points of accuracy are lost "
            f"({100 * within['value']:.0f} with that of another input of its own class)")


def account(results: Mapping[str, Mapping[str, Any]], told: Sequence[Mapping[str, Any]], header: Mapping[str, Any],
            refused: Mapping[str, str]) -> Account:
    """The study for a reader: verdicts first, then what they rest on, controls, and what the system looks at."""
    system = results["system"]
    accuracy = system["accuracy"]
    first = (f"{header['system']['name']} decides {system['right']} of {system['n']} held-out inputs rightly (balanced "
             f"accuracy {100 * accuracy['value']:.1f} %, {100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f} %).")
    if system.get("no_number"):
        first += f" For {system['no_number']} it gave no finite scores; they count as wrong."
    seen = [first, *(f"{_capital(card['title'])}: {card['verdict']} ({card['reason']})." for card in told)]
    limits = [*LIMITS, *(f"Not tried: {name}, because {why}." for name, why in refused.items())]
    return Account(title=f"What has {header['system']['name']} learned?", question=(
        "Does it follow structures that are simpler than the truth, and unstable?"), seen=tuple(seen),
        tables=tuple(_tables(results, told)), plots=tuple(_plots(results)), strips=tuple(_strips(results, told)),
        limits=tuple(limits), sources=(
            "Thesing, Antun and Hansen, arXiv 1906.01478 (2019), Conjecture 1", "Geirhos et al., Nature Machine "
            "Intelligence 2 (2020): shortcut learning", "Ilyas et al., NeurIPS 2019: non-robust features",
            "Oppenheim and Lim, Proc. IEEE 69 (1981): phase and amplitude"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _share(e: Mapping[str, Any] | None, digits: int = 0) -> str:
    if e is None or not e["n"] or e.get("value") is None:
        return "–"
    return f"{100 * e['value']:.{digits}f} ({100 * e['low']:.{digits}f} to {100 * e['high']:.{digits}f})"


def _ratio(e: Mapping[str, Any] | None) -> str:
    """A ratio with its interval; a size that was not found is infinite, which JSON has no number for."""
    if e is None or not e["n"]:
        return "–"
    value, low, high = ("not found" if e.get(k) is None else f"{e[k]:.2g}" for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _tables(results: Mapping[str, Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> list[Table]:
    found = [_verdicts(told), _controls(told)] if told else []
    found += _non_robust(results)
    steps = results["surrogate"]["steps"]
    if steps:
        names = {card["id"]: card["title"] for card in told}
        conflict = results["surrogate"]["conflict"]
        rows = tuple(("+ " * (i > 0) + names.get(s["structure"], s["structure"]), f"{100 * s['fidelity']:.0f}")
                     for i, s in enumerate(steps))
        note = ("Share of held-out decisions that a regression on these numbers gives alike, over that of always naming the "
                "commonest.")
        note += f" On conflict inputs they agree in {100 * conflict:.0f} %." if conflict is not None else ""
        found.append(Table(title="How much of what it says can be said from structures alone", rows=rows, note=note,
                           head=("structures", "fidelity, %")))
    return found


def _verdicts(told: Sequence[Mapping[str, Any]]) -> Table:
    head = ("structure", "verdict", "the system follows", "tells the class, %", "followed in conflicts, %",
            "lost with another class's", "lost without it", "ρ system / truth", "N90 without / with", "p, all")
    rows = tuple((card["title"], card["verdict"], card["follows"], _share(card["success"]), _share(card.get("use")),
                  _share(card.get("flip")), _share(card.get("removal")), _ratio(card.get("instability")),
                  _ratio(card.get("simplicity")), f"{card['p']:.2g}") for card in told)
    return Table(title="Structure by structure", head=head, rows=rows, note=(
        f"Intervals of 95 %. A structure must tell the class in more than {100 * told[0]['threshold']:.0f} % (half way "
        "from chance to the system). ρ: median smallest flip over half the way to the nearest input of another class. N90 "
        "is asked only where success and use are positive. p: all four together, adjusted over structures."))


def _controls(told: Sequence[Mapping[str, Any]]) -> Table:
    head = ("structure", "numbers", "followed by a network taught nothing else, %", "its accuracy, %",
            "false alarms, classes at random", "ρ structure / truth", "flips along it, % (by chance)", 
            "lost within the class")
    rows = []
    for card in told:
        sown, along = card.get("planted"), card.get("alignment")
        rows.append((card["title"], str(card["numbers"]), _share(sown), f"{100 * sown['accuracy']:.0f}" if sown else "–",
                     f"{card['permuted']['alarms']} of {card['permuted']['of']}", _ratio(card.get("structure_flip")),
                     f"{_share(along, 1)}; {100 * along['chance']:.2g}" if along else "–", _share(card.get("within"))))
    return Table(title="Controls beside every verdict", head=head, rows=tuple(rows))


def _non_robust(results: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    told = results.get("non-robust")
    if told is None:
        return []
    head = ("small network trained on", "right on ordinary inputs, %", "the class after, %", "right under change, %",
            "changes that reached their class, %")
    rows = tuple((r["trained_on"], _share(r["right"]), _share(r["class_after"]), _share(r["under_change"]),
                  f"{100 * r['reached']:.0f}") for r in told["rows"])
    found = [Table(title="Do small changes alone teach what a network needs?", head=head, rows=rows, note=(
        f"Changes of {100 * told['size']:.0f} % of the mean norm (ℓ2) unless said, made with the system's gradients; chance "
        f"{100 * told['chance']:.0f} %. Under change: the worst found at half that size. Intervals are over test inputs, "
        "one training each: the controls show how far trainings differ."))]
    made = results.get("feature-sets", {"rows": []})["rows"]
    if made:
        head = ("small network trained on", "right on ordinary inputs, %", "right under change, %",
                "its teacher under change, %", "distance of features left, %")
        rows = tuple((r["trained_on"], _share(r["right"]), _share(r["under_change"]), _share(r["teacher"]),
                      f"{100 * r['left']:.0f}") for r in made)
        found.append(Table(title="Do features alone teach?", head=head, rows=rows, note=(
            "Inputs made from others to have the features that a small network of this study, trained to be robust or not, "
            "gives: about the data, not about the audited system.")))
    return found


def _plots(results: Mapping[str, Mapping[str, Any]]) -> list[Plot]:
    found = []
    simple = results["simplicity"]
    for name, told in simple["structures"].items():
        lines = [_curve("with it", "own", simple["present"]), _curve("neutral everywhere", "worst", told["absent"])]
        found.append(Plot(title=f"Samples needed with and without {name}", x_label="training samples", y_label="right "
                                                                                                               "decisions",
                          lines=tuple(lines), x_log=True, kind="share"))
    bands = results["system"].get("spectrum", {}).get("bands")
    if bands:
        styles = {"flips": "worst", "gradients": "transfer", "inputs": "average"}
        lines = [Line(name=name, style=styles[name], points=tuple(((i + 0.5) / 16, v) for i, v in enumerate(values)))
                 for name, values in bands.items()]
        found.append(Plot(title="Where smallest flips lie in frequency", x_label="spatial frequency, cycles a pixel",
                          y_label="share of the energy", kind="share", lines=tuple(lines)))
    return found


def _curve(name: str, style: str, curve: Mapping[str, Any]) -> Line:
    rows = curve["accuracy"]
    return Line(name=name, style=style, points=tuple(
        (float(n), sum(row[i] for row in rows) / len(rows)) for i, n in enumerate(curve["sizes"])))


def _strips(results: Mapping[str, Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> list[Strip]:
    found = []
    for card in told:
        if card.get("pictures"):
            shown = [Picture(caption=name, pixels=_rows(p)) for name, p in zip(
                ("an input", "with the structure of another class"), card["pictures"], strict=True)]
            found.append(Strip(title=f"{card['title']}: {card['verdict']}", pictures=tuple(shown)))
    seen = results["system"].get("spectrum", {})
    if "map" in seen:
        most = max(v for row in seen["map"] for v in row) or 1.0
        pictures = [Picture(caption="where flips lie (mean share)", pixels=_rows(seen["map"]), high=most)]
        shares = seen["top_shares"]
        for k, direction in enumerate(seen["directions"]):
            pictures.append(Picture(caption=f"direction {k + 1} of all flips ({100 * shares[k]:.0f} % of their energy)",
                                    pixels=_rows(direction), low=-1.0))
        found.append(Strip(title="What smallest flips look like", pictures=tuple(pictures)))
    return found


def _rows(pixels: Any) -> Any:
    return tuple(tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in pixels)

