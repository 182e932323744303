"""From the parts of a study to structure cards and an account. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.account import Account, Line, Picture, Plot, Strip
from assay.profiles.plain_words import capital
from assay.study.judgement import ALPHA, alarms, dominance, judge, threshold
from assay.study.tables import percent, tables

LIMITS = (
    "A finite test proves neither that a false structure was learnt nor that none was.",
    "“Not consistent” for every structure of the list does not show that the true structure was learnt: the list is finite.",
    "Smallest flips are the smallest found: the true ones may be smaller.",
    "ρ sets them beside distances between inputs, which grow with all that varies in these; where even the nearest class "
    "mean has a ratio below 0.1, instability is not called shown.",
)


def cards(results: Mapping[str, Mapping[str, Any]], classes: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A structure card for each structure: what it is, success, use, stability, samples needed, where it fails, how far the
    study could see it, the verdict."""
    simple = results["simplicity"]["structures"]
    found = [{**card, "simplicity": simple.get(card["id"])} for name, card in results.items()
             if name.startswith("structure-")]
    judged = judge(found)
    return [{**card, "verdict": j.verdict, "reason": j.reason, "p": j.p, "follows": dominance(card.get("use")),
             "false_alarms": counts, "fails": _fails(card, classes), "power": _power(card)}
            for card, j, counts in zip(found, judged, alarms(found), strict=True)]


