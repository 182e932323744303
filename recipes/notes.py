"""Trains the shipped classifiers of synthetic notes, in half a minute on one core: `python recipes/notes.py`.

With `--data FILE.csv` (`--key`, `--labels` the columns) the same on your texts: seven tenths to train on, one to tune on,
and two held out, which are written to held_out.csv beside the weights, to be audited.

The word network by Adam on the cross-entropy, 30 passes, the pass of least loss on the tuning part; TF-IDF with logistic
regression by scikit-learn, C of least loss on the tuning part (the weakest tried: these notes have no noise). Both see the
train part only. The accuracy in a file's header is that of the weights as written there, on the audited part. Weights go
to `--out`; those that ship lie in src/assay/systems/literature/weights.
"""

from __future__ import annotations

import argparse
import collections
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn

from assay.datasets.notes import CLASSES, notes
from assay.datasets.texts import load_texts
from assay.systems.text_classifiers import TfidfLogistic, WordCnn, as_bytes, words
from choosing import best_pass, best_regression, put_into, write_whole

PASSES, BATCH, RATE = 30, 32, 2e-3
LEAST = 2           # training notes that must hold a word for it to be known
CS = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)


Part = tuple[list[str], Tensor]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The three parts, each (texts, labels), and where they come from."""

    train: Part
    tuning: Part
    held_out: Part
    classes: int
    name: str


def bundled() -> Texts:
    """The notes that ship with Assay, in the parts they ship with."""
    parts = {name: ([n.text for n in notes(name)], torch.tensor([n.label for n in notes(name)])) for name in
             ("train", "tuning", "audited")}
    return Texts(train=parts["train"], tuning=parts["tuning"], held_out=parts["audited"], classes=len(CLASSES),
                 name="bundled:notes-train")


def from_file(path: Path, key: str | None, labels: str | None, seed: int, out: Path) -> Texts:
    """A user's texts, split by the seed; those held out are written down."""
    data = load_texts(path, text_key=key, label_key=labels)
    order = torch.randperm(len(data.ids), generator=torch.Generator().manual_seed(seed))
    held, tuning, train = order.tensor_split([len(order) // 5, len(order) // 5 + len(order) // 10])
    with (out / "held_out.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "text", "label"))
        rows.writerows((data.ids[i], data.texts[i], data.labels[i]) for i in sorted(held.tolist()))

    def some(index: Tensor) -> Part:
        return [data.texts[i] for i in index.tolist()], torch.tensor([data.labels[i] for i in index.tolist()])

    return Texts(train=some(train), tuning=some(tuning), held_out=some(held), classes=len(data.classes), name=path.name)


def word_cnn(data: Texts, seed: int) -> WordCnn:
    torch.manual_seed(seed)
    (texts, labels), (held, theirs) = data.train, data.tuning
    seen = collections.Counter(word for text in texts for word in set(words(text)))
    network = WordCnn(vocabulary=as_bytes(sorted(word for word, n in seen.items() if n >= LEAST)), classes=data.classes)
    numbers, held_numbers = network.numbers(texts), network.numbers(held)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    best_pass(network, network.of_numbers, optimiser, (numbers, labels), (held_numbers, theirs), passes=PASSES, batch=BATCH)
    return network


def tfidf(data: Texts) -> TfidfLogistic:
    (texts, labels), (held, theirs) = data.train, data.tuning
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=LEAST)
    features, held_features = vectors.fit_transform(texts), vectors.transform(held)
    chosen = best_regression(features, labels, held_features, theirs, CS, max_iter=5000, tol=1e-8)
    if len(chosen.classes_) != data.classes:
        raise SystemExit(f"{data.name}: of {data.classes} classes only {len(chosen.classes_)} are in the training part; "
                         "give more texts, or number the classes from 0")
    module = TfidfLogistic(vocabulary=as_bytes(list(vectors.get_feature_names_out())), classes=data.classes)
    with torch.no_grad():
        module.idf.copy_(torch.from_numpy(vectors.idf_))
    put_into(module.linear, chosen)
    return module.eval()


def write(module: nn.Module, data: Texts, file: Path, how: str) -> None:
    texts, labels = data.held_out
    with torch.no_grad():
        accuracy = float((module(texts).argmax(1) == labels).double().mean())
    write_whole(module, file, {"recipe": "recipes/notes.py", "data": data.name, "how": how, "accuracy": f"{accuracy:.4f}"})
    print(f"{file}: {accuracy:.1%} of {len(labels)} held-out texts")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--data", type=Path, help="a .csv or .tsv of texts and classes")
    parser.add_argument("--key", help="its column of texts")
    parser.add_argument("--labels", help="its column of classes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    data = from_file(options.data, options.key, options.labels, options.seed, options.out) if options.data else bundled()
    write(word_cnn(data, options.seed), data, options.out / "notes_cnn.safetensors",
          f"Adam, {PASSES} passes, seed {options.seed}")
    write(tfidf(data), data, options.out / "notes_tfidf.safetensors", "scikit-learn, C on the tuning part")


if __name__ == "__main__":
    main()
