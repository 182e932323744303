"""What the check `hallucination` says of images: of shrinkages, established methods, a network, shifts, and a planted ring.

Images of ellipses with a common background, brain slices, and with --heads children's heads: `images` (scans, 8, height,
width) and `group` (scans,), the child that each is of.
Run: python benchmarks/invention_images.py [--heads ptbp60_axial_t1_u16.npz]
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.checks.asked_once import asked_positions
from assay.checks.check import Bench, Check, run_check
from assay.checks.hallucination import evidence
from assay.checks.kernel_parts import all_real, forward_model
from assay.experiments.hallucination import phantoms
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import cartesian_lines
from assay.operators.wavelet import Wavelet
from assay.perturbations.protocol import Examples, stream
from assay.profiles.load import load
from assay.records import Verdict
from assay.solvers.kernel import kernel_part
from assay.systems.classical import TotalVariation, WaveletL1
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from assay.verdicts import judge

ITEM = next(c for c in load("research", task="reconstruction")["checks"] if c["id"] == "hallucination")
CHECK = Check(**{f.name: ITEM[f.name] for f in dataclasses.fields(Check) if f.name in ITEM})
RING = 0.093                # greatest value of the planted ring in the kernel, beside a peak of 1
SIDE = 32


def told(bench: Bench, system: Callable[[Tensor], Tensor]) -> tuple[Verdict, str]:
    """The verdict of the system in place of those of the bench, and what it rests on."""
    bench = dataclasses.replace(bench, systems={"net": Metered(FunctionSystem(system), name="net")}, cache={},
                                roles={"net": "audited"})
    asked = asked_positions(CHECK, bench.count, labelled=False, groups=bench.groups)
    verdict = judge(run_check(CHECK, "net", bench, bench.fetch(asked), batch=4).findings, ITEM, "net", role="audited")
    found = evidence(CHECK, "net", bench)
    return verdict, (f"{verdict.outcome.value}, {verdict.harmed} of {verdict.n}; p {found.linear:.4f} "
                     f"and {found.shrinkage:.4f}, {found.pairs} pairs, visible {found.visible:.2f} of {found.measured:.2f}")


def soft(v: Tensor, t: float) -> Tensor:
    return v.sign() * (v.abs() - t).clamp_min(0)


def by_wavelet(x: Tensor, family: str) -> Tensor:
    wavelet = Wavelet(domain=(SIDE, SIDE), family=family, levels=3 if family == "haar" else 2)
    return wavelet.adjoint(soft(wavelet.forward(x.to(torch.complex64)).real, 0.1).to(torch.complex64)).real


OF_IMAGES: dict[str, Callable[[Tensor, MaskedFourier], Tensor]] = {        # (images, forward model) → outputs
    "soft threshold of pixels": lambda x, a: soft(x, 0.1),
    "bright pixels kept, others halved": lambda x, a: torch.where(x > 0.5, x, x / 2),
    "soft threshold of Haar wavelets": lambda x, a: by_wavelet(x, "haar"),
    "soft threshold of db4 wavelets": lambda x, a: by_wavelet(x, "db4"),
    "total variation": lambda x, a: TotalVariation(weight=0.002).bind(a)(a.forward(x + 0j)).real,
    "wavelet ℓ1": lambda x, a: WaveletL1(weight=0.01, family="haar", levels=3).bind(a)(a.forward(x + 0j)).real,
}


def ellipses(kind: str, n: int, seed: int, scatter: float) -> bool:
    """Whether n images with a common background are said to have an invented structure."""
    a = MaskedFourier(mask=cartesian_lines((SIDE, SIDE), 0.33, generator=stream("mask", seed)), centred=True)
    x = phantoms(n, stream("ellipses", seed)) + phantoms(1, stream("background", seed))
    output = OF_IMAGES[kind](x, a) + scatter * torch.randn(x.shape, generator=stream("scatter", seed))
    data = torch.view_as_real(a.forward(x.to(torch.complex64))).flatten(1)

    def fetch(positions: Sequence[int]) -> Examples:
        some = x[list(positions)].to(torch.complex64)
        return Examples(ids=tuple(map(str, positions)), inputs=a.forward(some), truth=some, operator=a)

    bench = Bench(systems={}, roles={}, seed=seed, families={}, fetch=fetch, count=n)
    verdict, _ = told(bench, lambda y: output[torch.cdist(torch.view_as_real(y).flatten(1), data).argmin(1)])
    return verdict.outcome.value == "unstable"


def slices(recipe: Recipe, *, moved: bool) -> None:
    """The network and the established methods; with a ring; and (`moved`) the true images, moved, scaled or sharpened."""
    bench = session_from(recipe).bench()
    x = bench.fetch(tuple(range(bench.count)))
    line = torch.arange(128.0)
    ring = torch.exp(-((((line[:, None] - 50) ** 2 + (line[None] - 70) ** 2).sqrt() - 9) ** 2) / 4)
    model = forward_model(bench.fetch((0,)), real=all_real(bench))
    planted = kernel_part(ring[None].to(model.dtype), model)[0]
    planted = RING * planted / planted.abs().max()
    data = torch.view_as_real(x.inputs).flatten(1)

    def of_truth(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        assert x.truth is not None
        changed = change(x.truth)
        return lambda y: changed[torch.cdist(torch.view_as_real(y).flatten(1), data).argmin(1)]

    def blurred(image: Tensor) -> Tensor:
        return sum((image.roll((i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)), torch.zeros_like(image)) / 9

    rows: dict[str, Callable[[Tensor], Tensor]] = dict(bench.systems)
    rows |= {f"{name} + ring": lambda y, system=system: system(y) + planted for name, system in bench.systems.items()}
    if moved:
        rows |= {"1.2 × (truth + ring)": of_truth(lambda v: 1.2 * (v + planted)), "1.2 × truth": of_truth(lambda v: 1.2 * v),
                 "truth, one pixel to the side": of_truth(lambda v: v.roll(1, -1)),
                 "truth, one pixel down": of_truth(lambda v: v.roll(1, -2)), "truth, blurred": of_truth(blurred),
                 "truth, sharpened": of_truth(lambda v: 2 * v - blurred(v)),
                 "truth^0.8": of_truth(lambda v: v.abs() ** 0.8 + 0 * v)}
    for name, system in rows.items():
        print(f"{name:32}{told(bench, system)[1]}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", default="", help="an .npz of slices with a `group` array")
    parser.add_argument("--audits", type=int, default=20)
    words = parser.parse_args()
    print(f"unstable verdicts of {words.audits} audits: 40 images, 40 with scatter, 120, 120 with scatter")
    for kind in OF_IMAGES:
        print(f"{kind:36}" + "".join(f"{sum(ellipses(kind, n, seed, s) for seed in range(words.audits)):8}"
                                     for n in (40, 120) for s in (0.0, 0.03)), flush=True)
    print("sixteen brain slices")
    slices(Recipe(systems=("deep-cascade",), established=("total-variation", "wavelet", "zero-filled")), moved=True)
    if words.heads:
        print("heads, two slices of each scan; each child a group")
        with tempfile.TemporaryDirectory() as folder, np.load(words.heads) as file:
            images = file["images"][:, 2:6:3]
            np.savez(f"{folder}/heads.npz", images=images.reshape(-1, *images.shape[2:]), group=file["group"].repeat(2))
            slices(Recipe(systems=("deep-cascade",), established=("total-variation",), data=f"{folder}/heads.npz",
                          key="images", size=128, groups="group"), moved=False)


if __name__ == "__main__":
    main()
