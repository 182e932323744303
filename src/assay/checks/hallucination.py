"""Hallucination: a structure that outputs have in common in the kernel of the measurement, and the true images do not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.checks.asked_once import asked_once
from assay.checks.check import Bench, Check, UnitResult, key, method
from assay.checks.exhibits import exhibit
from assay.checks.kernel_parts import (
    BATCH,
    Means,
    Parts,
    Units,
    all_real,
    forward_model,
    halves,
    is_real,
    means,
    output_of,
    parts,
    parts_at,
)
from assay.metrics import protocol as metrics
from assay.metrics.invention import added, along, beyond_shrinkage, invented, invention, omission
from assay.numerics.bases import BASES
from assay.numerics.means import mean_above
from assay.numerics.norms import norm
from assay.numerics.paired import sign_flip_above
from assay.operators.protocol import LinearOperator, dot_test
from assay.operators.spectral_norm import operator_norm
from assay.perturbations.protocol import Examples, stream
from assay.records import Finding, Flag, Stop
from assay.solvers.kernel import kernel_share
from assay.systems.metered import Metered

LEAST_KERNEL = 1e-3         # of the images' dimensions: below it the measurements leave nothing out
VISIBLE = 0.05              # of ‖A‖‖d‖: a structure that the data show more plainly is none of the kernel
FAINT = 1e-5                # of the images' norm: how well the part in the kernel is known; what is fainter is rounding
BEYOND = 0.25               # of the amount shown: so much must be beyond every shrinkage of coefficients for all to count
AT_RANDOM = 0.5             # of the share of dimensions that is measured: of an error that knows no kernel all is shown
SAME = 2e-3                 # how far a stored structure may lie from the one that is found again


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The structure (…) that outputs of the samples left out have in common beyond their truths, and what the others say.

    `chance` (controls, …) are means of their errors with random signs, of the structure's norm. `linear` is the p of one
    linear shrinkage for all images, `shrinkage` the largest p of a shrinkage of coefficients, whatever decides how much;
    `overshoot` where outputs show at least half of what the kernel holds; `beyond` is what images show of the structure, in
    the mean, beyond a shrinkage of the whole image. `invention` and `omission` are shares of the squared error in the
    kernel, whose sum is its common part. `visible` is the share of all that outputs have in common beyond the truths that
    the measurements show, `measured` that of the images' dimensions they do.
    """

    structure: Tensor
    chance: Tensor
    pairs: int
    invention: float
    omission: float
    linear: float = 1.0
    shrinkage: float = 1.0
    overshoot: bool = True
    beyond: float = 0.0
    visible: float = 0.0
    measured: float = 1.0

    @property
    def p(self) -> float:
        """That of no invention: both kinds of shrinkage must be ruled out."""
        return max(self.linear, self.shrinkage)

    @property
    def numbers(self) -> dict[str, float]:
        return {"p": self.p, "p-linear": self.linear, "p-shrinkage": self.shrinkage, "pairs": float(self.pairs),
                "invention": self.invention, "omission": self.omission, "visible-share": self.visible}

    def flags(self, check: Check) -> tuple[Flag, ...]:
        """`misses-data` where something was found, and at least half as much of it is measured as of an error at random."""
        if self.visible <= AT_RANDOM * self.measured or self.p > float(check.criterion.get("alpha", 0.01)):
            return ()
        return (Flag(id="misses-data", detail=f"{self.visible:.0%} of what outputs have in common beyond the true "
                                              f"images is in what was measured, which is {self.measured:.0%} of them"),)


