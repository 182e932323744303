"""Stop a release whose worst case is too bad: the audit as an assertion, as a test suite would make it.

    python examples/gate_a_release.py [FOLDER]

In a test of your own the fixture `assert_stable` does the same, with its folder among the test's temporary files:

    def test_the_network_is_stable(assert_stable):
        assert_stable("my_network:make", "test.npz", labels="labels", fail_on="WARNING")
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from assay.datasets.labelled import bundled_digits, one_batch
from assay.systems.torch import TorchSystem
from assay.testing import assert_stable

torch.manual_seed(0)
images, labels = one_batch(bundled_digits("train"))                # (1097, 1, 8, 8) in [0, 1], and classes 0 to 9
network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
for _ in range(200):
    chosen = torch.randint(len(labels), (64,))
    optimiser.zero_grad()
    F.cross_entropy(network(images[chosen]), labels[chosen]).backward()
    optimiser.step()

try:
    assert_stable(TorchSystem(network, name="candidate"), "bundled:digits", established=["hog-svm"], limit=40,
                  profile=str(Path(__file__).with_name("three_questions.toml")),
                  fail_on=["WARNING", "unstable:smallest-flip"],
                  out=sys.argv[1] if len(sys.argv) > 1 else "runs/example-gate")
except AssertionError as stop:
    print(f"The release stops here.\n{stop}")
