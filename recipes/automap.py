"""Trains the shipped AUTOMAP at 48×48 from 60 % variable-density samples: `python recipes/automap.py`.

The recipe of Zhu et al. (2018) at a size a laptop can train: 2·1,382 inputs → 3,516 tanh → 2,304; sum of squares plus
1e-4 ‖codes‖₁ on zero-mean images, inputs multiplied by U[.99, 1.01]; Adam instead of RMSprop 2e-5, which needs a
hundred times the steps. About fifteen minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from assay.datasets import mni152
from assay.operators.fourier import MaskedFourier
from assay.operators.subsampling import variable_density
from assay.systems.literature.automap import Automap
from training import Phase, augmented, psnr, train, training_slices

SIZE, FRACTION, HIDDEN, MASK_SEED = 48, 0.6, 3516, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="npz with `images` (…, h, w) to train on besides MNI152")
    parser.add_argument("--out", type=Path, default=Path("runs/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of steps")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    mask = variable_density((SIZE, SIZE), FRACTION, generator=torch.Generator().manual_seed(MASK_SEED))
    operator = MaskedFourier(mask=mask, centred=True)
    model = Automap(samples=operator.range[0], hidden=HIDDEN, size=SIZE)
    source = training_slices(arguments.data)

    def loss(phase: Phase, generator: torch.Generator) -> Tensor:
        truth = augmented(source, phase.batch, phase.size, crop=None, generator=generator).abs()
        y = operator.forward(truth)
        y = y * (0.99 + 0.02 * torch.rand(y.shape, generator=generator))
        with torch.autocast("cpu", torch.bfloat16):
            codes = model.codes(y)
            image = model.last(codes)[:, 0].float()
        return (image - truth).square().sum((-2, -1)).mean() + 1e-4 * codes.float().abs().flatten(1).sum(1).mean()

    held_out = mni152.slices(mni152.VALIDATION, SIZE)

    def evaluate() -> float:
        with torch.no_grad():
            return psnr(model(operator.forward(held_out), operator), held_out)

    train(model=model, name="automap", loss=loss, evaluate=evaluate, seed=arguments.seed, out=arguments.out,
          phases=[Phase(steps=round(2500 * arguments.scale), batch=32, size=SIZE, crop=None, rate=3e-4)],
          optimiser=torch.optim.Adam(model.parameters(), lr=3e-4),
          facts={"recipe": "recipes/automap.py", "mask": f"variable density {FRACTION:.0%}, seed {MASK_SEED}",
                 "architecture": f"AUTOMAP {SIZE}x{SIZE}, {2 * operator.range[0]} - {HIDDEN} - {SIZE * SIZE}",
                 "data": "MNI152 T1 axial planes 20-65, 120-145" + (f" + {arguments.data}" if arguments.data else ""),
                 "noise": "inputs times U[.99, 1.01]"})


if __name__ == "__main__":
    main()
