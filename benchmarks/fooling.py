"""Confidence on nonsense by generation: four classifiers of 8×8 digits, two encodings and gradient ascent, and noise.

    python benchmarks/fooling.py [--generations 200] [--children 200] [--systems lenet mlp hog-svm multinomial]

For each search the median over the classes of the best confidence after 10, 50, 100 and 200 generations (of `children`
images; steps for gradient ascent), the number of classes at 99 %, and of those images the ones unlike every real image
(nearest real image farther than for 99 % of real ones, in pixels and in shape). Nothing is refused during these searches,
as in the paper; the check itself refuses what is like a real image. Aim, on 28×28 MNIST with LeNet and 200 children:
median .38, .96, .998, 1.000 at generations 10, 50, 100, 200; gradient ascent .9999 for all classes in 34 to 102 steps.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from assay.datasets.labelled import bundled_digits
from assay.metrics.classification import confidence
from assay.metrics.fooling import class_confidence, nearest_distance, standardised, usual_distance
from assay.perturbations.cppn import Cppn
from assay.perturbations.encodings import Direct
from assay.perturbations.protocol import stream
from assay.searches.fooling_ascent import fooling_ascent, start_near
from assay.searches.map_elites import map_elites
from assay.systems import catalogue
from assay.systems.protocol import System

MARKS = (10, 50, 100, 200)
DRAWS = 10_000
AIM = "| aim: LeNet, MNIST 28×28 | MAP-Elites | .38 | .96 | .998 | 1.000 | | | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--children", type=int, default=200)
    parser.add_argument("--systems", nargs="+", default=["lenet", "mlp", "hog-svm", "multinomial"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = bundled_digits()
    x = data.fetch(range(len(data.ids)))
    assert x.truth is not None
    print(f"| system | search | {' | '.join(map(str, MARKS))} | classes ≥ 99 % | unlike the real | seconds |")
    print("|" + "---|" * (len(MARKS) + 5))
    print(AIM)
    controls = []
    for name in options.systems:
        system = catalogue.load(name, role="audited").system
        searches(name, system, x.inputs, options.generations, options.children)
        controls.append(control(name, system, x.inputs, x.truth))
    print(f"\n| system | right class on real images | surest class on uniform noise | greatest of {DRAWS} | noise ≥ 99 % |")
    print("|---|---|---|---|---|")
    print("\n".join(controls))


def searches(name: str, system: System, real: Tensor, generations: int, children: int) -> None:
    """One line for each search on one system."""
    def confidences(images: Tensor) -> Tensor:
        with torch.no_grad():
            return system(images).double().softmax(1)

    for label, encoding in (("direct", Direct(shape=(1, 8, 8))), ("CPPN", Cppn(shape=(1, 8, 8)))):
        start = time.perf_counter()
        found = map_elites(confidences, encoding, generations=generations, children=children, generator=stream(0, label))
        line(name, label, found.history, found.images, found.confidence, real, time.perf_counter() - start)
    classes = confidences(real[:1]).shape[1]
    for decay in (0.01, 0.0):
        start = time.perf_counter()
        begin = start_near(real.mean(0), [stream(0, "ascent", c) for c in range(classes)], box=(0.0, 1.0))
        climbed = fooling_ascent(lambda images: system(images).double().log_softmax(1), begin, torch.arange(classes),
                                 box=(0.0, 1.0), decay=decay, steps=max(MARKS))
        steps = climbed.evaluations.tolist()
        line(name, f"gradient, decay {decay:g} ({min(steps)} to {max(steps)} steps)", climbed.history.cummax(0).values,
             climbed.images, climbed.confidence, real, time.perf_counter() - start)


def line(name: str, search: str, history: Tensor, images: Tensor, value: Tensor, real: Tensor, seconds: float) -> None:
    """The median over classes at every mark that was reached (a search that ended keeps its last), and what was found."""
    middle = history.quantile(0.5, dim=1)
    marks = [f"{float(middle[min(mark, len(middle)) - 1]):.4f}" for mark in MARKS]
    sure = value >= 0.99
    pairs = ((images, real), (standardised(images), standardised(real)))
    unlike = torch.stack([nearest_distance(a, b) > usual_distance(b) for a, b in pairs]).all(0)
    print(f"| {name} | {search} | {' | '.join(marks)} | {int(sure.sum())} of {len(value)} | {int((sure & unlike).sum())} | "
          f"{seconds:.1f} |", flush=True)


def control(name: str, system: System, real: Tensor, truth: Tensor) -> str:
    """Mean confidence in the right class on real images; the surest class on uniform noise, nothing searched."""
    noise = torch.rand(DRAWS, *real.shape[1:], generator=stream(0, "noise"))
    with torch.no_grad():
        on_noise = confidence(system(noise))
        on_real = class_confidence(system(real), truth).mean()
    return (f"| {name} | {float(on_real):.3f} | {float(on_noise.mean()):.3f} | {float(on_noise.max()):.4f} | "
            f"{float((on_noise >= 0.99).double().mean()):.1%} |")


if __name__ == "__main__":
    main()
