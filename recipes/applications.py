"""Trains the shipped classifiers of synthetic applications, in seconds on one core: `python recipes/applications.py`.

The network by Adam on the cross-entropy, 60 passes, the pass of least loss on the tuning part; logistic regression by
scikit-learn, C of least loss on the tuning part. Both see the train part only, a history that was not always right. The
accuracy in a file's header is that on the audited part, whose decisions are. Weights go to `--out`; those that ship lie in
src/assay/systems/literature/weights.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor, nn

from assay.datasets.applications import CLASSES, FIELDS, applications
from assay.systems.row_classifiers import RowLogistic, RowNetwork
from assay.systems.tables import one_hot

PASSES, BATCH, RATE = 60, 64, 2e-3
CS = (0.01, 0.1, 1.0, 10.0, 100.0, 1e3)


def part(name: str) -> tuple[Tensor, Tensor]:
    found = applications(name)
    return torch.tensor([one.row for one in found], dtype=torch.float64), torch.tensor([one.label for one in found])


def network(seed: int) -> RowNetwork:
    torch.manual_seed(seed)
    (x, labels), (held, theirs) = part("train"), part("tuning")
    module = RowNetwork(one_hot(FIELDS), classes=len(CLASSES))
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    best, kept = float("inf"), copy.deepcopy(module.state_dict())
    for epoch in range(PASSES):
        for some in torch.randperm(len(labels)).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(module(x[some]), labels[some]).backward()
            optimiser.step()
        with torch.no_grad():
            scores = module(held)
        loss = float(F.cross_entropy(scores, theirs))
        if loss < best:
            best, kept = loss, copy.deepcopy(module.state_dict())
            print(f"pass {epoch + 1}: tuning loss {loss:.4f}, "
                  f"accuracy {float((scores.argmax(1) == theirs).double().mean()):.3f}")
    module.load_state_dict(kept)
    return module.eval()


def logistic() -> RowLogistic:
    (x, labels), (held, theirs) = part("train"), part("tuning")
    module = RowLogistic(one_hot(FIELDS), classes=2)
    columns, held_columns = module.encode(x), module.encode(held)
    fits = [LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(columns, labels) for c in CS]
    chosen = min(fits, key=lambda fit: log_loss(theirs, fit.predict_proba(held_columns)))
    print(f"logistic regression: C = {chosen.C}, tuning accuracy {chosen.score(held_columns, theirs):.3f}")
    with torch.no_grad():
        module.linear.weight.copy_(torch.stack((torch.zeros(columns.shape[1]), torch.from_numpy(chosen.coef_[0]).float())))
        module.linear.bias.copy_(torch.tensor([0.0, float(chosen.intercept_[0])]))
    return module.eval()


def write(module: nn.Module, file: Path, how: str) -> None:
    x, labels = part("audited")
    with torch.no_grad():
        accuracy = float((module(x).argmax(1) == labels).double().mean())
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, file, metadata={
        "recipe": "recipes/applications.py", "data": "bundled:applications-train", "how": how,
        "accuracy": f"{accuracy:.4f}"})
    file.chmod(0o644)
    print(f"{file}: {accuracy:.1%} of {len(labels)} audited applications")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    write(network(options.seed), options.out / "applications_net.safetensors", f"Adam, {PASSES} passes, seed {options.seed}")
    write(logistic(), options.out / "applications_logistic.safetensors", "scikit-learn, C on the tuning part")


if __name__ == "__main__":
    main()
