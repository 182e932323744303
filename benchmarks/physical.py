"""Stickers on stop signs: the published ones on the published network, then ours on views and photographs held out.

    python benchmarks/physical.py --data FOLDER [--family laboratory] [--steps 200] [--draws 4]
    python benchmarks/physical.py --signs gtsrb_32x32.npz [--networks caffenet vgg-f …] [--family laboratory]

The network, the 40 photographs and the two published perturbations are those of Eykholt et al. (CVPR 2018), as their
authors released them; with --signs 40 stop signs of GTSRB and the small sign networks, towards "60 km/h". Ours is one
sticker for all signs, on half of the photographs; it is judged on the other half, at distances and angles, on views from
other seeds. A view counts where the sign is recognised without a sticker.

Every sticker is searched twice: by log P(target) alone, and with their objective, which takes off λ‖M · δ‖₂, λ = 0.001
(δ the change of the mean photograph): without it a search under no views makes the sticker ever stronger, though it has
long succeeded where it is made. Families of views, the same for all stickers of a run: "near", mild; "laboratory", the 15
distances and angles of their stationary test (5 to 40 feet, up to 60°; recalled, in units of 5 feet), around each the 2-D
ranges of Athalye et al. (ICML 2018; `RECALLED`) and the printer's errors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from assay.arrays import InputError
from assay.metrics.losses import cross_entropy, margin
from assay.metrics.physical import success_rate
from assay.numerics.intervals import clopper_pearson
from assay.numerics.norms import norm
from assay.numerics.printability import non_printability
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.stickers import Sticker, octagon
from assay.perturbations.viewing import RECALLED, STILL, Views, ViewSampler, grid
from assay.searches.expectation import RandomObjective, drawn_back, expectation_ascent, l1_mask
from assay.systems.literature.lisa_cnn import CLASSES, LisaCnn, from_author
from assay.systems.literature.signs import FAMILIES as NETWORKS
from assay.systems.literature.signs import build
from assay.systems.weights import SHIPPED, fill, read_weights

STOP, SOUGHT = CLASSES.index("stop"), CLASSES.index("speedLimit45")
CONTROLS, BATCH, AREA, COUNT = 5, 10, 0.1, 4
PRICE = 1e-3                                # λ of their objective
SIGN, LIMIT_60, OCTAGON = 14, 3, 0.6        # classes of GTSRB, and the share of its pictures that a sign takes


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the search draws, and the held-out views: those of `near` at each cell (distance, angle)."""

    near: ViewSampler
    distance: tuple[float, float]
    tilt: tuple[float, float]
    cells: Sequence[tuple[float, float]]

    @property
    def searched(self) -> ViewSampler:
        return replace(self.near, distance=self.distance, tilt=self.tilt)

    def held_out(self) -> Mapping[tuple[float, float], ViewSampler]:
        product = grid(self.near, sorted({d for d, _ in self.cells}), sorted({a for _, a in self.cells}))
        return {cell: product[cell] for cell in self.cells}


