"""The shipped classifiers of digits: shapes, gradients, the accuracy their files record, and the recipe that made them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from assay.arrays import InputError
from assay.datasets.labelled import bundled_digits, one_batch
from assay.solvers.linear_svm import svm_objective
from assay.solvers.multinomial import regression_objective
from assay.systems import fitting
from assay.systems.established_classifiers import HogSvm, MultinomialRegression, build_hog_svm, build_multinomial
from assay.systems.hog import hog
from assay.systems.literature import lenet, mlp
from assay.systems.literature.lenet import LeNet
from assay.systems.literature.mlp import Mlp
from assay.systems.weights import SHIPPED, fill, read_weights

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))
import digits as recipe

BUILD = {"lenet": lenet.build, "mlp": mlp.build, "hog_svm": build_hog_svm, "multinomial": build_multinomial}


def shipped(name: str) -> tuple[nn.Module, dict[str, str]]:
    path = Path(str(SHIPPED / f"{name}.safetensors"))
    state, facts = read_weights(path)
    model = BUILD[name](state)
    fill(model, state, path)
    return model.eval(), facts


def few(count: int = 7, kind: torch.dtype = torch.float32) -> Tensor:
    return bundled_digits("tuning").fetch(range(count)).inputs.to(kind)


@pytest.mark.parametrize("name", BUILD)
def test_the_recorded_accuracy_is_what_the_weights_reach(name):
    model, facts = shipped(name)
    images, labels = one_batch(bundled_digits("audited"))
    assert f"{recipe.accuracy(model, (images, labels)):.4f}" == facts["held_out_accuracy"]
    assert facts["held_out"] == str(len(labels)) and float(facts["held_out_accuracy"]) > 0.96
    assert f"{recipe.accuracy(model, (images.flip(-1), labels)):.4f}" != facts["held_out_accuracy"]
    assert facts["data_digest"] == bundled_digits("train").record.digest and facts["recipe"] == "recipes/digits.py"


@pytest.mark.parametrize("name", BUILD)
def test_scores_do_not_depend_on_batch_or_call_and_gradients_reach_the_pixels(name):
    model, _ = shipped(name)
    model, x = model.double(), few(kind=torch.float64)
    scores = model(x)
    assert scores.shape == (7, 10) and torch.equal(scores, model(x))
    assert torch.allclose(scores, torch.cat([model(x[i: i + 1]) for i in range(7)]), atol=1e-10)
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(x)[:, 3].sum(), x)
    assert gradient.shape == x.shape and bool((gradient.flatten(1).norm(dim=1) > 0).all())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", ["lenet", "mlp", "hog_svm", "multinomial"])
def test_input_gradients_equal_finite_differences(name):
    """At an image of generic values: on a digit, blank pixels sit on the kinks of pooling and of |∇x|."""
    model, step = shipped(name)[0].double(), 1e-7
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64).requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(x)[0, 2], x)
    steps = torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8) * step
    difference = (model(x.detach() + steps) - model(x.detach() - steps))[:, 2] / (2 * step)
    assert torch.allclose(gradient.flatten(), difference, rtol=1e-4, atol=1e-5)


def test_the_shipped_svm_is_the_minimiser():
    """LIBLINEAR's objective is strongly convex with modulus 1: the minimiser is at most the gradient's norm away."""
    model, _ = shipped("hog_svm")
    images, labels = one_batch(bundled_digits("train"))
    features = hog(images.double(), cell=2)

    def distance(factor: float) -> float:
        theta = factor * torch.cat((model.svm.weight, model.svm.bias[:, None]), 1).double()
        theta.requires_grad_(True)
        (gradient,) = torch.autograd.grad(svm_objective(theta, features, labels, fitting.C), theta)
        return float(gradient.norm())

    assert distance(1) < 1e-4 and distance(1.001) > 1e-2


def test_the_svm_is_that_of_liblinear():
    svm = pytest.importorskip("sklearn.svm", reason="scikit-learn is not installed")
    model, _ = shipped("hog_svm")
    images, labels = one_batch(bundled_digits("train"))
    theirs = svm.LinearSVC(C=fitting.C, dual=False, tol=1e-8).fit(hog(images.double(), cell=2).numpy(), labels.numpy())
    assert torch.allclose(model.svm.weight.double(), torch.from_numpy(theirs.coef_), atol=1e-5)
    assert torch.allclose(model.svm.bias.double(), torch.from_numpy(theirs.intercept_), atol=1e-5)


def test_the_shipped_regression_is_stationary_at_the_weight_that_tuning_chose():
    import json

    model, facts = shipped("multinomial")
    images, labels = one_batch(bundled_digits("train"))
    theta = torch.cat((model.linear.weight, model.linear.bias[:, None]), 1).double().requires_grad_(True)

    def gradient(weight: float) -> float:
        value = regression_objective(theta, images.flatten(1).double(), labels, weight)
        return float(torch.autograd.grad(value, theta)[0].norm())

    chosen, losses = float(facts["l2_weight"]), json.loads(facts["tuning_cross_entropy"])
    assert gradient(chosen) < 1e-6 < 1e-5 < gradient(2 * chosen)
    assert losses[facts["l2_weight"]] == min(losses.values()) and chosen not in (min(fitting.WEIGHTS), max(fitting.WEIGHTS))
    tuning, truth = one_batch(bundled_digits("tuning"))
    reached = nn.functional.cross_entropy(model(tuning), truth)
    assert float(reached) == pytest.approx(losses[facts["l2_weight"]], abs=1e-4)


def test_lenet_at_both_sizes_and_no_other():
    assert LeNet(size=28)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert LeNet(size=8, channels=3, classes=4)(torch.zeros(2, 3, 8, 8)).shape == (2, 4)
    assert LeNet(size=28).hidden.in_features == 800 and LeNet(size=8).hidden.in_features == 200
    for model in (LeNet(size=28, channels=3, classes=4), LeNet(size=8)):
        assert [v.shape for v in lenet.build(model.state_dict()).state_dict().values()] == \
            [v.shape for v in model.state_dict().values()]
    with pytest.raises(InputError, match="made for images of 8×8 or 28×28 pixels"):
        LeNet(size=32)
    wrong = LeNet(size=8).state_dict() | {"hidden.weight": torch.zeros(500, 450)}
    with pytest.raises(InputError, match=r"'hidden\.weight' takes 450 values"):
        lenet.build(wrong)


def test_the_svm_refuses_images_of_another_size():
    with pytest.raises(InputError, match=r"images of 12×12 pixels have 900 HOG features, this SVM was fitted to 324"):
        HogSvm(features=324, classes=10, cell=2)(torch.zeros(1, 1, 12, 12))


def test_the_regression_refuses_images_of_another_size():
    with pytest.raises(InputError, match=r"images of 1×12×12 have 144 values, this regression was fitted to 64"):
        MultinomialRegression(pixels=64, classes=10)(torch.zeros(1, 1, 12, 12))


@pytest.mark.parametrize(("name", "of", "strengths", "near"), [("hog-svm", "hog_svm", (fitting.C, 0.6), 1e-6),
                                                               ("multinomial", "multinomial", (1e-4, 2e-4), 2e-3)])
def test_fitting_again_gives_the_shipped_weights(name, of, strengths, near):
    """Of the one minimiser: the file holds it to single precision, or (regression) to the gradient it was stopped at."""
    train, tuning = ([one_batch(bundled_digits(part))] for part in ("train", "tuning"))
    same, other = (fitting.fit(name, train, tuning, classes=10, strengths=(s,)).module.state_dict() for s in strengths)
    expected = shipped(of)[0].state_dict()
    assert all(torch.allclose(same[key], expected[key], rtol=0, atol=near) for key in expected)
    assert not all(torch.allclose(other[key], expected[key], rtol=0, atol=10 * near) for key in expected)


def test_the_path_ends_where_tuning_images_get_worse_and_the_best_is_kept():
    train, tuning = ([one_batch(bundled_digits(part))] for part in ("train", "tuning"))
    found = fitting.fit("multinomial", train, tuning, classes=10)
    losses = list(found.losses.values())
    assert found.strength == fitting.WEIGHTS[losses.index(min(losses))] and losses.index(min(losses)) == len(losses) - 2
    alone = fitting.fit("multinomial", train, tuning, classes=10, strengths=(found.strength,)).module
    with torch.no_grad():
        assert torch.allclose(found.module(tuning[0][0]), alone(tuning[0][0]), atol=1e-3)
    assert found.accuracy == pytest.approx(recipe.accuracy(found.module, tuning[0]), abs=1e-9)


def small() -> recipe.Digits:
    def part(name: str, count: int) -> tuple[Tensor, Tensor]:
        examples = bundled_digits(name).fetch(range(count))
        return examples.inputs, examples.truth

    return recipe.Digits(train=part("train", 30), tuning=part("tuning", 20), held_out=part("audited", 20), classes=10,
                         name="thirty digits", digest="")


def test_the_recipe_gives_the_same_weights_twice(tmp_path):
    for folder in "ab":
        recipe.make(small(), tmp_path / folder, seed=1, steps=3)
    for name in BUILD:
        first, again = (load_file(tmp_path / folder / f"{name}.safetensors") for folder in "ab")
        assert first.keys() == again.keys() and all(torch.equal(first[key], again[key]) for key in first)
        model = BUILD[name]({key: value.float() for key, value in first.items()})
        assert model(small().train[0]).shape == (30, 10)


@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_another_seed_gives_another_network_and_the_callers_generator_is_left_alone(name):
    before = torch.random.get_rng_state()
    first, other = (recipe.fit_network(name, small(), seed=seed, steps=1)[0].state_dict() for seed in (1, 2))
    assert not torch.allclose(first["last.weight"], other["last.weight"], atol=1e-3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_training_lowers_the_loss():
    images, labels = small().train
    model = Mlp(pixels=64)
    before = float(nn.functional.cross_entropy(model(images), labels).detach())
    recipe.train(model, (images, labels), steps=100, batch=60, rate=1e-3, seed=0)
    assert float(nn.functional.cross_entropy(model(images), labels).detach()) < before / 2


def test_the_recipe_reads_users_images(tmp_path):
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=pixels, y_train=np.arange(40) % 4)
    data = recipe.from_file(tmp_path / "mnist.npz", 1, ("x_train", "y_train"))
    assert [len(part[1]) for part in (data.train, data.tuning, data.held_out)] == [28, 4, 8] and data.classes == 4
    svm, _ = recipe.fit_svm(data)
    network, facts = recipe.fit_network("lenet", data, seed=1, steps=1)
    assert data.name == "mnist.npz" and svm.cell == 4 and svm.features == 1296 and facts["architecture"] == "LeNet 28x28"
    assert network(data.held_out[0]).shape == svm(data.held_out[0]).shape == (8, 4)
