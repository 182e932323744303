"""Fooling images: for how many classes is there an image unlike every real one that the system is sure shows it?

The question is asked about classes, so the rows of this check are the classes of the data; the samples of its unit are
what nonsense must be unlike, and whose confidence is the normal one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from assay.arrays import InputError, MaskPerExample, per_example
from assay.checks.check import Bench, Check, UnitResult, class_rows, key, method
from assay.checks.exhibits import exhibit
from assay.metrics import protocol as metrics
from assay.metrics.classification import confidence, decision
from assay.metrics.fooling import class_confidence, nearest_distance, standardised, usual_distance
from assay.perturbations.cppn import Cppn
from assay.perturbations.encodings import Direct
from assay.perturbations.protocol import Examples, stream
from assay.records import Access, Finding, Flag, Stop
from assay.searches.fooling_ascent import fooling_ascent, start_near
from assay.searches.map_elites import first_reaching, map_elites
from assay.systems.metered import Metered

ENCODINGS = {"direct": Direct, "cppn": Cppn}
SHOWN = 12              # classes whose images are kept for the report
CHUNK = 200             # random images shown to the system at once
SURE = 0.99             # the confidence up to which generations are counted


@dataclass(kw_only=True)
class Best:
    """For every class the most confident acceptable image so far, and what each search reached."""

    value: Tensor
    images: Tensor
    stop: list[Stop]
    by: dict[str, Tensor] = field(default_factory=dict)
    forward: float = 0.0                        # evaluations shared by all classes, and those of each
    backward: Tensor | None = None
    reached: dict[str, Tensor] = field(default_factory=dict)

    def see(self, name: str, images: Tensor, value: Tensor, stop: tuple[Stop, ...]) -> Tensor:
        """Take note of a search's image for every class; returns where it is the best so far."""
        self.by[name] = value
        better = value > self.value
        self.images = torch.where(per_example(better, images), images, self.images)
        self.value = torch.where(better, value, self.value)
        self.stop = [new if wins else old for new, old, wins in zip(stop, self.stop, better.tolist(), strict=True)]
        return better


