"""Running a study, part by part: the system, each structure, simplicity where it decides, non-robust features, surrogate."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import Tensor

from assay.account import Account
from assay.arrays import InputError
from assay.records import Access, digest_of, to_json
from assay.store import write_aside
from assay.structures.library import fitting
from assay.structures.protocol import Editable, Structure
from assay.study import controls, non_robust, simplicity, tell
from assay.study.instability import Flips, flips, instability, reference
from assay.study.judgement import ALPHA, threshold
from assay.study.learner import FLAT, fit
from assay.study.mask import spatial_mask
from assay.study.material import Material, decisions
from assay.study.order import CHECKED, Fact, Told, by_order, said
from assay.study.small_net import SmallNet
from assay.study.spectrum import spectrum
from assay.study.statistics import accuracy_draws, balanced_accuracy
from assay.study.surrogate import surrogate
from assay.study.use import Use, use
from assay.study.usefulness import Decide, of_settings, ordinary, small_networks, usefulness
from assay.systems.protocol import System
from assay.workbook import Watch, Workbook


@dataclass(kw_only=True)
class Study:
    """One system on one set of labelled inputs, and the structures it is asked about."""

    system: System
    data: Material
    structures: tuple[Structure, ...]
    refused: Mapping[str, str]
    seed: int

    @classmethod
    def of(cls, system: System, data: Material, candidates: Sequence[Structure], *, seed: int = 0) -> Study:
        """A study of the candidates, and facts of the data, that fit the inputs and vary among them. Raises `InputError` for
        two of one name."""
        names = [*(g.id for g in candidates), *(fact.id for fact in data.facts)]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise InputError(f"two structures are called {twice[0]!r}; give each a name of its own")
        fit_to, refused = fitting(candidates, data.x)
        x = data.x[data.fit]
        flat = [g.id for g in fit_to if not bool((g.features(x).double().std(0) > FLAT).any())]
        same = dict.fromkeys(flat, "it is the same in every input")
        kept, refused = tuple(g for g in fit_to if g.id not in same), {**refused, **same}
        flat_facts = {f.id: "it is the same for every input" for f in data.facts if bool((f.values == f.values[:1]).all())}
        refused |= {**flat_facts, **{f.id: f.unfit for f in data.facts if f.unfit}}
        told = replace(data, facts=tuple(f for f in data.facts if f.id not in refused))
        return cls(system=system, data=told, structures=kept, refused=refused, seed=seed)

    @property
    def gradients(self) -> bool:
        """Whether smallest flips and directions can be asked for: of images and rows whose system gives gradients."""
        return self.system.access >= Access.GRADIENT and self.data.x.is_floating_point()

    def scores(self, x: Tensor) -> Tensor:
        return self.system(x)

    def decide(self, x: Tensor) -> Tensor:
        return decisions(self.system, x)

    @cached_property
    def judged(self) -> Tensor:
        """The system's decisions on the judged half as it is, asked once."""
        return self.decide(self.data.x[self.data.judged])

    @cached_property
    def goal(self) -> Tensor:
        """Draws of what a structure must reach to tell the class, as many as the system's own accuracy has."""
        y = self.data.y[self.data.judged]
        return threshold(1 / self.data.classes, accuracy_draws(self.judged == y, y, self.seed, "system"))

    @cached_property
    def flips(self) -> Flips:
        """The smallest flips that all structures are set beside, searched once."""
        return flips(self.scores, self.data, seed=self.seed)

    @cached_property
    def networks(self) -> tuple[SmallNet, ...]:
        """Small networks of the inputs as they are, which those without a structure are set beside; none of texts."""
        x = self.data.x[self.data.fit]
        return small_networks(x, self.data, self.seed) if x.is_floating_point() else ()

    def parts(self) -> dict[str, Callable[[Workbook], dict[str, Any]]]:
        """What is to be computed, in order; later parts may read earlier ones."""
        found: dict[str, Callable[[Workbook], dict[str, Any]]] = {"system": lambda book: self._system()}
        for g in self.structures:
            found[f"structure-{_file(g)}"] = lambda book, g=g: self._structure(g, book)     # type: ignore[misc]
        for fact in self.data.facts:
            found[f"structure-{fact.id}"] = lambda book, fact=fact: self._fact(fact, book)   # type: ignore[misc]
        found["simplicity"] = self._simplicity
        found["surrogate"] = lambda book: surrogate(self.structures, self.decide, self.data, seed=self.seed)
        if self.gradients:
            found["non-robust"] = lambda book: non_robust.learnt_from_changes(self.scores, self.data, seed=self.seed)
            if self.data.x.ndim == 4:
                if (box := self.data.box) is not None:
                    found["mask"] = lambda book: spatial_mask(self.scores, self.flips, box, seed=self.seed)
                found["feature-sets"] = lambda book: non_robust.feature_sets(self.data, seed=self.seed)
        return found

    def _system(self) -> dict[str, Any]:
        y = self.data.y[self.data.judged]
        decided, chance = self.judged, 1 / self.data.classes
        right = decided == y
        accuracy = balanced_accuracy(right, y, chance, self.seed)
        if accuracy.low <= chance:
            raise InputError(f"the system decides {100 * accuracy.value:.0f} % of {len(y)} inputs rightly "
                             f"({100 * accuracy.low:.0f} to {100 * accuracy.high:.0f} %), no better than chance; check "
                             "classes and pre-processing")
        told: dict[str, Any] = {"accuracy": asdict(accuracy), "right": int(right.sum()), "n": len(y),
                                "classes": self.data.classes, "no_number": int((decided < 0).sum()),
                                "useful": self._as_it_is()}
        if self.gradients:
            found = self.flips
            told |= {"flips": {"size": found.size.tolist(), "truth": found.truth.tolist()},
                     "spectrum": spectrum(self.scores, found), "reference": asdict(reference(self.data, seed=self.seed))}
        return told

    def _as_it_is(self) -> dict[str, Any]:
        """Accuracies of the system, and of small networks, that do not depend on a structure."""
        models: dict[str, list[Decide]] = {"system": [self.decide]}
        if self.networks:
            models["network"] = [partial(decisions, network) for network in self.networks]
        return {name: of_settings(found, ordinary(self.data), self.seed, name) for name, found in models.items()}

    def _fact(self, fact: Fact, book: Workbook) -> dict[str, Any]:
        """Where samples stand in their file, or when they were taken: what no system is shown, and no editor changes."""
        y, chance = self.data.y, 1 / self.data.classes
        found = by_order(fact.values, y, self.goal, self.seed, fact.id)
        return {"id": fact.id, "title": fact.title, "formula": fact.formula, "keeps_truth": True, "numbers": 1,
                "threshold": threshold(chance, float(book.read("system")["accuracy"]["value"])),
                "success": asdict(found.success), "order": {"runs": found.runs, "near": _told(found.near),
                                                            "far": None if found.far is None else _told(found.far)},
                "means": said(fact.id, found, self.data.classes),
                "no_use": "a system sees one input and not where it stands, so whether it is followed cannot be asked"}

    def _structure(self, g: Structure, book: Workbook) -> dict[str, Any]:
        system = book.read("system")
        goal = threshold(1 / self.data.classes, float(system["accuracy"]["value"]))
        x, y = self.data.part(self.data.fit)
        jx, jy = self.data.part(self.data.judged)
        learner = fit(g.features(x), y, self.data.classes)
        features = g.features(jx)
        decided = learner(features).argmax(1)
        success = balanced_accuracy(decided == jy, jy, self.goal, self.seed, g.id)
        card: dict[str, Any] = {"id": g.id, "title": g.title, "formula": g.formula, "keeps_truth": g.keeps_truth,
                                "threshold": goal, "success": asdict(success), "numbers": int(features.shape[1]),
                                "no_use": "", "learner": learner.data(), "least": _least(decided == jy, jy),
                                "samples": simplicity.alone(g.features(x), features, self.data, seed=self.seed),
                                "permuted": controls.permuted(g, self.decide, self.judged, self.data, seed=self.seed)}
        followed = use(g, self.decide, learner, self.data, self.judged, seed=self.seed) if isinstance(g, Editable) else None
        if followed is not None and isinstance(g, Editable):
            card |= self._edited(g, followed)
        else:
            card["no_use"] = "no editor changes it and leaves the rest as it is, so whether it is followed cannot be asked"
        card["useful"] = usefulness(g, learner, self.networks, self.data, followed, seed=self.seed)
        if self.gradients and g.features(jx[:1]).is_floating_point() and len(self.flips.x):
            found = instability(g, learner, self.flips, self.data, seed=self.seed)
            card |= {"instability": asdict(found.system), "structure_flip": asdict(found.structure),
                     "alignment": {**asdict(found.alignment), "chance": found.chance}, "reference": system["reference"]}
        return card

    def _edited(self, g: Editable, followed: Use) -> dict[str, Any]:
        told = {"use": asdict(followed.preference), "flip": asdict(followed.flip), "removal": asdict(followed.removal),
                "within": asdict(followed.within), "pictures": _pictures(followed)}
        if self.data.x.is_floating_point():
            sown, accuracy = controls.planted(g, self.data, seed=self.seed)
            told |= {"planted": {**asdict(sown.preference), "accuracy": accuracy}}
        return told

    def _simplicity(self, book: Workbook) -> dict[str, Any]:
        """Asked of structures on which the verdict still hangs: that tell the class, and are followed."""
        asked = [g for g in self.structures if isinstance(g, Editable) and self._open(book.read(f"structure-{_file(g)}"))]
        if not asked or not self.data.x.is_floating_point():
            return {"structures": {}}
        present = simplicity.curve(self.data, None, seed=self.seed)
        told: dict[str, Any] = {"present": asdict(present), "structures": {}}
        for g in asked:
            absent = simplicity.curve(self.data, g, seed=self.seed)
            ratio = simplicity.simplicity(present, absent, self.data.classes)
            told["structures"][g.id] = {"absent": asdict(absent), **asdict(ratio),
                                        "needed": simplicity.needed(present, absent, self.data.classes)}
        return told

    @staticmethod
    def _open(card: Mapping[str, Any]) -> bool:
        """Whether success and use are positive alone."""
        return card["success"]["p"] <= ALPHA and card.get("use", {"p": 1.0})["p"] <= ALPHA


