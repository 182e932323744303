"""Trains the shipped classifiers of synthetic claims, in seconds on one core: `python recipes/claims.py`.

The network by Adam on the cross-entropy, 60 passes, the pass of least loss on the tuning part; logistic regression by
scikit-learn, C of least loss on the tuning part. Both see the train part only. The accuracy in a file's header is that of
the weights as written there, on the audited part. Weights go to `--out`; those that ship lie in
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

from assay.datasets.claims import CLASSES, claims
from assay.perturbations.codes import read_claim
from assay.systems.code_classifiers import CodeLogistic, CodeNetwork
from assay.systems.text_classifiers import as_bytes

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
    best, kept = float("inf"), copy.deepcopy(module.state_dict())
    for epoch in range(PASSES):
        for some in torch.randperm(len(labels)).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(module.of_presence(x[some]), labels[some]).backward()
            optimiser.step()
        with torch.no_grad():
            scores = module.of_presence(held_x)
        loss = float(F.cross_entropy(scores, theirs))
        if loss < best:
            best, kept = loss, copy.deepcopy(module.state_dict())
            right = float((scores.argmax(1) == theirs).double().mean())
            print(f"pass {epoch + 1}: tuning loss {loss:.4f}, accuracy {right:.3f}")
    module.load_state_dict(kept)
    return module.eval()


def logistic() -> CodeLogistic:
    (texts, labels), (held, theirs) = part("train"), part("tuning")
    module = CodeLogistic(vocabulary=vocabulary(), classes=2)
    x, held_x = module.presence(texts), module.presence(held)
    fits = [LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(x, labels) for c in CS]
    chosen = min(fits, key=lambda fit: log_loss(theirs, fit.predict_proba(held_x)))
    print(f"logistic regression: C = {chosen.C}, tuning accuracy {chosen.score(held_x, theirs):.3f}")
    with torch.no_grad():
        module.linear.weight.copy_(torch.stack((torch.zeros(x.shape[1]), torch.from_numpy(chosen.coef_[0]).float())))
        module.linear.bias.copy_(torch.tensor([0.0, float(chosen.intercept_[0])]))
    return module.eval()


def write(module: nn.Module, file: Path, how: str) -> None:
    texts, labels = part("audited")
    with torch.no_grad():
        accuracy = float((module(texts).argmax(1) == labels).double().mean())
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, file, metadata={
        "recipe": "recipes/claims.py", "data": "bundled:claims-train", "how": how, "accuracy": f"{accuracy:.4f}"})
    file.chmod(0o644)
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
