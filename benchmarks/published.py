"""The author's published deep cascade on one exact case: measured here beside the published figures.

    python benchmarks/published.py [--data FOLDER] [--steps 30] [--restarts 3]

Case: 128×128 slice of the MNI152 T1 template, 32.8 % Fourier lines, no noise; weights of Schlemper et al. (2018) as
their author published them. Changes are complex, made to the image and seen through the forward model: data A(x + r).
The search makes ‖f(A(x + r)) − f(Ax)‖ large. PSNR is of |f|, peak 1, against the unchanged image x, as published, and
also against x + r, which is what a faithful method shows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assay.arrays import InputError, to_complex
from assay.metrics.image_quality import psnr
from assay.metrics.stability import gain
from assay.numerics.norms import norm
from assay.operators.fourier import MaskedFourier
from assay.perturbations.balls import Ball, Through
from assay.perturbations.protocol import Examples, stream
from assay.searches.gradient_ascent import gradient_ascent
from assay.searches.power_iteration import linearised, power_iteration
from assay.systems import catalogue

ROOT = Path(__file__).resolve().parent.parent
LEVELS = (0.05, 0.02)               # downwards: the greater level's find warm-starts the lesser
DRAWS = 8
NETWORK, METHOD = "D5-C5", "total variation"
System = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure beside the published one; `aim` decides whether it is reproduced."""

    name: str
    published: float | None
    measured: float
    faithful: float | None = None        # the same against x + r
    gain: float | None = None
    published_gain: float | None = None
    aim: Callable[[float, float], bool] | None = None

    @property
    def verdict(self) -> str:
        if self.aim is None or self.published is None:
            return ""
        return "ok" if self.aim(self.measured, self.published) else "MISSED"


def at_least_as_bad(measured: float, published: float) -> bool:
    return measured <= published


def within_half_a_decibel(measured: float, published: float) -> bool:
    return abs(measured - published) <= 0.5


def not_below(measured: float, wanted: float) -> bool:
    return measured >= wanted


def load_case(data: Path) -> Examples:
    """The image, measured without noise."""
    path = data / "mri_recon_nets" / "a4_case.npz"
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the folder of the real data with --data")
    with np.load(path, allow_pickle=False) as arrays:
        image, mask = torch.from_numpy(arrays["image"]), torch.from_numpy(arrays["mask"]) > 0.5
    operator = MaskedFourier(mask=mask, centred=False)
    truth = to_complex(image)[None]
    return Examples(ids=("a4",), inputs=operator.forward(truth), truth=truth, operator=operator)


def systems(data: Path, x: Examples) -> dict[str, System]:
    network = catalogue.load("deep-cascade", role="audited", weights=data / "mri_recon_nets" / "d5_c5.npz").system
    method = catalogue.load("total-variation", role="established", options={"weight": 2e-3}).system
    return {NETWORK: network.bind(x.operator), METHOD: method.bind(x.operator)}    # type: ignore[union-attr]


def through(x: Examples, level: float) -> Through:
    assert x.operator is not None
    return Through(operator=x.operator, ball=Ball(radius=level))


def worst(f: System, x: Examples, levels: tuple[float, ...], *, steps: int, restarts: int) -> dict[float, Tensor]:
    """The worst change found at each level, by the project's own ladder: far random starts and one warm start."""
    with torch.no_grad():
        normal = f(x.inputs)
    found: dict[float, Tensor] = {}
    for level in levels:
        within = through(x, level)
        warm = [found[min(found)]] if found else []      # levels come downwards
        result = gradient_ascent(lambda r, within=within: norm(f(within.apply(x, r).inputs) - normal), within, x=x,
                                 generators=[stream(0, "published", level)], steps=steps,
                                 restarts=restarts - len(warm), starts=warm)
        found[level] = result.parameters
    return found


def measure(name: str, f: System, x: Examples, r: Tensor, *, published: float | None = None,
            published_gain: float | None = None, aim: Callable[[float, float], bool] | None = None) -> Row:
    """PSNR against x and against x + r, and the gain ‖Δf‖ / ‖A r‖, averaged over the changes in r."""
    values = []
    with torch.no_grad():
        normal = f(x.inputs)
        for change in r:
            changed = through(x, 1.0).apply(x, change[None])
            output = f(changed.inputs)
            values.append([float(psnr(output, x.truth)), float(psnr(output, changed.truth)),
                           float(gain(output, normal, changed.inputs, x.inputs))])
    against_x, faithful, gains = np.mean(values, axis=0)
    return Row(name=name, published=published, measured=against_x, faithful=faithful, gain=gains,
               published_gain=published_gain, aim=aim)