def run_study(study: Study, path: Path, header: Mapping[str, Any], *, watch: Watch | None = None) -> Account:
    """Compute the parts that the folder does not hold yet, judge, and write cards and account. Safe to kill and to
    repeat."""
    book = Workbook.create(path, {**header, "structures": {g.id: _digest(g) for g in study.structures},
                                  "facts": {f.id: digest_of(f.values.tolist()) for f in study.data.facts},
                                  "refused": dict(study.refused), "seed": study.seed})
    results = book.fill({name: partial(work, book) for name, work in study.parts().items()}, watch)
    cards = tell.cards(results, header["data"].get("classes", ()))
    write_aside(path / "structure_cards.json", to_json(cards, indent=1).encode())
    told = tell.account(results, cards, header, dict(study.refused))
    write_aside(path / "account.json", to_json(told, indent=1).encode())
    return told


def _told(found: Told) -> dict[str, Any]:
    return {**asdict(found), "of": CHECKED, "tells": found.tells}


def _least(right: Tensor, y: Tensor) -> dict[str, Any]:
    """The class of which the structure alone decides the smallest share rightly, and that share."""
    shares = {c: float(right[y == c].double().mean()) for c in dict.fromkeys(y.tolist())}
    c = min(shares, key=shares.__getitem__)
    return {"class": c, "right": shares[c]}


def _file(g: Structure) -> str:
    """The name of a structure's part; of names that are no file names, with a digest, so that no two share one."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in g.id)[:60]
    return plain if plain == g.id else f"{plain}-{digest_of(g.id)[:8]}"


def _digest(g: Structure) -> str:
    """Of what a structure is made of: its class's source, its settings, and of functions their source. Another is other
    work."""
    def told(value: Any) -> str:
        try:
            return inspect.getsource(value) if callable(value) else repr(value)
        except (OSError, TypeError):
            return f"{type(value).__module__}.{type(value).__qualname__}"

    settings: dict[str, str] = {} if not is_dataclass(g) else {f.name: told(getattr(g, f.name)) for f in fields(g)}
    return digest_of([told(type(g)), settings])


def _pictures(followed: Use) -> list[Any]:
    """Original and conflict input as rows of grey values, or of colours; nothing where inputs are no images."""
    shown = []
    for x in followed.edited or ():
        if x.ndim != 3 or x.shape[0] not in (1, 3) or max(x.shape[1:]) > 64:
            return []
        shown.append((x[0] if x.shape[0] == 1 else x.permute(1, 2, 0)).round(decimals=3).tolist())
    return shown

