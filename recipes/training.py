"""What the training recipes share: augmented slices, fresh masks, the loop with checkpoints, the stamped weights file.

Everything is seeded; a killed run resumes from its last checkpoint with `--resume`. Weights are written as half
precision safetensors whose header records recipe, seed, data, steps and held-out accuracy.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from assay.datasets import mni152
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import cartesian_lines

NOISE = 0.01            # greatest relative noise of the plain recipes: the level the audited data have
JITTER = 0.08           # greatest relative noise of the jittered recipe


def training_slices(extra: Path | None) -> Tensor:
    """Axial MNI152 slices (fov, fov); with `extra`, an npz whose `images` (…, h, w) join them."""
    template = mni152.volume()
    stack = [mni152.axial(template, plane) for plane in mni152.TRAINING]
    if extra is not None:
        with np.load(extra, allow_pickle=False) as file:
            images = file["images"].reshape(-1, *file["images"].shape[-2:]).astype(np.float32)
        for image in torch.from_numpy(images / images.max()):
            pad = [max(0, mni152.FIELD_OF_VIEW - n) for n in image.shape]
            image = F.pad(image, (pad[1] // 2, pad[1] - pad[1] // 2, pad[0] // 2, pad[0] - pad[0] // 2))
            top, left = ((n - mni152.FIELD_OF_VIEW) // 2 for n in image.shape)
            stack.append(image[top: top + mni152.FIELD_OF_VIEW, left: left + mni152.FIELD_OF_VIEW])
    return torch.stack(stack)


def augmented(source: Tensor, count: int, size: int, *, crop: int | None, generator: torch.Generator) -> Tensor:
    """`count` complex images: random slice, affine map, grey-value curve, inversion, texture and smooth phase."""
    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    chosen = source[torch.randint(len(source), (count,), generator=generator)][:, None]
    angle, scale, stretch = uniform(-math.pi, math.pi), uniform(0.75, 1.25), uniform(0.9, 1.1)
    flip = (torch.rand(count, generator=generator) < 0.5).float() * 2 - 1
    cos, sin = angle.cos() / scale, angle.sin() / scale
    theta = torch.stack((torch.stack((cos * flip, -sin * stretch, uniform(-0.15, 0.15)), -1),
                         torch.stack((sin * flip, cos * stretch, uniform(-0.15, 0.15)), -1)), 1)
    image = F.grid_sample(chosen, F.affine_grid(theta, list(chosen.shape), align_corners=False), align_corners=False)
    image = mni152.shrink(image[:, 0], size)
    if crop is not None:
        top, left = (int(v) for v in torch.randint(size - crop + 1, (2,), generator=generator))
        image = image[:, top: top + crop, left: left + crop]
        size = crop
    inside = (image > 0.02).float()
    inverted = (uniform(0, 1) < 0.25).float()[:, None, None]
    image = inverted * inside * (1.05 - image) + (1 - inverted) * image
    image = image.clamp_min(1e-6) ** uniform(0.6, 1.7)[:, None, None] * inside
    texture = smooth_field(count, size, 12, generator) * uniform(0, 0.15)[:, None, None]
    bias = smooth_field(count, size, 3, generator) * 0.2
    image = image * (1 + texture + bias)
    image = image / image.amax((-2, -1), keepdim=True).clamp_min(1e-3)
    phase = smooth_field(count, size, 3, generator) * 1.5 * (uniform(0, 1) < 0.5).float()[:, None, None]
    return torch.polar(image, phase)


def smooth_field(count: int, size: int, knots: int, generator: torch.Generator) -> Tensor:
    """Random fields (count, size, size) of unit order, smooth on the scale size / knots."""
    coarse = torch.randn((count, 1, knots, knots), generator=generator)
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)[:, 0]


def noisy(y: Tensor, greatest: float, generator: torch.Generator) -> Tensor:
    """y + e, e Gaussian with E‖e‖ = η‖y‖, η uniform in [0, greatest], one η per example.

    Jittering as in Genzel, Macdonald and März, IEEE Trans. Pattern Anal. Mach. Intell. 45 (2023), section 3.4.
    """
    noise = torch.randn(y.shape, dtype=y.dtype, generator=generator)
    level = greatest * torch.rand(len(y), generator=generator)
    return y + noise * (level * y.norm(dim=1) / math.sqrt(y.shape[1]))[:, None]


def fresh_lines(size: int, generator: torch.Generator) -> MaskedFourier:
    """A new mask of Cartesian lines, 25 to 33 %, as in A4: the network never sees the same mask twice."""
    fraction = 0.25 + 0.08 * float(torch.rand((), generator=generator))
    axis = int(torch.randint(2, (), generator=generator))
    return MaskedFourier(mask=cartesian_lines((size, size), fraction, generator=generator, axis=axis), centred=True)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stage of training."""

    steps: int
    batch: int
    size: int
    crop: int | None
    rate: float


def train(*, model: nn.Module, name: str, loss: Callable[[Phase, torch.Generator], Tensor], phases: list[Phase],
          evaluate: Callable[[], float], seed: int, out: Path, facts: dict[str, str], weight_decay: float = 1e-6,
          optimiser: torch.optim.Optimizer | None = None, resume: bool = True) -> None:
    """Adam with a cosine rate per phase, a checkpoint every 100 steps, then the stamped weights file."""
    optimiser = optimiser or torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(seed)
    checkpoint, done = out / f"{name}.checkpoint.pt", 0
    out.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        done = int(state["done"])
    total, start, average = sum(p.steps for p in phases), time.time(), 0.0
    for step in range(done, total):
        phase, within = _phase_of(phases, step)
        for group in optimiser.param_groups:
            group["lr"] = phase.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * within / phase.steps)))
        optimiser.zero_grad(set_to_none=True)
        value = loss(phase, generator)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average = 0.95 * average + 0.05 * float(value.detach())
        if (step + 1) % 100 == 0 or step + 1 == total:
            temporary = checkpoint.with_suffix(".part")
            torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(),
                        "generator": generator.get_state(), "done": step + 1}, temporary)
            temporary.replace(checkpoint)
            write_weights(model, out / f"{name}.safetensors", facts | {
                "recipe": facts["recipe"], "seed": str(seed), "steps": f"{step + 1} of {total}",
                "phases": json.dumps([vars(p) for p in phases]), "held_out_psnr_db": f"{evaluate():.2f}"})
            print(f"{name} {step + 1}/{total} loss {average:.3e} held-out {evaluate():.2f} dB "
                  f"{time.time() - start:.0f} s", flush=True)


def _phase_of(phases: list[Phase], step: int) -> tuple[Phase, int]:
    for phase in phases:
        if step < phase.steps:
            return phase, step
        step -= phase.steps
    raise ValueError("step beyond the last phase")


def write_weights(model: nn.Module, path: Path, facts: dict[str, str]) -> None:
    """Half precision on disk; the header says what a reader must know to trust or repeat the weights."""
    state = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    temporary = path.with_suffix(".part")
    save_file(state, temporary, metadata=facts)
    temporary.replace(path)


def psnr(image: Tensor, truth: Tensor) -> float:
    """Mean over the batch of 20 log₁₀(peak of truth / root mean square error) of the moduli, in dB."""
    error = (image.abs() - truth.abs()).square().mean((-2, -1)).sqrt()
    return float((20 * (truth.abs().amax((-2, -1)) / error).log10()).mean())
