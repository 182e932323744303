"""That a good network exists, that training finds it, and that a computer can: three different things.

1. Existence. Width n of one hidden layer, a ReLU interpolant built by hand has error at
   most h²/8 max|f''|; trained networks of the same width stay above; x² spans polynomials of degree 2, whatever the width
   (Leshno, Lin, Pinkus and Schocken, Neural Networks 6 (1993): dense if and only if the activation is no polynomial).
2. Existence against training. For the seven intervals of `second_coordinate` a network with margin is written down; training
   without the cue need not find it.
3. Inexact input. min ‖z‖₁ + ‖Az − y‖₂ has two matrices within 2⁻ⁿ of each other whose minimisers lie apart: whatever sees A
   to n bits is wrong by half of that on one of them (after Colbrook, Antun and Hansen, PNAS 119 (2022), table 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from assay.account import Account, Line, Plot, Table
from assay.experiments import second_coordinate as second
from assay.experiments.experiment import Experiment, Part
from assay.experiments.one_hidden_layer import Array, Network, drawn, squared, train

WIDTHS = (4, 8, 16, 32, 64, 128, 256)
GRID = np.linspace(-1, 1, 4001)
EPOCHS = {"quick": 2_000, "full": 20_000}
SAMPLES, TRAINED_SEEDS = 500, 3
BITS = (10, 20, 30)
DIGITS = (1, 3, 6)          # K: minimisers 3·10⁻ᴷ apart


@dataclass(frozen=True, kw_only=True)
class Target:
    """A function on [−1, 1] with the greatest |f''|, infinite where it has a kink."""

    name: str
    value: Callable[[Array], Array]
    bend: float


TARGETS = (Target(name="sin 6x", value=lambda x: np.sin(6 * x), bend=36.0),
           Target(name="|x|", value=np.abs, bend=math.inf))


def interpolant(f: Callable[[Array], Array], width: int) -> Network:
    """The piecewise linear interpolant at `width` + 1 equal knots of [−1, 1], as a network of `width` ReLU units.

    p(x) = f(t₀) + Σ (change of slope at tᵢ) max(0, x − tᵢ); error ≤ h²/8 max|f''|, h = 2/width (de Boor, A Practical Guide
    to Splines, chapter III).

    >>> net = interpolant(lambda x: x, 4)
    >>> net(np.array([[-1.0], [0.3]])).round(12).tolist()
    [-1.0, 0.3]
    """
    knots = np.linspace(-1, 1, width + 1)
    values = f(knots)
    slopes = np.diff(values) / np.diff(knots)
    return Network(inner=np.stack([np.ones(width), -knots[:-1]]), outer=np.append(np.diff(slopes, prepend=0.0), values[0]))


def greatest_error(network: Callable[[Array], Array], f: Callable[[Array], Array]) -> float:
    return float(np.abs(network(GRID[:, None]) - f(GRID)).max())


def quadratic_floor(f: Callable[[Array], Array]) -> float:
    """The least greatest error of any polynomial of degree 2 on the grid: a linear programme."""
    from scipy.optimize import linprog

    powers = np.stack([np.ones_like(GRID), GRID, GRID**2], 1)
    one = np.ones((len(GRID), 1))
    found = linprog([0, 0, 0, 1], A_ub=np.block([[powers, -one], [-powers, -one]]), b_ub=np.concatenate([f(GRID), -f(GRID)]),
                    bounds=[(None, None)] * 3 + [(0, None)], method="highs")
    return float(found.fun)


def squares_error(f: Callable[[Array], Array], width: int, rng: np.random.Generator) -> float:
    """The least-squares fit of `width` random units (w x + b)²: their span is the polynomials of degree 2."""
    w, b = rng.standard_normal((2, width))
    features = np.concatenate([(GRID[:, None] * w + b) ** 2, np.ones((len(GRID), 1))], 1)
    fitted = features @ np.linalg.lstsq(features, f(GRID), rcond=1e-10)[0]
    return float(np.abs(fitted - f(GRID)).max())


def spread(width: int, rng: np.random.Generator) -> Network:
    """First weights as usual, the kink of every unit uniform in [−1, 1]: without that all kinks begin at 0."""
    net = drawn(1, width, rng)
    return Network(inner=np.stack([net.inner[0], -net.inner[0] * rng.uniform(-1, 1, width)]), outer=net.outer)


def approximation(target: Target, size: str, seed: int) -> dict[str, Any]:
    """Greatest errors by width: built by hand, trained (median of seeds), squares; and the floor of degree 2."""
    rows = []
    for width in WIDTHS:
        trained = []
        for k in range(TRAINED_SEEDS):
            rng = np.random.default_rng([seed, k, width])
            x = rng.uniform(-1, 1, (SAMPLES, 1))
            net = train(spread(width, rng), x, target.value(x[:, 0]), epochs=EPOCHS[size], batch=50, rate=1e-3, rng=rng,
                        derivative=squared)
            trained.append(greatest_error(net, target.value))
        rows.append({"width": width, "built": greatest_error(interpolant(target.value, width), target.value),
                     "bound": target.bend * (2 / width) ** 2 / 8 if math.isfinite(target.bend) else -1.0,
                     "trained": float(np.median(trained)),
                     "squares": squares_error(target.value, width, np.random.default_rng([seed, width]))})
    return {"rows": rows, "floor": quadratic_floor(target.value)}


def against_training(size: str, seed: int) -> dict[str, Any]:
    """The network written down for the seven intervals, and what training finds from 5,000 samples without the cue."""
    net, rng = second.exact_network(), np.random.default_rng(seed)
    x1 = second.draw(second.TESTED, rng)
    scores = net(second.inputs(x1, 0.0))
    case = next(c for c in second.CASES if c.name == "5000-without-cue")
    return {"units": net.inner.shape[1], "right": float(np.mean((scores > 0) == (second.truth(x1) > 0))),
            "margin": float(np.abs(scores).min()), **second.run_case(case, size, seed)}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two matrices (1 × 2) that differ by 2⁻ⁿ/√2, the measurement y, and the minimiser of each: λ = 1."""

    first: tuple[float, float]
    second: tuple[float, float]
    y: float
    minimisers: tuple[tuple[float, float], tuple[float, float]]


