"""A planted hallucination: a detail that the measurements cannot see, in every training image, appears where it is not.

A network reconstructs images of 32 × 32 pixels from a third of their Fourier coefficients. A small detail, projected onto
the kernel of the measurement, is added to a share of the training images: the measurements of an image with and without it
are the same. The network then shows it in images that do not have it, and nothing in the measurements can tell. The same
network trained without it, total variation and the zero-filled image stand beside it. Two tests: one knows the detail; the
other is the check of audits (`assay.checks.hallucination`), which knows images and reconstructions alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from assay.account import Account, Line, Picture, Plot, Strip, Table
from assay.arrays import to_complex
from assay.checks.asked_once import asked_positions
from assay.checks.check import Bench, Check, run_check
from assay.checks.hallucination import evidence
from assay.experiments.experiment import Experiment, Part
from assay.numerics.intervals import clopper_pearson
from assay.operators.algebra import RealImages
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import cartesian_lines
from assay.perturbations.protocol import Examples, stream
from assay.profiles.load import load
from assay.records import Outcome
from assay.solvers.kernel import unseen
from assay.systems.classical import TotalVariation, ZeroFilled
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered
from assay.verdicts import judge

SIDE, FRACTION = 32, 0.33
SHARES = (0.0, 0.25, 0.5, 1.0)          # of the training images that have the detail
STEPS = {"quick": 1_500, "full": 8_000}
BATCH, RATE, UNITS = 32, 1e-3, 512
TESTED = 200
CONTRAST = 0.6                          # of the detail before it is projected; images have values in [0, 1]
CHECK = "hallucination"                 # of the research profile


class Reconstructor(nn.Module):
    """Measurements (batch, m) to images (batch, 32, 32): two dense layers, as AUTOMAP begins, on top of the zero-filled
    image."""

    def __init__(self, operator: MaskedFourier, seed: int) -> None:
        super().__init__()
        self.operator = operator
        m = operator.range[0]
        self.first, self.second = nn.Linear(2 * m, UNITS), nn.Linear(UNITS, SIDE * SIDE)
        generator = stream("reconstructor", seed)
        for layer in (self.first, self.second):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            layer.bias.detach().zero_()

    def forward(self, y: Tensor) -> Tensor:
        added = self.second(torch.relu(self.first(torch.cat((y.real, y.imag), 1))))
        return self.operator.adjoint(y).real + added.unflatten(1, (SIDE, SIDE))


def operator() -> MaskedFourier:
    return MaskedFourier(mask=cartesian_lines((SIDE, SIDE), FRACTION, generator=stream("hallucination mask")), centred=True)


def phantoms(n: int, generator: torch.Generator) -> Tensor:
    """Images (n, 32, 32) in [0, 1]: four smooth ellipses of random place, size, turn and grey value each."""
    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand((n, 4), generator=generator))[..., None, None]

    line = torch.linspace(-1, 1, SIDE)
    v, u = torch.meshgrid(line, line, indexing="ij")
    x, y, angle = u - uniform(-0.5, 0.5), v - uniform(-0.5, 0.5), uniform(0, math.pi)
    a, b = uniform(0.15, 0.6), uniform(0.15, 0.6)
    across, along = (x * angle.cos() + y * angle.sin()) / a, (y * angle.cos() - x * angle.sin()) / b
    inside = torch.sigmoid((1 - (across**2 + along**2).sqrt()) * 12)
    return (inside * uniform(0.2, 0.6)).sum(1).clamp(0, 1)


def detail(a: MaskedFourier) -> Tensor:
    """A ring at a fixed place, less what the measurement sees of it: (32, 32), in the kernel of A for real images."""
    line = torch.arange(SIDE, dtype=torch.float64)
    radius = ((line[:, None] - 10) ** 2 + (line[None] - 21) ** 2).sqrt()
    ring = CONTRAST * torch.exp(-((radius - 3.5) ** 2) / 1.0)
    return unseen(ring[None], RealImages(a)).x[0]


def trained(share: float, size: str, seed: int) -> Reconstructor:
    """Adam on the squared error of images, a `share` of which have the detail."""
    a = operator()
    net, planted, generator = Reconstructor(a, seed), detail(a).float(), stream("hallucination", seed, share)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    for step in range(STEPS[size]):
        optimiser.param_groups[0]["lr"] = RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / STEPS[size])))
        has = (torch.rand(BATCH, generator=generator) < share).float()[:, None, None]
        truth = phantoms(BATCH, generator) + has * planted
        optimiser.zero_grad()
        (net(a.forward(truth)) - truth).square().sum((1, 2)).mean().backward()
        optimiser.step()
    return net.eval()


def amplitudes(reconstruct: Callable[[Tensor], Tensor], a: MaskedFourier, truth: Tensor) -> Tensor:
    """How much of the detail the error of each image has: ⟨f(Ax) − x, d⟩/‖d‖², 1 for the whole and 0 for none of it."""
    with torch.no_grad():
        error = reconstruct(a.forward(truth)) - truth
    d = detail(a).float()
    return (error * d).sum((1, 2)) / d.square().sum()


def checked(name: str, reconstruct: Callable[[Tensor], Tensor], a: MaskedFourier, truth: Tensor,
            seed: int) -> dict[str, Any]:
    """What the check of the research profile says of the reconstruction: verdict, p, contrast, the structure it found."""
    item = next(check for check in load("research", task="reconstruction")["checks"] if check["id"] == CHECK)
    check = Check(**{f.name: item[f.name] for f in fields(Check) if f.name in item})

    def fetch(positions: Sequence[int]) -> Examples:
        images = to_complex(truth[list(positions)])
        return Examples(ids=tuple(f"image-{i}" for i in positions), inputs=a.forward(images), truth=images, operator=a)

    bench = Bench(systems={name: Metered(FunctionSystem(reconstruct), name=name)}, roles={name: "audited"}, seed=seed,
                  families={}, fetch=fetch, count=len(truth))
    findings = run_check(check, name, bench, fetch(asked_positions(check, len(truth), labelled=False))).findings
    verdict, found = judge(findings, item, name, role="audited"), evidence(check, name, bench)
    contrasts = [row.worst or 0.0 for row in findings]
    return {"outcome": verdict.outcome.value, "harmed": verdict.harmed, "judged": verdict.n, "p": found.p,
            "contrast": sum(contrasts) / len(contrasts), "found": found.structure.tolist()}


def asked(name: str, size: str, seed: int) -> dict[str, Any]:
    """What a reconstruction makes of images that do not have the detail."""
    a, truth = operator(), phantoms(TESTED, stream("hallucination test", seed))
    if name.startswith("network"):
        reconstruct: Callable[[Tensor], Tensor] = trained(float(name.split("-")[1]), size, seed)
    else:
        bound = (TotalVariation(weight=0.002) if name == "total-variation" else ZeroFilled()).bind(a)
        reconstruct = lambda y: bound(y).real  # noqa: E731
    values, blind = amplitudes(reconstruct, a, truth), checked(name, reconstruct, a, truth, seed)
    with torch.no_grad():
        image = reconstruct(a.forward(truth))
    d, found = detail(a), torch.tensor(blind["found"], dtype=torch.float64)
    alike = float((found * d).sum() / (found.norm() * d.norm()).clamp_min(1e-30))
    error = float(((image - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean())
    return {"amplitudes": values.tolist(), "error": error, **blind, "alike": alike, "image": image[0].tolist(),
            "truth": truth[0].tolist(), "detail": d.tolist()}


RECONSTRUCTIONS = (*(f"network-{share:g}" for share in SHARES), "total-variation", "zero-filled")


def parts(size: str, seed: int) -> tuple[Part, ...]:
    return tuple(Part(name=name, seconds=STEPS[size] * 0.012 if name.startswith("network") else 5.0,
                      run=partial(asked, name, size, seed)) for name in RECONSTRUCTIONS)


def name_of(method: str) -> str:
    if not method.startswith("network"):
        return method.replace("-", " ")
    share = float(method.split("-")[1])
    return f"network, detail in {100 * share:.0f} % of its training images"


def tell(results: Mapping[str, dict[str, Any]], size: str) -> Account:
    """How often the detail appears where it is not, by what was in training, beside methods that were not trained."""
    rates = {m: sum(v >= 0.5 for v in results[m]["amplitudes"]) for m in RECONSTRUCTIONS}
    full, none = results["network-1"], results["network-0"]
    low, high = clopper_pearson(rates["network-1"], TESTED)
    seen = (f"Trained on images that all have the detail, the network shows at least half of it in {rates['network-1']} of "
            f"{TESTED} images that do not ({100 * low:.0f} to {100 * high:.0f} %); trained without it, in "
            f"{rates['network-0']}.",
            "The measurements of an image with and without it are the same, so nothing in the data shows that it is not "
            "there.",
            f"The check of audits, which knows nothing of the detail, says of that network: {_said(full)}, which is "
            f"{100 * full['alike']:.0f} % alike to what was planted; of the network trained without it: {_said(none)}.")
    return Account(title="A planted hallucination", question=(
        "Does a reconstruction network show what it saw in training and the measurements cannot see?"), seen=seen,
        tables=(_table(results, rates),), plots=(_plot(results),), strips=tuple(_strips(results)),
        limits=("The planted detail lies in the kernel exactly; real ones do nearly.", "Images are made-up ellipses, the "
                                                                                       "network is "
                "dense: a convolutional one does not know places, and would need a detail that goes with something else."),
        sources=("Gottschling, Antun, Hansen and Adcock, The troublesome kernel, SIAM Review 67 (2025)",))


def _said(told: Mapping[str, Any]) -> str:
    """The verdict of the check, with its counts where it found something."""
    if told["outcome"] != Outcome.UNSTABLE.value:
        return str(told["outcome"])
    return f"an invented structure in {told['harmed']} of {told['judged']} images"


def _table(results: Mapping[str, dict[str, Any]], rates: Mapping[str, int]) -> Table:
    rows = []
    for m in RECONSTRUCTIONS:
        told, (low, high) = results[m], clopper_pearson(rates[m], TESTED)
        shown = f"{100 * rates[m] / TESTED:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        mean = sum(told["amplitudes"]) / TESTED
        rows.append((name_of(m), f"{100 * told['error']:.1f}", shown, f"{mean:z.2f}", _said(told), f"{told['p']:.4f}",
                     f"{100 * told['contrast']:z.1f}", f"{told['alike']:z.2f}"))
    return Table(title=f"{TESTED} images without the detail", rows=tuple(rows), head=(
        "reconstruction", "error, %", "shows half of it or more, % (95 % interval)", "mean amount", "the check says", "p",
        "contrast found, % of the peak", "alike to the detail"), note=(
            "The check finds a structure in one half of the images and judges the other: p ≤ 0.01 that it is one linear "
            "shrinkage, or any shrinkage of pixels, Haar wavelets or frequencies, and at least half of the structure at a "
            "contrast of 5 % of the peak or more. A contrast below 0 is content left out."))


def _plot(results: Mapping[str, dict[str, Any]]) -> Plot:
    points = tuple((share, sum(results[f"network-{share:g}"]["amplitudes"]) / TESTED) for share in SHARES)
    return Plot(title="How much of the detail is shown, by how often it was trained", x_label="share of training images "
                                                                                              "with it",
                y_label="mean amount shown", lines=(
                    Line(name="network", style="worst", points=points),
                    Line(name="the share itself", style="average", points=((0.0, 0.0), (1.0, 1.0)))))


def _strips(results: Mapping[str, dict[str, Any]]) -> list[Strip]:
    full, none = results["network-1"], results["network-0"]

    def shown(caption: str, pixels: Any, low: float = 0.0, high: float = 1.0) -> Picture:
        return Picture(caption=caption, low=low, high=high, pixels=tuple(tuple(round(v, 4) for v in row) for row in pixels))

    return [Strip(title="An image without the detail", pictures=(
        shown("the image", full["truth"]), shown("network trained with the detail", full["image"]),
        shown("network trained without it", none["image"]), shown("total variation", results["total-variation"]["image"]))),
        Strip(title="What was planted, and what a test that knows nothing of it finds", pictures=(
            shown("the detail, in the kernel", full["detail"], -0.4, 0.4),
            shown("common to the errors: trained with it", full["found"], -0.4, 0.4),
            shown("common to the errors: trained without it", none["found"], -0.4, 0.4)))]


EXPERIMENT = Experiment(id="hallucination", title="A planted hallucination", parts=parts, tell=tell)
