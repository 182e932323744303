"""From a check's words to a search: which one runs, how it is checked by a query-only one, and the flags it raises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.checks.check import STOP_FLAGS, Check
from assay.metrics.protocol import Metric, Response
from assay.metrics.spread import Spread, tariff_from
from assay.perturbations.balls import InputBall
from assay.perturbations.masking import MaskedSound
from assay.perturbations.protocol import ChoiceSet, Examples, PerturbationSet
from assay.records import Access, Flag, Stop
from assay.searches.auto_pgd import auto_pgd
from assay.searches.exhaustive import exhaustive
from assay.searches.gradient_ascent import gradient_ascent
from assay.searches.hill_climb import hill_climb
from assay.searches.penalised_ascent import penalised_search
from assay.searches.random_search import random_search, random_walk
from assay.searches.result import Best, Objective, Score, SearchResult, score
from assay.searches.square import square
from assay.searches.substitution import worst_choice
from assay.searches.two_stage import two_stage
from assay.systems.metered import Metered

GRADIENT_SEARCHES = ("gradient", "penalised", "bounded", "two-stage")
TRANSFER = "transfer"           # no search of the system itself: changes found on second systems
UNSEEN = BY_QUERIES, BY_TRANSFER = "query-beats-gradient", "transfer-beats-gradient"        # flags: the gradient saw less
Lend = Callable[[int, str], Sequence[Tensor]]       # (steps, climb) -> members of the set found worst for second systems
Searched = tuple[SearchResult, list[list[Flag]]]
BEYOND = 10.0                   # dB of a two-stage search
LAST, ROSE = 0.25, 0.1          # of the steps; of the whole rise: see `still_rising`


def blind(check: Check, target: Metered) -> bool:
    """Whether the check asks for a gradient search of a system that gives no gradients."""
    return check.search.get("kind") in GRADIENT_SEARCHES and target.access < Access.GRADIENT


def carries_over(words: Mapping[str, Any]) -> bool:
    """Whether a check with these words of a search asks for changes that were found on second systems."""
    return words.get("kind") == TRANSFER or bool(words.get("transfer"))


def objective_of(metric: Metric, target: Metered, within: PerturbationSet, x: Examples, normal: Tensor,
                 climb: str = "", spread: Spread | None = None) -> Objective:
    """parameters -> harm of the metric, with the number that is climbed beside it where the metric names one.

    A `spread` sees every member that is asked, not what leaves a place out.
    """
    def objective(p: Tensor) -> Tensor | Score:
        changed = within.apply(x, p)
        response = Response(output=target(changed.inputs), changed=changed, normal=normal, original=x)
        if spread is not None and (kept := (p >= 0).all(1).nonzero()[:, 0].tolist()):
            spread.look(response.output[kept], changed.inputs[kept])
        harm = metric.harm(response)
        return Score(harm, metric.climbed(response, climb)) if metric.climbs else harm

    return objective


def search(check: Check, target: Metered, metric: Metric, within: Any, x: Examples, normal: Tensor,
           generators: Sequence[torch.Generator], warm: Sequence[Tensor], enough: Tensor | None = None,
           lend: Lend = lambda steps, climb: ()) -> Searched:
    """The search the check names; a gradient search is always checked by a query-only one, and the worst is kept.

    `enough` (batch,) is the harm beyond which a bounded search wants nothing worse, where that is not the metric's goal;
    `lend` finds changes on second systems, for a search that asks for them.
    """
    spec = dict(check.search)
    kind = spec.pop("kind")
    if kind not in KNOWN:
        raise InputError(f"check {check.id!r}: unknown search {kind!r}; known: {', '.join(KNOWN)}")
    objective = objective_of(metric, target, within, x, normal, spec.pop("climb", ""))
    common: dict[str, Any] = {"x": x, "generators": generators}
    if kind == ONE_BY_ONE:
        return flagged(_one_by_one(metric, target, within, x, normal, generators, spec))
    if kind == TRANSFER:
        return flagged(carried_over(objective, within, x, lend(int(spec["steps"]), check.search.get("climb", ""))))
    if blind(check, target):
        if steps := int(spec.get("transfer", 0)):
            warm = [*warm, *lend(steps, next(iter(spec.get("climbs", metric.climbs)), ""))]
        draws = max(int(spec.get("query", 0)), 2 * int(spec["steps"]))
        found, flags = _by_queries(objective, within, draws, warm, common, squares=kind == "bounded")
        return found, [[*raised, Flag(id="query-only", detail=f"{draws} queries")] for raised in flags]
    if kind == "bounded":
        return _bounded(spec, metric, lambda climb: objective_of(metric, target, within, x, normal, climb), within, common,
                        warm, enough, lend)
    query = int(spec.pop("query", 0))
    if kind == "two-stage":
        spec["goal"] = torch.inf if metric.goal is None else metric.goal
    found, flags = flagged(SEARCHES[kind](objective, within, spec, common, warm))
    if not query or kind not in GRADIENT_SEARCHES:
        return found, flags
    return checked_by((found, flags), flagged(random_walk(objective, within, draws=query, **common)), metric, BY_QUERIES)


def _by_queries(objective: Objective, within: Any, draws: int, warm: Sequence[Tensor], common: Mapping[str, Any], *,
                squares: bool) -> Searched:
    """So many queries of a system without gradients: Square in a ball of inputs, half a walk where it has starts."""
    if not squares or not isinstance(within, InputBall):
        return flagged(random_walk(objective, within, draws=draws, starts=warm, **common))
    if not warm:
        return flagged(square(objective, within, draws=draws, **common))
    walk = flagged(random_walk(objective, within, draws=draws // 2, starts=warm, **common))
    return _union(walk, flagged(square(objective, within, draws=draws - draws // 2, **common)))


def _one_by_one(metric: Metric, target: Metered, within: ChoiceSet, x: Examples, normal: Tensor,
                generators: Sequence[torch.Generator], spec: dict[str, Any]) -> SearchResult:
    """Each example has a finite set of its own, searched alone; `forward` is the mean number of members asked."""
    tariff = spec.pop("tariff", None)
    choices, found, beside = within.choices(x), [], []
    with torch.no_grad():
        for i, generator in enumerate(generators):
            spread = Spread(normal[i:i + 1], tariff and tariff_from(tariff)) if normal.ndim == 2 else None

            def ask(members: Tensor, i: int = i, spread: Spread | None = spread) -> Tensor:
                many = x.only(i).repeated(len(members))
                same = normal[i:i + 1].expand(len(members), *normal.shape[1:])
                return score(objective_of(metric, target, within, many, same, spread=spread)(members)).harm

            found.append(worst_choice(ask, choices[i], most=within.most, generator=generator, **spec))
            beside.append(spread.told() if spread is not None else {})
    value = torch.tensor([chosen.value for chosen in found], dtype=torch.float64)
    return SearchResult(parameters=torch.stack([chosen.choice for chosen in found]), value=value,
                        stop=tuple(chosen.stop for chosen in found), history=value[None], backward=0, beside=tuple(beside),
                        forward=math.ceil(sum(chosen.asked for chosen in found) / len(found)))


def _gradient(objective: Objective, within: Any, spec: dict[str, Any], common: Mapping[str, Any],
              warm: Sequence[Tensor]) -> SearchResult:
    restarts = spec.pop("restarts", 1) - (1 if warm else 0)
    return gradient_ascent(objective, within, starts=warm, restarts=restarts, **common, **spec)


def _exhaustive(objective: Objective, within: Any, spec: dict[str, Any], common: Mapping[str, Any],
                warm: Sequence[Tensor]) -> SearchResult:
    return exhaustive(objective, within.members(common["x"], **spec), x=common["x"])


def _places(objective: Objective, within: Any, spec: dict[str, Any], common: Mapping[str, Any],
            warm: Sequence[Tensor]) -> SearchResult:
    """Every place where there are at most `whole`, so that the worst is the worst; else random ones and their neighbours."""
    whole = int(spec.pop("whole", 0))
    if whole and within.count(common["x"]) <= whole:
        return exhaustive(objective, within.members(common["x"]), x=common["x"])
    return hill_climb(objective, within, **common, **spec)


def _two_stage(objective: Objective, within: Any, spec: dict[str, Any], common: Mapping[str, Any],
               warm: Sequence[Tensor]) -> SearchResult:
    """`beyond` (dB) is how much louder the sounds of the first stage may be."""
    if not isinstance(within, MaskedSound):
        raise InputError("a two-stage search comes from louder sounds, so it is one of the set \"masked-sound\" alone; name "
                         "another search, as { kind = \"bounded\", … }")
    larger, goal = within.resized(within.level + float(spec.pop("beyond", BEYOND))), spec.pop("goal")
    return two_stage(objective, within, larger=larger, starts=warm, done=lambda harm: harm > goal, **common, **spec)


Run = Callable[[Objective, Any, dict[str, Any], Mapping[str, Any], Sequence[Tensor]], SearchResult]
SEARCHES: dict[str, Run] = {
    "gradient": _gradient,
    "bounded": _gradient,               # several runs, in `_bounded`
    "exhaustive": _exhaustive,
    "penalised": lambda objective, within, spec, common, warm: penalised_search(objective, within, **common, **spec),
    "places": _places,
    "square": lambda objective, within, spec, common, warm: square(objective, within, starts=warm, **common, **spec),
    "two-stage": _two_stage,
    "random": lambda objective, within, spec, common, warm: random_search(objective, within, **common, **spec),
}

ONE_BY_ONE = "choices"        # each example has a finite set of its own
KNOWN = sorted((*SEARCHES, ONE_BY_ONE, TRANSFER))


def _bounded(spec: dict[str, Any], metric: Metric, objective: Callable[[str], Objective], within: Any,
             common: dict[str, Any], warm: Sequence[Tensor], enough: Tensor | None, lend: Lend) -> Searched:
    """Auto-PGD on each of the `climbs`, changes of second systems, then queries alone (Square; a random walk where the set
    is no ball of inputs): per example the worst of all.

    An example that is won (harm above `enough`, else the metric's goal) is not searched again. Source: the ensemble of
    Croce and Hein, ICML 2020 (arXiv 2003.01690); the log odds, which have its level sets and no underflow, stand for the
    cross-entropy. Neither second systems (`transfer` steps on each) nor queries may do better than the gradient: Carlini et
    al. (2019).
    """
    query, steps = int(spec.pop("query", 0)), int(spec.pop("transfer", 0))
    climbs = spec.pop("climbs", list(metric.climbs))
    if not climbs:
        raise InputError("a bounded search needs at least one number to climb")
    goal = torch.inf if metric.goal is None else metric.goal
    past = torch.full((len(common["x"]),), goal, dtype=torch.float64) if enough is None else enough
    won = torch.zeros(len(common["x"]), dtype=torch.bool)
    found: Searched | None = None
    with torch.no_grad():
        unchanged = score(objective(climbs[0])(within.zero(common["x"]))).harm
    for climb in climbs:
        if bool(won.all()):
            break
        run = still_rising(auto_pgd(objective(climb), within, starts=warm, done=_past(past, won), **common, **spec),
                           unchanged=unchanged, goal=goal, steps=int(spec.get("steps", 100)))
        found = run if found is None else _union(found, run)
        won = found[0].value > past
    if found is None:
        raise InputError("a bounded search needs at least one number to climb")
    if steps and not bool(won.all()) and (members := lend(steps, climbs[0])):
        carried = carried_over(objective(climbs[0]), within, common["x"], members)
        asked = replace(carried, value=torch.where(won, -torch.inf, carried.value))
        found = checked_by(found, flagged(asked), metric, BY_TRANSFER)
        won = found[0].value > past
    if query and not bool(won.all()):
        if isinstance(within, InputBall):
            by_queries = square(objective(climbs[0]), within, draws=query, done=_past(past, won), **common)
        else:
            by_queries = random_walk(objective(climbs[0]), within, draws=query, **common)
        found = checked_by(found, flagged(by_queries), metric, BY_QUERIES)
    return found[0], [[flag for flag in flags if flag.id != "still-rising" or not over]
                      for flags, over in zip(found[1], (found[0].value > goal).tolist(), strict=True)]


def _past(enough: Tensor, won: Tensor) -> Callable[[Tensor], Tensor]:
    """Which examples need no worse member: those that another run has won, or this one."""
    return lambda value: (value > enough) | won


def flagged(found: SearchResult) -> Searched:
    """The result, and for each example the flag that its stop reason raises, if any."""
    return found, [[Flag(id=STOP_FLAGS[stop])] if stop in STOP_FLAGS else [] for stop in found.stop]


def still_rising(found: SearchResult, *, unchanged: Tensor, goal: float, steps: int) -> Searched:
    """`flagged`, and `still-rising` where more steps would have reached the goal.

    With h_t the best harm after t of T = `steps` steps of the run that improved last, and h_0 that of the `unchanged`
    input (batch,): the last quarter brought r = h_T − h_{3T/4} ≥ 0.1 (h_T − h_0), and as many steps again at that pace
    would do, 4 r ≥ goal − h_T. Iterations must converge before their end is called a worst case: Carlini et al., On
    Evaluating Adversarial Robustness (2019).
    """
    result, flags = flagged(found)
    h = found.history
    whole = h[-1] - unchanged.double()
    late = torch.zeros_like(whole)
    for end in range(steps, len(h), steps + 1):         # a run looks at its start and then after every step
        begin = h[end - steps - 1] if end > steps else h[0]
        rise = h[end] - h[end - max(1, round(LAST * steps))]
        late = torch.where(h[end] > begin, rise, late)
    near = (late >= ROSE * whole) & (late > 0) & (h[-1] <= goal) & (late / LAST >= goal - h[-1])
    for i in near.nonzero().flatten().tolist():
        flags[i].append(Flag(id="still-rising", detail=f"{float(late[i] / whole[i]):.0%} of the rise in the last quarter "
                                                       "of the steps"))
    return result, flags


def _union(one: Searched, two: Searched) -> Searched:
    """Per example the worse of two results, with its stop reason; flags and evaluations of both."""
    (a, flags_a), (b, flags_b) = one, two
    better = b.value > a.value
    flags = [[*mine, *(flag for flag in other if flag not in mine)] for mine, other in zip(flags_a, flags_b, strict=True)]
    stops = tuple(s if take else r for r, s, take in zip(a.stop, b.stop, better.tolist(), strict=True))
    return SearchResult(parameters=torch.where(per_example(better, a.parameters), b.parameters, a.parameters),
                        value=torch.maximum(a.value, b.value), stop=stops, forward=a.forward + b.forward,
                        backward=a.backward + b.backward, history=a.history), flags


def carried_over(objective: Objective, within: Any, x: Examples, members: Sequence[Tensor]) -> SearchResult:
    """The worst of the members, which were found on other systems; `InputError` where there are none."""
    if not members:
        raise InputError("no second system gave a change to carry over; name one with --surrogate or --established")
    best = Best(within.zero(x))
    with torch.no_grad():
        for p in members:
            best.see(p, objective(p))
    return best.result(Stop.BUDGET)


def checked_by(found: Searched, blindly: Searched, metric: Metric, flag: str) -> Searched:
    """The union, flagged where what saw no gradient found what the gradient did not: more harm, or harm beyond the goal."""
    gradient, other = found[0], blindly[0]
    joined, flags = _union(found, blindly)
    for i in beats(other.value, gradient.value, metric).nonzero().flatten().tolist():
        flags[i].append(Flag(id=flag, detail=f"{float(other.value[i]):.3g} > {float(gradient.value[i]):.3g}"))
    return SearchResult(parameters=joined.parameters, value=joined.value, stop=gradient.stop, forward=joined.forward,
                        backward=joined.backward, history=joined.history), flags


def beats(one: Tensor, two: Tensor, metric: Metric, *, slack: float = 0.0) -> Tensor:
    """Where the first harm is worse than the second in a way that counts: across the goal, or at all without one."""
    if metric.goal is None:
        return one > two + slack * two.abs()
    return (one > metric.goal) & ~(two > metric.goal)
