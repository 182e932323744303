"""Trains the shipped digit classifiers, in seconds on one core: `python recipes/digits.py`.

LeNet and FC500-150-10 by Adam on the cross-entropy; HOG with linear SVMs (one versus rest, squared hinge, C = 0.5) and
multinomial regression (ℓ2 weight chosen on the tuning part) solved to convergence. All see the train part only; the
accuracy in a file's header is that of the weights as written there, on the audited part. With `--data FILE.npz` the
same on your images (8×8 or 28×28 pixels), a fifth of them held out and a tenth kept for tuning; for MNIST as Keras
packs it, `--data mnist.npz --keys x_train y_train`. Weights go to `--out`; those that ship lie in
src/assay/systems/literature/weights.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from assay.datasets.labelled import PARTS, bundled_digits, load_labelled, one_batch
from assay.systems.established_classifiers import HogSvm, MultinomialRegression
from assay.systems.hog import hog
from assay.systems.literature.lenet import LeNet
from assay.systems.literature.mlp import Mlp

C = 0.5                                                 # systems.md: HOG + SVM of section B12
WEIGHTS = tuple(10.0 ** k for k in range(-5, 1))        # ℓ2 weights that multinomial regression is tried with
Part = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Digits:
    """The three parts, each (images, labels), with the words that identify them."""

    train: Part
    tuning: Part
    held_out: Part
    classes: int
    name: str
    digest: str


def bundled() -> Digits:
    """The digits that ship with Assay, in the parts they ship with."""
    parts = {name: bundled_digits(name) for name in PARTS}
    return Digits(train=one_batch(parts["train"]), tuning=one_batch(parts["tuning"]), held_out=one_batch(parts["audited"]),
                  classes=10, name="bundled:digits-train", digest=parts["train"].record.digest)


def from_file(path: Path, seed: int, keys: Sequence[str] | None = None) -> Digits:
    """A user's images, split by the seed: seven tenths to train on, one to tune on, two held out."""
    image_key, label_key = keys or (None, None)
    data = load_labelled(path, image_key=image_key, label_key=label_key)
    images, labels = one_batch(data)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    held_out, tuning, train = order.tensor_split([len(order) // 5, len(order) // 5 + len(order) // 10])
    return Digits(train=(images[train], labels[train]), tuning=(images[tuning], labels[tuning]), name=path.name,
                  held_out=(images[held_out], labels[held_out]), classes=len(data.classes), digest=data.record.digest)


def train(model: nn.Module, part: Part, *, steps: int, batch: int, rate: float, seed: int) -> None:
    """Adam with a cosine rate on the mean cross-entropy of random batches."""
    images, labels = part
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = torch.randint(len(labels), (batch,), generator=generator)
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimiser.step()


def minimise(objective: Callable[[Tensor], Tensor], start: Tensor, *, tolerance: float) -> Tensor:
    """L-BFGS in double precision until the gradient's norm is `tolerance` times that at the origin."""
    origin = torch.zeros_like(start, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(objective(origin), origin)
    enough = tolerance * float(first.norm())
    x = start.double().clone().requires_grad_(True)
    for _ in range(50):     # torch's L-BFGS ends early when a line search stalls; a new one starts with fresh curvature
        optimiser = torch.optim.LBFGS([x], max_iter=1000, history_size=50, tolerance_grad=enough / math.sqrt(x.numel()),
                                      tolerance_change=0, line_search_fn="strong_wolfe")

        def closure(optimiser: torch.optim.Optimizer = optimiser) -> Tensor:
            optimiser.zero_grad()
            value = objective(x)
            value.backward()
            return value

        optimiser.step(closure)
        (gradient,) = torch.autograd.grad(objective(x), x)
        if float(gradient.norm()) <= enough:
            return x.detach()
    raise SystemExit(f"L-BFGS stopped at a gradient of {float(gradient.norm()):.1e}; enough is {enough:.1e}")


def svm_objective(theta: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Σ_c ½‖(w_c, b_c)‖² + C Σ_i max(0, 1 − y_ic s_ic)², y = ±1: LIBLINEAR's, which counts the bias as a weight.

    Strongly convex with modulus 1, so the minimiser is at most the gradient's norm away.
    """
    signs = 2 * F.one_hot(labels, theta.shape[0]).to(theta) - 1
    scores = features @ theta[:, :-1].T + theta[:, -1]
    return theta.square().sum() / 2 + C * (1 - signs * scores).clamp_min(0).square().sum()


def fit_svm(digits: Digits) -> tuple[HogSvm, dict[str, str]]:
    """One linear SVM per class on HOG features, in cells of 2×2 pixels for 8×8 images and 4×4 for larger ones."""
    images, labels = digits.train
    cell = 2 if images.shape[-1] == 8 else 4
    features = hog(images.double(), cell=cell)
    start = torch.zeros(digits.classes, features.shape[1] + 1, dtype=torch.float64)
    theta = minimise(lambda theta: svm_objective(theta, features, labels), start, tolerance=1e-8)
    model = HogSvm(features=features.shape[1], classes=digits.classes, cell=cell)
    _set(model.svm, theta)
    return model, {"architecture": f"HOG, {cell}x{cell} cells, {features.shape[1]} features; linear SVM", "C": str(C)}


def regression_objective(theta: Tensor, pixels: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Mean cross-entropy + weight/2 · ‖W‖²; the bias is not shrunk."""
    return F.cross_entropy(pixels @ theta[:, :-1].T + theta[:, -1], labels) + weight / 2 * theta[:, :-1].square().sum()


def fit_regression(digits: Digits) -> tuple[MultinomialRegression, dict[str, str]]:
    """The ℓ2 weight with the smallest cross-entropy on the tuning part, of `WEIGHTS`, from the largest down."""
    (images, labels), (tuning, tuning_labels) = digits.train, digits.tuning
    pixels, theta = images.flatten(1).double(), torch.zeros(digits.classes, images[0].numel() + 1, dtype=torch.float64)
    losses: dict[float, float] = {}
    found: dict[float, Tensor] = {}
    for weight in sorted(WEIGHTS, reverse=True):
        theta = minimise(lambda theta, weight=weight: regression_objective(theta, pixels, labels, weight), theta,
                         tolerance=1e-6)
        found[weight] = theta
        losses[weight] = float(regression_objective(theta, tuning.flatten(1).double(), tuning_labels, 0.0))
    best = min(losses, key=losses.__getitem__)
    model = MultinomialRegression(pixels=pixels.shape[1], classes=digits.classes)
    _set(model.linear, found[best])
    return model, {"architecture": "multinomial regression on pixels", "l2_weight": f"{best:g}",
                   "tuning_cross_entropy": json.dumps({f"{k:g}": round(v, 4) for k, v in losses.items()})}


def _set(layer: nn.Linear, theta: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(theta[:, :-1])
        layer.bias.copy_(theta[:, -1])


def accuracy(model: nn.Module, part: Part) -> float:
    """Share of images whose largest score is that of their label."""
    with torch.no_grad():
        return float((model(part[0]).argmax(1) == part[1]).double().mean())


def write(model: nn.Module, path: Path, digits: Digits, facts: Mapping[str, str], *, kind: torch.dtype) -> float:
    """The weights in precision `kind`, and in the header the held-out accuracy of just those rounded weights."""
    state = {name: value.detach().to(kind).contiguous() for name, value in model.state_dict().items()}
    model.load_state_dict({name: value.float() for name, value in state.items()})
    reached = accuracy(model.eval(), digits.held_out)
    temporary = path.with_suffix(".part")
    save_file(state, temporary, metadata={**facts, "recipe": "recipes/digits.py", "data": digits.name,
                                          "data_digest": digits.digest, "held_out_accuracy": f"{reached:.4f}",
                                          "held_out": str(len(digits.held_out[1]))})
    temporary.replace(path)
    print(f"{path} {path.stat().st_size} bytes, train {accuracy(model, digits.train):.4f}, held-out {reached:.4f}")
    return reached


def fit_network(name: str, digits: Digits, *, seed: int, steps: int) -> tuple[nn.Module, dict[str, str]]:
    """`lenet` or `mlp`, trained from weights drawn by the seed."""
    (channels, size, _), pixels = digits.train[0].shape[1:], digits.train[0][0].numel()
    with torch.random.fork_rng():
        torch.manual_seed(seed)         # torch's layers draw their first weights from the global generator
        model = LeNet(size=size, channels=channels, classes=digits.classes) if name == "lenet" else \
            Mlp(pixels=pixels, classes=digits.classes)
    train(model, digits.train, steps=steps, batch=128, rate=1e-3, seed=seed)
    return model, {"architecture": f"LeNet {size}x{size}" if name == "lenet" else f"fully connected {pixels}-500-150",
                   "seed": str(seed), "optimiser": f"Adam 1e-3, cosine, {steps} steps of 128"}


def make(digits: Digits, out: Path, *, seed: int = 1, steps: int = 1500) -> None:
    """Trains and writes all four: networks in half precision, the convex ones in single, being small."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("lenet", "mlp"):
        model, facts = fit_network(name, digits, seed=seed, steps=steps)
        write(model, out / f"{name}.safetensors", digits, facts, kind=torch.float16)
    for name, (fitted, facts) in {"hog_svm": fit_svm(digits), "multinomial": fit_regression(digits)}.items():
        write(fitted, out / f"{name}.safetensors", digits, facts | {"seed": "none, convex"}, kind=torch.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="npz with images of 8×8 or 28×28 pixels and labels, instead of the digits")
    parser.add_argument("--keys", nargs=2, metavar=("IMAGES", "LABELS"), help="arrays of the npz, where not obvious")
    parser.add_argument("--out", type=Path, default=Path("runs/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1500, help="of Adam, for the networks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)        # the networks are small, and one thread gives the same sums on every machine
    digits = bundled() if arguments.data is None else from_file(arguments.data, arguments.seed, arguments.keys)
    make(digits, arguments.out, seed=arguments.seed, steps=arguments.steps)


if __name__ == "__main__":
    main()
