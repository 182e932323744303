"""A universal change of ART's beside ours: held-out fooling and time, both fitted to the same images in one run.

    python benchmarks/universal_peers.py --peers PYTHON [--rounds 1] [--limit 500] [--radii 0.1 0.2]

The bundled digits that LeNet decides rightly: fitted to the last 100, counted on the others, ℓ∞ in [0, 1]. ART's
UniversalPerturbation with DeepFool, its other settings as it documents them (20 passes at most, until a fifth is left
right); of the packages compared elsewhere it is the only one that has a universal change, and takes minutes a radius.
Ours are the batched search of the check and the published algorithm. One thread.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peers import Counted, Method, Request, arguments, digits, interleaved, machine, serve, workers

FIT = 100


def assay_method(name: str) -> Method:
    def run(model: Counted, x: Tensor, y: Tensor, norm: str, *, radius: float) -> Tensor:
        from assay.searches.universal.batched import batched
        from assay.searches.universal.published import published

        search = {"batched": batched, "published": published}[name]
        found = search(model, x[-FIT:], norm=norm, radius=radius, box=(0.0, 1.0),
                       generator=torch.Generator().manual_seed(0))
        return (x + found.perturbation).clamp(0, 1)

    return run


def art_method(model: Counted, x: Tensor, y: Tensor, norm: str, *, radius: float) -> Tensor:
    import numpy as np
    from art.attacks.evasion import UniversalPerturbation
    from art.estimators.classification import PyTorchClassifier

    wrapped = PyTorchClassifier(model, loss=torch.nn.CrossEntropyLoss(), input_shape=tuple(x.shape[1:]), nb_classes=10,
                                clip_values=(0.0, 1.0), device_type="cpu")
    attack = UniversalPerturbation(wrapped, attacker="deepfool", eps=radius, norm=np.inf, verbose=False)
    attack.generate(x[-FIT:].numpy())
    return (x + torch.from_numpy(np.asarray(attack.noise))).clamp(0, 1).float()


METHODS: dict[str, dict[str, Method]] = {
    "assay": {name: assay_method(name) for name in ("batched", "published")}, "ART": {"UniversalPerturbation": art_method}}


def asked(radius: float) -> Sequence[tuple[str, Request]]:
    return [(package, {"method": method, "norm": "linf", "options": {"radius": radius}, "limit": None})
            for package, methods in METHODS.items() for method in methods]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--radii", type=float, nargs="+", default=[0.1, 0.2])
    options: Any = parser.parse_args()
    if options.worker:
        serve(options.worker, options.folder, METHODS[options.worker], options.shim)
        return
    torch.set_num_threads(1)
    case = digits("lenet", options.limit)
    print(f"\nlenet, {len(case.labels) - FIT} held out, {FIT} fitted; {machine()}\n")
    print("| method | ℓ∞ | fooled, fitted | fooled, held out | forward + backward | s |")
    print("|" + "---|" * 6)
    with tempfile.TemporaryDirectory() as folder, workers(case, options, __file__, folder) as found:
        for radius in options.radii:
            requests = asked(radius)
            answers = interleaved(case, found, requests, options.rounds)
            for place, answer in answers.items():
                flips, (package, request) = answer.flips, requests[place]
                print(f"| {package} {request['method']} | {radius} | {100 * flips[-FIT:].mean():.1f} % | "
                      f"{100 * flips[:-FIT].mean():.1f} % | {answer.forward * len(flips):.0f} + "
                      f"{answer.backward * len(flips):.0f} | {answer.seconds:.2f} |")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
