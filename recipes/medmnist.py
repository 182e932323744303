"""Trains the small medical classifier: `python recipes/medmnist.py --data pneumoniamnist.npz [--name pneumonia]`.

The data are MedMNIST v2 at 28×28 (Yang et al. 2023, CC BY 4.0): an npz with `train_images` (n, 28, 28) uint8,
`train_labels` (n, 1), and the same for `val` and `test`. The threshold of the header is chosen on the validation part and
measured on the test part. The shipped pneumonia weights come from a copy whose train part had been thinned from 4,708 to
3,882 images by others. About two minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from assay.numerics import binary
from assay.systems.literature.medmnist_cnn import MedmnistCnn
from classification import Changes, Part, Run, accuracy, logits_of, part_of, sha256_of, train

CHANGES = Changes(turn=10, scale=0.1, shift=0.07, brightness=(0.8, 1.25), contrast=(0.8, 1.25))
SPECIFICITY = 0.9
CLASSES = {"pneumonia": ("normal", "pneumonia"), "breast": ("malignant", "benign or normal")}
POSITIVE = {"pneumonia": 1, "breast": 0}


def facts_of(network: nn.Module, validation: Part, test: Part, positive: int) -> dict[str, str]:
    """AUROC, and sensitivity and specificity at the threshold that has specificity 0.9 on the validation part."""
    scores, labels = scored(network, test, positive)
    threshold = binary.sensitivity_at_specificity(*scored(network, validation, positive), specificity=SPECIFICITY).threshold
    sensitivity = binary.sensitivity_at_threshold(scores, labels, threshold=threshold)
    specificity = binary.specificity_at_threshold(scores, labels, threshold=threshold)
    return {"held_out_accuracy": accuracy(network, test), "held_out_auroc": f"{binary.auroc(scores, labels):.4f}",
            "held_out_prevalence": f"{binary.prevalence(labels):.4f}",
            "held_out_majority_accuracy": f"{binary.majority_accuracy(labels):.4f}",
            "threshold": f"{threshold:.4f} of the difference of logits: specificity {SPECIFICITY} on the validation part",
            "held_out_sensitivity": f"{sensitivity:.4f}", "held_out_specificity": f"{specificity:.4f}"}


def scored(network: nn.Module, part: Part, positive: int) -> tuple[Tensor, Tensor]:
    """Scores of the positive class, logit minus logit, and labels that are 1 where it is true."""
    logits = logits_of(network, part.images)
    return logits[:, positive] - logits[:, 1 - positive], (part.labels == positive).long()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="npz of MedMNIST with two classes")
    parser.add_argument("--name", choices=list(CLASSES), default="pneumonia")
    parser.add_argument("--out", type=Path, default=Path("runs/training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    training, validation, test = (part_of(arguments.data, part) for part in ("train", "val", "test"))
    counts = np.bincount(training.labels, minlength=2)
    if len(counts) != 2 or training.images.shape[1:] != (1, 28, 28):
        raise SystemExit(f"{arguments.data}: expected grey 28×28 images of two classes, got {len(counts)} classes of "
                         f"{tuple(training.images.shape[1:])}")
    model, positive = MedmnistCnn(), POSITIVE[arguments.name]
    model.standardise.set(mean=[float(training.images.mean())], deviation=[float(training.images.std())])
    train(model=model, data=training, changes=CHANGES,
          run=Run(name=arguments.name, seed=arguments.seed, steps=arguments.steps, out=arguments.out),
          evaluate=lambda network: facts_of(network, validation, test, positive),
          facts={"recipe": f"recipes/medmnist.py --name {arguments.name}", "classes": ", ".join(CLASSES[arguments.name]),
                 "positive": CLASSES[arguments.name][positive], "architecture": "six 3x3 convolutions, global average",
                 "data": f"MedMNIST v2, {arguments.name}, 28x28, {len(training.labels)} training images",
                 "data_sha256": sha256_of(arguments.data), "held_out": f"{len(test.labels)} images of the test part",
                 "data_licence": "CC BY 4.0; Yang et al., MedMNIST v2, Scientific Data 10 (2023)"
                                 + ("; images of Kermany et al., Cell 172 (2018)" if arguments.name == "pneumonia" else
                                    "; images of Al-Dhabyani et al., Data in Brief 28 (2020)"),
                 "use": "to be audited; not a medical device"})


if __name__ == "__main__":
    main()
