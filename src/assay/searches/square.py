"""Random search over squares of an image: queries alone, no gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from assay.arrays import InputError, per_example
from assay.perturbations.balls import InputBall
from assay.perturbations.protocol import Examples
from assay.records import Stop
from assay.searches.auto_pgd import Done, finished, height
from assay.searches.result import Best, Objective, SearchResult

# the share of pixels is halved after these draws of 10 000
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
TILES = 5                                        # the ℓ2 search begins with about this many tiles along a side


def square(objective: Objective, within: InputBall, *, x: Examples, generators: Sequence[torch.Generator],
           draws: int = 1000, restarts: int = 1, starts: Sequence[Tensor] = (), share: float = 0.8,
           done: Done | None = None) -> SearchResult:
    """Square Attack: change one random square of the image at a time, keep the change if the objective grew.

    Inputs are real images, (batch, height, width) or (batch, channels, height, width), or signals (batch, samples) in a
    ball of ℓ∞: a proposal then sets an interval. ℓ∞: the start is vertical stripes
    of ± the radius, a proposal sets a square of every channel to ± the radius. ℓ2: the start is tiles, a proposal moves
    the norm of one square into another, added to a pattern of two pyramids (`pyramids`), so that the whole has the radius
    as its norm. Each proposal is then projected onto ball and box. The square's area is `share` of the image, halved as
    the draws go on (`area`). Per example, with its own generator. Source: Andriushchenko, Croce, Flammarion and Hein,
    "Square Attack: a query-efficient black-box adversarial attack via random search", ECCV 2020 (arXiv 1912.00049),
    Algorithms 1 to 3; halvings and share 0.8 as in its use by Croce and Hein (2020).

    Runs: from `starts` (projected), then `restarts` of its own; `draws` evaluations each. If the objective returns a
    `Score`, `climbed` decides what is kept and the member returned is that of greatest harm. `done(harm)` says which
    examples need no worse member: they are frozen, and the search stops when all are. Chance does not converge: it ends
    with its budget. Raises `InputError` for inputs that are no real images.

    >>> from assay.perturbations.balls import Ball
    >>> from assay.perturbations.protocol import stream
    >>> x = Examples(ids=("a",), inputs=torch.tensor([[[0.5, 1.0], [0.0, 0.5]]]))
    >>> ball = InputBall(ball=Ball(norm="linf", radius=0.25, relative=False, box=(0.0, 1.0)))
    >>> found = square(lambda p: p.sum((1, 2)), ball, x=x, generators=[stream(0)], draws=100)
    >>> found.parameters.tolist(), found.backward
    ([[[0.25, 0.0], [0.25, 0.25]]], 0)
    """
    shape = _image_shape(x, within)
    if draws < 1 or restarts < 0 or restarts + len(starts) < 1:
        raise InputError(f"need draws ≥ 1 and at least one start, got draws={draws}, restarts={restarts}")
    if not 0 < share <= 1:
        raise InputError(f"share is that of the image's pixels, above 0 and at most 1, got {share}")
    best = Best(within.zero(x))
    with torch.no_grad():
        for run in range(len(starts) + restarts):
            moves = _Moves(within, x, shape, generators, draws)
            start = starts[run] if run < len(starts) else moves.start(generators)
            best.begin()
            if bool(finished(best, done).all()):
                break
            _walk(objective, moves, within.project(x, start), best, share, done)
    over = finished(best, done)
    result = best.result(Stop.BUDGET)
    stops = tuple(Stop.CONVERGED if end and stop == Stop.BUDGET else stop
                  for end, stop in zip(over.tolist(), result.stop, strict=True))
    return SearchResult(parameters=result.parameters, value=result.value, stop=stops, forward=result.forward,
                        backward=0, history=result.history)


def _walk(objective: Objective, moves: _Moves, start: Tensor, best: Best, share: float, done: Done | None) -> None:
    """Random search: the proposal replaces the current point where what is climbed, or the harm, is greater."""
    value = objective(start)
    best.see(start, value)
    point, top = start, height(value)
    for draw in range(1, moves.draws):
        moving = ~finished(best, done)
        if not bool(moving.any()):
            return
        proposal = torch.where(per_example(moving, point), moves.propose(point, draw, share), point)
        value = objective(proposal)
        better = best.see(proposal, value) | (height(value) > top)
        point = torch.where(per_example(better, point), proposal, point)
        top = torch.where(better, height(value), top)


def area(draw: int, draws: int, share: float) -> float:
    """The share of pixels in the square of a draw: `share`, halved after 10, 50, 200, … of 10 000 draws, rescaled.

    >>> area(0, 1000, 0.8), area(2, 1000, 0.8), area(999, 1000, 0.8)
    (0.8, 0.4, 0.0015625)
    """
    return share / 2 ** sum(draw * 10_000 // draws > after for after in HALVINGS)


def pyramids(side: int) -> Tensor:
    """(side, side): an upper half of positive, a lower of negative peaks, each falling off from its centre; ℓ2 norm 1.

    Entry (r, s) of a half of height h: Σ_{i=0}^{M} 1/(n + 1 − i)², n = ⌊side/2⌋, M = n − max(|r − ⌊h/2⌋|, |s − n|) (no
    term if M < 0), r and s from 0. Andriushchenko et al. (2020), section 3.3, equation 2.

    >>> pyramids(1).tolist(), float(pyramids(5).sum() < 0)
    ([[-1.0]], 1.0)
    """
    halves = []
    for rows_of_half in (side // 2, side - side // 2):
        n = side // 2
        rows, columns = torch.arange(rows_of_half) - rows_of_half // 2, torch.arange(side) - n
        far = torch.maximum(rows.abs()[:, None], columns.abs()[None])
        terms = torch.tensor([sum(1 / (n + 1 - i) ** 2 for i in range(n - d + 1)) for d in range(side + 1)])
        halves.append(terms[far])
    pattern = torch.cat((halves[0], -halves[1])).double()
    return pattern / pattern.norm()


def _image_shape(x: Examples, within: InputBall) -> tuple[int, int, int]:
    """Channels, height and width."""
    shape = tuple(x.inputs.shape[1:])
    signal = len(shape) == 1 and within.ball.norm == "linf"
    if not (signal or len(shape) in (2, 3)) or x.inputs.is_complex():
        raise InputError(f"inputs must be real images, (batch, height, width) or (batch, channels, height, width), or "
                         f"signals in a ball of linf, got {x.inputs.dtype} of shape {tuple(x.inputs.shape)}; use "
                         "random_walk for other inputs")
    if within.ball.norm not in ("l2", "linf"):
        raise InputError(f"squares are searched in balls of norm l2 and linf, not {within.ball.norm!r}")
    if signal:
        return 1, 1, shape[0]
    return (1, *shape) if len(shape) == 2 else (shape[0], shape[1], shape[2])


class _Moves:
    """The random numbers of one run, drawn for each example from its own stream, and the proposals they make."""

    def __init__(self, within: InputBall, x: Examples, shape: tuple[int, int, int], generators: Sequence[torch.Generator],
                 draws: int) -> None:
        self.within, self.x, self.shape, self.draws = within, x, shape, draws
        self.radius = (within.ball.radius * within.ball.scale(x.inputs))[:, None, None, None]
        self.chance = torch.stack([torch.rand(draws, 5 + shape[0], generator=g) for g in generators], dim=1)
        self.patterns: dict[int, Tensor] = {}

    def start(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Stripes of one column for each channel (ℓ∞); tiles of the pattern with random signs (ℓ2)."""
        channels, height, width = self.shape
        if self.within.ball.norm == "linf":
            signs = torch.stack([_signs(torch.rand(channels, 1, width, generator=g)) for g in generators])
            return self._back((self.radius * signs).expand(-1, -1, height, -1))
        side = max(1, min(height, width) // TILES)
        rows, columns = height // side, width // side
        signs = torch.stack([_signs(torch.rand(channels, rows, columns, generator=g)) for g in generators])
        tiles = torch.kron(signs.to(self.radius.dtype), self._pattern(side))
        whole = torch.zeros(len(tiles), channels, height, width, dtype=self.radius.dtype)
        top, left = (height - rows * side) // 2, (width - columns * side) // 2
        whole[:, :, top: top + rows * side, left: left + columns * side] = tiles
        return self._back(self.radius * whole / whole.flatten(1).norm(dim=1)[:, None, None, None])

    def propose(self, point: Tensor, draw: int, share: float) -> Tensor:
        height, width = self.shape[1:]
        covered = area(draw - 1, self.draws, share) * height * width
        side = round(math.sqrt(covered))
        p = point.reshape(-1, *self.shape)
        chance = self.chance[draw]
        signs = _signs(chance[:, 5:])[:, :, None, None].to(p.dtype)
        if self.within.ball.norm == "linf":
            side = max(1, min(side, height, width))
            across = max(1, round(covered)) if self.x.inputs.ndim == 2 else side            # of a signal, an interval
            changed = p.clone()
            changed[self._window(chance[:, 0:2], side, across)] = (self.radius * signs).expand(-1, -1, side, across)
        else:
            side = max(3, side) + (max(3, side) + 1) % 2                        # odd, so that the pyramids have a middle
            changed = self._moved(p, chance, signs, max(1, min(side, height, width)))
        return self.within.project(self.x, self._back(changed))

    def _moved(self, p: Tensor, chance: Tensor, signs: Tensor, side: int) -> Tensor:
        """The norm in a second square, and what the ball leaves unused, go into the first (Algorithm 3)."""
        to, away = self._window(chance[:, 0:2], side, side), self._window(chance[:, 2:4], side, side)
        pattern = self._pattern(side)
        pattern = torch.where(chance[:, 4, None, None] < 0.5, pattern, pattern.T)[:, None]
        rest = p.clone()
        rest[to] = 0
        rest[away] = 0
        unused = (self.radius ** 2 - p.square().sum((1, 2, 3), keepdim=True)).clamp_min(0) / self.shape[0]
        available = (p.square().sum((2, 3), keepdim=True) - rest.square().sum((2, 3), keepdim=True)).clamp_min(0) + unused
        new = signs * pattern + _unit(p[to])
        rest[to] = _unit(new) * available.sqrt()
        return rest

    def _window(self, chance: Tensor, down: int, across: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The index of one window of those sides for each example and all channels: (batch, channels, down, across)."""
        channels, height, width = self.shape
        room = torch.tensor([height - down + 1, width - across + 1])
        corner = torch.minimum((chance * room).long(), room - 1)
        return (torch.arange(len(chance))[:, None, None, None], torch.arange(channels)[None, :, None, None],
                (corner[:, :1] + torch.arange(down))[:, None, :, None],
                (corner[:, 1:] + torch.arange(across))[:, None, None, :])

    def _pattern(self, side: int) -> Tensor:
        if side not in self.patterns:
            self.patterns[side] = pyramids(side).to(self.radius.dtype)
        return self.patterns[side]

    def _back(self, p: Tensor) -> Tensor:
        return p.reshape(self.x.inputs.shape)


def _signs(chance: Tensor) -> Tensor:
    return torch.where(chance < 0.5, -1.0, 1.0)


def _unit(window: Tensor) -> Tensor:
    size = window.square().sum((2, 3), keepdim=True).sqrt()
    return window / torch.where(size > 0, size, torch.ones_like(size))
