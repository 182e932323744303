"""Trains the shipped classifiers of synthetic notes, in half a minute on one core: `python recipes/notes.py`.

The word network by Adam on the cross-entropy, 30 passes, the pass of least loss on the tuning part; TF-IDF with logistic
regression by scikit-learn, C of least loss on the tuning part (the weakest tried: these notes have no noise). Both see the
train part only. The accuracy in a file's header is that of the weights as written there, on the audited part. Weights go
to `--out`; those that ship lie in src/assay/systems/literature/weights.
"""

from __future__ import annotations

import argparse
import collections
import copy
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor, nn

from assay.datasets.notes import CLASSES, notes
from assay.systems.text_classifiers import TfidfLogistic, WordCnn, as_bytes, words

PASSES, BATCH, RATE = 30, 32, 2e-3
LEAST = 2           # training notes that must hold a word for it to be known
CS = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)


def part(name: str) -> tuple[list[str], Tensor]:
    found = notes(name)
    return [note.text for note in found], torch.tensor([note.label for note in found])


def word_cnn(seed: int) -> WordCnn:
    torch.manual_seed(seed)
    (texts, labels), (held, theirs) = part("train"), part("tuning")
    seen = collections.Counter(word for text in texts for word in set(words(text)))
    network = WordCnn(vocabulary=as_bytes(sorted(word for word, n in seen.items() if n >= LEAST)), classes=len(CLASSES))
    numbers, held_numbers = network.numbers(texts), network.numbers(held)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    best, kept = float("inf"), copy.deepcopy(network.state_dict())
    for epoch in range(PASSES):
        network.train()
        for some in torch.randperm(len(labels)).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(network.of_numbers(numbers[some]), labels[some]).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            scores = network.of_numbers(held_numbers)
        loss = float(F.cross_entropy(scores, theirs))
        right = float((scores.argmax(1) == theirs).double().mean())
        print(f"pass {epoch + 1}: tuning loss {loss:.4f}, accuracy {right:.3f}")
        if loss < best:
            best, kept = loss, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return network.eval()


def tfidf(seed: int) -> TfidfLogistic:
    (texts, labels), (held, theirs) = part("train"), part("tuning")
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=LEAST)
    features, held_features = vectors.fit_transform(texts), vectors.transform(held)
    fits = [LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(features, labels) for c in CS]
    chosen = min(fits, key=lambda fit: log_loss(theirs, fit.predict_proba(held_features)))
    print(f"logistic regression: C = {chosen.C}, tuning accuracy {chosen.score(held_features, theirs):.3f}")
    module = TfidfLogistic(vocabulary=as_bytes(list(vectors.get_feature_names_out())), classes=2)
    with torch.no_grad():
        module.idf.copy_(torch.from_numpy(vectors.idf_))
        module.linear.weight.copy_(torch.stack((torch.zeros(features.shape[1]), torch.from_numpy(chosen.coef_[0]).float())))
        module.linear.bias.copy_(torch.tensor([0.0, float(chosen.intercept_[0])]))
    return module.eval()


def write(module: nn.Module, file: Path, how: str) -> None:
    texts, labels = part("audited")
    with torch.no_grad():
        accuracy = float((module(texts).argmax(1) == labels).double().mean())
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, file, metadata={
        "recipe": "recipes/notes.py", "data": "bundled:notes-train", "how": how, "accuracy": f"{accuracy:.4f}"})
    file.chmod(0o644)
    print(f"{file}: {accuracy:.1%} of {len(labels)} audited notes")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    write(word_cnn(options.seed), options.out / "notes_cnn.safetensors", f"Adam, {PASSES} passes, seed {options.seed}")
    write(tfidf(options.seed), options.out / "notes_tfidf.safetensors", "scikit-learn, C on the tuning part")


if __name__ == "__main__":
    main()