class Sight:
    """The system as the searches see it: confidences of the classes, −inf for an image that is like a real one.

    Like: the nearest real image is as near as for 99 % of real images, as it is or with brightness and contrast taken out.
    """

    def __init__(self, target: Metered, x: Examples, classes: int) -> None:
        self.target, self.real, self.classes = target, x.inputs, classes
        self.usual, self.shapes = usual_distance(x.inputs), standardised(x.inputs)
        self.usual_shape = usual_distance(self.shapes)
        self.broken = False

    def unlike(self, images: Tensor) -> MaskPerExample:
        """Whether the nearest real image is farther than real ones usually are from each other, in both senses."""
        images = images.detach()
        return (nearest_distance(images, self.real) > self.usual) \
            & (nearest_distance(standardised(images), self.shapes) > self.usual_shape)

    def scores(self, images: Tensor) -> Tensor:
        scores = self.target(images.to(self.real.dtype))
        if scores.ndim != 2 or scores.shape[1] < self.classes:
            raise InputError(f"system {self.target.name!r} returns {tuple(scores.shape[1:])} scores for data of "
                             f"{self.classes} classes; check that it was made for these data")
        self.broken |= not bool(torch.isfinite(scores).all())
        return scores

    def confidences(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            found = self.scores(images).double().softmax(1)[:, : self.classes]
        return torch.where(self.unlike(images)[:, None], found, -torch.inf)


@method("fooling", per_class=True)
def fooling(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the greatest confidence in the class found on an image unlike every real one, by all searches together.

    MAP-Elites with each of `encodings`, and gradient ascent from the mean image where the system gives gradients (`ascent`
    steps for each class). Unlike: the nearest real image is farther, in ℓ2 of the pixels and of the pixels without
    brightness and contrast, than for 99 % of real images; others are refused during the search. `average` is the greatest
    confidence in any class on uniform noise, nothing being searched (mean, least and greatest of `controls` draws),
    `normal` the mean confidence in the class on its real samples. Extras: what each search reached and in how many
    generations (or steps) 99 % was, the distances to the nearest real image in pixels, shape and scores beside what is
    usual. A draw of noise that beats every search is the worst one known, and is flagged. Source: Nguyen, Yosinski and
    Clune, "Deep neural networks are easily fooled", CVPR 2015.
    """
    if x.truth is None or not x.labelled or x.box is None:
        raise InputError("confidence on nonsense needs images with classes and a range")
    sight = Sight(bench.systems[system], x, len(bench.classes))
    best = _searched(check, bench, sight, x)
    searched = best.value.clone()
    noise = noise_confidence(check, bench, sight, x, best)
    missed = best.value > searched + 1e-6 * searched.abs().nan_to_num(posinf=0.0)
    with torch.no_grad():
        real, scores = sight.scores(x.inputs), sight.scores(best.images)
    rows, names = [], class_rows(bench.classes)
    distances = _distances(sight, best.images, real, scores)
    for c, name in enumerate(names):
        extra = {"label": float(c), "decision.worst": float(decision(scores)[c]),
                 "confidence.worst": float(confidence(scores)[c])} | {k: float(v[c]) for k, v in distances.items()}
        extra |= {f"{k}.worst": float(v[c]) for k, v in best.by.items() if math.isfinite(float(v[c]))}
        extra |= {f"{k}.to-99": float(v[c]) for k, v in best.reached.items() if int(v[c]) > 0}
        rows.append(_row(check, system, bench, name, c, best, noise, real, x, extra,
                         _flags(check, sight, bool(missed[c]))))
    rows += _under_others(check, system, bench, best, names)
    order = [c for c in best.value.argsort(descending=True).tolist() if math.isfinite(float(best.value[c]))]
    shown = Examples(ids=names, inputs=best.images)
    return UnitResult(
        findings=tuple(rows),
        witnesses={key(system, names[c], None): best.images[c].clone() for c in sorted(order[: bench.keep])},
        exhibits=exhibit({"changed": best.images}, replace(bench, exhibits=frozenset(names[c] for c in order if c < SHOWN)),
                         system, shown, None))


def _searched(check: Check, bench: Bench, sight: Sight, x: Examples) -> Best:
    """MAP-Elites with every encoding, then gradient ascent."""
    classes, shape, box = len(bench.classes), tuple(x.inputs.shape[1:]), x.box or (0.0, 1.0)
    best = Best(value=torch.full((classes,), -torch.inf, dtype=torch.float64), stop=[Stop.NOT_RUN] * classes,
                images=torch.full((classes, *shape), box[0], dtype=x.inputs.dtype))
    enough = float(check.search.get("enough", 0.9999))
    for name in check.search.get("encodings", ("direct", "cppn")):
        if name not in ENCODINGS:
            raise InputError(f"check {check.id!r}: unknown encoding {name!r}; known: {', '.join(ENCODINGS)}")
        found = map_elites(sight.confidences, ENCODINGS[name](shape=shape, box=box), enough=enough,
                           generations=int(check.search.get("generations", 200)),
                           children=int(check.search.get("children", 200)), generator=stream(bench.seed, check.id, name))
        best.see(name, found.images.to(x.inputs.dtype), found.confidence, found.stop)
        best.forward += found.evaluations
        best.reached[name] = first_reaching(found.history, SURE)
    steps = int(check.search.get("ascent", 0))
    if steps and sight.target.access >= Access.GRADIENT:
        generators = [stream(bench.seed, check.id, "ascent", name) for name in bench.classes]
        climbed = fooling_ascent(lambda images: sight.scores(images).double().log_softmax(1),
                                 start_near(x.inputs.mean(0), generators, box=box), torch.arange(classes), box=box,
                                 steps=steps, decay=float(check.search.get("decay", 0.01)), enough=enough,
                                 acceptable=sight.unlike)
        best.see("ascent", climbed.images, climbed.confidence, climbed.stop)
        best.backward = climbed.evaluations
        best.reached["ascent"] = first_reaching(climbed.history, SURE)
    return best


def noise_confidence(check: Check, bench: Bench, sight: Sight, x: Examples, best: Best | None = None) -> Tensor:
    """(draws,): the greatest confidence in any class on each of `controls` images of uniform noise.

    The same images for every system. With `best`, the most confident acceptable one for every class is taken note of.
    """
    (low, high), generator, found = x.box or (0.0, 1.0), stream(bench.seed, check.id, "control"), []
    for start in range(0, check.controls, CHUNK):
        size = min(CHUNK, check.controls - start)
        images = low + (high - low) * torch.rand(size, *x.inputs.shape[1:], generator=generator, dtype=x.inputs.dtype)
        with torch.no_grad():
            found.append(confidence(sight.scores(images)))
        if best is not None:
            value, place = sight.confidences(images).max(0)
            known = best.by.get("noise", torch.full_like(value, -torch.inf))
            best.see("noise", images[place], value, (Stop.BUDGET,) * len(value))
            best.by["noise"] = torch.maximum(known, value)
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def _distances(sight: Sight, images: Tensor, real: Tensor, scores: Tensor) -> dict[str, Tensor]:
    """To the nearest real image in pixels and in scores, and what is usual between real images."""
    usual, usual_scores = sight.usual, usual_distance(real)
    return {"nearest.worst": nearest_distance(images, sight.real), "nearest.normal": torch.full((len(images),), usual),
            "nearest-shape.worst": nearest_distance(standardised(images), sight.shapes),
            "nearest-shape.normal": torch.full((len(images),), sight.usual_shape),
            "nearest-scores.worst": nearest_distance(scores, real),
            "nearest-scores.normal": torch.full((len(images),), usual_scores)}


def _flags(check: Check, sight: Sight, missed: bool) -> tuple[Flag, ...]:
    flags = []
    if sight.broken:
        flags.append(Flag(id="non-finite", detail="scores of an image tried by the search"))
    if missed:
        flags.append(Flag(id="worst-below-control", detail="uniform noise was taken for the class more confidently"))
    if int(check.search.get("ascent", 0)) and sight.target.access < Access.GRADIENT:
        flags.append(Flag(id="query-only", detail="MAP-Elites alone"))
    return tuple(flags)


def _row(check: Check, system: str, bench: Bench, name: str, c: int, best: Best, noise: Tensor, real: Tensor, x: Examples,
         extra: dict[str, float], flags: tuple[Flag, ...]) -> Finding:
    seen, drawn = math.isfinite(float(best.value[c])), len(noise) > 0
    backward = 0 if best.backward is None else int(best.backward[c])
    return Finding(
        check=check.id, system=system, role=bench.roles[system], sample=name, origin=system, origin_sample=name, level=None,
        unit=check.unit, metric=check.metric, better=metrics.find(check.metric).better, normal=normal_confidence(real, x, c),
        average=float(noise.mean()) if drawn else None, average_low=float(noise.amin()) if drawn else None,
        average_high=float(noise.amax()) if drawn else None, worst=float(best.value[c]) if seen else None, size=None,
        control_size=None, controls=len(noise), forward=math.ceil(best.forward / len(best.value)) + backward,
        backward=backward, stop=best.stop[c], extra=extra, flags=flags,
        notes="" if seen else "every image tried was too like a real one, or gave no finite scores")


def normal_confidence(real: Tensor, x: Examples, c: int) -> float | None:
    """The mean confidence in the class on its real samples; None where there is none."""
    mine = None if x.truth is None else x.truth == c
    if mine is None or not bool(mine.any()):
        return None
    return float(class_confidence(real[mine], torch.full((int(mine.sum()),), c)).mean())


def _under_others(check: Check, origin: str, bench: Bench, best: Best, names: tuple[str, ...]) -> list[Finding]:
    """What the other systems make of the same images. One that raises is left out: its own rows say so."""
    found = []
    for name, other in bench.systems.items():
        if name == origin:
            continue
        try:
            with torch.no_grad():
                scores = other(best.images)
                values = class_confidence(scores, torch.arange(len(names)))
        except (MemoryError, OSError):
            raise
        except Exception:
            continue
        found += [Finding(
            check=check.id, system=name, role=bench.roles[name], sample=sample, origin=origin, origin_sample=sample,
            level=None, unit=check.unit, metric=check.metric, better=metrics.find(check.metric).better, normal=None,
            average=None, average_low=None, average_high=None, worst=float(values[c]), size=None, control_size=None,
            controls=0, forward=1, stop=best.stop[c],
            extra={"label": float(c), "decision.worst": float(decision(scores)[c]),
                   "confidence.worst": float(confidence(scores)[c])})
            for c, sample in enumerate(names) if math.isfinite(float(best.value[c])) and math.isfinite(float(values[c]))]
    return found


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, image: Tensor) -> dict[str, float]:
    """The row's numbers at the stored image, without searching; an image that is like a real one counts as nothing.

    `x` are the samples of the check, `image` (1, …).
    """
    c = class_rows(bench.classes).index(row.sample)
    sight = Sight(bench.systems[row.system], x, len(bench.classes))
    found = {"worst": max(0.0, float(sight.confidences(image)[0, c]))}
    if row.origin != row.system:
        return found
    with torch.no_grad():
        normal = normal_confidence(sight.scores(x.inputs), x, c)
    found |= {"nearest.worst": float(nearest_distance(image, x.inputs)), "nearest.normal": sight.usual,
              "nearest-shape.worst": float(nearest_distance(standardised(image), sight.shapes)),
              "nearest-shape.normal": sight.usual_shape}
    if check.controls and row.origin == row.system:
        found["average"] = float(noise_confidence(check, bench, sight, x).mean())
    return found if normal is None else {**found, "normal": normal}