SCALE = 10 / (3 * math.sqrt(2))


def pair(bits: int, digits: int) -> Pair:
    """A = s (1 + t, 1 − t), A' = s (1 − t, 1 + t), t = 2⁻ⁿ/4s, y = s·3·10⁻ᴷ/√2: the cheaper column alone explains y.

    min ‖z‖₁ + |Az − y| is then z = (y/A₁, 0) for A and (0, y/A'₂) for A', since both columns are longer than 1.
    """
    t = 2.0**-bits / (4 * SCALE)
    long, short, y = SCALE * (1 + t), SCALE * (1 - t), SCALE * 3 * 10.0**-digits / math.sqrt(2)
    return Pair(first=(long, short), second=(short, long), y=y, minimisers=((y / long, 0.0), (0.0, y / long)))


def certified(matrix: tuple[float, float], y: float, which: int) -> bool:
    """Whether y/A_i on column i alone minimises, by the conditions of optimality, in exact rational arithmetic.

    With Az = y the subdifferential of |Az − y| is Aᵀu, |u| ≤ 1; z is the one minimiser if some u with |u| < 1 has A_i u = 1
    and |A_j u| < 1 for the other column.

    >>> certified((2.0, 1.5), 1.0, 0), certified((1.5, 2.0), 1.0, 0)
    (True, False)
    """
    columns = [Fraction(v) for v in matrix]
    u = 1 / columns[which]
    return Fraction(y) > 0 and abs(u) < 1 and abs(columns[1 - which] * u) < 1


