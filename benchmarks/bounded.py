"""The worst change within a radius: decisions left right, evaluations and time beside torchattacks, foolbox, ART, adv-lib.

    python benchmarks/bounded.py [--peers PYTHON] [--data gtsrb_32x32.npz] [--rounds 3] [--limit 500]

Bundled digits under the shipped LeNet and the same with its scores times 20, ℓ∞ in grey range and ℓ2 as a length, four
radii each; with --data also 100 traffic signs under a sign network, at two radii and without AutoAttack, which would take
an hour there. Only images decided rightly count. Ours is the search of the check itself: APGD on the log odds, then towards
each of the four next classes (or on the margin), then Square by queries. Each peer gets as many gradients an image as
ours; AutoAttack, which takes what it wants, bounds what all may have missed. Every answer is looked at again in float64,
in the box, and its size against the radius. Least accuracy = best search. Evaluations are counted by a wrapper of the
model (rows forward + backward). One thread, interleaved.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peers import Answer, Counted, Method, Request, arguments, digits, interleaved, machine, serve, signs, workers

P = {"l2": 2.0, "linf": float("inf")}
RADII = {"linf": (0.03, 0.06, 0.1, 0.15), "l2": (0.15, 0.3, 0.5, 0.75)}
OF_SIGNS = {"linf": (0.004, 0.008), "l2": (0.15, 0.3)}
GRADIENTS, QUERIES = 100, 300
TARGETED = ("log-odds", "rival-1", "rival-2", "rival-3", "rival-4")
ROOM = 1e-5                 # relative: what rounding of float32 may add to a radius


def ours(model: Counted, x: Tensor, y: Tensor, norm: str, *, radius: float, climbs: Sequence[str] = TARGETED,
         query: int = QUERIES) -> Tensor:
    """The check's own search with its metric, perturbation set and words."""
    from assay.checks.check import Check
    from assay.checks.searching import search
    from assay.metrics.classification import ERROR_RATE
    from assay.perturbations.balls import Ball, InputBall
    from assay.perturbations.protocol import Examples, stream
    from assay.systems.metered import Metered
    from assay.systems.torch import TorchSystem

    examples = Examples(ids=tuple(map(str, range(len(x)))), inputs=x, truth=y, box=(0.0, 1.0))
    within = InputBall(ball=Ball(norm=norm, radius=radius, relative=False, box=(0.0, 1.0)))
    check = Check(id="bounded", title="", question="", method="worst-case", metric="error-rate", criterion={}, sources=(),
                  search={"kind": "bounded", "steps": GRADIENTS // len(climbs), "restarts": 1, "climbs": list(climbs),
                          "query": query})
    target = Metered(TorchSystem(model), name="lenet")
    with torch.no_grad():
        normal = model(x)
    found, _ = search(check, target, ERROR_RATE, within, examples, normal, [stream(0, i) for i in range(len(x))], [])
    return x + found.parameters


def adv_lib_apgd(model: Counted, x: Tensor, y: Tensor, norm: str, *, radius: float, loss: str) -> Tensor:
    from adv_lib import attacks

    return attacks.apgd(model, x, y, eps=radius, norm=P[norm], n_iter=GRADIENTS, loss_function=loss)


