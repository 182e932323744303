"""Before and after deep learning: error and instability of classifiers of both ages, in two columns with intervals.

The ILSVRC tables showed errors alone. Here six classifiers are asked both: how often they are wrong on handwritten digits,
and how small the smallest change is that turns a right decision. The instability of 1-nearest-neighbour is exact up to the
search as for the others: its scores, −min ‖x − xᵢ‖² over each class, are differentiable.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from assay.account import Account, Line, Plot, Table
from assay.datasets.labelled import bundled_digits, one_batch
from assay.experiments.bag_of_patches import BagOfPatches
from assay.experiments.experiment import Experiment, Part
from assay.numerics.intervals import clopper_pearson
from assay.perturbations.protocol import stream
from assay.searches.smallest.cascade import smallest_change
from assay.systems import catalogue

BEFORE = ("multinomial", "nearest-neighbour", "hog-svm", "patches-svm")
AFTER = ("mlp", "lenet")
NAMES = {"multinomial": "multinomial regression", "nearest-neighbour": "nearest neighbour", "hog-svm": "HOG and a linear "
                                                                                                       "SVM",
         "patches-svm": "bag of patches and a linear SVM", "mlp": "fully connected network", "lenet": "LeNet"}
ASKED = {"quick": 100, "full": 300}
WITHIN = 0.1                    # of the image's norm: the size at which the third column counts wrong decisions
ILSVRC = (("SuperVision (deep)", 16.422), ("ISI", 26.172), ("Oxford VGG", 26.979), ("XRCE/INRIA", 27.058),
          ("Amsterdam", 29.576), ("LEAR-XRCE", 34.464))
ILSVRC_IMAGES = 100_000


class NearestNeighbour(nn.Module):
    """−min ‖x − xᵢ‖² over the training images of each class: (batch, …) to (batch, classes)."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        self.rows = [images[labels == c].flatten(1) for c in range(classes)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([-torch.cdist(x.flatten(1), rows, compute_mode="donot_use_mm_for_euclid_dist").square().amin(1)
                            for rows in self.rows], 1)


def classifier(name: str) -> nn.Module:
    """The classifier of this name for bundled digits: shipped, or fitted to the bundled training part."""
    if name in ("nearest-neighbour", "patches-svm"):
        images, labels = one_batch(bundled_digits("train"))
        return NearestNeighbour(images, labels, 10) if name == "nearest-neighbour" else BagOfPatches(images, labels, 10)
    module = getattr(catalogue.load(name, role="audited").system, "module", None)
    assert isinstance(module, nn.Module)
    return module


def asked(name: str, size: str, seed: int) -> dict[str, Any]:
    """Wrong decisions on all held-out digits, and smallest flips of the first right ones."""
    model = classifier(name)
    images, labels = one_batch(bundled_digits("audited"))
    with torch.no_grad():
        right = model(images).argmax(1) == labels
    chosen = torch.arange(len(labels))[right][: ASKED[size]]
    x, y = images[chosen], labels[chosen]
    found = smallest_change(model, x, y, norm="l2", box=(0.0, 1.0), generators=[
        stream("before-after", seed, int(i)) for i in chosen])
    sizes = (found.size / x.flatten(1).norm(dim=1)).tolist()
    return {"wrong": int((~right).sum()), "n": len(labels), "sizes": sizes}


def parts(size: str, seed: int) -> tuple[Part, ...]:
    return tuple(Part(name=name, seconds=0.03 * ASKED[size], run=partial(asked, name, size, seed))
                 for name in (*BEFORE, *AFTER))


def worst_share(told: Mapping[str, Any]) -> tuple[int, int]:
    """Of all asked, those wrong without change or with one of `WITHIN` or less; and how many those are.

    The right ones that were searched stand for all right ones, so wrong ones join in proportion.

    >>> worst_share({"wrong": 10, "n": 100, "sizes": [0.05, 0.2, 0.3]})
    (1, 3)
    """
    sizes = told["sizes"]
    wrong = round(told["wrong"] / max(told["n"] - told["wrong"], 1) * len(sizes))
    return wrong + sum(s <= WITHIN for s in sizes), wrong + len(sizes)