def random_changes(x: Examples, level: float) -> Tensor:
    return torch.cat([through(x, level).sample(x, [stream(0, "random", level, i)]) for i in range(DRAWS)])


def local_gain(f: System, x: Examples) -> float:
    apply, adjoint = linearised(f, x.inputs)
    start = torch.randn(x.inputs.shape, dtype=x.inputs.dtype, generator=stream(0, "local-gain"))
    return float(power_iteration(apply, adjoint, start, iterations=20).value)


def clean(name: str, f: System, x: Examples, published: float) -> Row:
    with torch.no_grad():
        return Row(name=name, published=published, measured=float(psnr(f(x.inputs), x.truth)),
                   aim=within_half_a_decibel)


def table(x: Examples, f: dict[str, System], *, steps: int, restarts: int) -> list[Row]:
    net, tv = f[NETWORK], f[METHOD]
    found = worst(net, x, LEVELS, steps=steps, restarts=restarts)
    own = worst(tv, x, (0.02,), steps=steps, restarts=restarts)[0.02]
    noise = {level: random_changes(x, level) for level in LEVELS}
    rows = [clean(f"{NETWORK}, clean", net, x, 32.85)]
    for level, decibel, magnified in ((0.02, 25.29, 5.45), (0.05, 19.51, 4.48)):
        rows.append(measure(f"{NETWORK}, its worst {level:.0%}", net, x, found[level], published=decibel,
                            published_gain=magnified, aim=at_least_as_bad))
    for level, decibel, magnified in ((0.02, 32.65, 1.37), (0.05, 31.50, 1.26)):
        rows.append(measure(f"{NETWORK}, random {level:.0%}", net, x, noise[level], published=decibel,
                            published_gain=magnified, aim=within_half_a_decibel))
    rows.append(clean(f"{METHOD}, clean", tv, x, 36.95))
    for level, decibel, magnified in ((0.02, 33.60, 1.51), (0.05, 28.82, 1.40)):
        rows.append(measure(f"{METHOD}, the network's worst {level:.0%}", tv, x, found[level], published=decibel,
                            published_gain=magnified))
    rows.append(measure(f"{METHOD}, its own worst 2%", tv, x, own, published=28.27, published_gain=3.40,
                        aim=at_least_as_bad))
    for level, decibel in ((0.02, 35.32), (0.05, 32.36)):
        rows.append(measure(f"{METHOD}, random {level:.0%}", tv, x, noise[level], published=decibel,
                            aim=within_half_a_decibel))
    rows.append(measure(f"{NETWORK}, total variation's worst 2%", net, x, own))
    rows.append(Row(name=f"{NETWORK}, local gain (wanted ≥ 9.5)", published=9.8, measured=local_gain(net, x),
                    aim=lambda measured, _: not_below(measured, 9.5)))
    return rows


def show(rows: list[Row]) -> str:
    def number(value: float | None) -> str:
        return f"{value:9.2f}" if value is not None else " " * 8 + "-"

    lines = [f"{'':44}{'published':>9}{'measured':>10}{'against':>10}{'gain':>10}{'gain':>10}",
             f"{'':44}{'dB':>9}{'dB':>10}{'x + r, dB':>10}{'published':>10}{'measured':>10}"]
    for row in rows:
        cells = (row.published, row.measured, row.faithful, row.published_gain, row.gain)
        lines.append(f"{row.name:44}" + " ".join(number(cell) for cell in cells) + f"  {row.verdict}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--restarts", type=int, default=3)
    words = parser.parse_args()
    start = time.perf_counter()
    x = load_case(words.data)
    rows = table(x, systems(words.data, x), steps=words.steps, restarts=words.restarts)
    print(show(rows))
    print(f"{words.steps} steps, {words.restarts} starts per level; random: mean of {DRAWS}; last row: ‖J‖₂, no dB; "
          f"{time.perf_counter() - start:.0f} s on {torch.get_num_threads()} threads")
    return 1 if any(row.verdict == "MISSED" for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
