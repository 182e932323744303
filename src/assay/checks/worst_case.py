"""The worst member of a set over a ladder of sizes, beside random members of the same size and the other systems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from assay.arrays import per_example
from assay.checks.asked_again import changed_with_use, remember
from assay.checks.check import Bench, Check, UnitResult, key, loan_key, method
from assay.checks.exhibits import exhibit, pictures_of
from assay.checks.operating_point import enough
from assay.checks.preflight_classifier import LOOKS, misled
from assay.checks.searching import GRADIENT_SEARCHES, TRANSFER, UNSEEN, beats, blind, search
from assay.checks.second_systems import Loan, lenders, lent, members, of_each, told, unchanged
from assay.checks.written import letters_wrong, with_texts, written_texts
from assay.metrics import protocol as metrics
from assay.metrics.classification import wrong
from assay.metrics.protocol import Metric, Response
from assay.metrics.stability import GAIN
from assay.perturbations import registry
from assay.perturbations.field_ball import FieldBall
from assay.perturbations.protocol import ChoiceSet, Examples, PerturbationSet, stream
from assay.perturbations.sounds import AddedSound
from assay.perturbations.union import OfKinds
from assay.records import Finding, Flag, Stop
from assay.searches.result import SearchResult
from assay.solvers.result import Iterative
from assay.systems.metered import Metered


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Random members at one size: metric, gain and extra metrics (draws, batch), measured size, and the most harmful."""

    values: Tensor
    gains: Tensor
    extras: Mapping[str, Tensor]
    size: Tensor
    worst: Tensor
    harm: Tensor


@dataclass(kw_only=True)
class Rung:
    """One level of the ladder while it is being worked on: the worst found so far, and what it cost."""

    level: float
    within: PerturbationSet
    parameters: Tensor
    harm: Tensor
    stop: list[Stop]
    flags: list[list[Flag]]
    forward: int
    backward: int
    controls: Controls | None = None
    beside: tuple[Mapping[str, float], ...] = ()        # what else all members that were asked say, for each example
    loans: Mapping[str, Loan] = field(default_factory=dict)     # by second system, where every example was lent its changes

    @classmethod
    def at(cls, level: float, within: PerturbationSet, parameters: Tensor) -> Rung:
        """A level whose worst member is given, not searched for."""
        n = len(parameters)
        return cls(level=level, within=within, parameters=parameters, harm=torch.zeros(n), stop=[Stop.BUDGET] * n,
                   flags=[[] for _ in range(n)], forward=1, backward=0)


