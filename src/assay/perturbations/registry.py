"""From a check's words to a set: {"kind": "data", "norm": "l2"} at a level, for these examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assay.arrays import InputError
from assay.perturbations import acoustics, hidden_cues
from assay.perturbations.balls import Ball, InputBall, Through
from assay.perturbations.codes import CodeRewrites, load_codes
from assay.perturbations.corruptions import NAMES, Corruptions, suits
from assay.perturbations.details import Details
from assay.perturbations.field_ball import FieldBall
from assay.perturbations.field_changes import FieldChanges
from assay.perturbations.fields import Fields, fields_from, load_fields
from assay.perturbations.geometric import Affine
from assay.perturbations.masking import MaskedSound, too_short
from assay.perturbations.occlusion import MARKS, AddedDetail, Occlusion
from assay.perturbations.phrases import load_table
from assay.perturbations.protocol import Examples, PerturbationSet
from assay.perturbations.sounds import AddedSound
from assay.perturbations.substitutions import Mistyped, Substitutions
from assay.perturbations.typing_errors import KINDS
from assay.perturbations.union import OneOf
from assay.perturbations.written import GRADES, Written

Builder = Callable[[Mapping[str, Any], float, Examples], PerturbationSet]


def _inputs(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    return InputBall(ball=Ball(norm=spec.get("norm", "l2"), radius=level, relative=spec.get("relative", True), box=x.box))


def _added_sound(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Sounds of at most `level` decibels beside the waveform, in the norm `norm` ("linf": of the loudest points)."""
    return AddedSound.at(level, x, norm=spec.get("norm", "linf"))


