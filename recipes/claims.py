"""Trains the shipped classifiers of synthetic claims, in seconds on one core: `python recipes/claims.py`.

The network by Adam on the cross-entropy, 60 passes, the pass of least loss on the tuning part; logistic regression by
scikit-learn, C of least loss on the tuning part. Both see the train part only. The accuracy in a file's header is that of
the weights as written there, on the audited part. Weights go to `--out`; those that ship lie in
src/assay/systems/literature/weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from assay.datasets.claims import CLASSES, claims
from assay.perturbations.codes import read_claim
from assay.systems.code_classifiers import CodeLogistic, CodeNetwork
from assay.systems.text_classifiers import as_bytes
from choosing import best_pass, best_regression, put_into, write_whole

PASSES, BATCH, RATE = 60, 64, 3e-3
CS = (0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4)


def part(name: str) -> tuple[list[str], Tensor]:
    found = claims(name)
    return [claim.text for claim in found], torch.tensor([claim.label for claim in found])


def vocabulary() -> Tensor:
    return as_bytes(sorted({code for text in part("train")[0] for code in read_claim(text).codes}))


def network(seed: int) -> CodeNetwork:
    torch.manual_seed(seed)
    (texts, labels), (held, theirs) = part("train"), part("tuning")
    module = CodeNetwork(vocabulary=vocabulary(), classes=len(CLASSES))
    x, held_x = module.presence(texts), module.presence(held)
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    best_pass(module, module.of_presence, optimiser, (x, labels), (held_x, theirs), passes=PASSES, batch=BATCH)
    return module


def logistic() -> CodeLogistic:
    (texts, labels), (held, theirs) = part("train"), part("tuning")
    module = CodeLogistic(vocabulary=vocabulary(), classes=2)
    x, held_x = module.presence(texts), module.presence(held)
    put_into(module.linear, best_regression(x, labels, held_x, theirs, CS, max_iter=5000, tol=1e-8))
    return module.eval()


def write(module: nn.Module, file: Path, how: str) -> None:
    texts, labels = part("audited")
    with torch.no_grad():
        accuracy = float((module(texts).argmax(1) == labels).double().mean())
    write_whole(module, file, {"recipe": "recipes/claims.py", "data": "bundled:claims-train", "how": how,
                               "accuracy": f"{accuracy:.4f}"})
    print(f"{file}: {accuracy:.1%} of {len(labels)} audited claims")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    write(network(options.seed), options.out / "claims_net.safetensors", f"Adam, {PASSES} passes, seed {options.seed}")
    write(logistic(), options.out / "claims_logistic.safetensors", "scikit-learn, C on the tuning part")


if __name__ == "__main__":
    main()