FAMILIES = {
    "near": Family(near=ViewSampler(zoom=(0.9, 1.1), rotation=10.0, shift=0.05, light=0.05, noise=0.03, gain=0.1,
                                    offset=0.05), distance=(1.0, 2.0), tilt=(0.0, 45.0),
                   cells=[(d, a) for d in (1.0, 1.5, 2.0) for a in (0.0, 15.0, 30.0, 45.0)]),
    "laboratory": Family(near=replace(RECALLED, gain=0.1, offset=0.05), distance=(1.0, 8.0), tilt=(0.0, 60.0),
                         cells=[*((1.0, a) for a in (0.0, 15.0, 30.0, 45.0, 60.0)), *((2.0, a) for a in (0.0, 15.0, 30.0)),
                                (3.0, 0.0), (3.0, 15.0), (4.0, 0.0), (4.0, 15.0), (5.0, 0.0), (6.0, 0.0), (8.0, 0.0)]),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, signs of the class `stop` that it recognises, the class sought for, and how stickers are searched."""

    network: Callable[[Tensor], Tensor]
    stop: int
    sought: int
    made: Tensor
    judged: Tensor
    family: Family
    words: argparse.Namespace

    def examples(self, signs: Tensor) -> Examples:
        truth = torch.full((len(signs),), self.stop)
        return Examples(ids=tuple(map(str, range(len(signs)))), inputs=signs, truth=truth, box=(0.0, 1.0))

    def objective(self, within: Sticker, signs: Tensor, sampler: ViewSampler) -> RandomObjective:
        """Mean log probability of the target over `BATCH` photographs and `draws` views of each, of one sticker (1, …)."""
        def harm(p: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
            generator = generators[0]
            chosen = signs[torch.randperm(len(signs), generator=generator)[:BATCH]]
            views = sampler.draw(chosen[:1], [generator], self.words.draws * len(chosen))
            scores = self.network(within.seen(self.examples(chosen), p.expand(len(chosen), *p.shape[1:]), views))
            return -cross_entropy(scores, torch.full((len(scores),), self.sought)).mean()[None]

        return harm

    def sticker(self, within: Sticker, signs: Tensor, sampler: ViewSampler, price: float) -> Tensor:
        x = canvas(signs)

        def penalty(p: Tensor) -> Tensor:
            return price * norm(within.apply(x, p).inputs - x.inputs)

        return expectation_ascent(self.objective(within, signs, sampler), within, x=x, steps=self.words.steps,
                                  generators=[stream(self.words.seed, "search")],
                                  penalty=penalty if price else None).parameters

    def barely(self, within: Sticker, p: Tensor) -> Tensor:
        """The sticker drawn back until the one photograph, unmoved, is only just taken for the target."""
        x, goal = self.examples(self.made[:1]), torch.full((1,), self.sought)
        return drawn_back(lambda q: -margin(self.network(within.apply(x, q).inputs), goal), within, x=x, parameters=p)

    def mask(self, allowed: Tensor) -> Sticker:
        """Rectangles by ℓ1 within the allowed region."""
        within = Sticker(mask=allowed[None])
        found = l1_mask(self.objective(within, self.made, self.family.searched), within, x=canvas(self.made),
                        generators=[stream(self.words.seed, "mask")], area=AREA, count=COUNT, steps=50)
        return Sticker(mask=found)


@dataclass(frozen=True, kw_only=True)
class Success:
    """Decisions as the target and as anything but a stop sign, of the counted views, by (distance, angle)."""

    sought: dict[tuple[float, float], int]
    wrong: dict[tuple[float, float], int]
    counted: dict[tuple[float, float], int]

    def share(self, which: dict[tuple[float, float], int]) -> str:
        low, high = clopper_pearson(sum(which.values()), sum(self.counted.values()))
        return (f"{100 * sum(which.values()) / sum(self.counted.values()):5.1f} % "
                f"({100 * low:.1f}–{100 * high:.1f})")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the published weights and photographs")
    parser.add_argument("--signs", type=Path, help="gtsrb_32x32.npz, for the sign networks")
    parser.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--family", choices=tuple(FAMILIES), default="near")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--draws", type=int, default=4, help="views of each photograph in a step")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if words.data is None and words.signs is None:
        raise InputError("give --data FOLDER (the published weights and photographs), --signs gtsrb_32x32.npz, or both")
    if words.data is not None:
        lisa(words)
    for name in words.networks if words.signs is not None else ():
        sign_network(name, words)


def lisa(words: argparse.Namespace) -> None:
    """The published network: the released perturbations, then ours on three masks."""
    network, arrays = published_network(words.data)
    signs = photographs(words.data)
    published(network, arrays, signs, words.data)
    case = Case(network=network, stop=STOP, sought=SOUGHT, made=signs[0::2], judged=signs[1::2],
                family=FAMILIES[words.family], words=words)
    area = picture(words.data / "mask_l1loss_uniform_rectangles.png")[0] > 0.5
    allowed = picture(words.data / "octagon.png")[0] > 0.5
    print(f"\nOurs: one sticker made on {len(case.made)} photographs, judged on {len(case.judged)} others; target "
          f"speedLimit45; views: {words.family}")
    for name, within in (("published rectangles", Sticker(mask=area[None])), ("rectangles found by l1", case.mask(allowed)),
                         ("whole octagon", Sticker(mask=allowed[None]))):
        report(name, case, within)


def sign_network(name: str, words: argparse.Namespace) -> None:
    """A sign network: one sticker on rectangles found by ℓ1, for 40 stop signs at even distances of the test file."""
    network, path = build(name), Path(str(SHIPPED / NETWORKS[name].weights(name)))
    fill(network, read_weights(path)[0], path)
    network.eval().requires_grad_(False)
    with np.load(words.signs, allow_pickle=False) as file:
        images = torch.from_numpy(file["test_images"][file["test_labels"] == SIGN]).movedim(-1, 1).float() / 255
    images = images[network(images).argmax(1) == SIGN][:40]
    case = Case(network=network, stop=SIGN, sought=LIMIT_60, made=images[0::2], judged=images[1::2],
                family=FAMILIES[words.family], words=words)
    report(f"signs/{name}, rectangles found by l1, views: {words.family}", case,
           case.mask(octagon(*images.shape[2:], OCTAGON)[0]))


def report(name: str, case: Case, within: Sticker) -> None:
    """Ours beside stickers made without views and random ones, on one mask."""
    x = canvas(case.made)
    print(f"\n{name}: {100 * float(within.size(x, within.zero(x))):.1f} % of the picture")
    searches = (("searched under views", case.made, case.family.searched), ("same photographs, no views", case.made, STILL),
                ("one photograph, no views", case.made[:1], STILL))
    results: dict[str, Success] = {}
    started = time.perf_counter()
    for price in (0.0, PRICE):
        for label, signs, sampler in searches:
            p = case.sticker(within, signs, sampler, price)
            results[f"{label}, λ = {price:g}"] = success(case, within, p)
            if not price and sampler is not STILL:
                ours = p
        if not price:
            results["  and barely succeeding there"] = success(case, within, case.barely(within, p))
    results["random, worst of 5"] = max((success(case, within, within.sample(
        x, [stream(case.words.seed, "control", k)])) for k in range(CONTROLS)), key=lambda s: sum(s.sought.values()))
    for label, result in results.items():
        print(f"  {label:38} target {result.share(result.sought)}   wrong {result.share(result.wrong)}")
    counted = next(iter(results.values())).counted
    asked = 5 * len(case.judged) * len(counted)
    print(f"  counted views {sum(counted.values())} of {asked}, non-printability "
          f"{float(non_printability(ours, mask=within.mask)):.2g}, {time.perf_counter() - started:.0f} s")
    table(next(iter(results.values())))


def table(result: Success) -> None:
    print("  as the target, by distance (down) and angle (across):")
    angles = sorted({a for _, a in result.counted})
    print("       " + "".join(f"{angle:10.0f}°" for angle in angles))
    for distance in sorted({d for d, _ in result.counted}):
        cells = [f"{result.sought[distance, a]}/{result.counted[distance, a]}" if (distance, a) in result.counted else "–"
                 for a in angles]
        print(f"  {distance:4.1f}×" + "".join(f"{cell:>11}" for cell in cells))


def success(case: Case, within: Sticker, p: Tensor, draws: int = 5) -> Success:
    """On held-out views: the same for every sticker."""
    signs = case.judged
    x, pixels = case.examples(signs), p.expand(len(signs), *p.shape[1:])
    label, sought = torch.full((len(signs),), case.stop), torch.full((len(signs),), case.sought)
    bare = Sticker(mask=within.mask, mode="add")
    found: tuple[dict[tuple[float, float], int], ...] = ({}, {}, {})
    for cell, sampler in case.family.held_out().items():
        views = sampler.draw(signs, [stream(case.words.seed, "held-out", cell, i) for i in range(len(signs))], draws)
        plain = Views(table=views.table, gain=views.gain * 0, offset=views.offset * 0)
        with torch.no_grad():
            stuck, clean = (case.network(s.seen(x, q, v)).argmax(1).unflatten(0, (len(signs), draws)) for s, q, v in
                            ((within, pixels, views), (bare, torch.zeros_like(pixels), plain)))
        count = success_rate(stuck, clean, label)[1]
        reached = [success_rate(stuck, clean, label, goal)[0].nan_to_num() * count for goal in (sought, None)]
        for kept, number in zip(found, (*reached, count), strict=True):
            kept[cell] = round(float(number.sum()))
    return Success(sought=found[0], wrong=found[1], counted=found[2])


def published(network: LisaCnn, arrays: dict[str, np.ndarray], signs: Tensor, folder: Path) -> None:
    """The figures that the released files give: the photographs alone, and under both released perturbations."""
    print("Published perturbations on the published network")
    expected = (("photographs alone, as stop", signs, STOP, 40),
                ("camouflage stickers, as speedLimit45", signs + added(arrays["noise"], folder,
                                                                       "mask_l1loss_uniform_rectangles"), SOUGHT, 36),
                ("subtle poster, as speedLimit45", signs + added(arrays["noise_subliminal"], folder, "octagon"), SOUGHT, 40))
    for name, images, sought, figure in expected:
        with torch.no_grad():
            count = int((network(images.clamp(0, 1)).argmax(1) == sought).sum())
        print(f"  {name:38} {count}/{len(signs)} (released: {figure}/40){'' if count == figure else '  DIFFERS'}")


def added(noise: np.ndarray, folder: Path, mask: str) -> Tensor:
    return torch.from_numpy(np.array(noise)).movedim(-1, 0).float() * picture(folder / f"{mask}.png")


def canvas(signs: Tensor) -> Examples:
    """The mean sign: what the neutral sticker shows."""
    return Examples(ids=("sticker",), inputs=signs.mean(0, keepdim=True), box=(0.0, 1.0))


def published_network(folder: Path) -> tuple[LisaCnn, dict[str, np.ndarray]]:
    path = folder / "lisa_cnn_weights.npz"
    if not path.is_file():
        raise InputError(f"--data {folder}: no lisa_cnn_weights.npz; give the folder of the published weights")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    network = LisaCnn().eval()
    network.load_state_dict(from_author(arrays))
    return network.requires_grad_(False), arrays


def photographs(folder: Path) -> Tensor:
    paths = sorted((folder / "victim_stop_32").glob("*.png"), key=lambda path: int(path.stem))
    return torch.stack([picture(path) for path in paths])


def picture(path: Path) -> Tensor:
    """(3, height, width) in [0, 1]."""
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255).movedim(-1, 0)


if __name__ == "__main__":
    main()