@method("worst-case")
def worst_case(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """Search every level downwards with warm starts, then carry finds upwards and measure each level against controls."""
    target = bench.systems[system]
    if x.labelled:
        remember(system, bench, x)
    with torch.no_grad():
        normal = target(x.inputs)
    rungs = climb_ladder(check, system, bench, x, normal)
    for i, rung in reversed(list(enumerate(rungs))):            # upwards: what is found below is a find above
        if i + 1 < len(rungs):
            _carry_up(rungs[i + 1], rung)
        _weigh_controls(check, target, bench, x, rung, normal)
    used = changed_with_use(system, bench, x) if x.labelled else [[]] * len(x)
    for rung in rungs:
        rung.flags = [[*mine, *more] for mine, more in zip(rung.flags, used, strict=True)]
    return report(check, system, bench, x, normal, rungs)


def climb_ladder(check: Check, system: str, bench: Bench, x: Examples, normal: Tensor) -> list[Rung]:
    """The rungs from the greatest level to the least; each starts from the worst of the one above.

    A system that gives no gradients also starts from the worst cases of those that do, beside what its search asks to be
    lent: a ladder also holds what queries found on them, and ends where their decisions turn.
    """
    metric, target = metrics.find(check.metric), bench.systems[system]
    borrowed = _ladders_of_others(check, system, bench, x) if blind(check, target) else []
    all_asked = check.search.get("kind") == TRANSFER or blind(check, target)       # else only what gradients left is lent
    far = enough(check, system, bench, x)
    rungs: list[Rung] = []
    for level in sorted(check.levels, reverse=True):
        within = registry.build(check.perturbation, level, x)
        generators = [stream(bench.seed, check.id, level, sample) for sample in x.ids]
        warm = [rungs[-1].parameters] if rungs else []
        warm += [ladder[len(rungs)].parameters for ladder in borrowed]
        loans: dict[str, Loan] = {}

        def lend(steps: int, climb: str, *, level: float = level, within: PerturbationSet = within,
                 loans: dict[str, Loan] = loans) -> list[Tensor]:
            loans |= lent(check, system, bench, x, level, within, steps, climb)
            return members(loans, within, x)

        found, flags = search(check, target, metric, within, x, normal, generators, warm, far, lend)
        if rungs:
            _pass_down(rungs[-1], found.value, flags, metric)
        looks = _look_at_gradient(check, target, bench, x, within, found, flags)
        rungs.append(Rung(level=level, within=within, parameters=found.parameters, harm=found.value,
                          stop=list(found.stop), flags=flags, forward=found.forward + 1 + looks, backward=found.backward,
                          beside=told(loans, system, bench, len(x)) if all_asked and loans else found.beside,
                          loans=loans if all_asked else {}))
    return rungs


def _pass_down(above: Rung, harm: Tensor, flags: list[list[Flag]], metric: Metric) -> None:
    """What a gradient search finds from a start that it could not find is still not its own: the flag goes with it."""
    if metric.goal is None:
        return
    for i, mine in enumerate(flags):
        if float(harm[i]) > metric.goal:
            mine += [flag for flag in above.flags[i] if flag.id in UNSEEN and flag.id not in {f.id for f in mine}]


def _look_at_gradient(check: Check, target: Metered, bench: Bench, x: Examples, within: PerturbationSet, found: SearchResult,
                      flags: list[list[Flag]]) -> int:
    """Flag where a bounded search turned nothing and the gradient is wrong where it ended; the evaluations that it took."""
    goal = metrics.find(check.metric).goal
    if check.search.get("kind") != "bounded" or blind(check, target) or not x.labelled or x.box is None or goal is None:
        return 0
    left = [i for i, harm in enumerate(found.value.tolist()) if math.isfinite(harm) and harm <= goal]
    if not left:
        return 0
    ended = replace(x, inputs=within.apply(x, found.parameters).inputs)
    raised = misled(target, ended, seed=bench.seed, check=check.id, where="where the search ended")
    for i in left:
        flags[i] += [flag for flag in raised[i:i + 1] if flag is not None]
    return LOOKS


def _ladders_of_others(check: Check, system: str, bench: Bench, x: Examples) -> list[list[Rung]]:
    """The ladders of the systems that do give gradients."""
    found = of_each(lenders(system, bench.systems), len(x),
                    lambda name, other: climb_ladder(check, name, bench, x, unchanged(other, x)))
    return list(found.values())


def _carry_up(below: Rung, above: Rung) -> None:
    """A member of a smaller ball is a member of the larger: a worse find below is also a find above."""
    if not isinstance(above.within, registry.NESTED):
        return
    better = below.harm > above.harm
    above.parameters = torch.where(per_example(better, above.parameters), below.parameters, above.parameters)
    above.harm = torch.where(better, below.harm, above.harm)


def report(check: Check, system: str, bench: Bench, x: Examples, normal: Tensor, rungs: list[Rung], *,
           origin_samples: tuple[str, ...] | None = None) -> UnitResult:
    """Rows, witnesses and pictures of a worked-out ladder: own worst, controls of the same size, other systems."""
    findings: list[Finding] = []
    witnesses: dict[str, Tensor] = {}
    exhibits: dict[str, Tensor] = {}
    others = {name: other for name, other in bench.systems.items() if name != system}
    worst = _worst_at(check, rungs, normal, x)
    with torch.no_grad():
        their_normal = _answers(others, x.inputs)
        for rung in rungs:
            changed = rung.within.apply(x, rung.parameters)
            outputs = _answers({name: others[name] for name in their_normal}, changed.inputs)
            own = Response(output=bench.systems[system](changed.inputs), changed=changed, normal=normal, original=x)
            mine = rows(check, system, bench, x, rung, own, origin_samples)
            findings += with_texts(mine, bench.systems[system], x.inputs, changed.inputs)
            for name in outputs:
                theirs = Response(output=outputs[name], changed=changed, normal=their_normal[name], original=x)
                findings += transfer_rows(check, name, system, bench, x, rung, theirs, origin_samples)
            order = rung.harm.argsort(descending=True)[: bench.keep].tolist()
            for i in sorted(order):
                named = key(system, x.ids[i], rung.level)
                witnesses[named] = rung.parameters[i].clone()
                witnesses |= {loan_key(named, name): loan.parameters[i].clone() for name, loan in rung.loans.items()}
            pictures = pictures_of(system, rung.within, x, changed, own.output, normal, outputs, their_normal)
            pictures |= written_texts(bench.systems, x.inputs, changed.inputs)
            exhibits |= exhibit(pictures, bench, system, x, rung.level, worst=worst)
    return UnitResult(findings=tuple(findings), witnesses=witnesses, exhibits=exhibits)


def _worst_at(check: Check, rungs: list[Rung], normal: Tensor, x: Examples) -> int | None:
    """The example of most harm at the level that is judged; one decided wrongly without any change does not count."""
    level = check.criterion.get("level")
    if not rungs:
        return None
    judged = next((rung for rung in rungs if level is not None and abs(rung.level - level) < 1e-12), rungs[-1])
    harm = judged.harm.double().nan_to_num(nan=-torch.inf)
    if x.labelled and x.truth is not None:
        harm = torch.where(wrong(normal, x.truth).bool(), -torch.inf, harm)
    return int(harm.argmax())


def _answers(systems: Mapping[str, Metered], inputs: Tensor) -> dict[str, Tensor]:
    """What each system returns."""
    return of_each(systems, len(inputs), lambda _, system: system(inputs))


def rows(check: Check, system: str, bench: Bench, x: Examples, rung: Rung, own: Response,
         origin_samples: tuple[str, ...] | None = None) -> list[Finding]:
    """The system's own worst case on every sample, beside the random controls of the same size."""
    metric, target = metrics.find(check.metric), bench.systems[system]
    size = rung.within.size(x, rung.parameters)
    base = _normal_value(metric, own, x)
    worst = metric.compute(own)
    own_gain = _gain(rung.within, own)
    controls = rung.controls or draw_controls(check, target, bench, x, rung, own.normal)
    draws, gains = controls.values, controls.gains
    unconverged = _unconverged(target, own.changed.inputs)
    already = wrong(own.normal, x.truth) if x.truth is not None and x.labelled else None
    places = (rung.within.choices(x) > 0).sum(1) if isinstance(rung.within, ChoiceSet) else None
    spelt = letters_wrong(target, check.metric, own)
    empty = rung.within.empty(x) if isinstance(rung.within, AddedSound) else torch.zeros(len(x), dtype=torch.bool)
    found = []
    for i, sample in enumerate(x.ids):
        flags = [*rung.flags[i]]
        if unconverged[i]:
            flags.append(Flag(id="not-converged", detail=unconverged[i]))
        if not bool(torch.isfinite(worst[i])) or not bool(torch.isfinite(draws[:, i]).all()):
            flags.append(Flag(id="non-finite"))
        extra = {f"{m}.worst": float(metrics.find(m).compute(own)[i]) for m in check.extra_metrics}
        extra |= {f"{m}.normal": float(v[i]) for m, v in _normal_extras(check, own, x).items()}
        extra |= {f"{m}.average": float(v[:, i].mean()) for m, v in controls.extras.items() if len(v)}
        extra |= {name: float(v[i]) for name, v in each_draw(controls.extras).items()}
        extra |= {name: float(v[i]) for name, v in spelt.items()}
        if isinstance(rung.within, OfKinds):
            extra |= _by_kind(rung.within, rung.parameters, draws, i)
        if places is not None:
            extra["places"] = float(places[i])
        extra |= rung.beside[i] if rung.beside else {}
        if already is not None and x.truth is not None:
            extra |= {"label": float(x.truth[i])} | ({} if metric.of_all else {"already-wrong": float(already[i])})
        if bool(empty[i]):
            found.append(replace(Finding.empty(
                check=check.id, system=system, role=bench.roles[system], sample=sample, unit=rung.within.unit,
                metric=metric.id, better=metric.better, stop=Stop.EXHAUSTED, level=rung.level, flags=tuple(flags),
                notes="the sound is so soft that not even one step of 16 bits is as soft as this level"),
                extra={k: v for k, v in extra.items() if v == v and abs(v) != float("inf")}))
            continue
        found.append(Finding(
            check=check.id, system=system, role=bench.roles[system], sample=sample, origin=system,
            origin_sample=sample if origin_samples is None else origin_samples[i], level=rung.level,
            unit=rung.within.unit, metric=metric.id, better=metric.better, normal=_number(base, i),
            average=_number(draws.mean(0), i) if len(draws) else None,
            average_low=_number(draws.amin(0), i) if len(draws) else None,
            average_high=_number(draws.amax(0), i) if len(draws) else None, worst=_number(worst, i),
            size=_number(size, i), control_size=_number(controls.size, i), controls=len(draws),
            gain=_number(own_gain, i), control_gain=_number(gains.mean(0), i) if len(gains) else None,
            forward=rung.forward + len(draws), backward=rung.backward, stop=rung.stop[i], flags=tuple(flags),
            extra={k: v for k, v in extra.items() if v == v and abs(v) != float("inf")}))
    return found


def each_draw(extras: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`metric.random.1`, `metric.random.2`, … (batch,) for the extra metrics of which each draw is kept."""
    return {f"{m}.random.{draw}": row for m, v in extras.items() if metrics.find(m).keeps_draws
            for draw, row in enumerate(v, start=1)}


def transfer_rows(check: Check, name: str, origin: str, bench: Bench, x: Examples, rung: Rung, theirs: Response,
                  origin_samples: tuple[str, ...] | None = None) -> list[Finding]:
    """Another system under this system's worst perturbation."""
    metric = metrics.find(check.metric)
    base = _normal_value(metric, theirs, x)
    worst, size = metric.compute(theirs), rung.within.size(x, rung.parameters)
    moved = _gain(rung.within, theirs)
    values = {m: metrics.find(m).compute(theirs) for m in check.extra_metrics}
    return [Finding(
        check=check.id, system=name, role=bench.roles[name], sample=sample, origin=origin,
        origin_sample=sample if origin_samples is None else origin_samples[i], level=rung.level, unit=rung.within.unit,
        metric=metric.id, better=metric.better, normal=_number(base, i), average=None, average_low=None,
        average_high=None, worst=_number(worst, i), size=_number(size, i), control_size=None, controls=0,
        gain=_number(moved, i), forward=1, stop=rung.stop[i],
        extra={f"{m}.worst": float(v[i]) for m, v in values.items() if bool(torch.isfinite(v[i]))})
        for i, sample in enumerate(x.ids)]


def draw_controls(check: Check, target: Metered, bench: Bench, x: Examples, rung: Rung, normal: Tensor) -> Controls:
    """`check.controls` random members of the same measured size as the worst one found, and the most harmful of them."""
    metric, size = metrics.find(check.metric), rung.within.size(x, rung.parameters)
    generators = [stream(bench.seed, check.id, rung.level, sample, "control") for sample in x.ids]
    values, gains, sizes, worst = [], [], [], rung.parameters
    harm = torch.full((len(x),), -torch.inf, dtype=torch.float64)
    extras: dict[str, list[Tensor]] = {m: [] for m in check.extra_metrics}
    with torch.no_grad():
        for draw in range(check.controls):
            p = drawn(rung.within, draw, x, generators, size)
            changed = rung.within.apply(x, p)
            response = Response(output=target(changed.inputs), changed=changed, normal=normal, original=x)
            values.append(metric.compute(response))
            gains.append(_gain(rung.within, response))
            sizes.append(rung.within.size(x, p))
            for m, seen in extras.items():
                seen.append(metrics.find(m).compute(response))
            harms = metric.harm(response).double()
            worst = torch.where(per_example(harms > harm, p), p, worst)
            harm = torch.maximum(harm, harms.nan_to_num(nan=-torch.inf))
    empty = torch.zeros(0, len(x))
    return Controls(values=torch.stack(values) if values else empty, gains=torch.stack(gains) if gains else empty,
                    extras={m: torch.stack(v) if v else empty for m, v in extras.items()}, worst=worst, harm=harm,
                    size=torch.stack(sizes).mean(0) if sizes else torch.full((len(x),), float("nan")))


def drawn(within: PerturbationSet, draw: int, x: Examples, generators: Sequence[torch.Generator],
          size: Tensor) -> Tensor:
    """A random member of the size; of a set of kinds, each kind in turn."""
    if isinstance(within, OfKinds):
        return within.sample_of(draw % len(within.kinds), x, generators, size)
    return within.sample(x, generators, size)


def _by_kind(within: OfKinds, worst: Tensor, draws: Tensor, i: int) -> dict[str, float]:
    """Which kind the worst member is of, and the mean over the random members of each kind, by name."""
    n = len(within.kinds)
    means = {f"kind.{name}": float(draws[k::n, i].mean()) for k, name in enumerate(within.kinds) if len(draws) > k}
    return {f"worst-kind.{within.kinds[int(within.kind_of(worst)[i])]}": 1.0, **means}


def _weigh_controls(check: Check, target: Metered, bench: Bench, x: Examples, rung: Rung, normal: Tensor) -> None:
    """A random member that does more harm than the search's is the worst one known; a search that should beat it is flagged.

    What chance does was not found on a second system, so it takes the place of nothing that was carried over.
    """
    kind = check.search.get("kind")
    rung.controls = draw_controls(check, target, bench, x, rung, normal)
    if kind in (*GRADIENT_SEARCHES, TRANSFER):
        for i in beats(rung.controls.harm, rung.harm, metrics.find(check.metric), slack=1e-6).nonzero().flatten().tolist():
            rung.flags[i].append(Flag(id="worst-below-control"))
    better = rung.controls.harm > rung.harm + 1e-6 * rung.harm.abs()
    if kind == TRANSFER or not bool(better.any()):
        return
    rung.parameters = torch.where(per_example(better, rung.parameters), rung.controls.worst, rung.parameters)
    rung.harm = torch.maximum(rung.harm, rung.controls.harm)


def _gain(within: PerturbationSet, response: Response) -> Tensor:
    """The gain (batch,); NaN where phrases or fields change, which have no common unit."""
    if isinstance(within, (ChoiceSet, FieldBall)):
        return torch.full((len(response.original),), float("nan"))
    return GAIN.compute(response)


def _normal_value(metric: Metric, response: Response, x: Examples) -> Tensor | None:
    if not metric.has_normal:
        return None
    return metric.compute(Response(output=response.normal, changed=x, normal=response.normal, original=x))


def _normal_extras(check: Check, own: Response, x: Examples) -> dict[str, Tensor]:
    plain = Response(output=own.normal, changed=x, normal=own.normal, original=x)
    return {m: metrics.find(m).compute(plain) for m in check.extra_metrics if metrics.find(m).has_normal}


def _unconverged(target: Metered, inputs: Tensor) -> list[str]:
    """For an iterative method: the residual where the solver ran out of iterations at the worst input, else ""."""
    if not isinstance(target.system, Iterative):
        return [""] * len(inputs)
    solution = target.system.solve(inputs)
    return ["" if stop in (Stop.CONVERGED, Stop.EXHAUSTED) else f"residual {float(residual):.1e}"
            for stop, residual in zip(solution.stop, solution.residual.flatten().tolist(), strict=True)]


def _number(values: Tensor | None, i: int) -> float | None:
    if values is None:
        return None
    value = float(values[i])
    return value if value == value and abs(value) != float("inf") else None