def inexact() -> dict[str, Any]:
    """For each n and K: how far the matrices and the minimisers are apart, and what a solver does that sees A to 2⁻ⁿ."""
    rows = []
    for digits in DIGITS:
        for bits in BITS:
            made = pair(bits, digits)
            apart = math.dist(made.first, made.second)
            answer = descend((SCALE, SCALE), made.y)            # a matrix within 2⁻ⁿ of both: all that n bits tell
            wrong = max(math.dist(answer, z) for z in made.minimisers)
            gap = max(objective(m, made.y, answer) - objective(m, made.y, z)
                      for m, z in zip((made.first, made.second), made.minimisers, strict=True))
            rows.append({"digits": digits, "bits": bits, "apart": apart, "within": 2.0**-bits,
                         "minimisers_apart": math.dist(*made.minimisers), "wrong": wrong, "gap": gap,
                         "certified": certified(made.first, made.y, 0) and certified(made.second, made.y, 1)})
    return {"rows": rows}


def objective(matrix: tuple[float, float], y: float, z: tuple[float, ...]) -> float:
    return abs(z[0]) + abs(z[1]) + abs(matrix[0] * z[0] + matrix[1] * z[1] - y)


def descend(matrix: tuple[float, ...], y: float, steps: int = 20_000) -> tuple[float, float]:
    """A minimiser of ‖z‖₁ + |Az − y| from 0 by the primal-dual method of Chambolle and Pock (J. Math. Imaging Vis. 2011)."""
    a = np.array(matrix)
    size = float(np.linalg.norm(a))
    tau, sigma, z, u, bar = y / size if y > 0 else 1.0, 0.0, np.zeros(2), 0.0, np.zeros(2)
    sigma = 0.99 / (tau * size**2)
    for _ in range(steps):
        u = float(np.clip(u + sigma * (a @ bar - y), -1, 1))
        moved = z - tau * a * u
        new = np.sign(moved) * np.maximum(np.abs(moved) - tau, 0)
        bar, z = 2 * new - z, new
    return float(z[0]), float(z[1])


def parts(size: str, seed: int) -> tuple[Part, ...]:
    steps = EPOCHS[size] * SAMPLES / 50 * TRAINED_SEEDS * len(WIDTHS)
    return (*(Part(name=f"approximation-{i}", seconds=steps * 40e-6, run=partial(approximation, target, size, seed))
              for i, target in enumerate(TARGETS)),
            Part(name="against-training", seconds=second.SEEDS[size] * second.EPOCHS[size] * 100 * 33e-6,
                 run=partial(against_training, size, seed)),
            Part(name="inexact", seconds=2.0, run=inexact))


def slope(rows: list[dict[str, Any]], key: str, fewest: int = 16) -> float:
    """Slope of log error against log width, by least squares, from `fewest` units on."""
    chosen = [r for r in rows if r["width"] >= fewest]
    return float(np.polyfit(np.log([r["width"] for r in chosen]), np.log([r[key] for r in chosen]), 1)[0])


