"""The tables of a study: verdicts, cards, usefulness, controls, order, what it takes to learn. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.account import Table
from assay.numerics.intervals import clopper_pearson

SETTINGS = (("ordinary", "held out"), ("conflict", "with the structure of another class"), ("shifted", "shifted"))


def tables(results: Mapping[str, Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> list[Table]:
    found = [_verdicts(told), _cards(told), *_useful(results, told), _controls(told)] if told else []
    found += [*_order(told), *_needed(results, told), *_non_robust(results)]
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
            "lost with another class's, %", "lost without it, %", "flips along it, % (by chance)", "N90 without / with",
            "p, all")
    rows = tuple((card["title"], card["verdict"], card["follows"], _share(card["success"]), _share(card.get("use")),
                  _share(card.get("flip")), _share(card.get("removal")), _along(card.get("alignment")),
                  _ratio(card.get("simplicity")), f"{card['p']:.2g}") for card in told)
    flips = next((card for card in told if card.get("instability")), None)
    rho = "" if flips is None else (
        f" ρ of the system, its median smallest flip over half the way to the nearest input of another class: "
        f"{_ratio(flips['instability'])}; of the nearest class mean {_ratio(flips['reference'])}.")
    return Table(title="Structure by structure", head=head, rows=rows, note=(
        f"Intervals of 95 %. A structure must tell the class in more than {100 * told[0]['threshold']:.0f} % (half way "
        f"from chance to the system).{rho} N90 is asked only where success and use are positive. p: all four together, "
        "adjusted over structures."))


def _cards(told: Sequence[Mapping[str, Any]]) -> Table:
    head = ("structure", "what it is", "tells the class, %", "its smallest flip, ρ", "samples it takes", "where it fails",
            "would following it be seen?")
    rows = tuple((card["title"], card["formula"], _share(card["success"]), _ratio(card.get("structure_flip")),
                  _samples(card), card["fails"], card["power"]) for card in told)
    return Table(title="Structure cards", head=head, rows=rows, note=(
        "What the simple learner makes of each structure alone: weights in structure_cards.json. ρ: its median smallest "
        "flip over half the way to the nearest input of another class. Samples: to reach 90 % of its own final accuracy."))


def _samples(card: Mapping[str, Any]) -> str:
    needed = card.get("samples", {}).get("n90")
    return "–" if needed is None else f"{needed:.0f} of {card['samples']['sizes'][-1]}"


def _useful(results: Mapping[str, Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> list[Table]:
    """A row for each structure and kind of inputs."""
    head = ("structure", "inputs", "structure alone, %", "networks without it, %", "networks as it is, %",
            "without less as it is, points", "system, %")
    rows = []
    for card in told:
        useful, shown = card.get("useful", {}), False
        for setting, words in SETTINGS:
            of = [{**results["system"]["useful"].get(name, {}), **useful.get(name, {})}.get(setting)
                  for name in ("alone", "without", "network", "difference", "system")]
            if useful and any(of) and (setting != "conflict" or of[4]):
                rows.append(("" if shown else card["title"], words, *map(_trained, of)))
                shown = True
    if not rows:
        return []
    note = ("Balanced accuracy. Without it: small networks to which the structure is neutral in every input; as it is: the "
            "same networks on inputs as they are, from the same first weights and batches; in brackets the interval over "
            "inputs (those of one donor count as a group), and the least and most of the trainings. Of a structure alone "
            "nothing is asked on inputs with that of another class: donors are chosen so that it says the other class. "
            "Shifted: the data of --shifted.")
    return [Table(title="Is it of use? Small models on the structure alone, and without it", head=head, rows=tuple(rows),
                  note=note)]


def _order(told: Sequence[Mapping[str, Any]]) -> list[Table]:
    head = ("order by", "told by", "of what chance leaves, %", "p", "said to tell", "false alarms of the same rule",
            "stretches of one class")
    rows = []
    for card in (card for card in told if "order" in card):
        for name, words in (("near", "neighbours"), ("far", "rows further than a twentieth of all")):
            if (found := card["order"][name]) is not None:
                rows.append((card["title"] if name == "near" else "", words, _share(found["beyond"]), f"{found['p']:.2g}",
                             "yes" if found["tells"] else "no", counted(found["alarms"], found["of"]),
                             str(card["order"]["runs"]) if name == "near" else ""))
    return [Table(title="Does the order of the rows tell the class?", head=head, rows=tuple(rows), note=(
        "Neighbours: of every two rows one is left out, and those kept within 20 places vote on it, by 1/distance; beside "
        "orders by lot. Further: only parts of the file (twentieths) two and three away vote; beside the same parts in an "
        "order by lot, which is right for data that come in stretches. 100 % is all, 0 chance. False alarms: 200 orders by "
        "lot, and 200 in which whole stretches stand by lot. Said to tell where p is at most 0.002, unless the rule raises "
        "more false alarms than that."))] if rows else []


def _needed(results: Mapping[str, Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> list[Table]:
    names = {card["id"]: card["title"] for card in told}
    head = ("structure", "samples with it", "without", "steps with it", "without", "units with it", "without")
    rows = tuple((names[g], *(f"{found['needed'][part][side]:.0f}" for part in ("samples", "steps", "width")
                              for side in ("with", "without")))
                 for g, found in results["simplicity"]["structures"].items())
    return [Table(title="What a small network takes to learn, with the structure and without", head=head, rows=rows, note=(
        "To reach chance and 90 % of its final accuracy with the structure; steps and units with all samples; geometric "
        "means of the trainings. What was never reached counts as the most there is."))] if rows else []


def _controls(told: Sequence[Mapping[str, Any]]) -> Table:
    head = ("structure", "numbers", "followed by a network taught nothing else, %", "its accuracy, %",
            "tells classes by lot", "called consistent with classes by lot", "lost within the class, %")
    rows = []
    for card in told:
        sown, false = card.get("planted"), card["false_alarms"]
        if "order" in card:
            continue                            # it has a table of its own
        rows.append((card["title"], str(card["numbers"]), _share(sown), f"{100 * sown['accuracy']:.0f}" if sown else "–",
                     counted(false["tells"], false["of"]),
                     "–" if false["consistent"] is None else counted(false["consistent"], false["of"]),
                     _share(card.get("within"))))
    return Table(title="Controls beside every verdict", head=head, rows=tuple(rows), note=(
        f"Classes by lot: exchanged at random, {told[0]['false_alarms']['of']} times where a learner can be fitted. A "
        "structure tells them by chance in 5 of 100 at most. Called consistent: the verdict's own rule, over all structures "
        "of one exchange, with instability and simplicity granted, so that the rule itself alarms no oftener; – where that "
        "verdict cannot be given. In brackets the interval of the rate. A network taught nothing else shows whether "
        "following would be seen: without that, nothing is called not consistent for not being followed."))


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
                      f"{100 * r['left']:.0f}" if r["left"] >= 0 else "it learnt none") for r in made)
        found.append(Table(title="Do features alone teach?", head=head, rows=rows, note=(
            "Inputs made from others to have the features that a small network of this study, trained to be robust or not, "
            "gives: about the data, not about the audited system.")))
    return found


def _share(e: Mapping[str, Any] | None, digits: int = 0) -> str:
    if e is None or not e["n"] or e.get("value") is None:
        return "–"
    value, low, high = (percent(e[k], digits) for k in ("value", "low", "high"))
    return _with(value, low, high)


def _with(value: str, low: str, high: str) -> str:
    """A number with its interval, which no line breaks."""
    return f"{value} ({low}\u00a0to\u00a0{high})"


def _along(e: Mapping[str, Any] | None) -> str:
    return "–" if e is None else f"{_share(e, 1)}; {100 * e['chance']:.2g}"


def _trained(e: Mapping[str, Any] | None) -> str:
    """An accuracy with its interval, and the least and most of several trainings."""
    if e is None or "least" not in e:
        return _share(e)
    return f"{_share(e)}; trainings {percent(e['least'])}\u00a0to\u00a0{percent(e['most'])}"


def counted(count: int, of: int) -> str:
    """A count of trials, with Clopper and Pearson's interval of the rate in per cent.

    >>> counted(0, 100).replace("\\u00a0", " ")
    '0 of 100 (0 to 3.6 %)'
    """
    low, high = clopper_pearson(count, of)
    return _with(f"{count} of {of}", f"{100 * low:.2g}", f"{100 * high:.2g}\u00a0%")


def percent(share: float, digits: int = 0) -> str:
    """A share in per cent, never "−0".

    >>> percent(-0.001), percent(0.123, 1), percent(-0.02)
    ('0', '12.3', '−2')
    """
    return f"{round(100 * share, digits) + 0.0:.{digits}f}".replace("-", "−")


def _ratio(e: Mapping[str, Any] | None) -> str:
    """A ratio with its interval; a size that was not found is infinite, which JSON has no number for."""
    if e is None or not e["n"]:
        return "–"
    value, low, high = ("not found" if e.get(k) is None else f"{e[k]:.2g}" for k in ("value", "low", "high"))
    return _with(value, low, high)
