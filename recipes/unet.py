"""Trains the shipped U-Net without data consistency: `python recipes/unet.py`. About twenty minutes on two cores."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from assay.datasets import mni152
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import cartesian_lines
from assay.systems.literature.unet import UNet
from training import NOISE, Phase, augmented, fresh_lines, noisy, psnr, train, training_slices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="npz with `images` (…, h, w) to train on besides MNI152")
    parser.add_argument("--out", type=Path, default=Path("runs/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of steps")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    source, model = training_slices(arguments.data), UNet().to(memory_format=torch.channels_last)

    def loss(phase: Phase, generator: torch.Generator) -> Tensor:
        truth = augmented(source, phase.batch, phase.size, crop=phase.crop, generator=generator)
        operator = fresh_lines(truth.shape[-1], generator)
        y = noisy(operator.forward(truth), NOISE, generator)
        with torch.autocast("cpu", torch.bfloat16):
            image = model(y, operator)
        return (image - truth).abs().square().mean() * 100

    held_out = mni152.slices(mni152.VALIDATION, 128)
    mask = cartesian_lines((128, 128), 0.33, generator=torch.Generator().manual_seed(0))
    operator = MaskedFourier(mask=mask, centred=True)

    def evaluate() -> float:
        with torch.no_grad():
            return psnr(model(operator.forward(held_out), operator), held_out)

    train(model=model, name="unet", loss=loss, evaluate=evaluate, seed=arguments.seed, out=arguments.out,
          phases=[Phase(steps=round(1200 * arguments.scale), batch=8, size=128, crop=None, rate=1e-3)],
          facts={"recipe": "recipes/unet.py", "architecture": "U-Net, width 32, 4 scales, no data consistency",
                 "data": "MNI152 T1 axial planes 20-65, 120-145" + (f" + {arguments.data}" if arguments.data else ""),
                 "noise": f"uniform in [0, {NOISE}] of the norm of y"})


if __name__ == "__main__":
    main()