def tell(results: Mapping[str, dict[str, Any]], size: str) -> Account:
    """Three tables and two plots: existence, existence against training, inexact input."""
    smooth = results["approximation-0"]
    found = results["against-training"]
    rows = results["inexact"]["rows"]
    learnt = sorted(100 * run["none"] for run in found["runs"])
    worst = max(r["gap"] for r in rows)
    first = next(r for r in rows if r["digits"] == 1 and r["bits"] == 10)
    seen = (f"The interpolant built by hand converges like width^{slope(smooth['rows'], 'built'):.2f} for sin 6x (theory "
            f"−2); squares stay at {smooth['rows'][-1]['squares']:.2g} whatever the width; no polynomial of degree 2 comes "
            f"below {smooth['floor']:.2g}.",
            f"For the seven intervals a network of {found['units']} units with margin {found['margin']:.2g} decides "
            f"{100 * found['right']:.0f} % right. Training 104 units on 5,000 samples reached "
            f"{', '.join(f'{v:.1f}' for v in learnt)} %.",
            f"Two matrices {first['apart']:.1e} apart (2⁻¹⁰ = {first['within']:.1e}) have minimisers "
            f"{first['minimisers_apart']:.5f} apart; a solver that sees A to 2⁻¹⁰ is wrong by {first['wrong']:.2f} on one "
            f"of them, while its objective is within {worst:.0e} of the best.")
    limits: tuple[str, ...] = ("The theorem speaks of minimisers: that objective values are right and minimisers wrong is "
              "what it says, and no fault of the solver.", "A machine with 53 bits shows this for given n; it does not "
                                "prove that no algorithm can do better.")
    if size == "quick":
        limits += (f"Training ran {second.EPOCHS['quick']:,} epochs on the seven intervals instead of "
                   f"{second.EPOCHS['full']:,}; “--size full” runs them all.",)
    return Account(title="Existence, training, computing", question=(
        "A network that solves the problem exists. Does training find it, and could any algorithm?"), seen=seen,
        tables=(_approximation_table(results), _inexact_table(rows)), plots=tuple(_plots(results)), limits=limits,
        sources=("Leshno, Lin, Pinkus and Schocken, Neural Networks 6 (1993)", "Colbrook, Antun and Hansen, PNAS 119 "
                                                                               "(2022)"))


def _approximation_table(results: Mapping[str, dict[str, Any]]) -> Table:
    rows = []
    for i, target in enumerate(TARGETS):
        told = results[f"approximation-{i}"]
        for r in told["rows"]:
            bound = f"{r['bound']:.1e}" if r["bound"] > 0 else "–"
            rows.append((target.name, str(r["width"]), f"{r['built']:.1e}", bound, f"{r['trained']:.1e}",
                         f"{r['squares']:.1e}"))
        rows.append((target.name, "any", "", "", "", f"floor {told['floor']:.1e}"))
    return Table(title="Greatest error on [−1, 1]", head=("function", "width", "built by hand", "bound h²/8 max|f''|",
                                                         "trained, median", "squares"), rows=tuple(rows),
                 note=f"Trained: Adam, {SAMPLES} samples, {TRAINED_SEEDS} seeds. Built by hand: no training.")


def _inexact_table(rows: list[dict[str, Any]]) -> Table:
    shown = tuple((str(r["digits"]), str(r["bits"]), f"{r['apart']:.1e}", f"{r['within']:.1e}",
                   f"{r['minimisers_apart']:.7g}", f"{r['wrong']:.2g}", f"{r['gap']:.0e}", "yes" if r["certified"] else "no")
                  for r in rows)
    return Table(title="Inexact input: min ‖z‖₁ + |Az − y|", head=(
        "K", "n", "‖A − A'‖", "2⁻ⁿ", "minimisers apart", "solver wrong by", "objective too large by", "minimisers proved"),
        rows=shown, note="Published for K = 1: ‖A − A'‖ = 6.9e-4, 6.7e-7, 6.6e-10 and minimisers .2999689, .3000000, "
                         ".3000000 apart. Proved: conditions of optimality in exact rational arithmetic. The solver sees "
                         "one matrix, within 2⁻ⁿ of both.")


def _plots(results: Mapping[str, dict[str, Any]]) -> list[Plot]:
    names = {"built": ("built by hand", "own"), "trained": ("trained", "worst"), "squares": ("squares", "average")}
    return [Plot(title=f"Greatest error against width: {target.name}", x_label="width", y_label="greatest error", x_log=True,
                 y_log=True, lines=tuple(Line(name=name, style=style, points=tuple(
                     (float(r["width"]), max(r[key], 1e-16)) for r in results[f"approximation-{i}"]["rows"]))
                     for key, (name, style) in names.items())) for i, target in enumerate(TARGETS)]


EXPERIMENT = Experiment(id="existence", title="Existence, training, computing", parts=parts, tell=tell)
