"""What the recipes of image classifiers share: augmented batches, the loop with checkpoints, folded batch normalisation.

Everything is seeded; a killed run resumes from its last checkpoint. Batch normalisation helps to train and is no part
of what ships: it is inserted behind every convolution and hidden dense layer here, and folded into them before the
weights are measured and written, so that the shipped network is convolutions and dense layers alone.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from training import write_weights

CHECKPOINT_EVERY = 100
EVALUATE_EVERY = 500


@dataclass(frozen=True, kw_only=True)
class Part:
    """Images (n, channels, height, width) in [0, 1] and their classes (n,)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How far a training image may be changed: degrees, share of the scale, share of the side, factors of grey values."""

    turn: float
    scale: float
    shift: float
    brightness: tuple[float, float]
    contrast: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: `rate` is the peak of the cosine, reached after `warmup` steps; `skips`: see `insert_batch_norm`."""

    name: str
    seed: int
    steps: int
    out: Path
    batch: int = 32
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 0.02
    skips: bool = False


def part_of(path: Path, name: str) -> Part:
    """`NAME_images` (n, h, w) or (n, h, w, 3), uint8, and `NAME_labels` of an npz file."""
    with np.load(path, allow_pickle=False) as file:
        images, labels = file[f"{name}_images"], file[f"{name}_labels"]
    channels_last = images if images.ndim == 4 else images[..., None]
    return Part(images=torch.from_numpy(channels_last).permute(0, 3, 1, 2).float() / 255,
                labels=torch.from_numpy(labels.reshape(-1).astype(np.int64)))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def augmented(images: Tensor, changes: Changes, generator: torch.Generator) -> Tensor:
    """Every image turned, scaled, shifted, brightened and its contrast changed by its own random amounts; never mirrored."""
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    angle = uniform(-changes.turn, changes.turn) * math.pi / 180
    across, along = (uniform(1 - changes.scale, 1 + changes.scale) for _ in range(2))
    right, down = (2 * uniform(-changes.shift, changes.shift) for _ in range(2))
    theta = torch.stack((torch.stack((angle.cos() * across, -angle.sin() * along, right), -1),
                         torch.stack((angle.sin() * across, angle.cos() * along, down), -1)), 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    mean = moved.mean((1, 2, 3), keepdim=True)
    contrast = uniform(*changes.contrast)[:, None, None, None]
    brightness = uniform(*(math.log(b) for b in changes.brightness)).exp()[:, None, None, None]
    return (((moved - mean) * contrast + mean) * brightness).clamp(0, 1)


class Normalised(nn.Module):
    """A convolution or dense layer and the batch normalisation behind it, with `skip` also past both."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, *, skip: bool = False) -> None:
        super().__init__()
        self.layer, self.skip = layer, skip
        self.norm: nn.Module = (nn.BatchNorm2d(layer.out_channels) if isinstance(layer, nn.Conv2d)
                                else nn.BatchNorm1d(layer.out_features))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.norm(self.layer(x))
        return x + change if self.skip else change

    def folded(self) -> nn.Module:
        """One layer that computes the same in evaluation."""
        if isinstance(self.layer, nn.Linear):
            return fuse_linear_bn_eval(self.layer, self.norm)
        layer = fuse_conv_bn_eval(self.layer, self.norm)
        if self.skip:
            with torch.no_grad():
                layer.weight += nn.init.dirac_(torch.empty_like(layer.weight))
        return layer


def insert_batch_norm(module: nn.Module, *, skips: bool = False) -> None:
    """Put batch normalisation behind every convolution and every dense layer that is not the last, in place.

    With `skips` a convolution that changes neither width nor size also gets an identity beside it. A plain network of
    16 layers then trains like a residual one, and folds into the plain one: Ding et al., "RepVGG" (CVPR 2021).
    """
    children = list(module.named_children())
    for position, (name, child) in enumerate(children):
        if isinstance(child, nn.Conv2d):
            same = child.in_channels == child.out_channels and child.stride == (1, 1) and child.groups == 1
            setattr(module, name, Normalised(child, skip=skips and same))
        elif isinstance(child, nn.Linear) and position + 1 < len(children):
            setattr(module, name, Normalised(child))
        else:
            insert_batch_norm(child, skips=skips)


def shipped(module: nn.Module) -> nn.Module:
    """A copy as it ships: batch normalisation folded into the convolutions, weights rounded to half precision."""
    module = copy.deepcopy(module).eval()
    _fold(module)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.copy_(value.half())
    return module


def _fold(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Normalised):
            setattr(module, name, child.folded())
        else:
            _fold(child)


def logits_of(module: nn.Module, images: Tensor, *, batch: int = 200) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(images[i: i + batch]) for i in range(0, len(images), batch)])


def accuracy(module: nn.Module, part: Part) -> str:
    """Share and counts, as the header records them."""
    right = int((logits_of(module, part.images).argmax(1) == part.labels).sum())
    return f"{right / len(part.labels):.4f} ({right} of {len(part.labels)})"


def train(*, model: nn.Module, data: Part, changes: Changes, run: Run, facts: dict[str, str],
          evaluate: Callable[[nn.Module], dict[str, str]]) -> None:
    """Cross-entropy by Adam with decoupled decay and a cosine rate; a checkpoint every 100 steps; then the weights file.

    `evaluate` sees the network as it ships and returns facts for the header. It is asked for the log alone: nothing is
    chosen by what it says.
    """
    insert_batch_norm(model, skips=run.skips)
    model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=run.rate, weight_decay=run.decay, fused=True)
    generator = torch.Generator().manual_seed(run.seed)
    checkpoint = run.out / f"{run.name}.checkpoint.pt"
    run.out.mkdir(parents=True, exist_ok=True)
    done = _resume(checkpoint, model, optimiser, generator, run)
    start, average = time.time(), 0.0
    for step in range(done, run.steps):
        for group in optimiser.param_groups:
            group["lr"] = run.rate * min(1.0, (step + 1) / run.warmup) * 0.5 * (1 + math.cos(math.pi * step / run.steps))
        value = _step(model, data, changes, run, optimiser, generator)
        average = value if step == done else 0.95 * average + 0.05 * value
        if (step + 1) % CHECKPOINT_EVERY == 0:
            _save(checkpoint, model, optimiser, generator, run, step + 1)
            print(f"{run.name} {step + 1}/{run.steps} loss {average:.3f} {time.time() - start:.0f} s", flush=True)
        if (step + 1) % EVALUATE_EVERY == 0:
            print(f"{run.name} {step + 1}/{run.steps} {evaluate(shipped(model))}", flush=True)
    final = shipped(model)
    figures = evaluate(final)
    write_weights(final, run.out / f"{run.name}.safetensors", facts | figures | {
        "seed": str(run.seed), "steps": str(run.steps), "batch": str(run.batch),
        "optimiser": f"AdamW, peak rate {run.rate}, decay {run.decay}, cosine, {run.warmup} steps of warm-up",
        "augmentation": f"{changes}",
        "batch_normalisation": "in training only; folded into the layers before it",
        "identity_branches": "in training only; folded into the convolutions" if run.skips else "none"})
    print(f"{run.name} done {figures} {time.time() - start:.0f} s", flush=True)


def _step(model: nn.Module, data: Part, changes: Changes, run: Run, optimiser: torch.optim.Optimizer,
          generator: torch.Generator) -> float:
    model.train()
    chosen = torch.randint(len(data.labels), (run.batch,), generator=generator)
    images = augmented(data.images[chosen], changes, generator).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    loss = F.cross_entropy(logits.float(), data.labels[chosen])
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def _save(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator, run: Run,
          done: int) -> None:
    temporary = path.with_suffix(".part")
    torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "generator": generator.get_state(),
                "dropout": torch.get_rng_state(), "done": done, "steps": run.steps, "seed": run.seed}, temporary)
    temporary.replace(path)


def _resume(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator, run: Run) -> int:
    """Steps already done; 0 without a checkpoint. Stops at a checkpoint of another seed or length."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if (state["steps"], state["seed"]) != (run.steps, run.seed):
        raise SystemExit(f"{path} belongs to {state['steps']} steps with seed {state['seed']}; delete it, or choose another "
                         "--out")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    generator.set_state(state["generator"])
    torch.set_rng_state(state["dropout"])
    return int(state["done"])
