"""Systems that decide on texts: what they may return, and that the shipped ones are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.audits.prepare import session_from
from assay.datasets.notes import notes
from assay.datasets.texts import bundled_notes
from assay.numerics.texts import encode
from assay.systems import catalogue
from assay.systems.metered import ContractError, Metered
from assay.systems.text_classifiers import TfidfLogistic, WordCnn, as_bytes
from assay.systems.texts import TextSystem


def points(*texts: str) -> torch.Tensor:
    return torch.from_numpy(encode(texts))


@pytest.mark.parametrize("answers", [
    lambda texts: torch.zeros(len(texts), 2), lambda texts: np.zeros((len(texts), 2)), lambda texts: [[0, 1]] * len(texts)])
def test_tensors_arrays_and_lists_are_scores(answers):
    assert TextSystem(answers)(points("a", "b")).shape == (2, 2)


@pytest.mark.parametrize(("answers", "words"), [
    (lambda texts: [[0.0, 1.0]], "2 texts were given and answers of shape"),
    (lambda texts: [0.0] * len(texts), "return real scores"),
    (lambda texts: ["yes"] * len(texts), "not numbers"),
    (lambda texts: [[0.0], [0.0, 1.0]], "not numbers"),
    (lambda texts: torch.zeros(len(texts), 2, dtype=torch.complex64), "return real scores"),
])
def test_another_number_of_answers_or_no_numbers_is_a_broken_contract(answers, words):
    with pytest.raises(ContractError, match=words):
        Metered(TextSystem(answers), name="mine")(points("a", "b"))


def test_images_are_refused():
    with pytest.raises(InputError, match="decides on texts"):
        TextSystem(lambda texts: [[0.0, 1.0]])(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("name", ["notes-cnn", "notes-tfidf"])
def test_shipped_classifiers_do_not_depend_on_the_batch_and_are_as_right_as_said(name):
    system = catalogue.load(name, role="audited").system
    x = bundled_notes().fetch(range(200))
    together = system(x.inputs)
    alone = torch.cat([system(points(note.text)) for note in notes("audited")[:20]])
    assert torch.allclose(together[:20], alone, atol=1e-5)
    right = float((together.argmax(1) == x.truth).double().mean())
    assert right == {"notes-cnn": 0.96, "notes-tfidf": 0.99}[name]


def test_a_network_that_looked_at_its_padding_would_be_caught():
    torch.manual_seed(0)
    network = WordCnn(vocabulary=as_bytes(["a", "b"]), classes=2).eval()
    short, padded = network(["a b a"]), network(["a b a", "a " * 40])[:1]
    assert torch.allclose(short, padded, atol=1e-6)
    looking = network.decide(torch.cat([torch.relu(c(network.vectors(network.numbers(["a b a", "a " * 40])).transpose(1, 2)))
                                        .amax(2) for c in network.convolutions], 1))[:1]
    assert not torch.allclose(short, looking, atol=1e-6)


def test_tfidf_is_scikit_learns():
    text = pytest.importorskip("sklearn.feature_extraction.text", reason="scikit-learn is not installed")
    train, held = [n.text for n in notes("tuning")], [n.text for n in notes("audited")]
    theirs = text.TfidfVectorizer(ngram_range=(1, 2), min_df=2).fit(train)
    ours = TfidfLogistic(vocabulary=as_bytes(list(theirs.get_feature_names_out())), classes=2)
    ours.idf.copy_(torch.from_numpy(theirs.idf_))
    assert np.abs(ours.features(held).numpy() - theirs.transform(held).toarray()).max() < 1e-6
    assert float(ours.features([""]).abs().max()) == 0.0


def test_a_scikit_learn_pipeline_takes_texts_and_is_audited_from_its_file(tmp_path):
    text = pytest.importorskip("sklearn.feature_extraction.text", reason="scikit-learn is not installed")
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train = notes("tuning")
    pipeline = make_pipeline(text.CountVectorizer(), LogisticRegression())
    pipeline.fit([n.text for n in train], [n.label for n in train])
    held = [n.text for n in notes("audited")[:20]]
    scores = catalogue.adopt(pipeline, role="audited").system(points(*held))
    assert np.allclose(scores[:, 1].numpy(), pipeline.decision_function(held)) and scores.dtype == torch.float64
    skops.dump(pipeline, tmp_path / "model.skops")
    session = session_from({"systems": (f"sklearn:{tmp_path / 'model.skops'}",), "data": "bundled:notes",
                            "established": ("none",)})
    assert session.data.record.task == "text" and session.profile["task"] == "text"
    assert torch.equal(session.systems[0].system(points(*held)), scores)


def test_a_function_that_is_no_factory_is_refused_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "own_scores.py").write_text("def scores(texts):\n    return [[0.0, 1.0] for _ in texts]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="def make\\(\\): return scores, and name own_scores:make"):
        catalogue.load("own_scores:scores", role="audited")


def test_a_plain_function_of_texts_is_refused_with_the_remedy():
    from assay.api import audit
    from assay.datasets.texts import labelled_texts

    data = labelled_texts(["fever", "no fever"], [0, 1], classes=("low", "high"))
    with pytest.raises(InputError, match=r"assay\.systems\.texts\.TextSystem"):
        audit(lambda texts: [[0.0, 1.0] for _ in texts], data, established=[])
