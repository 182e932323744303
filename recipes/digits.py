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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from assay.datasets.labelled import PARTS, bundled_digits, load_labelled, one_batch
from assay.systems import fitting
from assay.systems.literature.lenet import LeNet
from assay.systems.literature.mlp import Mlp

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


def fit_svm(digits: Digits) -> tuple[nn.Module, dict[str, str]]:
    """One linear SVM per class on HOG features."""
    fitted = fitting.fit("hog-svm", [digits.train], [digits.tuning], classes=digits.classes, strengths=(fitting.C,)).module
    cell, features = fitted.cell, fitted.features
    return fitted, {"architecture": f"HOG, {cell}x{cell} cells, {features} features; linear SVM", "C": str(fitting.C)}


def fit_regression(digits: Digits) -> tuple[nn.Module, dict[str, str]]:
    """The ℓ2 weight with the smallest cross-entropy on the tuning part."""
    found = fitting.fit("multinomial", [digits.train], [digits.tuning], classes=digits.classes)
    return found.module, {"architecture": "multinomial regression on pixels", "l2_weight": f"{found.strength:g}",
                          "tuning_cross_entropy": json.dumps({f"{k:g}": round(v, 4) for k, v in found.losses.items()})}


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
