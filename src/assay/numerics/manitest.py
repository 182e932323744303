"""How far an image may be moved along its own orbit before the decision changes: the Manitest distance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from assay.arrays import InputError

Parameters = Float[Tensor, "n k"]
Point = Float[Tensor, "k"]
Lengths = Float[Tensor, " n"]
Decide = Callable[[Tensor], Int[Tensor, " n"]]                   # images (n, …) -> classes
Transform = Callable[[Tensor, Parameters], Tensor]              # images (n, …), parameters (n, k) -> images (n, …)


@dataclass(frozen=True, kw_only=True)
class ManitestResult:
    """The nearest change of decision on the orbit, and how far the search can vouch for it.

    `distance` is a geodesic length divided by ‖x‖, infinite where nothing was `found`; then every change nearer than
    `horizon` would have been seen (on the grid). `horizon` is the distance of the nearest point on the rim of the grid:
    a find beyond it might be undercut by a path that leaves the grid. `parameters` (k,) and `decision` belong to the
    find, or to the unchanged image. `decided` counts images shown to the classifier.
    """

    distance: float
    parameters: Point
    decision: int
    found: bool
    original: int
    horizon: float
    decided: int


def manitest(decide: Decide, image: Float[Tensor, "*shape"], transform: Transform, grid: Sequence[Tensor], *,
             reach: int = 2, step: float = 0.5, bisections: int = 12, chunk: int = 256) -> ManitestResult:
    """min over paths τ(t) from τ = 0 to a change of decision of ∫ √(τ̇ᵀ G(τ) τ̇) dt / ‖x‖, G_ij = ⟨∂_i x_τ, ∂_j x_τ⟩.

    Fawzi and Frossard, "Manitest: are classifiers really invariant?" (BMVC 2015), who march fast through the grid; here
    Dijkstra's algorithm goes through it along all primitive steps of up to `reach` points per axis, each as long as the
    mean of the metric at its ends. So a length is that of an admissible path: an upper bound up to the error of the
    metric, too long by at most 8, 3 and 1 % for reach 1, 2 and 3 in two dimensions of an isotropic metric (13, 5 and
    2 % in three), by more for a skew one; a greater reach tells how much. G comes from differences over ± `step` of the
    grid's spacing. Every step that crosses into a change is bisected and the nearest crossing counts: the find is not
    rounded up to a grid point.

    `grid` holds an increasing axis (at least two values, one of them 0) for each parameter, 0 being the identity. Raises
    `InputError` for other axes, and for an image that is zero.

    >>> image = torch.tensor([1.0, 0.0], dtype=torch.float64)
    >>> def turn(images, p):
    ...     return torch.stack((p[:, 0].cos(), p[:, 0].sin()), 1)
    >>> found = manitest(lambda z: (z[:, 1] > 0.5).long(), image, turn, [torch.linspace(-1.5, 1.5, 61).double()])
    >>> abs(found.distance - torch.pi / 6) < 1e-3        # the arc of a circle up to the height 1/2
    True
    """
    axes = [_checked(axis, i) for i, axis in enumerate(grid)]
    scale = float(torch.linalg.vector_norm(image))
    if not axes or scale == 0 or reach < 1:
        raise InputError("manitest: need at least one axis, an image that is not zero, and reach ≥ 1")
    shape = tuple(len(axis) for axis in axes)
    nodes = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    start = int(np.ravel_multi_index([int((axis == 0).nonzero()) for axis in axes], shape))
    steps = torch.tensor([step * float(axis.diff().min()) for axis in axes], dtype=torch.float64)

    def moved(p: Tensor) -> Tensor:
        return transform(image.expand(len(p), *image.shape), p)

    asked = _Asked(lambda p: decide(moved(p)), chunk)
    with torch.no_grad():
        metric = torch.cat([_metric(moved, part, steps) for part in nodes.split(chunk)]).numpy()
        graph = _graph(shape, nodes.numpy(), metric, reach)
        distance = dijkstra(graph, directed=False, indices=start)
        original = int(asked(nodes[start:start + 1]))
        horizon = float(distance[_rim(shape)].min()) / scale
        node = _first_change(asked, nodes, distance, original, chunk)
        if node is None:
            return ManitestResult(distance=math.inf, parameters=nodes[start], decision=original, found=False,
                                  original=original, horizon=horizon, decided=asked.count)
        length, place = float(distance[node]), nodes[node]
        if bisections:
            length, place = _nearest_crossing(asked, nodes, graph, distance, length, original, bisections)
        return ManitestResult(distance=length / scale, parameters=place, decision=int(asked(place[None])), found=True,
                              original=original, horizon=horizon, decided=asked.count)


def path_length(image: Float[Tensor, "*shape"], transform: Transform, path: Parameters) -> Lengths:
    """Σ ‖x_{τ_{i+1}} − x_{τ_i}‖ / ‖x‖ along a path, from its start to each point: the integral in one dimension.

    With fine steps it tends to the length from below, without a metric or a graph: for rotation alone, where the way is
    the only one, it is the Manitest distance of each angle.
    """
    images = transform(image.expand(len(path), *image.shape), path)
    steps = torch.linalg.vector_norm((images[1:] - images[:-1]).flatten(1).double(), dim=1)
    length = torch.cat((torch.zeros(1, dtype=torch.float64), steps.cumsum(0)))
    return length / torch.linalg.vector_norm(image).double()


def _checked(axis: Tensor, i: int) -> Tensor:
    axis = axis.double()
    if axis.ndim == 1 and len(axis) > 1:
        axis = torch.where(axis.abs() < 1e-4 * axis.diff().abs().min(), 0.0, axis)       # 0 of a float32 linspace
    if axis.ndim != 1 or len(axis) < 2 or not bool((axis.diff() > 0).all()) or not bool((axis == 0).any()):
        raise InputError(f"grid: axis {i} must be increasing numbers, at least two, one of them 0 (the identity)")
    return axis


def _metric(moved: Callable[[Tensor], Tensor], p: Parameters, steps: Tensor) -> Float[Tensor, "n k k"]:
    """G(τ) = ½ (D₊ᵀD₊ + D₋ᵀD₋), D± the differences of the moved image ahead and behind.

    Central differences would smooth over the corners that bilinear interpolation leaves at whole shifts, and measure a
    shorter orbit than the one the classifier sees.
    """
    here = moved(p)
    gram = torch.zeros(len(p), len(steps), len(steps), dtype=torch.float64)
    for sign in (1, -1):
        columns = []
        for i, step in enumerate(steps):
            offset = torch.zeros_like(p)
            offset[:, i] = sign * step
            columns.append((moved(p + offset) - here).flatten(1).double() / (sign * step))
        tangents = torch.stack(columns, 1)
        gram += tangents @ tangents.mT / 2
    return gram


def _graph(shape: tuple[int, ...], nodes: np.ndarray, metric: np.ndarray, reach: int) -> csr_matrix:
    """The grid's points joined along primitive steps, each edge once."""
    index = np.arange(len(nodes)).reshape(shape)
    tails, heads = [], []
    for offset in itertools.product(range(-reach, reach + 1), repeat=len(shape)):
        if offset <= (0,) * len(shape) or math.gcd(*offset) != 1:
            continue
        start = tuple(slice(max(0, -o), max(0, n - max(0, o))) for o, n in zip(offset, shape, strict=True))
        end = tuple(slice(max(0, o), max(0, n + min(0, o))) for o, n in zip(offset, shape, strict=True))
        if index[start].size and index[start].shape == index[end].shape:
            tails.append(index[start].ravel())
            heads.append(index[end].ravel())
    tail, head = np.concatenate(tails), np.concatenate(heads)
    way = nodes[head] - nodes[tail]
    lengths = sum(0.5 * np.sqrt(np.einsum("ni,nij,nj->n", way, metric[end], way).clip(0)) for end in (tail, head))
    return coo_matrix((np.maximum(lengths, 1e-300), (tail, head)), shape=(len(nodes),) * 2).tocsr()


