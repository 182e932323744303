"""Trains the shipped classifiers of synthetic applications, in seconds on one core: `python recipes/applications.py`.

The network by Adam on the cross-entropy, 60 passes, the pass of least loss on the tuning part; logistic regression by
scikit-learn, C of least loss on the tuning part. Both see the train part only, a history that was not always right. The
accuracy in a file's header is that on the audited part, whose decisions are. Weights go to `--out`; those that ship lie in
src/assay/systems/literature/weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from assay.datasets.applications import CLASSES, FIELDS, applications
from assay.systems.row_classifiers import RowLogistic, RowNetwork
from assay.systems.tables import one_hot
from choosing import best_pass, best_regression, put_into, write_whole

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
    best_pass(module, module, optimiser, (x, labels), (held, theirs), passes=PASSES, batch=BATCH)
    return module


def logistic() -> RowLogistic:
    (x, labels), (held, theirs) = part("train"), part("tuning")
    module = RowLogistic(one_hot(FIELDS), classes=2)
    columns, held_columns = module.encode(x), module.encode(held)
    put_into(module.linear, best_regression(columns, labels, held_columns, theirs, CS, max_iter=5000, tol=1e-8))
    return module.eval()


def write(module: nn.Module, file: Path, how: str) -> None:
    x, labels = part("audited")
    with torch.no_grad():
        accuracy = float((module(x).argmax(1) == labels).double().mean())
    write_whole(module, file, {"recipe": "recipes/applications.py", "data": "bundled:applications-train", "how": how,
                               "accuracy": f"{accuracy:.4f}"})
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
