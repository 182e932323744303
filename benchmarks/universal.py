"""Universal perturbations: the published algorithm beside the batched search, and who is fooled by whose.

    python benchmarks/universal.py [--systems lenet mlp hog-svm multinomial] [--fit 100] [--held 400] [--seeds 1]
    python benchmarks/universal.py --data gtsrb_32x32.npz --radii 0.02 0.04 0.08

Without --data on the bundled digits (pixels in [0, 1]): fitted on the last images, counted on the first. With --data on
the six sign networks whose weights are shipped: fitted on training images, counted on test images. "fooled" is the
share of held-out decisions that change, no right class is used. Controls of the same norm: "random", a fresh draw for
each image (signs for ℓ∞, a direction for ℓ2), and "span", the same from the span of the leading singular vectors of the
fit set's unit normals. The published algorithm returns its last pattern, so the held-out rate of that one is printed.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assay.datasets.labelled import bundled_digits
from assay.metrics.universal import (
    cosines,
    directions_for,
    dominant,
    fooling_rate,
    leading_span,
    random_units,
    share_of_directions,
    singular_values,
    unit_normals,
)
from assay.numerics.projections import steepest
from assay.perturbations.protocol import stream
from assay.searches.smallest.deepfool import deepfool
from assay.searches.universal.batched import batched
from assay.searches.universal.fit import Universal
from assay.searches.universal.published import published
from assay.systems import catalogue
from assay.systems.torch import TorchSystem
from assay.systems.weights import SHIPPED, fill, read_weights

SEARCHES: Mapping[str, Callable[..., Universal]] = {"published": published, "batched": batched}
BOX, DRAWS = (0.0, 1.0), 5
System = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """The systems, and the images that patterns are fitted to and counted on."""

    systems: Mapping[str, System]
    fit: Tensor
    held: Tensor
    title: str


def digits(names: Sequence[str], fit: int, held: int) -> Case:
    images = bundled_digits("audited")
    x = images.fetch(range(len(images.ids))).inputs
    return Case(systems={name: catalogue.load(name, role="audited").system for name in names}, fit=x[len(x) - fit:],
                held=x[: min(held, len(x) - fit)], title="digits, 8×8")


def signs(path: Path, fit: int, held: int) -> Case:
    """The sign networks that have weights here, and images at even distances through the two parts of the file."""
    networks = importlib.import_module("assay.systems.literature.signs")
    systems: dict[str, System] = {}
    for name in networks.FAMILIES:
        weights = Path(str(SHIPPED / "signs" / f"{name}.safetensors"))
        if weights.is_file():
            module = networks.build(name)
            fill(module, read_weights(weights)[0], weights)
            systems[name] = TorchSystem(module, name=name)
    with np.load(path, allow_pickle=False) as file:
        parts = [evenly(file[f"{part}_images"], count) for part, count in (("train", fit), ("test", held))]
    return Case(systems=systems, fit=parts[0], held=parts[1], title="traffic signs, 32×32")


def evenly(images: np.ndarray, count: int) -> Tensor:
    chosen = images[np.arange(count) * len(images) // count]
    return torch.from_numpy(chosen).permute(0, 3, 1, 2).float() / 255


def decisions(f: System, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([f(part).argmax(1) for part in x.split(100)])


def fooled(f: System, x: Tensor, change: Tensor) -> float:
    return fooling_rate(decisions(f, x), decisions(f, (x + change).clamp(*BOX)))


def by_chance(f: System, x: Tensor, norm: str, radius: float, span: Tensor | None = None) -> float:
    """Mean over draws of the share fooled by a change of this norm for each image: at random, or from the span."""
    generator, rates = stream("chance", norm), []
    for _ in range(DRAWS):
        weights = torch.randn(len(x), x[0].numel() if span is None else len(span), generator=generator)
        change = (weights if span is None else weights @ span).reshape(x.shape)
        rates.append(fooled(f, x, radius * steepest(change, norm)))
    return sum(rates) / DRAWS


def normals_of(f: System, x: Tensor) -> Tensor:
    return unit_normals(deepfool(f, x, decisions(f, x), classes=10).perturbation)


def compare(case: Case, norm: str, radii: Sequence[float], seeds: int) -> dict[str, Tensor]:
    """Both searches and both controls for each system and radius; returns the batched pattern of the middle radius."""
    print(f"\n{case.title}, {norm}; fitted on {len(case.fit)}, counted on {len(case.held)} others; one thread\n")
    print("| system | radius | random | span | published: fit | fooled | s | thousand evaluations | batched: fit | fooled "
          "| s | thousand evaluations | most common new class |")
    print("|" + "---|" * 13)
    kept = {}
    for name, f in case.systems.items():
        normals = normals_of(f, case.fit)
        span = leading_span(normals, directions_for(singular_values(normals)))
        for place, radius in enumerate(radii):
            cells = [f"{100 * by_chance(f, case.held, norm, radius, basis):.1f}" for basis in (None, span)]
            for search in SEARCHES.values():
                rows, pattern = [], torch.zeros_like(case.fit[0])
                for seed in range(seeds):
                    start = time.perf_counter()
                    found = search(f, case.fit, norm=norm, radius=radius, box=BOX, generator=stream(seed))
                    seconds = time.perf_counter() - start
                    pattern = found.perturbation
                    rows.append((100 * found.rate, 100 * fooled(f, case.held, pattern), seconds,
                                 (found.forward + found.backward) / 1000))
                means = np.mean(rows, 0)
                cells += [f"{means[0]:.0f}", f"{means[1]:.1f}", f"{means[2]:.1f}", f"{means[3]:.0f}"]
            most = dominant(decisions(f, case.held), decisions(f, (case.held + pattern).clamp(*BOX)))
            told = "–" if most is None else f"{most.label} ({100 * most.share:.0f} %, {most.entropy:.1f} bits)"
            print(f"| {name} | {radius:g} | {' | '.join(cells)} | {told} |", flush=True)
            if place == len(radii) // 2:
                kept[name] = pattern
    return kept


def transfer(case: Case, norm: str, radius: float, patterns: Mapping[str, Tensor]) -> None:
    """Rows: whose pattern; columns: who is fooled; and the controls each column must be read beside."""
    names = list(case.systems)
    print(f"\nTransfer, {norm} {radius:g}: % of held-out decisions changed; row: fitted to, column: laid before\n")
    print("| | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for name in names:
        cells = [f"{100 * fooled(f, case.held, patterns[name]):.1f}" for f in case.systems.values()]
        print(f"| {name} | {' | '.join(cells)} |")
    chance = [f"{100 * by_chance(f, case.held, norm, radius):.1f}" for f in case.systems.values()]
    print(f"| random | {' | '.join(chance)} |")
    between = cosines(torch.stack([patterns[name] for name in names]))
    print("\nCosines between the patterns\n\n| | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for name, row in zip(names, between.tolist(), strict=True):
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in row)} |")


def spectra(case: Case) -> None:
    print("\nUnit normals of the fit set beside as many random unit vectors: greatest singular values, and the share of "
          "directions that hold 90 % of the energy\n\n| | three greatest | share for 90 % |\n|---|---|---|")
    normals = {name: normals_of(f, case.fit) for name, f in case.systems.items()}
    normals["random"] = random_units(len(case.fit), case.fit[0].numel(), stream("units"))
    for name, rows in normals.items():
        values = singular_values(rows)
        greatest = ", ".join(f"{value:.2f}" for value in values[:3])
        print(f"| {name} | {greatest} | {100 * share_of_directions(values):.0f} % |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="gtsrb_32x32.npz: the sign networks instead of the digits")
    parser.add_argument("--systems", nargs="+", default=["lenet", "mlp", "hog-svm", "multinomial"])
    parser.add_argument("--fit", type=int, default=100)
    parser.add_argument("--held", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1, help="fits whose means are printed")
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--radii", type=float, nargs="+", default=[0.1, 0.2, 0.3])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    case = digits(arguments.systems, arguments.fit, arguments.held) if arguments.data is None else \
        signs(arguments.data, arguments.fit, arguments.held)
    if not case.systems:
        parser.error("no weights of sign networks are shipped with this copy: train them with recipes/signs.py")
    patterns = compare(case, arguments.norm, arguments.radii, arguments.seeds)
    transfer(case, arguments.norm, arguments.radii[len(arguments.radii) // 2], patterns)
    spectra(case)


if __name__ == "__main__":
    main()
