"""Audit a torch classifier of your own on images of your own: a small network, trained here on handwritten digits.

    python examples/audit_torch_classifier.py [FOLDER]

The established classifier beside it is HOG with a linear SVM. Three questions (three_questions.toml), so that it ends soon;
leave out `profile` for all questions of the profile research.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import assay
from assay.datasets.labelled import bundled_digits, one_batch
from assay.systems.torch import TorchSystem

torch.manual_seed(0)
images, labels = one_batch(bundled_digits("train"))                # (1097, 1, 8, 8) in [0, 1], and classes 0 to 9
network = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10))
optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
for _ in range(300):
    chosen = torch.randint(len(labels), (64,))
    optimiser.zero_grad()
    F.cross_entropy(network(images[chosen]), labels[chosen]).backward()
    optimiser.step()

audit = assay.audit(                                               # scores before any softmax, one for each class
    TorchSystem(network, name="my-network"), "bundled:digits", established=["hog-svm"], limit=60,
    profile=str(Path(__file__).with_name("three_questions.toml")),
    out=sys.argv[1] if len(sys.argv) > 1 else "runs/example-classifier")

for verdict in audit.verdicts:
    print(f"{verdict.check:14} {verdict.system:11} {verdict.outcome:11} {verdict.reason}")
print(audit.folder / "report.html")
