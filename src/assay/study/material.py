"""What a study works on: inputs and classes in two halves, one to fit simple learners to and one to judge on; and what else
is known of the samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.protocol import stream
from assay.study.order import Fact

MOST = 2_000            # inputs; more are drawn from
CHUNK = 256             # asked at once
FEWEST = 4              # of a class: two to fit to, two to judge on


@dataclass(frozen=True, kw_only=True)
class Material:
    """Inputs (n, …), classes (n,), and the places of the two halves; `box` where inputs have a least and greatest value.

    `facts` are numbers of the samples that no system is shown: where each stands in its file, when it was taken. `shifted`
    are inputs and classes of another time, site or device.
    """

    x: Tensor
    y: Tensor
    classes: int
    box: tuple[float, float] | None
    fit: Tensor
    judged: Tensor
    facts: tuple[Fact, ...] = ()
    shifted: tuple[Tensor, Tensor] | None = None

    def part(self, which: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[which], self.y[which]

    def relabelled(self, y: Tensor) -> Material:
        return replace(self, y=y)


def halves(x: Tensor, y: Tensor, *, classes: int, box: tuple[float, float] | None, seed: int, facts: Sequence[Fact] = (),
           shifted: tuple[Tensor, Tensor] | None = None) -> Material:
    """Both halves have the same share of each class (to one). Raises `InputError` for a class with too few inputs."""
    if len(x) != len(y) or len(x) == 0:
        raise InputError(f"need one class for each input, got {len(x)} inputs and {len(y)} classes")
    _check_finite(x, "")
    if shifted is not None:
        _check_finite(shifted[0], "shifted ")
    generator = stream(seed, "halves")
    if len(x) > MOST:
        kept = torch.randperm(len(x), generator=generator)[:MOST].sort().values
        x, y = x[kept], y[kept]
        facts = [replace(fact, values=fact.values[kept]) for fact in facts]
    count = torch.bincount(y, minlength=classes)
    if int(count.min()) < FEWEST:
        raise InputError(f"class {int(count.argmin())} has {int(count.min())} inputs; a study needs at least {FEWEST} of "
                         "each class, half of them to judge on")
    fit, judged, order = [], [], torch.randperm(len(y), generator=generator)
    for c in range(classes):
        places = order[y[order] == c]
        fit.append(places[: len(places) // 2])
        judged.append(places[len(places) // 2:])
    return Material(x=x, y=y, classes=classes, box=box, fit=torch.cat(fit).sort().values,
                    judged=torch.cat(judged).sort().values, facts=tuple(facts), shifted=shifted)


def _check_finite(x: Tensor, kind: str) -> None:
    broken = ~torch.isfinite(x).flatten(1)
    if bool(broken.any()):
        bad = broken.any(0).nonzero().flatten().tolist()
        raise InputError(f"{int(broken.any(1).sum())} {kind}inputs hold values that are no finite numbers (at place "
                         f"{', '.join(map(str, bad[:5]))}); leave them out, or fill in a value and name it (--missing)")


def decisions(scores: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Classes of inputs, `CHUNK` at a time; −1, which is never right, where a score is no finite number."""
    found = []
    with torch.no_grad():
        for i in range(0, len(x), CHUNK):
            told = scores(x[i: i + CHUNK])
            found.append(torch.where(torch.isfinite(told).all(1), told.argmax(1), -1))
    return torch.cat(found)
