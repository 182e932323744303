"""From a check's words to a set: {"kind": "data", "norm": "l2"} at a level, for these examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assay.arrays import InputError
from assay.perturbations.balls import Ball, InputBall, Through
from assay.perturbations.details import Details
from assay.perturbations.geometric import Affine
from assay.perturbations.protocol import Examples, PerturbationSet

Builder = Callable[[Mapping[str, Any], float, Examples], PerturbationSet]


def _inputs(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    return InputBall(ball=Ball(norm=spec.get("norm", "l2"), radius=level, relative=spec.get("relative", True), box=x.box))


def _affine(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """`shift` is the greatest translation as a share of the image's width, `rotation` in degrees: no size is assumed."""
    options = {k: v for k, v in spec.items() if k not in ("kind", "shift")}
    if "grid" in options:
        options["grid"] = tuple(options["grid"])
    return Affine(share=level, translation=float(spec.get("shift", 0.1)) * x.inputs.shape[-1], **options)


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


NESTED = (Affine, InputBall, Through)     # sets whose smaller members lie in the larger
NEED_TRUTH = frozenset({"through", "details"})      # changes of the true image
SETS: dict[str, Builder] = {"affine": _affine, "inputs": _inputs, "through": _through, "details": _details}


def build(spec: Mapping[str, Any], level: float, x: Examples) -> PerturbationSet:
    """The set that `spec["kind"]` names, at `level`, for the examples."""
    kind = spec.get("kind")
    if kind not in SETS:
        raise InputError(f"unknown perturbation kind {kind!r}; known: {', '.join(sorted(SETS))}")
    try:
        return SETS[kind](spec, level, x)
    except TypeError as error:
        raise InputError(f"perturbation {kind!r}: {error}") from None
