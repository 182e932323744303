"""Trains the shipped deep cascades: `python recipes/deep_cascade.py`, then with jitter
`python recipes/deep_cascade.py --jitter --start runs/training/deep_cascade.safetensors`.

D5-C5 of Schlemper et al. (2018): Adam 1e-3, ℓ2 1e-6, a fresh mask each batch, 25 to 33 % lines. 1,200 steps run on
64×64 crops of 128×128 images (a quarter of the cost), 900 on whole images. The jittered network starts from the plain
one and takes 600 more steps on whole images, with noise up to 8 % of ‖y‖. About 40 minutes on two cores, then 12.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from assay.datasets import mni152
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import cartesian_lines
from assay.systems.literature.deep_cascade import DeepCascade
from training import JITTER, NOISE, Phase, augmented, fresh_lines, noisy, psnr, train, training_slices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jitter", action="store_true", help="noise up to 8 %% of ‖y‖ instead of 1 %%")
    parser.add_argument("--start", type=Path, help="weights to start from; skips the steps on crops")
    parser.add_argument("--data", type=Path, help="npz with `images` (…, h, w) to train on besides MNI152")
    parser.add_argument("--out", type=Path, default=Path("runs/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of steps")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    source, model = training_slices(arguments.data), DeepCascade().to(memory_format=torch.channels_last)
    if arguments.start is not None:
        model.load_state_dict({name: value.float() for name, value in load_file(arguments.start).items()})
    level = JITTER if arguments.jitter else NOISE

    def loss(phase: Phase, generator: torch.Generator) -> Tensor:
        truth = augmented(source, phase.batch, phase.size, crop=phase.crop, generator=generator)
        operator = fresh_lines(truth.shape[-1], generator)
        y = noisy(operator.forward(truth), level, generator)
        with torch.autocast("cpu", torch.bfloat16):
            image = model(y, operator)
        return (image - truth).abs().square().mean() * 100

    held_out = mni152.slices(mni152.VALIDATION, 128)
    mask = cartesian_lines((128, 128), 0.33, generator=torch.Generator().manual_seed(0))
    operator = MaskedFourier(mask=mask, centred=True)

    def evaluate() -> float:
        with torch.no_grad():
            return psnr(model(operator.forward(held_out), operator), held_out)

    crops = Phase(steps=round(1200 * arguments.scale), batch=12, size=128, crop=64, rate=1e-3)
    whole = Phase(steps=round(900 * arguments.scale), batch=4, size=128, crop=None, rate=5e-4)
    more = Phase(steps=round(600 * arguments.scale), batch=4, size=128, crop=None, rate=5e-4)
    train(model=model, name="deep_cascade_jitter" if arguments.jitter else "deep_cascade", loss=loss,
          phases=[crops, whole] if arguments.start is None else [more],
          evaluate=evaluate, seed=arguments.seed, out=arguments.out,
          facts={"recipe": "recipes/deep_cascade.py" + (" --jitter" if arguments.jitter else "")
                 + (f" --start {arguments.start.name}" if arguments.start else ""),
                 "architecture": "deep cascade, 5 cascades of 5 convolutions, width 64",
                 "data": "MNI152 T1 axial planes 20-65, 120-145" + (f" + {arguments.data}" if arguments.data else ""),
                 "noise": f"uniform in [0, {level}] of the norm of y"})


if __name__ == "__main__":
    main()
