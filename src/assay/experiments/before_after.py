"""Before and after deep learning: error and instability of classifiers of both ages, in two columns with intervals.

The ILSVRC tables showed errors alone. Here six classifiers are asked both: how often they are wrong on handwritten digits,
and how small the smallest change is that turns a right decision. The instability of 1-nearest-neighbour is exact up to the
search as for the others: its scores, −min ‖x − xᵢ‖² over each class, are differentiable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from assay.account import Account, Line, Plot, Table
from assay.datasets.labelled import bundled_digits, one_batch
from assay.experiments.bag_of_patches import BagOfPatches
from assay.experiments.experiment import Experiment, Part
from assay.numerics.intervals import Z95, clopper_pearson
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


def worst_share(told: Mapping[str, Any]) -> tuple[float, float, float]:
    """Share wrong without change or with one of `WITHIN` or less, with its 95 % interval.

    q = e + (1 − e) p, e the share wrong of all n and p the share of m searched right ones that flip; two independent
    binomials, so the variance is (1 − p)² e(1 − e)/n + (1 − e)² p(1 − p)/m (delta method), e and p moved inwards by Agresti
    and Coull's two successes and two failures.

    >>> [round(v, 3) for v in worst_share({"wrong": 0, "n": 96, "sizes": [0.05, 0.2, 0.3, 0.3]})]
    [0.25, 0.058, 0.717]
    """
    sizes = [float("inf") if s is None else s for s in told["sizes"]]
    n, m, flipped = told["n"], len(sizes), sum(s <= WITHIN for s in sizes)
    value = told["wrong"] / n + (1 - told["wrong"] / n) * flipped / m
    e, p = (told["wrong"] + 2) / (n + 4), (flipped + 2) / (m + 4)
    middle = e + (1 - e) * p
    half = Z95 * ((1 - p) ** 2 * e * (1 - e) / (n + 4) + (1 - e) ** 2 * p * (1 - p) / (m + 4)) ** 0.5
    return value, max(0.0, middle - half), min(1.0, middle + half)


def reversed_pairs(results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs (a, b) of which a errs less and is wrong more often in the worst case, both with intervals apart."""
    found = []
    for a in results:
        for b in results:
            first, second = (clopper_pearson(results[n]["wrong"], results[n]["n"]) for n in (a, b))
            worst, other = worst_share(results[a]), worst_share(results[b])
            if first[1] < second[0] and worst[1] > other[2]:
                found.append((a, b))
    return found


def tell(results: Mapping[str, dict[str, Any]], size: str) -> Account:
    """Two columns, error and instability, and whether the order changes from one to the other."""
    names = [*BEFORE, *AFTER]
    error = {n: results[n]["wrong"] / results[n]["n"] for n in names}
    median = {n: _quantile(results[n]["sizes"], 0.5) for n in names}
    best, steadiest = min(names, key=error.__getitem__), max(names, key=median.__getitem__)
    turned = [f"{NAMES[a]} and {NAMES[b]}" for a, b in reversed_pairs({n: results[n] for n in names})]
    seen = (f"Fewest errors: {NAMES[best]} ({100 * error[best]:.1f} %). Largest smallest flip: {NAMES[steadiest]} "
            f"(median {100 * median[steadiest]:.0f} % of the image).",
            f"In the worst case within {100 * WITHIN:.0f} % of the image " + (
                f"the order turns round, beyond chance, for {'; '.join(turned)}." if turned else
                "no order by errors turns round beyond chance."),
            "In the ILSVRC 2012 table, intervals of ± 0.3 points tell ISI from Oxford, and not Oxford from XRCE/INRIA.")
    return Account(title="Before and after", question="Which classifiers err least, and which change least in the worst "
                                                      "case?",
                   seen=seen, tables=(_table(results), _ilsvrc()), plots=(_plot(results),),
                   limits=("Handwritten digits of 8 × 8 pixels: small images, on which old methods do well.",
                           "Sizes of flips are the smallest found, so upper bounds of the true ones."),
                   sources=("Russakovsky et al., Int. J. Comput. Vis. 115 (2015), and the official results of 2012",
                            "Moosavi-Dezfooli, Fawzi and Frossard, CVPR 2016 (ρ_adv)"))


def _quantile(sizes: Sequence[float | None], q: float) -> float:
    """The lower quantile; a flip that was not found is infinite (in JSON: none)."""
    ordered = sorted(float("inf") if s is None else s for s in sizes)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def _table(results: Mapping[str, dict[str, Any]]) -> Table:
    rows = []
    for name in (*BEFORE, *AFTER):
        told = results[name]
        low, high = clopper_pearson(told["wrong"], told["n"])
        worst, worst_low, worst_high = worst_share(told)
        first, middle, third = (_quantile(told["sizes"], q) for q in (0.25, 0.5, 0.75))
        rows.append((NAMES[name], "after" if name in AFTER else "before",
                     f"{100 * told['wrong'] / told['n']:.1f} ({100 * low:.1f} to {100 * high:.1f})",
                     f"{100 * middle:.1f} ({100 * first:.1f} to {100 * third:.1f})",
                     f"{100 * worst:.0f} ({100 * worst_low:.0f} to {100 * worst_high:.0f})"))
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
    def turned(name: str, x: float) -> float:
        sizes = results[name]["sizes"]
        return sum(s is not None and s <= x for s in sizes) / max(len(sizes), 1)

    return Plot(title="Right decisions turned by a change of a size, or less", x_label="size, share of the image's norm",
                y_label="right decisions turned", kind="share", lines=tuple(
                    Line(name=NAMES[n], style=style, points=tuple((x, turned(n, x)) for x in places))
                    for n, style in styles.items()))


EXPERIMENT = Experiment(id="before-after", title="Before and after", parts=parts, tell=tell)