def _rim(shape: tuple[int, ...]) -> np.ndarray:
    """Which points of the grid, in order, lie on its rim."""
    inner = np.zeros(shape, dtype=bool)
    inner[(slice(1, -1),) * len(shape)] = True
    return ~inner.ravel()


class _Asked:
    """The classifier on the orbit, a chunk at a time, counting what it is asked."""

    def __init__(self, decide: Decide, chunk: int) -> None:
        self.decide, self.chunk, self.count = decide, chunk, 0

    def __call__(self, p: Parameters) -> Tensor:
        self.count += len(p)
        return torch.cat([self.decide(part).reshape(-1) for part in p.split(self.chunk)])


def _first_change(asked: _Asked, nodes: Tensor, distance: np.ndarray, original: int, chunk: int) -> int | None:
    """The nearest point whose decision is another one; nearest points are asked first."""
    order = np.argsort(distance, kind="stable")[1:]
    for first in range(0, len(order), chunk):
        part = order[first:first + chunk]
        changed = (asked(nodes[torch.from_numpy(part)]) != original).nonzero().flatten()
        if len(changed):
            return int(part[int(changed[0])])
    return None


def _nearest_crossing(asked: _Asked, nodes: Tensor, graph: csr_matrix, distance: np.ndarray, limit: float, original: int,
                      bisections: int) -> tuple[float, Tensor]:
    """Least length to a change along any edge from a point nearer than `limit`, where none has changed, to one that has.

    All those edges are bisected together; those that cannot be the nearest any more drop out (branch and bound).
    """
    edges = (graph + graph.T).tocoo()
    leaves = (distance[edges.row] < limit) & (distance[edges.col] >= limit)
    near, far, length = edges.row[leaves], edges.col[leaves], edges.data[leaves]
    outside, inverse = np.unique(far, return_inverse=True)
    crosses = (asked(nodes[torch.from_numpy(outside)]) != original).numpy()[inverse]
    near, far, length = near[crosses], far[crosses], length[crosses]
    low, high = np.zeros(len(near)), np.ones(len(near))
    for _ in range(bisections):
        hope = distance[near] + low * length <= (distance[near] + high * length).min()
        near, far, length, low, high = near[hope], far[hope], length[hope], low[hope], high[hope]
        middle = (low + high) / 2
        changed = (asked(_between(nodes, near, far, middle)) != original).numpy()
        low, high = np.where(changed, low, middle), np.where(changed, middle, high)
    total = distance[near] + high * length
    best = int(total.argmin())
    return float(total[best]), _between(nodes, near, far, high)[best]


def _between(nodes: Tensor, near: np.ndarray, far: np.ndarray, share: np.ndarray) -> Parameters:
    start, end = nodes[torch.from_numpy(near).long()], nodes[torch.from_numpy(far).long()]
    return start + torch.from_numpy(share)[:, None] * (end - start)