def _fails(card: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Where the structure alone goes wrong, and a system that follows it, in words."""
    if "order" in card:
        return "on rows of another time or site, which a random split does not have" if card["means"] else "not asked"
    least, useful = card["least"], card["useful"]["alone"]
    name = classes[least["class"]] if least["class"] < len(classes) else str(least["class"])
    found = [f"alone right in {100 * least['right']:.0f} % of class {name}"]
    if "shifted" in useful:
        found.append(f"in {100 * useful['shifted']['value']:.0f} % of shifted inputs")
    if card.get("use") is not None and card["flip"]["n"]:
        found.append(f"the system loses {percent(card['flip']['value'])} % of decisions with another class's "
                     f"({percent(card['within']['value'])} % within the class)")
    return "; ".join(found)


def _power(card: Mapping[str, Any]) -> str:
    """Whether a system that follows the structure would have been found out, by the planted control, in words."""
    sown = card.get("planted")
    if sown is None:
        return "not asked"
    chance, right = 1 / len(card["learner"]["b"]), f"right in {percent(sown['accuracy'])} %"
    if not sown["n"]:
        return f"no: of a network taught nothing else ({right}) too few conflicts could be made"
    followed = f"follows it in {percent(sown['value'])} % of conflicts"
    if sown["p"] > ALPHA:
        return f"hardly: a network taught nothing else ({right}) {followed} only; it varies too little in these data"
    if sown["accuracy"] < threshold(chance, 1.0):
        return (f"perhaps: a network taught nothing else {followed}, but learnt little ({right}), for it varies little "
                "in these data")
    return f"yes: a network taught nothing else ({right}) {followed}"


def account(results: Mapping[str, Mapping[str, Any]], told: Sequence[Mapping[str, Any]], header: Mapping[str, Any],
            refused: Mapping[str, str]) -> Account:
    """The study for a reader: verdicts first, then what they rest on, controls, and what the system looks at."""
    system = results["system"]
    accuracy = system["accuracy"]
    first = (f"{header['system']['name']} decides {system['right']} of {system['n']} held-out inputs rightly (balanced "
             f"accuracy {100 * accuracy['value']:.1f} %, {100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f} %).")
    if system.get("no_number"):
        first += f" For {system['no_number']} it gave no finite scores; they count as wrong."
    seen = [first, *(f"{capital(card['title'])}: {card['verdict']}; {card['reason']}." + (
        f" {capital(card['means'])}." if card.get("means") else "") for card in told), *_masked(results)]
    limits = [*LIMITS, *(f"Not tried: {name}, because {why}." for name, why in refused.items())]
    return Account(title=f"What has {header['system']['name']} learned?", question=(
        "Does it follow structures that are simpler than the truth, and unstable?"), seen=tuple(seen),
        tables=tuple(tables(results, told)), plots=tuple(_plots(results, told)), strips=tuple(_strips(results, told)),
        limits=tuple(limits), sources=(
            "Thesing, Antun and Hansen, arXiv 1906.01478 (2019), Conjecture 1", "Geirhos et al., Nature Machine "
            "Intelligence 2 (2020): shortcut learning", "Ilyas et al., NeurIPS 2019: non-robust features",
            "Oppenheim and Lim, Proc. IEEE 69 (1981): phase and amplitude"))


def _masked(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How few pixels turn decisions, in a sentence."""
    told = results.get("mask", {"n": 0})
    if not told["n"]:
        return []

    most = 100 * told["shares"][-1]

    def share(name: str) -> str:
        found = told["half"][name]
        if found["value"] is None:
            return f"more than {most:.0f} %"
        return f"{100 * found['value']:.2g} % ({100 * found['low']:.2g} to {100 * found['high']:.2g})"

    fewer = told["fewer"]
    least = any(told["half"][name]["value"] is None for name in ("turned", "random"))
    compared = f"{fewer['value']:.2g} times as many ({fewer['low']:.2g} to {fewer['high']:.2g}, p {fewer['p']:.2g}" + (
        f", counting {most:.0f} % for what is more)" if least else ")")
    return [f"Half of {told['n']} right decisions turn where {share('turned')} of the pixels may take any value, the first "
            f"of a map of sparse changes of other inputs; of pixels by lot, in {told['orders']} orders, it takes "
            f"{share('random')}: {compared}."]


def _plots(results: Mapping[str, Mapping[str, Any]], cards: Sequence[Mapping[str, Any]]) -> list[Plot]:
    found, titles = [], {card["id"]: card["title"] for card in cards}
    simple = results["simplicity"]
    for name, told in simple["structures"].items():
        lines = [_curve("with it", "own", simple["present"]), _curve("neutral everywhere", "worst", told["absent"])]
        found.append(Plot(title=f"Samples needed, with it and without: {titles[name]}",
                          x_label="training samples", y_label="balanced accuracy", lines=tuple(lines),
                          x_log=True, kind="share"))
    bands = results["system"].get("spectrum", {}).get("bands")
    if bands:
        styles = {"flips": "worst", "gradients": "transfer", "inputs": "average"}
        lines = [Line(name=name, style=styles[name], points=tuple(((i + 0.5) / 16, v) for i, v in enumerate(values)
                                                               if v is not None))
                 for name, values in bands.items()]
        found.append(Plot(title="Where smallest flips lie in frequency", x_label="spatial frequency, cycles a pixel",
                          y_label="share of the energy", kind="share", lines=tuple(lines)))
    masked = results.get("mask", {"n": 0})
    if masked["n"]:
        lines = [Line(name=name, style=style, points=tuple((100 * s, v) for s, v in zip(masked["shares"], masked[key],
                                                                                            strict=True)))
                 for name, style, key in (("first pixels of the map of sparse changes", "worst", "turned"),
                                          ("as many by lot, in other orders for each input", "average", "random"))]
        found.append(Plot(title="How many pixels turn a decision", x_label="pixels that may take any value, %",
                          y_label="right decisions turned", x_log=True, kind="share", lines=tuple(lines)))
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
            found.append(Strip(title=f"{capital(card['title'])}: {card['verdict']}", pictures=tuple(shown)))
    seen = results["system"].get("spectrum", {})
    if "map" in seen:
        most = max(v for row in seen["map"] for v in row) or 1.0
        pictures = [Picture(caption="where flips lie (mean share)", pixels=_rows(seen["map"]), high=most)]
        if results.get("mask", {"n": 0})["n"]:
            sparse = results["mask"]["map"]
            pictures.append(Picture(caption=f"where sparse changes (ℓ1) lie: {100 * results['mask']['moved']:.0f} % of the "
                                            "pixels of an input", pixels=_rows(sparse), high=max(map(max, sparse)) or 1.0))
        shares = seen["top_shares"]
        for k, direction in enumerate(seen["directions"]):
            pictures.append(Picture(caption=f"direction {k + 1} of all flips ({100 * shares[k]:.0f} % of their energy)",
                                    pixels=_rows(direction), low=-1.0))
        found.append(Strip(title="What smallest flips look like", pictures=tuple(pictures)))
    return found


def _rows(pixels: Any) -> Any:
    return tuple(tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in pixels)

