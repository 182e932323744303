"""The plain-array trainer against automatic differentiation and torch's own Adam, step for step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from assay.experiments import one_hidden_layer as layer


def by_torch(network: layer.Network, x, y, steps: int, rate: float, loss) -> layer.Network:
    inner, outer = (torch.tensor(a, requires_grad=True) for a in (network.inner, network.outer))
    optimiser = torch.optim.Adam([inner, outer], lr=rate)
    rows = torch.tensor(np.concatenate([x, np.ones((len(x), 1))], 1))
    for _ in range(steps):
        optimiser.zero_grad()
        loss(torch.relu(rows @ inner) @ outer[:-1] + outer[-1], torch.tensor(y)).backward()
        optimiser.step()
    return layer.Network(inner=inner.detach().numpy(), outer=outer.detach().numpy())


LOSSES = [(layer.logistic, F.binary_cross_entropy_with_logits), (layer.squared, F.mse_loss)]


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize(("derivative", "loss"), LOSSES)
def test_steps_are_those_of_adam(derivative, loss, anew):
    rng = np.random.default_rng(0)
    x, start = rng.standard_normal((7, 2)), layer.drawn(2, 5, rng)
    y = (x[:, 0] > 0).astype(float)
    mine = layer.train(start, x, y, epochs=40, batch=7, rate=1e-2, rng=rng, derivative=derivative, anew=anew)
    theirs = by_torch(start, x, y, 40, 1e-2, loss)
    assert np.abs(mine.inner - theirs.inner).max() < 1e-9
    assert np.abs(mine.outer - theirs.outer).max() < 1e-9


def test_a_wrong_derivative_is_another_training():
    rng = np.random.default_rng(0)
    x, start = rng.standard_normal((7, 2)), layer.drawn(2, 5, rng)
    y = (x[:, 0] > 0).astype(float)
    mine = layer.train(start, x, y, epochs=40, batch=7, rate=1e-2, rng=rng,
                       derivative=lambda s, t: 2 * layer.logistic(s, t) - 0.1)
    assert np.abs(mine.inner - by_torch(start, x, y, 40, 1e-2, LOSSES[0][1]).inner).max() > 1e-4


def test_batches_that_are_cut_once_stay_together(monkeypatch):
    """Of pairs (a, a) in batches of 2, cut once, each batch's gradient is asked for again and again; cut anew, pairs mix."""
    seen: dict[bool, set[float]] = {}
    for anew in (False, True):
        sums: set[float] = set()

        def noted(score, y, sums=sums):
            sums.add(round(float(y.sum()), 6))
            return layer.squared(score, y)

        rng = np.random.default_rng(1)
        y = 2.0 ** np.arange(8)
        layer.train(layer.drawn(1, 3, rng), np.zeros((8, 1)), y, epochs=50, batch=2, rate=1e-3, rng=rng, derivative=noted,
                    anew=anew)
        seen[anew] = sums
    assert len(seen[False]) == 4
    assert len(seen[True]) > 10
