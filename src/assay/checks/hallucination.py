"""Hallucination: a structure that outputs have in common in the kernel of the measurement, and the true images do not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.checks.asked_once import asked_once, asked_positions, fit_positions
from assay.checks.check import Bench, Check, UnitResult, key, method
from assay.checks.exhibits import exhibit
from assay.metrics import protocol as metrics
from assay.metrics.invention import added, invented, invention, omission
from assay.numerics.norms import norm
from assay.numerics.paired import sign_flip_above
from assay.operators.algebra import RealImages
from assay.operators.protocol import LinearOperator, dot_test
from assay.operators.spectral_norm import operator_norm
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Stop
from assay.solvers.kernel import kernel_share, unseen
from assay.systems.metered import Metered

BATCH = 8                   # images in memory at once, from each half
LEAST_KERNEL = 1e-3         # of the images' dimensions: below it the measurements leave nothing out
VISIBLE = 0.05              # of ‖A‖‖d‖: a structure that the data show more plainly is none of the kernel
FAINT = 1e-5                # of the images' norm: how well the part in the kernel is known; what is fainter is rounding
SAME = 2e-3                 # how far a stored structure may lie from the one that is found again


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The structure (…) that outputs of the samples left out have in common beyond their truths, and what pairs say of it.

    `chance` (controls, …) are means of their errors with random signs, of the structure's norm. `p` is that of no invention;
    `invention` and `omission` are shares of the squared error in the kernel, whose sum is its common part.
    """

    structure: Tensor
    chance: Tensor
    p: float
    pairs: int
    invention: float
    omission: float

    @property
    def numbers(self) -> dict[str, float]:
        return {"p": self.p, "pairs": float(self.pairs), "invention": self.invention, "omission": self.omission}


