"""What a search for the smallest flip knows of each example: the smallest flip seen so far, and what it has cost."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from assay.arrays import REAL, InputError, per_example
from assay.numerics.norms import NORMS, norm
from assay.records import Stop
from assay.searches.smallest.gradients import class_gradients, top_rivals
from assay.searches.smallest.result import Box, Scores, Smallest

ALL_CLASSES = 50        # up to here every class is tried; above, the ten of greatest score, as published for DeepFool
TOP_CLASSES = 10
SHARP = 20.0                # the greatest |s_k − s_decision| at x in units of `uphill`
ROUNDING = 8                # in units of the dtype's relative rounding: 1e-6 in float32
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]        # scores (n, classes), decision (n,), unit (n,) -> (n,)


class Nearest:
    """The smallest flipping perturbation seen for each example, over every search that looks through it.

    A flip is a margin max_{k ≠ decision} s_k − s_decision above 0, so that relabelled classes change nothing, by more
    than `ROUNDING` of the greatest |s_k − s_decision| at x: less may be rounding, and would be no flip in double
    precision. The margins that searches are given are less by that. With `towards` the `decision` is the class to be
    reached instead of left, and the margin has the other sign: s_decision − max_{k ≠ decision} s_k.
    Searches work on an `index` of examples, so finished ones leave the batch. `margin` (batch,) is that of the unchanged
    input, `stage` the name of the search at work.
    """

    def __init__(self, scores: Scores, x: Tensor, decision: Tensor, *, kind: str, box: Box | None = None,
                 classes: int | None = None, stage: str = "", towards: bool = False) -> None:
        _check(x, decision, kind, box)
        self.scores, self.x, self.decision = scores, x.detach(), decision.detach().long()
        self.kind, self.box, self.stage, self.sign = kind, box, stage, -1.0 if towards else 1.0
        n = len(x)
        self.low: Tensor | None = None if box is None else box[0] - self.x
        self.high: Tensor | None = None if box is None else box[1] - self.x
        self.perturbation = torch.zeros_like(self.x)
        self.size = torch.full((n,), torch.inf, dtype=torch.float64, device=x.device)
        self.new = self.decision.clone()
        self.broken = torch.zeros(n, dtype=torch.bool, device=x.device)
        self.flat = torch.zeros_like(self.broken)
        self.stalled = torch.zeros_like(self.broken)
        self.forward = torch.zeros(n, dtype=torch.long, device=x.device)
        self.backward = torch.zeros_like(self.forward)
        self.winner = [""] * n
        with torch.no_grad():
            logits = scores(self.x.clone())
        _check_scores(logits, self.decision)
        if classes is None:
            classes = None if logits.shape[1] <= ALL_CLASSES else TOP_CLASSES
        elif classes < 2:
            raise InputError(f"classes must be at least 2 (the decision and one rival), got {classes}")
        self.rivals = self.decision[:, None] if towards else top_rivals(logits, self.decision, classes)
        every = torch.arange(n, device=x.device)
        self.slack = torch.zeros_like(self.size)
        self.margin = self.see(every, self.perturbation, logits)
        greatest = (logits - logits.gather(1, self.decision[:, None])).abs().amax(1).double()
        self.unit = (greatest.nan_to_num(1.0, 1.0, 1.0) / SHARP).clamp_min(torch.finfo(logits.dtype).tiny).to(logits.dtype)
        self.slack = ROUNDING * torch.finfo(logits.dtype).eps * greatest.nan_to_num(0.0, 0.0, 0.0)

    @property
    def found(self) -> Tensor:
        return torch.isfinite(self.size)

    def open(self) -> Tensor:
        """The examples whose unchanged input has finite scores and the decision: those worth a search."""
        return ((self.margin <= 0) & ~self.broken).nonzero()[:, 0]

    def inputs(self, index: Tensor, p: Tensor) -> Tensor:
        changed = self.x[index] + p
        return changed if self.box is None else changed.clamp(*self.box)

    def clip(self, index: Tensor, p: Tensor) -> Tensor:
        """The nearest perturbation that keeps the input in the box."""
        if self.low is None or self.high is None:
            return p
        return torch.minimum(torch.maximum(p, self.low[index]), self.high[index])

    def room(self, index: Tensor, p: Tensor | None = None) -> tuple[Tensor | None, Tensor | None]:
        """The box as seen from x (or from x + p): how far each entry may go down and up."""
        if self.low is None or self.high is None:
            return None, None
        low, high = self.low[index], self.high[index]
        return (low, high) if p is None else ((low - p).clamp_max(0), (high - p).clamp_min(0))

    def free(self, index: Tensor, p: Tensor, gradient: Tensor) -> Tensor:
        """The gradient without the entries at a side of the box that it pushes against."""
        low, high = self.room(index)
        if low is None or high is None:
            return gradient
        return torch.where(((gradient > 0) & (p >= high)) | ((gradient < 0) & (p <= low)), 0.0, gradient)

    def look(self, index: Tensor, p: Tensor) -> Tensor:
        """The margins (n,) at x + p, by one forward evaluation."""
        with torch.no_grad():
            return self.see(index, p, self.scores(self.inputs(index, p)))

    def differences(self, index: Tensor, p: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        """s_k − s_decision (n, k), less what may be rounding, and its gradient (n, k, …) for the rivals (n, k).

        Towards a class the only rival is that class, and what it is behind is the greatest of the others at that point.
        """
        if self.sign < 0:
            margin, gradient = self.nearest_rival(index, p)
            return margin[:, None].to(gradient.dtype), gradient[:, None]
        base = self.decision[index]
        logits, gradient = class_gradients(self.scores, self.inputs(index, p), base, rivals)
        self.see(index, p, logits)
        self.backward[index] += rivals.shape[1]
        difference = logits.gather(1, rivals) - logits.gather(1, base[:, None])
        self.note_flat(index, gradient.flatten(1).abs().amax(1))
        return difference - self.slack[index][:, None].to(difference.dtype), gradient

    def nearest_rival(self, index: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """The margin (n,) and its gradient (n, …): those of the rival with the greatest score."""
        margin, _, gradient = self._climbed(index, p, _margin)
        return margin, gradient

    def uphill(self, index: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The margin (n,), the softened margin u log Σ_{k ≠ decision} exp(s_k / u) − s_decision, and its gradient (n, …).

        With u = 1 the log odds of another class: the cross-entropy's direction without its underflow. The gradient does
        not jump where two rivals change places, so a search does not swing between them. u is a twentieth of the greatest
        |s_k − s_decision| at x, so that scores times a constant (a temperature) change nothing.
        """
        return self._climbed(index, p, _softened)

    def _climbed(self, index: Tensor, p: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            leaf = self.inputs(index, p).clone().requires_grad_(True)
            logits = self.scores(leaf)
            value = self.sign * loss(logits, self.decision[index], self.unit[index])
            gradient = torch.zeros_like(leaf)
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(value.sum(), leaf)
        self.backward[index] += 1
        margin = self.see(index, p, logits.detach())
        gradient = torch.where(torch.isfinite(gradient), gradient, 0.0)
        self.note_flat(index, gradient.flatten(1).abs().amax(1))
        return margin, value.detach(), gradient

    def note_flat(self, index: Tensor, greatest: Tensor) -> None:
        self.flat[index] = greatest == 0

    def see(self, index: Tensor, p: Tensor, logits: Tensor) -> Tensor:
        """Take note of the scores at x + p; returns the margins, less what may be rounding."""
        self.forward[index] += 1
        finite = torch.isfinite(logits).all(1)
        self.broken[index] |= ~finite
        margin = self.sign * _margin(logits, self.decision[index])
        margin = torch.where(finite, margin, -torch.inf).double() - self.slack[index]
        size = norm(p.double(), self.kind)
        better = (margin > 0) & (size < self.size[index])
        if bool(better.any()):
            where = index[better]
            self.perturbation[where] = p[better].detach()
            self.size[where] = size[better]
            self.new[where] = logits[better].argmax(1)
            for i in where.tolist():
                self.winner[i] = self.stage
        return margin

    def result(self, unfinished: Stop = Stop.BUDGET, settled: Tensor | None = None) -> Smallest:
        """Found: converged (or `unfinished` where not `settled`). Not found: non-finite, zero gradient, stalled, or it."""
        stop = []
        rows = zip(self.found.tolist(), self.broken.tolist(), self.flat.tolist(), self.stalled.tolist(), strict=True)
        calm = [True] * len(self.x) if settled is None else settled.tolist()
        for i, (found, broken, flat, stalled) in enumerate(rows):
            if broken:
                stop.append(Stop.NON_FINITE)
            elif found:
                stop.append(Stop.CONVERGED if calm[i] or self.size[i] == 0 else unfinished)
            elif flat:
                stop.append(Stop.ZERO_GRADIENT)
            else:
                stop.append(Stop.STALLED if stalled else unfinished)
        return Smallest(perturbation=self.perturbation, size=self.size, found=self.found, decision=self.new,
                        stop=tuple(stop), forward=self.forward, backward=self.backward, winner=tuple(self.winner))


def _margin(logits: Tensor, decision: Tensor, unit: Tensor | None = None) -> Tensor:
    others = logits.scatter(1, decision[:, None], -torch.inf)
    return others.amax(1) - logits.gather(1, decision[:, None])[:, 0]


def _softened(logits: Tensor, decision: Tensor, unit: Tensor) -> Tensor:
    others = logits.scatter(1, decision[:, None], -torch.inf) / unit[:, None]
    return unit * others.logsumexp(1) - logits.gather(1, decision[:, None])[:, 0]


def _check(x: Tensor, decision: Tensor, kind: str, box: Box | None) -> None:
    if kind not in NORMS:
        raise InputError(f"unknown norm {kind!r}; known: {', '.join(NORMS)}")
    if x.dtype not in REAL:
        raise InputError(f"x must be float32 or float64, got {x.dtype}; convert with .float() and scale as "
                         "the model expects")
    if x.ndim < 2 or len(x) == 0:
        raise InputError(f"x must be (batch, …) with at least one example, got shape {tuple(x.shape)}")
    if decision.shape != x.shape[:1] or decision.is_floating_point() or decision.dtype == torch.bool:
        raise InputError(f"decision must hold one class number (an integer) for each of the {len(x)} examples, got "
                         f"{decision.dtype} of shape {tuple(decision.shape)}")
    if box is not None:
        if not box[0] < box[1]:
            raise InputError(f"box must be (least, greatest) with least < greatest, got {box}")
        if bool((x < box[0]).any()) or bool((x > box[1]).any()):
            raise InputError(f"x leaves the box {box}: its entries range from {float(x.min()):g} to {float(x.max()):g}; "
                             "scale the inputs or give the box they live in")


def _check_scores(logits: Tensor, decision: Tensor) -> None:
    if logits.ndim != 2 or len(logits) != len(decision):
        raise InputError(f"scores must be (batch, classes), got {tuple(logits.shape)} for {len(decision)} examples")
    if logits.shape[1] < 2:
        raise InputError("scores have one column: a binary model must return a score for each class; for one logit z "
                         "return torch.cat((torch.zeros_like(z), z), 1)")
    if int(decision.min()) < 0 or int(decision.max()) >= logits.shape[1]:
        raise InputError(f"decision must be class numbers from 0 to {logits.shape[1] - 1}, got values from "
                         f"{int(decision.min())} to {int(decision.max())}")


def spread(values: Tensor, like: Tensor) -> Tensor:
    """(n,) or (n, k) numbers made to broadcast over (n, …) or (n, k, …), in that dtype."""
    if values.ndim == 1:
        return per_example(values.to(like.dtype), like)
    return values.to(like.dtype).reshape(*values.shape, *[1] * (like.ndim - 2))
