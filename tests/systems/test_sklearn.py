"""scikit-learn estimators against their own predictions; what is refused; nothing is ever unpickled."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.datasets.labelled import bundled_digits, one_batch
from assay.records import Access
from assay.systems import catalogue
from assay.systems.sklearn import SklearnSystem

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'assay[sklearn]'")
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

IMAGES, LABELS = (t[:150] for t in one_batch(bundled_digits("tuning")))
X, Y = IMAGES.flatten(1).numpy().astype(np.float64), LABELS.numpy()
BINARY = LABELS < 2


class PredictsOnly(ClassifierMixin, BaseEstimator):
    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, x):
        return self.classes_[(x.sum(1) * 7).astype(int) % len(self.classes_)]


@pytest.mark.parametrize(
    ("estimator", "use", "access"),
    [
        (RidgeClassifier(), "decision_function", Access.SCORE),
        (SVC(break_ties=True), "decision_function", Access.SCORE),
        (make_pipeline(MinMaxScaler(), RidgeClassifier()), "decision_function", Access.SCORE),
        (KNeighborsClassifier(3), "predict_proba", Access.SCORE),
        (GaussianNB(), "predict_proba", Access.SCORE),
        (RandomForestClassifier(5, random_state=0), "predict_proba", Access.SCORE),
        (PredictsOnly(), "predict", Access.DECISION),
    ],
)
def test_decisions_and_scores_are_the_estimators_own(estimator, use, access):
    loaded = catalogue.adopt(estimator.fit(X, Y), role="established")
    system = loaded.system
    assert (system.use, system.access, loaded.record.kind) == (use, access, "classical")
    scores = system(IMAGES)
    assert scores.shape == (150, 10) and scores.dtype == torch.float32 and bool(torch.isfinite(scores).all())
    assert (scores.argmax(1).numpy() == estimator.predict(X)).all()
    if use == "predict_proba":
        np.testing.assert_allclose(scores.double().softmax(1).numpy(), estimator.predict_proba(X), atol=1e-5)
    if use == "decision_function":
        np.testing.assert_allclose(scores.numpy(), estimator.decision_function(X), atol=1e-5)


def test_two_classes_have_the_scores_nought_and_z():
    fitted = RidgeClassifier().fit(X[BINARY], Y[BINARY])
    scores = SklearnSystem(fitted)(IMAGES)
    assert bool((scores[:, 0] == 0).all()) and (scores.argmax(1).numpy() == fitted.predict(X)).all()


def test_no_gradient_is_pretended():
    scores = SklearnSystem(GaussianNB().fit(X, Y))(IMAGES.clone().requires_grad_(True))
    assert not scores.requires_grad


def test_classes_that_are_not_numbered_from_nought_must_be_put_in_the_datas_order():
    fitted = GaussianNB().fit(X, Y + 1)
    with pytest.raises(InputError, match=r"fitted on classes \[1, 2.*data's are 0 to 9; say classes="):
        SklearnSystem(fitted)
    right = SklearnSystem(fitted, classes=range(1, 11))(IMAGES)
    assert (right.argmax(1).numpy() == fitted.predict(X) - 1).all()
    turned = SklearnSystem(fitted, classes=range(10, 0, -1))(IMAGES)
    assert torch.equal(turned, right.flip(1))
    for wrong, words in ((range(10), "has no class 0"), (range(1, 10), "name each once")):
        with pytest.raises(InputError, match=words):
            SklearnSystem(fitted, classes=wrong)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: RidgeClassifier(), "has no classes_.*call fit first"),
        (lambda: LinearRegression().fit(X, Y), "has no classes_"),
        (lambda: MinMaxScaler().fit(X), "has no predict"),
        (lambda: GaussianNB, "a class, not an estimator"),
    ],
)
def test_what_is_no_fitted_classifier_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        SklearnSystem(given())


def test_scores_of_pairs_of_classes_are_refused():
    with pytest.raises(InputError, match=r"gives \(150, 45\), not one score for each of 10 classes; say use=\"predict\""):
        SklearnSystem(SVC(decision_function_shape="ovo").fit(X, Y))(IMAGES)


def test_a_use_it_lacks_and_images_of_another_size_are_refused():
    fitted = RidgeClassifier().fit(X, Y)
    with pytest.raises(InputError, match="use='predict_proba'; this estimator has decision_function, predict"):
        SklearnSystem(fitted, use="predict_proba")
    with pytest.raises(InputError, match="give 72 features, and it was fitted on 64"):
        SklearnSystem(fitted)(torch.zeros(1, 1, 9, 8))
    with pytest.raises(InputError, match=r"images.float\(\) / 255"):
        SklearnSystem(fitted)(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("make", [lambda: GaussianNB(), lambda: RandomForestClassifier(4, random_state=0),
                                  lambda: KNeighborsClassifier(), lambda: make_pipeline(MinMaxScaler(), SVC())])
def test_the_digest_is_of_what_was_fitted(make):
    def digest(estimator) -> str:
        return catalogue.adopt(estimator, role="audited").record.digest

    fitted = make().fit(X, Y)
    assert digest(fitted) == digest(copy.deepcopy(fitted)) == digest(make().fit(X, Y))
    assert digest(fitted) != digest(make().fit(X[:-1], Y[:-1]))


def test_a_pickle_is_refused_unopened(tmp_path):
    class Planted:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    for name in ("model.pkl", "model.joblib", "model.skops"):
        (tmp_path / name).write_bytes(pickle.dumps(Planted()))
        with pytest.raises(InputError, match=r"pickle|not a skops file|skops"):
            catalogue.load(f"sklearn:{tmp_path / name}", role="audited")
    assert not (tmp_path / "ran").exists()


def test_a_skops_file_gives_the_same_scores_and_its_digest_holds_the_version(tmp_path, monkeypatch):
    io = pytest.importorskip("skops.io", reason="skops is not installed: pip install 'assay[sklearn]'")
    fitted = make_pipeline(MinMaxScaler(), RidgeClassifier()).fit(X, Y)
    path = tmp_path / "model.skops"
    io.dump(fitted, path)
    loaded = catalogue.load(f"sklearn:{path}?scale=16", role="established")
    np.testing.assert_allclose(loaded.system(IMAGES / 16).numpy(), fitted.decision_function(X), atol=1e-5)
    assert loaded.record.name == "sklearn:model.skops" and set(loaded.record.files) == {"model.skops", "settings.json"}
    monkeypatch.setattr("assay.systems.sklearn.version_of", lambda name: "0.0")
    assert catalogue.load(f"sklearn:{path}?scale=16", role="established").record.digest != loaded.record.digest


def test_a_skops_file_of_unknown_types_or_cut_short_is_refused(tmp_path):
    io = pytest.importorskip("skops.io", reason="skops is not installed: pip install 'assay[sklearn]'")
    io.dump(PredictsOnly().fit(X, Y), tmp_path / "own.skops")
    with pytest.raises(InputError, match=r"PredictsOnly, which skops does not know to be harmless.*SklearnSystem"):
        catalogue.load(f"sklearn:{tmp_path / 'own.skops'}", role="audited")
    io.dump(GaussianNB().fit(X, Y), tmp_path / "cut.skops")
    data = (tmp_path / "cut.skops").read_bytes()
    for keep in (1, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.skops").write_bytes(data[:keep])
        with pytest.raises(InputError, match="truncated or not a skops file"):
            catalogue.load(f"sklearn:{tmp_path / 'cut.skops'}", role="audited")
