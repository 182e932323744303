"""Trains the shipped verifications of a synthetic voice, in ten minutes on one core: `python recipes/voices.py`.

The network learns to tell 240 people apart (AdamW on the cross-entropy of scaled cosines, 50 passes, noise, loudness and
place changed anew each time); its embedding is then compared with the mean of the enrolled person's twenty clips. The
established one: linear discriminant analysis of cepstral statistics on the same people. Both turn the cosine into log odds
by logistic regression on the tuning part, whose strangers are none of the others. Figures in a file's header are those of
the weights as written there, on the audited part. Weights go to `--out`; those that ship lie in
src/assay/systems/literature/weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assay.datasets.commands import Clip
from assay.datasets.voices import PEOPLE, training_voices, voices
from assay.numerics.binary import auroc
from assay.systems.verification import CepstralStatistics, Verifier, VoiceNet
from commands import BATCH, DECAY, changed
from training import write_weights

MAPS, PASSES, RATE, SCALE, KEPT = 32, 50, 4e-3, 12.0, 16
RIDGE, STEPS = 1e-3, 2000


def tensors(clips: Sequence[Clip]) -> tuple[Tensor, Tensor]:
    waves = torch.from_numpy(np.stack([clip.samples for clip in clips]).astype(np.float32)) / 2**15
    return waves, torch.tensor([clip.label for clip in clips])


def embedded(module: nn.Module, waves: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(some) for some in waves.split(50)])


def voice_net(waves: Tensor, people: Tensor, seed: int) -> VoiceNet:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net, names = VoiceNet(maps=MAPS), nn.Linear(MAPS, PEOPLE, bias=False)
    parameters = [*net.parameters(), *names.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=PASSES * -(-len(people) // BATCH))
    for epoch in range(PASSES):
        net.train()
        total = 0.0
        for some in torch.randperm(len(people), generator=generator).split(BATCH):
            optimiser.zero_grad()
            cosines = F.linear(F.normalize(net(changed(waves[some], generator))), F.normalize(names.weight))
            loss = F.cross_entropy(SCALE * cosines, people[some])
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(some)
        print(f"pass {epoch + 1}: loss {total / len(people):.3f}", flush=True)
    return net.eval()


def cepstral(waves: Tensor, people: Tensor) -> CepstralStatistics:
    """Fisher's directions: the generalised eigenvectors of the scatter between people and that within."""
    module = CepstralStatistics(kept=KEPT)
    with torch.no_grad():
        rows = torch.cat([module.statistics(some) for some in waves.split(100)]).double()
    means = torch.stack([rows[people == p].mean(0) for p in range(PEOPLE)])
    within = torch.cov((rows - means[people]).T) + RIDGE * torch.eye(rows.shape[1])
    root = torch.linalg.inv(torch.linalg.cholesky(within))
    _, vectors = torch.linalg.eigh(root @ torch.cov(means.T) @ root.T)
    module.centre.copy_(rows.mean(0))
    module.directions.copy_((vectors[:, -KEPT:].T @ root).flip(0))
    return module.eval()


def enrolled(embedding: nn.Module) -> Verifier:
    """The verification of the enrolled person, its cosine turned into log odds on the tuning part."""
    template = F.normalize(embedded(embedding, tensors(voices("enrolment"))[0])).mean(0)
    verifier = Verifier(embedding, template=template)
    waves, labels = tensors(voices("tuning"))
    with torch.no_grad():
        cosines = torch.cat([verifier.cosine(some) for some in waves.split(50)]).double()
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.binary_cross_entropy_with_logits(line[0] * cosines + line[1], labels.double()) + 1e-4 * line[0].square()
        value.backward()
        return value

    optimiser.step(loss)
    verifier.slope.copy_(line[0].detach())
    verifier.offset.copy_(line[1].detach())
    return verifier.eval()


def write(verifier: Verifier, file: Path, how: str) -> None:
    with torch.no_grad():
        for value in verifier.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
    waves, labels = tensors(voices("audited"))
    scores = embedded(verifier, waves)[:, 1]
    accepted, area = scores > 0, auroc(scores.tolist(), labels.tolist())
    false_accept = float(accepted[labels == 0].double().mean())
    false_reject = float((~accepted[labels == 1]).double().mean())
    figures = {"false_accept": f"{false_accept:.4f}", "false_reject": f"{false_reject:.4f}", "auroc": f"{area:.4f}"}
    write_weights(verifier, file, {"recipe": "recipes/voices.py", "data": "synthetic voices", "how": how, **figures})
    print(f"{file}: {figures}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    waves, people = tensors(training_voices())
    write(enrolled(cepstral(waves, people)), options.out / "voices_cepstra.safetensors", f"{KEPT} discriminant directions")
    write(enrolled(voice_net(waves, people, options.seed)), options.out / "voices_res8.safetensors",
          f"AdamW, {PASSES} passes, seed {options.seed}")


if __name__ == "__main__":
    main()
