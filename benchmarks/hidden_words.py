"""Words hidden in recordings: the search of Carlini and Wagner beside the audit's own, and random noise.

    python benchmarks/hidden_words.py [--clips 100]
    python benchmarks/hidden_words.py --data FOLDER --weights res8.pt [--clips 100]

Each clip is to be heard as one other class, drawn by its name. Per system and search: the share of clips heard as that class
with an added sound of at most −25 dB beside the loudest point, with Wilson's interval; median and mean of dB_x(δ) where
found; gradients of each clip; seconds. All searches ask of sounds in whole steps of 16 bits, as a file holds them. Clips
that are wrong unchanged are left out. Below: random noise of −25 dB heard as that class, the mean of eight draws. Without
--data the held-out synthetic commands, for `commands-res8`, `commands-ctc` and `commands-cepstra`; with it the folder, for
the weights' network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from assay.checks.smallest_change import in_steps
from assay.datasets.sounds import LabelledSounds
from assay.metrics.sound import heard_as, hidden_word
from assay.numerics.intervals import wilson
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.sounds import AddedSound, decibels, stored
from assay.searches.smallest.cascade import smallest_change
from assay.searches.smallest.result import Smallest
from assay.searches.smallest.shrinking import shrinking
from listening import each, evenly, loaded, parser

LOUDEST, BATCH, BOUND = -25.0, 20, -10.0
Search = Callable[[Callable[[Tensor], Tensor], Examples, Tensor], Smallest]


def published(steps: int) -> Search:
    """The search of Carlini and Wagner, from a bound of −10 dB."""
    def search(system: Callable[[Tensor], Tensor], x: Examples, goal: Tensor) -> Smallest:
        radius = 10 ** (BOUND / 20) * x.inputs.abs().amax(1)
        return shrinking(system, x.inputs, goal, radius=radius, box=x.box, steps=steps)
    return search


def cascade(steps: int) -> Search:
    """The audit's own, in its order of searches."""
    def search(system: Callable[[Tensor], Tensor], x: Examples, goal: Tensor) -> Smallest:
        return smallest_change(system, x.inputs, goal, norm="linf", box=x.box, towards=True, refine_steps=steps,
                               fresh_steps=steps, check_steps=steps // 2,
                               generators=[stream("hidden", sample) for sample in x.ids])
    return search


SEARCHES = {"Carlini–Wagner, 300 steps": published(300), "Carlini–Wagner, 1,000 steps": published(1000),
            "cascade, 30": cascade(30)}


def rows(name: str, data: LabelledSounds, options: argparse.Namespace) -> None:
    system = loaded(name, options)
    x, goal = heard_rightly(system, data, options.clips)
    print(f"\n{name}: {len(x)} clips heard rightly of {len(evenly(data, options.clips))}\n")
    print("| search | heard as the word at ≤ −25 dB | median dB | mean dB | gradients a clip | seconds |")
    print("|---|---|---|---|---|---|")
    for label, search in SEARCHES.items():
        start = time.perf_counter()
        parts = [search(lambda u: system(stored(u)), x.part(i, i + BATCH), goal[i: i + BATCH])
                 for i in range(0, len(x), BATCH)]
        seconds = time.perf_counter() - start
        loudest = x.inputs.abs().amax(1)
        stepped = [in_steps(lambda scores, i=i: heard_as(scores, goal[i: i + BATCH]).bool(), system, x.part(i, i + BATCH),
                            part) for i, part in zip(range(0, len(x), BATCH), parts, strict=True)]
        p, found = (torch.cat([pair[k] for pair in stepped]) for k in (0, 1))
        loud = torch.where(found, decibels(p.abs().amax(1) / loudest), torch.inf)
        hits = int((loud <= LOUDEST).sum())
        low, high = wilson(hits, len(x))
        gradients = float(torch.cat([part.backward for part in parts]).double().mean())
        print(f"| {label} | {hits / len(x):.0%} ({low:.0%}–{high:.0%}) | {float(loud.median()):.1f} | "
              f"{float(loud[found].mean()):.1f} | {gradients:.0f} | {seconds:.0f} |",
              flush=True)
    ball, heard = AddedSound.at(LOUDEST, x), []
    generators = [stream("noise", sample) for sample in x.ids]
    with torch.no_grad():
        for _ in range(8):
            heard.append(heard_as(in_parts(system, x.inputs + ball.sample(x, generators)), goal).mean())
    print(f"\nrandom noise of {LOUDEST:g} dB: heard as the word in {float(torch.stack(heard).mean()):.1%}")


def heard_rightly(system: Callable[[Tensor], Tensor], data: LabelledSounds, clips: int) -> tuple[Examples, Tensor]:
    """Clips at even distances that the system hears rightly, and the word to be hidden in each."""
    x = data.fetch(evenly(data, clips))
    with torch.no_grad():
        scores = in_parts(system, x.inputs)
    kept = (scores.argmax(1) == x.truth).nonzero().flatten().tolist()
    assert x.truth is not None
    own = Examples(ids=tuple(x.ids[i] for i in kept), inputs=x.inputs[kept], truth=x.truth[kept], box=x.box, rate=x.rate)
    return own, hidden_word(own, scores.shape[1])


def in_parts(system: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return torch.cat([system(part) for part in inputs.split(BATCH)])


def main() -> None:
    each(rows, parser(__doc__ or "", clips=100).parse_args())


if __name__ == "__main__":
    main()