@method("hallucination")
def hallucination(check: Check, system: str, bench: Bench, x: Examples) -> UnitResult:
    """`worst` is the contrast, a share of the peak, of one structure in ker A that an output shows and its truth lacks.

    `perturbation` = { fit = 200, fit_from = "even" }: the structure is the mean output in the kernel, less the nearest
    shrunk mean truth, over the samples that the audit leaves out (at most half); the audited rows are the others. Its own
    greatest contrast is `size`; the share of it that is shown (`assay.metrics.invention`) is told as `amount`: that along
    the structure, but at most four times the least that is beyond a shrinkage of coefficients, of pixels, Haar wavelets or
    frequencies, so 0 or less where such a shrinkage accounts for it. `average` is the contrast of means of errors with
    random signs; the other systems' rows under the structure are the control that has the same data.

    The same p stands in every row. What it tests is that outputs are one symmetric linear shrinkage of the truths in the
    kernel (disjoint pairs of units, one of each half), or that in one of the bases each coefficient of the output lies, in
    the mean, between 0 and the truth's (the units that are judged). A unit is an image, or all images of a group. Where
    something in common is found and at least half as much of it is measured as of an error that knows nothing of the
    kernel (a shift, sharpening), rows are flagged `misses-data`. Still possible without invention: a small p by a nonlinear
    shrinkage in a basis of its own, and by images that depend on one another where no groups are told.
    Sources of the question: Gottschling, Antun, Hansen and Adcock, SIAM Review 67 (2025); Bhadra, Kelkar, Brooks and
    Anastasio, IEEE Trans. Med. Imaging 40 (2021), who map what is false in the kernel.
    """
    found = evidence(check, system, bench)
    outputs = {name: output_of(target, x) for name, target in bench.systems.items()}
    rows = [row for name, output in outputs.items() for row in _rows(check, name, system, bench, x, output, found)]
    own = [row.worst or -math.inf for row in rows if row.system == system]
    worst = own.index(max(own))
    pictures = {"original": x.truth, "changed": None if x.truth is None else x.truth + found.structure,
                **{f"worst:{name}": output for name, output in outputs.items()}}
    return UnitResult(findings=tuple(rows), exhibits=exhibit(pictures, bench, system, x, None, worst=worst),
                      witnesses={key(system, x.ids[worst], None): found.structure.clone()})


def replayed(check: Check, row: Finding, bench: Bench, x: Examples, stored: Tensor) -> dict[str, float]:
    """The row's numbers again; infinite where the stored structure is not the one that the samples left out give."""
    found, output = evidence(check, row.origin, bench), output_of(bench.systems[row.system], x)
    apart = stored[0].shape != found.structure.shape or bool(
        (stored[0] - found.structure).norm() > SAME * found.structure.norm())
    if apart:
        return {"size": math.inf}
    (again,) = _rows(check, row.system, row.origin, bench, x, output, found)
    numbers = {"worst": again.worst, "size": again.size, "average": again.average, **again.extra}
    return {name: value for name, value in numbers.items() if value is not None}


def cannot_ask(check: Check, x: Examples, count: int, groups: tuple[str, ...] = ()) -> str:
    """Why no structure can be looked for in `count` samples like `x`, or "". `groups` are those of the samples, if any."""
    pairs, least = min(map(len, halves(check, count, groups))), least_pairs(float(check.criterion.get("alpha", 0.01)))
    if pairs < least:
        of = f"{len(set(groups))} groups of {count} samples" if groups else f"{count} samples"
        what = "groups, which are alike within and count as one image each" if groups else "samples"
        return (f"it finds a structure on one half of the {what}, judges on the other, and needs {least} of them in each; "
                f"{of} make {pairs} pair{'' if pairs == 1 else 's'}")
    if not isinstance(x.operator, LinearOperator):
        return "the forward model is not known, so nobody can say what the measurements leave out"
    try:
        dot_test(x.operator, generator=stream(check.id, "dot test"), tolerance=1e-4)
    except InputError:
        return "the forward model is not linear, or its adjoint is not its own"
    share = kernel_share(forward_model(x, real=is_real(x)), generator=stream(check.id, "kernel"))
    return "" if share >= LEAST_KERNEL else "the measurements leave nothing out: the forward model has no kernel"


def least_pairs(alpha: float) -> int:
    """How many pairs a p of at most alpha needs: 2⁻ⁿ is the least that n of them can have.

    >>> least_pairs(0.01), least_pairs(0.05)
    (7, 5)
    """
    return math.ceil(-math.log2(alpha))