@method("hallucination")
def hallucination(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the contrast, a share of the peak, of one structure in ker A that an output shows and its truth lacks.

    `perturbation` = { fit = 200, fit_from = "even" }: the structure is the mean output in the kernel, less the nearest
    shrunk mean truth, over the samples that the audit leaves out (at most half); the audited rows are the others. Its own
    greatest contrast is `size`; the share of it that is shown (`assay.metrics.invention`) is told as `amount`. `average` is
    the contrast of means of errors with random signs; the other systems' rows under the structure are the control that has
    the same data. The same p stands in every row: that of sign flips over disjoint pairs of images, one of each half.
    Sources of the question: Gottschling, Antun, Hansen and Adcock, SIAM Review 67 (2025); Bhadra, Kelkar, Brooks and
    Anastasio, IEEE Trans. Med. Imaging 40 (2021), who map what is false in the kernel.
    """
    found = evidence(check, system, bench)
    outputs = {name: _output(target, x) for name, target in bench.systems.items()}
    rows = [row for name, output in outputs.items() for row in _rows(check, name, system, bench, x, output, found)]
    own = [row.worst or -math.inf for row in rows if row.system == system]
    worst = own.index(max(own))
    pictures = {"original": x.truth, "changed": None if x.truth is None else x.truth + found.structure,
                **{f"worst:{name}": output for name, output in outputs.items()}}
    return UnitResult(findings=tuple(rows), exhibits=exhibit(pictures, bench, system, x, None, worst=worst),
                      witnesses={key(system, x.ids[worst], None): found.structure.clone()})


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, stored: Tensor) -> dict[str, float]:
    """The row's numbers again; infinite where the stored structure is not the one that the samples left out give."""
    found, output = evidence(check, row.origin, bench), _output(bench.systems[row.system], x)
    apart = stored[0].shape != found.structure.shape or bool(
        (stored[0] - found.structure).norm() > SAME * found.structure.norm())
    if apart:
        return {"size": math.inf}
    (again,) = _rows(check, row.system, row.origin, bench, x, output, found)
    numbers = {"worst": again.worst, "size": again.size, "average": again.average, **again.extra}
    return {name: value for name, value in numbers.items() if value is not None}


def cannot_ask(check: Check, x: Examples, count: int) -> str:
    """Why no structure can be looked for in `count` samples like `x`, or ""."""
    least = 2 * math.ceil(-math.log2(float(check.criterion.get("alpha", 0.01))))
    if count < least:
        return (f"it finds a structure on one half of the samples and judges on the other, and needs {least} of them; there "
                f"are {count}")
    if not isinstance(x.operator, LinearOperator):
        return "the forward model is not known, so nobody can say what the measurements leave out"
    try:
        dot_test(x.operator, generator=stream(check.id, "dot test"), tolerance=1e-4)
    except InputError:
        return "the forward model is not linear, or its adjoint is not its own"
    share = kernel_share(_forward(x, real=_is_real(x)), generator=stream(check.id, "kernel"))
    return "" if share >= LEAST_KERNEL else "the measurements leave nothing out: the forward model has no kernel"


def evidence(check: Check, system: str, bench: Bench) -> Evidence:
    """What pairs of images, one from each half of the data, say of the system; computed once per process."""
    return asked_once(("hallucination", check.id, system, bench.seed), bench, lambda: _look(check, system, bench))


def _look(check: Check, system: str, bench: Bench) -> Evidence:
    fit, asked = fit_positions(check, bench.count), asked_positions(check, bench.count, labelled=False)
    n = min(len(fit), len(asked))
    turned = (*fit[n // 2: n], *fit[: n // 2])              # neighbours in a series are alike, and make no pair
    signs = 2.0 * torch.randint(2, (check.controls, n), generator=stream(bench.seed, check.id, "signs")) - 1
    sums, numbers = [], []
    for start in range(0, n, BATCH):
        w, v, pairs = _pairs(bench.systems[system], bench, turned[start: start + BATCH], asked[start: start + BATCH])
        chance = torch.tensordot(signs[:, start: start + BATCH].to(w.dtype), w - v, 1)
        sums.append(torch.cat([w.sum(0, keepdim=True), v.sum(0, keepdim=True), chance]))
        numbers.append(pairs)
    found = _evidence(torch.stack(sums).sum(0) / n, *torch.cat(numbers, 1))
    _must_be_hidden(found.structure[None], bench.fetch(fit[:1]), real=_all_real(bench))
    return found


def _pairs(target: Metered, bench: Bench, mine: tuple[int, ...], theirs: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """The first samples' w and v, and for each pair: invention, omission, ‖e‖², ‖x‖² (4, batch)."""
    first, second = bench.fetch(mine), bench.fetch(theirs)
    w, v = kernel_parts(_output(target, first), first, real=_all_real(bench))
    others = kernel_parts(_output(target, second), second, real=_all_real(bench))
    assert first.truth is not None
    return w, v, torch.stack([invention(w, v, *others), omission(w, v, *others), norm(w - v).square(),
                              norm(first.truth).square()])


def _evidence(means: Tensor, more: Tensor, less: Tensor, errors: Tensor, images: Tensor) -> Evidence:
    """From the means of w, of v and of errors with random signs (2 + controls, …), and the numbers of the pairs (pairs,)."""
    structure, chance = added(means[0], means[1]), means[2:]
    square, whole = (max(float(values.mean()), 1e-300) for values in (errors, images))
    if float(structure.norm()) <= FAINT * math.sqrt(whole):
        return Evidence(structure=torch.zeros_like(structure), chance=torch.zeros_like(chance), p=1.0, pairs=len(more),
                        invention=float(more.mean()) / square, omission=float(less.mean()) / square)
    rounding = FAINT * math.sqrt(whole * square)
    return Evidence(structure=structure, pairs=len(more),
                    chance=chance * per_example(structure.norm() / norm(chance).clamp_min(1e-30), chance),
                    p=sign_flip_above([value if abs(value) > rounding else 0.0 for value in more.tolist()]),
                    invention=float(more.mean()) / square, omission=float(less.mean()) / square)


def kernel_parts(output: Tensor, x: Examples, *, real: bool) -> tuple[Tensor, Tensor]:
    """(w, v): the parts of outputs and truths in the kernel of the forward model, or in that of real images alone."""
    assert x.truth is not None
    if output.shape != x.truth.shape:
        raise InputError(f"outputs have shape {tuple(output.shape[1:])}, the true images {tuple(x.truth.shape[1:])}")
    operator = _forward(x, real=real)
    images = torch.cat([output.real, x.truth.real] if real else [output, x.truth])
    w, v = unseen(images.to(operator.dtype), operator).x.split(len(x))
    return w, v


def _forward(x: Examples, *, real: bool) -> LinearOperator:
    """The forward model as a map of the images there are: real ones are determined by fewer measurements."""
    assert x.operator is not None
    return RealImages(x.operator) if real and x.operator.dtype.is_complex else x.operator


def _is_real(x: Examples) -> bool:
    assert x.truth is not None
    return not (x.truth.is_complex() and bool(x.truth.imag.any()))


def _all_real(bench: Bench) -> bool:
    return asked_once(("real images",), bench, lambda: all(_is_real(bench.fetch((i,))) for i in range(bench.count)))


def _output(target: Metered, x: Examples) -> Tensor:
    with torch.no_grad():
        output = target(x.inputs)
    if not bool(torch.isfinite(output.abs()).all()):
        raise InputError(f"system {target.name!r} returned NaN or infinity on one of {', '.join(x.ids)}")
    return output


def _must_be_hidden(structure: Tensor, x: Examples, *, real: bool) -> None:
    """`InputError` where the data show the structure: of an ill-conditioned forward model the kernel may not be found."""
    assert x.operator is not None
    shown, whole = _forward(x, real=real).forward(structure).norm(), operator_norm(x.operator) * structure.norm()
    if bool(shown > VISIBLE * whole):
        raise InputError(f"the kernel of the forward model could not be told apart: the data show {shown / whole:.0%} "
                         "of the structure that was found")


def _rows(check: Check, name: str, origin: str, bench: Bench, x: Examples, output: Tensor,
          found: Evidence) -> list[Finding]:
    """The system's contrasts of the structure that was found for `origin`, beside those of chance if its own."""
    assert x.truth is not None
    w, v = kernel_parts(output, x, real=not found.structure.is_complex())
    size = found.structure.abs().amax() / x.truth.abs().flatten(1).amax(1).clamp_min(1e-30)
    amounts, own = invented(w, v, found.structure), name == origin
    beside = [size * invented(w, v, d) for d in found.chance] if own else []
    chance = torch.stack(beside) if beside else torch.zeros(0, len(x))
    metric = metrics.find(check.metric)
    return [Finding(
        check=check.id, system=name, role=bench.roles[name], sample=sample, origin=origin, origin_sample=sample, level=None,
        unit=check.unit, metric=metric.id, better=metric.better, normal=None,
        average=float(chance[:, i].mean()) if len(chance) else None,
        average_low=float(chance[:, i].amin()) if len(chance) else None,
        average_high=float(chance[:, i].amax()) if len(chance) else None, worst=float(amounts[i] * size[i]),
        size=float(size[i]), control_size=None, controls=len(chance), forward=3 if own else 1, stop=Stop.CONVERGED,
        extra={"amount": float(amounts[i]), **(found.numbers if own else {})}) for i, sample in enumerate(x.ids)]
