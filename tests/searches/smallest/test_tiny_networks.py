"""The cascade against tiny relu networks whose smallest flip is known exactly, by mixed-integer programming."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from assay.perturbations.protocol import stream
from assay.searches.smallest.cascade import smallest_change
from assay.searches.smallest.deepfool import deepfool

sys.path.insert(0, str(Path(__file__).parent))
import exact


def cascade(scores, x, decision, **options):
    return smallest_change(scores, x, decision, generators=[stream("smallest", i) for i in range(len(x))], **options)


def tiny_relu(seed: int, hidden: int = 6, n: int = 4, classes: int = 3):
    """A network that has learnt something: which of three random centres is nearest, in [0, 1]ⁿ."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(classes, n, dtype=torch.float64, generator=generator)
    data = torch.rand(256, n, dtype=torch.float64, generator=generator)
    truth = torch.cdist(data, centres).argmin(1)
    weights = [torch.randn(*s, dtype=torch.float64, generator=generator).div(s[-1] ** 0.5).requires_grad_()
               for s in ((hidden, n), (hidden,), (classes, hidden), (classes,))]
    optimiser = torch.optim.Adam(weights, 0.05)
    for _ in range(120):
        optimiser.zero_grad()
        W, b, V, d = weights
        torch.nn.functional.cross_entropy(torch.relu(data @ W.T + b) @ V.T + d, truth).backward()
        optimiser.step()
    W, b, V, d = (w.detach() for w in weights)
    x = data[:10].clone()
    x[:, 0] = x[:, 0].round()                                                   # saturated
    return (lambda v: torch.relu(v @ W.T + b) @ V.T + d), x, [w.numpy() for w in (W, b, V, d)]


def relu_ratios(search) -> np.ndarray:
    found = []
    for seed in range(5):
        scores, x, weights = tiny_relu(seed)
        size = search(scores, x, scores(x).argmax(1), norm="linf", box=(0.0, 1.0)).size
        best = np.array([exact.relu_network(*weights, row, (0.0, 1.0)) for row in x.numpy()])
        found.append(size.numpy() / best)
    return np.concatenate(found)


def test_cascade_is_within_two_percent_of_exact_on_fifty_inputs_of_tiny_relu_networks():
    ratio = relu_ratios(cascade)
    assert len(ratio) == 50 and ratio.min() >= 1 - 1e-6 and ratio.max() <= 1.02


def test_deepfool_alone_would_be_caught_there():
    scores, x, weights = tiny_relu(0)
    size = deepfool(scores, x, scores(x).argmax(1), norm="linf", box=(0.0, 1.0)).size
    best = np.array([exact.relu_network(*weights, row, (0.0, 1.0)) for row in x.numpy()])
    assert (size.numpy() / best).max() > 1.02
