"""Trains the shipped classifiers of spoken commands, in a quarter of an hour on one core: `python recipes/commands.py`.

With `--data FOLDER` (one sub-folder of one-second .wav files at 16 kHz for each class) the same on your recordings: seven
tenths to train on, one to tune on, and two held out, whose names are written to held_out.txt beside the weights.

The residual network by AdamW on the cross-entropy, and the one that spells on the CTC loss: 30 passes, with noise, loudness
and place changed anew each time, the pass of least loss on the tuning part. Logistic regression on cepstra, of the sounds
and of five copies changed likewise, by Newton's method, its ℓ2 weight of least loss on the tuning part (the weakest tried:
these sounds are easily told apart). Of each class the six templates that, chosen one after another, bring its other clips
nearest, without changes. All see the train part only. The accuracy in a file's header is that of the weights as written
there, on the audited part. Weights go to `--out`; those that ship lie in src/assay/systems/literature/weights.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assay.datasets.measured import Dataset
from assay.datasets.sounds import bundled_commands, load_sounds
from assay.solvers.multinomial import cross_entropy, regression_path
from assay.systems.ctc import spelled
from assay.systems.literature.res8 import Res8
from assay.systems.sound_classifiers import Cepstra, CepstraRegression, NearestTemplate, warped
from training import write_weights

MAPS, PASSES, BATCH, RATE, DECAY = 24, 30, 32, 4e-3, 1e-2
SHIFT, NOISE = 1600, 0.01           # samples, standard deviation: greatest of both in training
COPIES = 5                          # of each training sound, changed as the networks' are, that the regression also sees
WEIGHTS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
TEMPLATES, CANDIDATES = 6, 60       # of each class, and among how many of its clips they are chosen


@dataclass(frozen=True, kw_only=True)
class Part:
    """Waveforms (n, samples) and their classes (n,)."""

    waves: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """The three parts, and where they come from."""

    train: Part
    tuning: Part
    held_out: Part
    classes: tuple[str, ...]
    name: str


def part_of(data: Dataset, positions: Sequence[int]) -> Part:
    some = data.fetch(positions)
    assert some.truth is not None
    return Part(waves=some.inputs, labels=some.truth)


def bundled() -> Sounds:
    """The commands that ship with Assay, in the parts they ship with."""
    parts = {name: bundled_commands(name) for name in ("train", "tuning", "audited")}
    whole = {name: part_of(data, range(len(data.ids))) for name, data in parts.items()}
    return Sounds(train=whole["train"], tuning=whole["tuning"], held_out=whole["audited"],
                  classes=parts["train"].classes, name="bundled:commands-train")


def from_folder(path: Path, seed: int, out: Path) -> Sounds:
    """A user's recordings, split by the seed; the names of those held out are written down."""
    data = load_sounds(path)
    order = torch.randperm(len(data.ids), generator=torch.Generator().manual_seed(seed))
    held, tuning, train = order.tensor_split([len(order) // 5, len(order) // 5 + len(order) // 10])
    (out / "held_out.txt").write_text("".join(f"{data.ids[i]}\n" for i in sorted(held.tolist())), encoding="utf-8")
    return Sounds(train=part_of(data, train.tolist()), tuning=part_of(data, tuning.tolist()),
                  held_out=part_of(data, held.tolist()), classes=data.classes, name=path.name)


def changed(waves: Tensor, generator: torch.Generator) -> Tensor:
    """Every sound moved, made louder or softer, with noise, by its own random amounts."""
    n, samples = waves.shape
    moved = torch.randint(-SHIFT, SHIFT + 1, (n,), generator=generator)
    index = torch.arange(samples)[None] - moved[:, None]
    shifted = waves.gather(1, index.clamp(0, samples - 1)) * ((index >= 0) & (index < samples))
    loudness = (math.log(3) * (2 * torch.rand(n, 1, generator=generator) - 1)).exp()
    noise = NOISE * torch.rand(n, 1, generator=generator) * torch.randn(n, samples, generator=generator)
    return (shifted * loudness + noise).clamp(-1, 1)


def scores_of(module: nn.Module, waves: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(some) for some in waves.split(50)])


def accuracy(module: nn.Module, part: Part) -> float:
    return float((scores_of(module, part.waves).argmax(1) == part.labels).double().mean())


def trained(model: nn.Module, data: Sounds, seed: int, loss_of: Callable[[Tensor, Tensor], Tensor]) -> nn.Module:
    """AdamW on the loss of the scores, one cycle of the rate; the pass of least loss on the tuning part."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    steps = PASSES * math.ceil(len(data.train.labels) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    best, kept = float("inf"), copy.deepcopy(model.state_dict())
    for epoch in range(PASSES):
        model.train()
        for some in torch.randperm(len(data.train.labels), generator=generator).split(BATCH):
            optimiser.zero_grad()
            loss_of(model(changed(data.train.waves[some], generator)), data.train.labels[some]).backward()
            optimiser.step()
            schedule.step()
        model.eval()
        scores = scores_of(model, data.tuning.waves)
        loss = float(loss_of(scores, data.tuning.labels))
        right = float((scores.argmax(1) == data.tuning.labels).double().mean())
        print(f"pass {epoch + 1}: tuning loss {loss:.4f}, accuracy {right:.3f}", flush=True)
        if loss < best:
            best, kept = loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval()


def residual(data: Sounds, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return trained(Res8(maps=MAPS, classes=len(data.classes), floor=1e-6), data, seed, F.cross_entropy)


def letters(data: Sounds, seed: int) -> nn.Module:
    """The network that spells, by the CTC loss: minus the score of the right word, which is a log probability."""
    torch.manual_seed(seed)
    return trained(spelled(data.classes), data, seed, F.nll_loss)


def regression(data: Sounds) -> CepstraRegression:
    """Of all the ℓ2 weights tried, the one of least cross-entropy on the tuning part."""
    features = CepstraRegression(values=1, classes=len(data.classes))
    generator = torch.Generator().manual_seed(0)
    copies = [data.train.waves, *(changed(data.train.waves, generator) for _ in range(COPIES))]
    with torch.no_grad():
        rows, others = (torch.cat([features.rows(some) for some in waves.split(100)]).double()
                        for waves in (torch.cat(copies), data.tuning.waves))
    path = regression_path(rows, data.train.labels.repeat(len(copies)), len(data.classes), WEIGHTS)
    fits = dict(zip(WEIGHTS, path, strict=True))
    losses = {weight: float(cross_entropy(theta, others, data.tuning.labels)) for weight, theta in fits.items()}
    chosen = min(losses, key=losses.__getitem__)
    print(f"logistic regression: ℓ2 weight {chosen:g} of {losses}", flush=True)
    module = CepstraRegression(values=rows.shape[1], classes=len(data.classes))
    with torch.no_grad():
        module.linear.weight.copy_(fits[chosen][:, :-1])
        module.linear.bias.copy_(fits[chosen][:, -1])
    return module.eval()


def nearest(data: Sounds) -> NearestTemplate:
    """Of each class the templates that bring its clips nearest, one after another (greedily)."""
    with torch.no_grad():
        cepstra = torch.cat([Cepstra()(some) for some in data.train.waves.split(100)])
        chosen: list[int] = []
        for c in range(len(data.classes)):
            own = (data.train.labels == c).nonzero().flatten()[:CANDIDATES]
            distances = torch.cat([warped(some, cepstra[own]) for some in cepstra[own].split(20)])
            reached = torch.full((len(own),), torch.inf)
            for _ in range(min(TEMPLATES, len(own))):
                best = int(torch.minimum(distances, reached[:, None]).sum(0).argmin())
                reached = torch.minimum(reached, distances[:, best])
                chosen.append(int(own[best]))
    return NearestTemplate(templates=cepstra[chosen], labels=data.train.labels[chosen]).eval()


def write(module: nn.Module, data: Sounds, file: Path, how: str) -> None:
    """The weights as they ship, in half precision, measured as they are written."""
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
    right = accuracy(module, data.held_out)
    write_weights(module, file, {"recipe": "recipes/commands.py", "data": data.name, "how": how, "accuracy": f"{right:.4f}"})
    print(f"{file}: {right:.1%} of {len(data.held_out.labels)} held-out sounds", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--data", type=Path, help="a folder with one sub-folder of .wav files for each class")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    data = from_folder(options.data, options.seed, options.out) if options.data else bundled()
    write(regression(data), data, options.out / "commands_cepstra.safetensors",
          "logistic regression, ℓ2 weight on the tuning part")
    write(nearest(data), data, options.out / "commands_dtw.safetensors", f"{TEMPLATES} templates of each class")
    how = f"AdamW, {PASSES} passes, seed {options.seed}"
    write(residual(data, options.seed), data, options.out / "commands_res8.safetensors", how)
    write(letters(data, options.seed), data, options.out / "commands_ctc.safetensors", how)


if __name__ == "__main__":
    main()