def _masked_sound(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Sounds of at most `level` decibels above the masking threshold of the waveform, of each `bound` ("band")."""
    return MaskedSound(level=level, bound=spec.get("bound", "band"))


def _acoustics(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Every kind of `names` (all if there are none), at the severity that the level is."""
    return acoustics.Acoustics(kinds=tuple(spec.get("names", acoustics.NAMES)), severities=(round(level),))


def _affine(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """`shift` is the greatest translation as a share of the image's width, `pixels` in pixels, `rotation` in degrees."""
    options = {k: v for k, v in spec.items() if k not in ("kind", "shift", "pixels", "least")}
    if "grid" in options:
        options["grid"] = tuple(options["grid"])
    furthest = float(spec["pixels"]) if "pixels" in spec else float(spec.get("shift", 0.1)) * x.inputs.shape[-1]
    return Affine(share=level, translation=furthest, **options)


def _corruption(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Every kind of `names` (all fifteen if there are none) that suits the images, at the severity that the level is."""
    kinds = tuple(name for name in spec.get("names", NAMES) if suits(name, x))
    return Corruptions(kinds=kinds, severities=(round(level),))


def _hidden_cue(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Every cue of `names` (all if there are none) that suits the images, at the severity that the level is."""
    kinds = tuple(name for name in spec.get("names", hidden_cues.NAMES) if hidden_cues.suits(name, x))
    return hidden_cues.HiddenCues(kinds=kinds, severities=(round(level),))


def _occlusion(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    return Occlusion(share=level, **{k: v for k, v in spec.items() if k != "kind"})


def _added(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Any of the marks in the list `names` that fits on the images; the level is the contrast."""
    options = {k: v for k, v in spec.items() if k not in ("kind", "names")}
    marks = {name: AddedDetail(mark=name, contrast=level, **options) for name in spec.get("names", MARKS)}
    return OneOf(sets={name: mark for name, mark in marks.items() if mark.fits(x)})


def _substitutions(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Phrases of the `table` (a name, or the path of a .csv) replaced, of the `grades`; the level is how many at most."""
    return Substitutions(table=load_table(str(spec["table"])), most=round(level), grades=tuple(spec.get("grades", GRADES)))


def _mistyped(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Words mistyped in the ways `kinds`; the level is how many at most."""
    return Mistyped(most=round(level), kinds=tuple(spec.get("kinds", KINDS)))


def _codes(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Codes rewritten by rules of the `table` (a name, or the path of a .csv; else that of the records' `revision`), of the
    `grades`; the level is how often."""
    name = _codes_table(spec)
    if not name:
        raise InputError("this check rewrites codes; give records of codes, or name the table of rewrites in the profile")
    return CodeRewrites(table=load_codes(name), most=round(level), grades=tuple(spec.get("grades", GRADES)))


def _codes_table(spec: Mapping[str, Any]) -> str:
    return str(spec.get("table") or spec.get("revision") or "")


def _fields(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """`which` fields of a row (and the `direction` of monotone ones) changed as `fields` declare; the level is how many."""
    options = {k: v for k, v in spec.items() if k not in ("kind", "fields")}
    return FieldChanges(fields=fields_of(spec), most=round(level), **options)


def _field_ball(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """Numbers moved by at most the share `level` of the tolerances that `fields` declare."""
    return FieldBall(fields=fields_of(spec), radius=level)


def fields_of(spec: Mapping[str, Any]) -> Fields:
    """The declaration that the words name: the path of a TOML file, or its content as plain values."""
    said = spec.get("fields")
    if not said:
        raise InputError("this check changes fields of a table's rows; say --fields FILE.toml, what may change in them")
    return fields_from(said) if isinstance(said, Mapping) else load_fields(str(said))


def _through(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    return Through(operator=_operator(x), ball=Ball(norm=spec.get("norm", "l2"), radius=level,
                                                    relative=spec.get("relative", True)))


def _details(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    options = {k: v for k, v in spec.items() if k != "kind"}
    return Details(operator=_operator(x), contrast=level, **options)


def _operator(x: Examples) -> Any:
    if x.operator is None:
        raise InputError("this check changes the image and needs the forward model; give the data with its operator")
    return x.operator


def table_of(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """Name and sha256 of the table that the words' set is made from, if it is made from one."""
    kind = spec.get("kind")
    if kind in OF_FIELDS:
        declared = fields_of(spec)
        return declared.name, declared.digest
    if kind == "substitutions":
        return str(spec["table"]), load_table(str(spec["table"])).digest
    name = _codes_table(spec) if kind == "codes" else ""
    return (name, load_codes(name).digest) if name else None


# sets whose smaller members lie in the larger
NESTED = (Affine, FieldBall, FieldChanges, InputBall, MaskedSound, Through, Written)
OF_IMAGES = frozenset({"added-detail", "affine", "corruption", "hidden-cue", "occlusion", "patch"})
OF_FIELDS = frozenset({"field-ball", "fields"})
MAY_NOT_FIT = OF_IMAGES | OF_FIELDS | {"masked-sound"}      # see `unfit`
NEED_TRUTH = frozenset({"through", "details"})      # changes of the true image
SETS: dict[str, Builder] = {
    "acoustics": _acoustics,
    "added-detail": _added, "added-sound": _added_sound, "affine": _affine, "codes": _codes, "corruption": _corruption,
    "details": _details, "field-ball": _field_ball,
    "fields": _fields, "hidden-cue": _hidden_cue, "inputs": _inputs, "masked-sound": _masked_sound, "mistyped": _mistyped,
    "occlusion": _occlusion, "substitutions": _substitutions, "through": _through}


def unfit(spec: Mapping[str, Any], x: Examples) -> str:
    """Why no set can be made from the words for inputs like these, or "".

    `least` in the words is the least number of pixels that the shorter side must have: one pixel means something else where
    eight make an image.
    """
    if spec.get("kind") in OF_FIELDS:
        within = build(spec, 1.0, x)
        assert isinstance(within, (FieldBall, FieldChanges))
        if isinstance(within, FieldBall):
            return "" if within.moving else (f"{within.fields.name} declares no number that moves freely within a tolerance "
                                             "(may_change, within or by, no step, in no tie)")
        words = {"irrelevant": "irrelevant = true", "changeable": "may_change = true"}
        said = words.get(within.which, f'monotone = "{within.direction}"')
        return "" if within.moving else f"{within.fields.name} declares no field with {said}"
    if spec.get("kind") == "masked-sound":
        return too_short(x)
    if spec.get("kind") not in OF_IMAGES:
        return ""
    if x.inputs.ndim != 4:
        return f"it changes images, and the inputs have the shape {tuple(x.inputs.shape[1:])}"
    side = min(x.inputs.shape[2:])
    if side < int(spec.get("least", 1)):
        return f"it is meant for images of at least {spec['least']} pixels a side, and these have {side}"
    if spec["kind"] == "hidden-cue" and not any(hidden_cues.suits(name, x) for name in spec.get("names", hidden_cues.NAMES)):
        return f"none of its cues can be drawn on an image of {side} pixels"
    if spec["kind"] == "added-detail":
        area = float(spec.get("area", AddedDetail.area))
        if not any(AddedDetail(mark=name, area=area).fits(x) for name in spec.get("names", MARKS)):
            return f"no mark on at most {area:.0%} of an image of {side} pixels can be drawn"
    return ""


def build(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """The set that `spec["kind"]` names, at `level`, for the examples."""
    kind = spec.get("kind")
    if kind not in SETS:
        raise InputError(f"unknown perturbation kind {kind!r}; known: {', '.join(sorted(SETS))}")
    try:
        return SETS[kind](spec, level, x)
    except TypeError as error:
        raise InputError(f"perturbation {kind!r}: {error}") from None
