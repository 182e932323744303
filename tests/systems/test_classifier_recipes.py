"""The recipes of classifiers: folded batch normalisation, augmentation, and a run that was killed and goes on."""

from __future__ import annotations

import copy
import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from assay.systems.literature.signs import FAMILIES, build

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))
import classification
from classification import Changes, Part, Run

NONE = Changes(turn=0, scale=0, shift=0, brightness=(1, 1), contrast=(1, 1))
SOME = Changes(turn=12, scale=0.15, shift=0.1, brightness=(0.4, 2.0), contrast=(0.6, 1.4))


def images(n: int, size: int = 32) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def with_used_batch_norm(name: str, *, skips: bool = False) -> nn.Module:
    """A network whose batch normalisation has seen data and has weights of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(name)
        classification.insert_batch_norm(model, skips=skips)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
        model.train()
        for _ in range(3):
            model(images(8))
    return model.eval()


def same_logits(a: nn.Module, b: nn.Module) -> bool:
    x = images(4)
    with torch.no_grad():
        first, second = a(x), b(x)
    return bool((first - second).abs().max() < 0.02 * first.abs().max())         # half precision of the weights


@pytest.mark.parametrize(("name", "skips"), [*((name, False) for name in FAMILIES), ("vgg-16", True), ("vgg-19", True)])
def test_folding_keeps_the_function_and_leaves_the_published_network(name, skips):
    trained = with_used_batch_norm(name, skips=skips)
    assert sum(getattr(m, "skip", False) for m in trained.modules()) == (skips and {"vgg-16": 9, "vgg-19": 12}[name])
    folded = classification.shipped(trained)
    assert same_logits(trained, folded)
    assert folded.state_dict().keys() == build(name).state_dict().keys()
    assert all(torch.equal(v, v.half().float()) for v in folded.state_dict().values())


def test_dropping_batch_normalisation_instead_of_folding_it_is_caught():
    trained = with_used_batch_norm("vgg-16")
    plain = build("vgg-16").eval()
    kept = {k.replace(".layer.", "."): v for k, v in trained.state_dict().items()}
    plain.load_state_dict({k: kept[k] for k in plain.state_dict()})
    assert not same_logits(trained, plain)


def test_dropping_an_identity_branch_is_caught():
    trained = with_used_batch_norm("vgg-16", skips=True)
    without = copy.deepcopy(trained)
    next(m for m in without.modules() if getattr(m, "skip", False)).skip = False
    assert not same_logits(trained, classification.shipped(without))


def test_the_training_network_is_left_alone():
    trained = with_used_batch_norm("vgg-f")
    before = {k: v.clone() for k, v in trained.state_dict().items()}
    classification.shipped(trained)
    assert all(torch.equal(v, before[k]) for k, v in trained.state_dict().items())


def test_no_change_is_no_change():
    x = images(3)
    assert torch.allclose(classification.augmented(x, NONE, torch.Generator()), x, atol=1e-5)


def test_a_shift_moves_by_pixels_and_never_mirrors():
    x = torch.zeros(200, 1, 20, 20)
    x[:, :, 8:12, 2:5] = 1                                             # on the left: a mirrored image has it on the right
    moved = classification.augmented(x, dataclasses.replace(NONE, shift=0.1), torch.Generator().manual_seed(0))
    columns = (moved.sum((1, 2)) * torch.arange(20)).sum(1) / moved.sum((1, 2, 3))
    assert float(columns.min()) >= 3 - 2.01 and float(columns.max()) <= 3 + 2.01
    assert float(columns.max() - columns.min()) > 3


def test_augmented_images_stay_images_and_obey_the_generator():
    x = images(20)
    one, same, other = (classification.augmented(x, SOME, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert float(one.min()) >= 0 and float(one.max()) <= 1
    assert torch.equal(one, same) and not torch.allclose(one, other)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.5),
                                      nn.Linear(16, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)


def trained(out: Path, *, killed: bool = False, forget: str | None = None) -> dict[str, torch.Tensor]:
    """200 steps; if `killed` after 100, in two sittings, the second from the checkpoint (without its entry `forget`)."""
    from safetensors.torch import load_file
    run = Run(name="small", seed=3, steps=200, out=out, batch=4)
    x = images(16, 8)
    data = Part(images=x, labels=(x.mean((1, 2, 3)) > 0.5).long())

    def evaluate(model: nn.Module) -> dict[str, str]:
        return {"held_out_accuracy": classification.accuracy(model, data)}

    def sitting() -> None:
        torch.manual_seed(run.seed)
        classification.train(model=Small(), data=data, changes=SOME, run=run, facts={}, evaluate=evaluate)

    with torch.random.fork_rng():
        if killed:
            save = classification._save

            def killing(*arguments: object) -> None:
                save(*arguments)
                raise KeyboardInterrupt
            with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(classification, "_save", killing)
                sitting()
        if forget is not None:
            state = torch.load(out / "small.checkpoint.pt", weights_only=True)
            state[forget] = torch.Generator().manual_seed(99).get_state()
            torch.save(state, out / "small.checkpoint.pt")
        sitting()
    return load_file(out / "small.safetensors")


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


def test_a_killed_run_ends_where_an_unbroken_one_ends(tmp_path):
    whole = trained(tmp_path / "whole")
    assert equal(whole, trained(tmp_path / "broken", killed=True))
    for forgotten in ("generator", "dropout"):
        assert not equal(whole, trained(tmp_path / forgotten, killed=True, forget=forgotten))


def test_a_checkpoint_of_another_length_is_refused(tmp_path):
    trained(tmp_path)
    with pytest.raises(SystemExit, match="200 steps with seed 3"):
        classification._resume(tmp_path / "small.checkpoint.pt", Small(), None, None,
                               Run(name="small", seed=3, steps=100, out=tmp_path))
