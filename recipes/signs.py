"""Trains the six shipped sign networks: `python recipes/signs.py --data gtsrb_32x32.npz [--network vgg-16]`.

The data are 32×32 crops of GTSRB (Stallkamp et al. 2012): an npz with `train_images` (n, 32, 32, 3) uint8,
`train_labels`, `test_images`, `test_labels`. The shipped weights come from 70 training images for each of the 43 signs
and are measured on every third official test image. The images do not ship. About five minutes each on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from assay.systems.literature.signs import FAMILIES, build
from classification import Changes, Part, Run, accuracy, part_of, sha256_of, train

CHANGES = Changes(turn=12, scale=0.15, shift=0.1, brightness=(0.4, 2.0), contrast=(0.6, 1.4))
STEPS = {"vgg-f": 2000, "googlenet": 6000, "resnet-152": 6000}        # the others: 2500
PLAIN = ("vgg-16", "vgg-19", "resnet-152")   # deep: with identity branches in training they learn much faster


def train_one(name: str, training: Part, test: Part, *, data: Path, run: Run) -> None:
    torch.manual_seed(run.seed)
    model = build(name)
    pixels = training.images.transpose(0, 1).flatten(1)
    model.standardise.set(mean=pixels.mean(1).tolist(), deviation=pixels.std(1).tolist())
    train(model=model, data=training, changes=CHANGES, run=run,
          evaluate=lambda network: {"held_out_accuracy": accuracy(network, test)},
          facts={"recipe": f"recipes/signs.py --network {name}", "architecture": f"{name} style",
                 "source": FAMILIES[name].source, "reduced": FAMILIES[name].reduced,
                 "data": f"GTSRB, Stallkamp et al. (2012), 32x32, {len(training.labels)} training images",
                 "data_sha256": sha256_of(data), "held_out": f"{len(test.labels)} images of the official test part",
                 "data_licence": "GTSRB is published free for use by the Institut fuer Neuroinformatik, Ruhr-Universitaet "
                                 "Bochum; the images are not shipped"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="gtsrb_32x32.npz")
    parser.add_argument("--network", choices=list(FAMILIES), help="train this one alone")
    parser.add_argument("--out", type=Path, default=Path("runs/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="of Adam; without it, as the shipped weights were trained")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training, test = part_of(arguments.data, "train"), part_of(arguments.data, "test")
    for name in [arguments.network] if arguments.network else list(FAMILIES):
        train_one(name, training, test, data=arguments.data,
                  run=Run(name=name, seed=arguments.seed, steps=arguments.steps or STEPS.get(name, 2500),
                          out=arguments.out, skips=name in PLAIN))


if __name__ == "__main__":
    main()