def adv_lib_targeted(model: Counted, x: Tensor, y: Tensor, norm: str, *, radius: float) -> Tensor:
    from adv_lib import attacks

    return attacks.apgd_targeted(model, x, y, eps=radius, norm=P[norm], n_iter=max(1, GRADIENTS // 9) + 1)


def foolbox_pgd(model: Counted, x: Tensor, y: Tensor, norm: str, *, radius: float) -> Tensor:
    import foolbox

    attack = {"l2": foolbox.attacks.L2PGD, "linf": foolbox.attacks.LinfPGD}[norm](steps=GRADIENTS)
    return attack(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y, epsilons=radius)[1]


def torchattacks_method(name: str) -> Method:
    def run(model: Counted, x: Tensor, y: Tensor, norm: str, *, radius: float, **options: Any) -> Tensor:
        import torchattacks

        return getattr(torchattacks, name)(model, norm={"l2": "L2", "linf": "Linf"}[norm], eps=radius, **options)(x, y)

    return run


def art_apgd(model: Counted, x: Tensor, y: Tensor, norm: str, *, radius: float, loss: str | None) -> Tensor:
    from art.attacks.evasion import AutoProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classes = int(model(x[:1]).shape[1])
    wrapped = PyTorchClassifier(model, loss=torch.nn.CrossEntropyLoss(), input_shape=tuple(x.shape[1:]),
                                nb_classes=classes, clip_values=(0.0, 1.0), device_type="cpu")
    attack = AutoProjectedGradientDescent(wrapped, norm=P[norm] if norm == "linf" else 2, eps=radius, eps_step=2 * radius,
                                          max_iter=GRADIENTS, nb_random_init=1, batch_size=500, loss_type=loss,
                                          verbose=False)
    return torch.from_numpy(attack.generate(x.numpy(), np.eye(classes, dtype=np.float32)[y.numpy()]))


METHODS: dict[str, dict[str, Method]] = {
    "assay": {"ensemble": ours},
    "adv-lib": {"apgd": adv_lib_apgd, "apgd-targeted": adv_lib_targeted},
    "foolbox": {"PGD": foolbox_pgd},
    "torchattacks": {"APGD": torchattacks_method("APGD"), "AutoAttack": torchattacks_method("AutoAttack")},
    "ART": {"AutoPGD": art_apgd},
}
RUNS: Sequence[tuple[str, str, Mapping[str, Any]]] = (
    ("assay", "ensemble", {}), ("assay", "ensemble", {"query": 0}),
    ("assay", "ensemble", {"climbs": ["log-odds", "margin"]}),
    ("adv-lib", "apgd", {"loss": "ce"}), ("adv-lib", "apgd", {"loss": "dlr"}), ("adv-lib", "apgd-targeted", {}),
    ("foolbox", "PGD", {}),
    ("torchattacks", "APGD", {"steps": GRADIENTS, "loss": "ce"}),
    ("torchattacks", "APGD", {"steps": GRADIENTS, "loss": "dlr"}),
    ("ART", "AutoPGD", {"loss": "cross_entropy"}), ("ART", "AutoPGD", {"loss": "difference_logits_ratio"}),
    ("torchattacks", "AutoAttack", {}),
)


def left(answer: Answer, radius: float) -> float:
    """The share, in %, still decided rightly by a change no longer than the radius."""
    return 100 * (1 - float((answer.flips & (answer.size <= radius * (1 + ROOM))).mean()))


def compare(norm: str, radii: Sequence[float], answers: Mapping[tuple[int, float], Answer]) -> None:
    print("| method | " + " | ".join(f"{radius:g}" for radius in radii) + " | forward + backward | ms |")
    print("|" + "---|" * (len(radii) + 3))
    for run, (package, method, options) in enumerate(RUNS):
        rows = [answers[run, radius] for radius in radii if (run, radius) in answers]
        if len(rows) < len(radii):
            continue
        said = ", ".join(f"{key} {value}" for key, value in options.items())
        shares = " | ".join(f"{left(row, radius):.1f} %" for row, radius in zip(rows, radii, strict=True))
        print(f"| {package} {method}{f' ({said})' if said else ''} | {shares} | {np.mean([r.forward for r in rows]):.0f} + "
              f"{np.mean([r.backward for r in rows]):.0f} | {np.mean([r.milliseconds for r in rows]):.1f} |")
    print()
    for radius in radii:
        peers = {run: left(answers[run, radius], radius) for run, row in enumerate(RUNS)
                 if row[0] != "assay" and (run, radius) in answers}
        equal = {run: share for run, share in peers.items() if RUNS[run][1] != "AutoAttack"}
        if not equal:
            print("no peer: nothing to compare with")
            return
        mine, best = left(answers[0, radius], radius), min(equal.values())
        more = len(peers) > len(equal)
        said = "reached" if mine <= best + 1e-9 else "MISSED "
        print(f"{said}  {norm} {radius:g}: {mine:.1f} % left ≤ best peer's {best:.1f} % at as many gradients"
              + (f" (AutoAttack, any number: {min(peers.values()):.1f} %)" if more else ""))


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    if options.worker:
        serve(options.worker, options.folder, METHODS[options.worker], options.shim)
        return
    torch.set_num_threads(1)
    cases = [digits(model, options.limit) for model in ("lenet", "lenet saturated") if options.limit]
    if options.data and (case := signs(options.data, 100)) is not None:
        cases.append(case)
    for case in cases:
        few = case.model.startswith("signs/")
        with tempfile.TemporaryDirectory() as folder, workers(case, options, __file__, folder) as found:
            for norm, radii in (OF_SIGNS if few else RADII).items():
                keys = [(run, radius) for run, (_, method, _) in enumerate(RUNS) for radius in radii
                        if not (few and method == "AutoAttack")]
                asked: list[tuple[str, Request]] = [
                    (RUNS[run][0], {"method": RUNS[run][1], "norm": norm, "options": {**RUNS[run][2], "radius": radius}})
                    for run, radius in keys]
                answers = interleaved(case, found, asked, options.rounds)
                print(f"\n{case.model}, {norm}, {len(case.labels)} rightly decided; share left by radius; {machine()}\n")
                compare(norm, radii, {keys[place]: answer for place, answer in answers.items()})
                sys.stdout.flush()


if __name__ == "__main__":
    main()
