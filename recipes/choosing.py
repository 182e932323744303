"""What the recipes for texts, codes and rows share: fits of which the one of least loss on the tuning part is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

Examples = tuple[Tensor, Tensor]        # what the module is given, and the labels


def best_pass(module: nn.Module, forward: Callable[[Tensor], Tensor], optimiser: torch.optim.Optimizer, train: Examples,
              tuning: Examples, *, passes: int, batch: int) -> None:
    """Leave in the module the weights after the pass of least cross-entropy on the tuning part, each better one printed."""
    (x, labels), (held, theirs) = train, tuning
    best, kept = float("inf"), copy.deepcopy(module.state_dict())
    for epoch in range(passes):
        module.train()
        for some in torch.randperm(len(labels)).split(batch):
            optimiser.zero_grad()
            F.cross_entropy(forward(x[some]), labels[some]).backward()
            optimiser.step()
        module.eval()
        with torch.no_grad():
            scores = forward(held)
        loss = float(F.cross_entropy(scores, theirs))
        if loss < best:
            best, kept = loss, copy.deepcopy(module.state_dict())
            right = float((scores.argmax(1) == theirs).double().mean())
            print(f"pass {epoch + 1}: tuning loss {loss:.4f}, accuracy {right:.3f}")
    module.load_state_dict(kept)
    module.eval()


def best_regression(x: Any, labels: Tensor, held: Any, theirs: Tensor, cs: Sequence[float], **options: Any) -> Any:
    """scikit-learn's logistic regression, C of least loss on the tuning part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    fits = [LogisticRegression(C=c, **options).fit(x, labels) for c in cs]
    chosen = min(fits, key=lambda fit: log_loss(theirs, fit.predict_proba(held)))
    print(f"logistic regression: C = {chosen.C}, tuning accuracy {chosen.score(held, theirs):.3f}")
    return chosen


def put_into(linear: nn.Linear, regression: Any) -> None:
    """The weights of a fitted regression; of two classes, its score is that of the second."""
    weight, bias = torch.from_numpy(regression.coef_).float(), torch.from_numpy(regression.intercept_).float()
    if len(bias) == 1:
        weight, bias = torch.cat((torch.zeros_like(weight), weight)), torch.cat((torch.zeros(1), bias))
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)


def write_whole(module: nn.Module, file: Path, facts: dict[str, str]) -> None:
    """The weights in the precision they have, with what a reader must know to trust or repeat them."""
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, file, metadata=facts)
    file.chmod(0o644)