def evidence(check: Check, system: str, bench: Bench) -> Evidence:
    """What pairs of images, one from each half of the data, say of the system; computed once per process."""
    return asked_once(("hallucination", check.id, system, bench.seed), bench, lambda: _look(check, system, bench))


def _look(check: Check, system: str, bench: Bench) -> Evidence:
    """Two passes: the structure and the pairs; then what the judged half shows beyond a shrinkage of coefficients."""
    fit, asked = halves(check, bench.count, bench.groups)
    n, target, real = min(len(fit), len(asked)), bench.systems[system], all_real(bench)
    if n == 0:
        raise InputError("there is no pair of images or groups, one to find a structure on and one to judge; give more")
    turned = (*fit[n // 2: n], *fit[: n // 2])              # neighbours in a series are alike, and make no pair
    signs = 2.0 * torch.randint(2, (check.controls, n), generator=stream(bench.seed, check.id, "signs")) - 1
    sums, numbers = [], []
    for start in range(0, n, BATCH):
        first = means(target, bench, turned[start: start + BATCH], real=real)
        second = means(target, bench, asked[start: min(start + BATCH, n)], real=real)
        chance = torch.tensordot(signs[:, start: start + BATCH].to(first.shown.dtype), first.shown - first.truth, 1)
        sums.append(torch.cat([first.shown.sum(0, keepdim=True), first.truth.sum(0, keepdim=True), chance]))
        numbers.append(_of_pairs(first, second))
    common, pairs = torch.stack(sums).sum(0) / n, {name: torch.cat([one[name] for one in numbers]) for name in numbers[0]}
    structure, chance = added(common[0], common[1]), common[2:]
    square, whole = (max(float(pairs[name].mean()), 1e-300) for name in ("error", "energy"))
    told = Evidence(structure=torch.zeros_like(structure), chance=torch.zeros_like(chance), pairs=n,
                    invention=float(pairs["invention"].mean()) / square, omission=float(pairs["omission"].mean()) / square)
    length = float(structure.norm())
    if length <= FAINT * math.sqrt(whole):
        return told
    x = bench.fetch(fit[0][:1])
    _must_be_hidden(structure[None], x, real=real)
    told = replace(told, structure=structure, overshoot=bool(2 * pairs["kept"].sum() >= pairs["hidden"].sum()))
    beyond = _beyond(target, bench, asked, told, real=real)
    visible, hidden = (max(0.0, float(pairs[name].mean())) for name in ("visible", "invention"))
    return replace(
        told, visible=visible / max(visible + hidden, 1e-300),
        chance=chance * per_example(structure.norm() / norm(chance).clamp_min(1e-30), chance),
        measured=1 - kernel_share(forward_model(x, real=real), generator=stream(check.id, "kernel")),
        beyond=float(beyond[:, len(BASES):].mean(0).min()),
        linear=mean_above(_without(FAINT * math.sqrt(whole * square), pairs["invention"])),
        shrinkage=max(sign_flip_above(_without(FAINT * math.sqrt(whole) / length, values)) for values in beyond.T))


def _of_pairs(first: Means, second: Means) -> dict[str, Tensor]:
    """The numbers of each pair of units, and those of its first alone (pairs,)."""
    four = first.shown, first.truth, second.shown, second.truth
    seen = first.visible_shown, first.visible_truth, second.visible_shown, second.visible_truth
    return {"invention": invention(*four), "omission": omission(*four), "visible": invention(*seen),
            "error": first.error, "energy": first.energy, "kept": first.kept, "hidden": first.hidden}


def _without(rounding: float, values: Tensor) -> list[float]:
    return [value if abs(value) > rounding else 0.0 for value in values.tolist()]


def _beyond(target: Metered, bench: Bench, asked: Units, found: Evidence, *, real: bool) -> Tensor:
    """What each unit shows of the structure beyond a shrinkage of coefficients, in the mean of its images (units, bases)."""
    positions = [i for unit in asked for i in unit]
    values = torch.cat([_in_each_basis(parts_at(target, bench, tuple(positions[start: start + BATCH]), real=real), found)
                        for start in range(0, len(positions), BATCH)])
    return torch.stack([some.mean(0) for some in values.split([len(unit) for unit in asked])])


def _in_each_basis(x: Parts, found: Evidence) -> Tensor:
    """(batch, 2 bases): `beyond_shrinkage` in each basis, of the part in the kernel and then of the whole image.

    Places are chosen by the truth alone. Of a system that shows most of what the kernel holds those where the truth has
    the structure's sign, so that more than there is can be told; of another those where the kernel's part has the other
    sign, and of the image those of them where its visible part has the structure's.
    """
    hidden, whole = [], []
    for coefficients in BASES.values():
        d, v, image = coefficients(found.structure[None]), coefficients(x.truth), coefficients(x.image)
        t, all_of_it = along(v, d), along(image, d)
        hidden.append(beyond_shrinkage(coefficients(x.shown), v, d, t >= 0 if found.overshoot else t <= 0))
        whole.append(beyond_shrinkage(coefficients(x.output), image, d,
                                      all_of_it >= 0 if found.overshoot else (t <= 0) & (t <= all_of_it)))
    return torch.stack((*hidden, *whole), 1)


def _must_be_hidden(structure: Tensor, x: Examples, *, real: bool) -> None:
    """`InputError` where the data show the structure: of an ill-conditioned forward model the kernel may not be found."""
    assert x.operator is not None
    shown, whole = forward_model(x, real=real).forward(structure).norm(), operator_norm(x.operator) * structure.norm()
    if bool(shown > VISIBLE * whole):
        raise InputError(f"the kernel of the forward model could not be told apart: the data show {shown / whole:.0%} "
                         "of the structure that was found")


def _rows(check: Check, name: str, origin: str, bench: Bench, x: Examples, output: Tensor,
          found: Evidence) -> list[Finding]:
    """The system's contrasts of the structure that was found for `origin`, beside those of chance if its own."""
    assert x.truth is not None
    mine = parts(output, x, real=not found.structure.is_complex())
    size = found.structure.abs().amax() / x.truth.abs().flatten(1).amax(1).clamp_min(1e-30)
    amounts, own = _amounts(mine, found), name == origin
    beside = [size * invented(mine.shown, mine.truth, d) for d in found.chance] if own else []
    chance = torch.stack(beside) if beside else torch.zeros(0, len(x))
    metric = metrics.find(check.metric)
    return [Finding(
        check=check.id, system=name, role=bench.roles[name], sample=sample, origin=origin, origin_sample=sample, level=None,
        unit=check.unit, metric=metric.id, better=metric.better, normal=None,
        average=float(chance[:, i].mean()) if len(chance) else None,
        average_low=float(chance[:, i].amin()) if len(chance) else None,
        average_high=float(chance[:, i].amax()) if len(chance) else None, worst=float(amounts[i] * size[i]),
        size=float(size[i]), control_size=None, controls=len(chance), forward=4 if own else 1, stop=Stop.CONVERGED,
        flags=found.flags(check) if own else (),
        extra={"amount": float(amounts[i]), **(found.numbers if own else {})}) for i, sample in enumerate(x.ids)]


def _amounts(x: Parts, found: Evidence) -> Tensor:
    """How much of the structure each image shows (batch,), at most 1/`BEYOND` times what no shrinkage accounts for.

    That of the part in the kernel is each image's own; of the whole image, much of which is no matter of the structure, it
    is the mean over images.
    """
    amount = invented(x.shown, x.truth, found.structure)
    if not bool(found.structure.any()):
        return amount
    beyond = _in_each_basis(x, found)[:, :len(BASES)].amin(1).clamp_max(found.beyond)
    return amount.minimum(torch.where(beyond > 0, beyond / BEYOND, beyond))