def tell(results: Mapping[str, dict[str, Any]], size: str) -> Account:
    """Two columns, error and instability, and whether the order changes from one to the other."""
    names = [*BEFORE, *AFTER]
    error = {n: results[n]["wrong"] / results[n]["n"] for n in names}
    median = {n: float(torch.tensor(results[n]["sizes"], dtype=torch.float64).quantile(0.5)) for n in names}
    best, steadiest = min(names, key=error.__getitem__), max(names, key=median.__getitem__)
    by_error, by_worst = sorted(names, key=error.__getitem__), sorted(
        names, key=lambda n: worst_share(results[n])[0] / worst_share(results[n])[1])
    moved = [NAMES[n] for n in names if by_error.index(n) != by_worst.index(n)]
    seen = (f"Fewest errors: {NAMES[best]} ({100 * error[best]:.1f} %). Largest smallest flip: {NAMES[steadiest]} "
            f"(median {100 * median[steadiest]:.0f} % of the image).",
            f"In the worst case within {100 * WITHIN:.0f} % of the image the order " + (
                f"changes for {', '.join(moved)}." if moved else "stays as it is by errors."),
            "In the ILSVRC 2012 table, intervals of ± 0.3 points tell ISI from Oxford, and not Oxford from XRCE/INRIA.")
    return Account(title="Before and after", question="Which classifiers err least, and which change least in the worst "
                                                      "case?",
                   seen=seen, tables=(_table(results), _ilsvrc()), plots=(_plot(results),),
                   limits=("Handwritten digits of 8 × 8 pixels: small images, on which old methods do well.",
                           "Sizes of flips are the smallest found, so upper bounds of the true ones."),
                   sources=("Russakovsky et al., Int. J. Comput. Vis. 115 (2015), and the official results of 2012",
                            "Moosavi-Dezfooli, Fawzi and Frossard, CVPR 2016 (ρ_adv)"))


def _table(results: Mapping[str, dict[str, Any]]) -> Table:
    rows = []
    for name in (*BEFORE, *AFTER):
        told = results[name]
        low, high = clopper_pearson(told["wrong"], told["n"])
        harmed, of = worst_share(told)
        worst_low, worst_high = clopper_pearson(harmed, of)
        sizes = torch.tensor(told["sizes"], dtype=torch.float64)
        first, middle, third = (float(sizes.quantile(q)) for q in (0.25, 0.5, 0.75))
        rows.append((NAMES[name], "after" if name in AFTER else "before",
                     f"{100 * told['wrong'] / told['n']:.1f} ({100 * low:.1f} to {100 * high:.1f})",
                     f"{100 * middle:.1f} ({100 * first:.1f} to {100 * third:.1f})",
                     f"{100 * harmed / of:.0f} ({100 * worst_low:.0f} to {100 * worst_high:.0f})"))
    n = results[BEFORE[0]]["n"]
    return Table(title="Error and instability side by side", head=(
        "classifier", "age", "wrong, % (95 % interval)", "smallest flip, % of the image (quartiles)",
        f"wrong within {100 * WITHIN:.0f} % of the image, % (95 % interval)"), rows=tuple(rows),
        note=f"Errors on {n} held-out digits; flips of the first {len(results[BEFORE[0]]['sizes'])} decided rightly, by "
             "the same cascade of searches for all. Intervals: Clopper and Pearson.")


def _ilsvrc() -> Table:
    rows = []
    for name, percent in ILSVRC:
        low, high = clopper_pearson(round(percent / 100 * ILSVRC_IMAGES), ILSVRC_IMAGES)
        rows.append((name, f"{percent:.3f}", f"{100 * low:.2f} to {100 * high:.2f}"))
    return Table(title="ILSVRC 2012, top-5 error in %, as published, with the interval that was not", rows=tuple(rows),
                 head=("team", "error", "95 % interval"), note=f"For {ILSVRC_IMAGES:,} test images, each an independent "
                                                               "draw.")


def _plot(results: Mapping[str, dict[str, Any]]) -> Plot:
    styles = {"hog-svm": "average", "nearest-neighbour": "own", "lenet": "worst", "mlp": "transfer"}
    places = [0.02 * i for i in range(26)]
    return Plot(title="Right decisions turned by a change of a size, or less", x_label="size, share of the image's norm",
                y_label="right decisions turned", kind="share", lines=tuple(Line(name=NAMES[n], style=style, points=tuple(
                    (x, sum(s <= x for s in results[n]["sizes"]) / max(len(results[n]["sizes"]), 1)) for x in places))
                    for n, style in styles.items()))


EXPERIMENT = Experiment(id="before-after", title="Before and after", parts=parts, tell=tell)
