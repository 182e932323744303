"""Systems that write what they hear, letter by letter: connectionist temporal classification (CTC), as scores of phrases.

Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification", ICML 2006. Such a network gives for each
frame the probabilities of letters and of a blank; a phrase is as probable as all frame-by-frame paths together that
collapse to it (equal neighbours merged, blanks taken out). Scores of a list of phrases, as a system with a fixed grammar has
them, make it a classifier like any other, and the search for a hidden phrase climbs the CTC loss.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from assay.arrays import InputError
from assay.systems.sound_features import MelCepstrum
from assay.systems.text_classifiers import as_bytes, read_words

BLANK = 0


class CtcPhrases(nn.Module):
    """log p(phrase | x) of each phrase: inputs to (batch, phrases), from a `module` that gives (batch, frames, 1 + letters).

    Output 0 of the module is the blank, output i the i-th letter; they are logits of each frame. The scores are minus the
    CTC loss (torch's own), −∞ never: a phrase that has more letters than there are frames is refused.
    """

    def __init__(self, module: nn.Module, *, phrases: Sequence[str], letters: str) -> None:
        super().__init__()
        if not phrases or len(set(letters)) != len(letters):
            raise InputError(f"need phrases and letters that are all different, got {list(phrases)!r} and {letters!r}")
        for phrase in phrases:
            if not phrase or not set(phrase) <= set(letters):
                raise InputError(f"phrase {phrase!r}: give at least one letter, and none but {letters!r}")
        self.module, self.phrases, self.letters = module, tuple(phrases), letters
        rows = [[letters.index(c) + 1 for c in phrase] for phrase in phrases]
        self.register_buffer("lengths", torch.tensor([len(row) for row in rows]), persistent=False)
        longest = max(map(len, rows))
        padded = [row + [BLANK] * (longest - len(row)) for row in rows]
        self.register_buffer("targets", torch.tensor(padded), persistent=False)

    def forward(self, x: Tensor) -> Float[Tensor, "batch phrases"]:
        return phrase_scores(self.frames(x), self.targets, self.lengths)  # type: ignore[arg-type]  # buffers are tensors

    def frames(self, x: Tensor) -> Float[Tensor, "batch frames symbols"]:
        """The module's logits."""
        logits: Tensor = self.module(x)
        if logits.ndim != 3 or logits.shape[2] != len(self.letters) + 1:
            raise InputError(f"expected logits (batch, frames, {len(self.letters) + 1}), a blank and {len(self.letters)} "
                             f"letters, got {tuple(logits.shape)}")
        return logits

    def written(self, x: Tensor) -> list[str]:
        """What is written without any list: the most probable symbol of each frame, collapsed."""
        with torch.no_grad():
            best = self.frames(x).argmax(2).tolist()
        return ["".join(self.letters[i - 1] for i in collapsed(path)) for path in best]


def collapsed(path: Sequence[int]) -> list[int]:
    """Equal neighbours merged, then blanks taken out.

    >>> collapsed([0, 1, 1, 0, 1, 2, 2])
    [1, 1, 2]
    """
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK]


def phrase_scores(logits: Float[Tensor, "batch frames symbols"], targets: Tensor,
                  lengths: Tensor) -> Float[Tensor, "batch phrases"]:
    """log Σ_paths Π_t p_t(path_t) over all paths that collapse to each phrase (phrases, longest), of `lengths` letters.

    >>> logits = torch.zeros(1, 2, 2)           # two frames, a blank and one letter, all as probable
    >>> round(float(phrase_scores(logits, torch.tensor([[1]]), torch.tensor([1])).exp()), 6)    # 01, 10 and 11 of four
    0.75
    """
    batch, frames, _ = logits.shape
    needed = lengths + (targets[:, 1:] == targets[:, :-1]).logical_and(targets[:, 1:] != BLANK).sum(1)
    if int(needed.max()) > frames:
        raise InputError(f"{frames} frames are too few for a phrase of {int(lengths.max())} letters; give longer sounds")
    log_probabilities = logits.log_softmax(2).transpose(0, 1).repeat_interleave(len(targets), dim=1)
    loss = F.ctc_loss(log_probabilities, targets.repeat(batch, 1), torch.full((batch * len(targets),), frames),
                      lengths.repeat(batch), blank=BLANK, reduction="none")
    return -loss.unflatten(0, (batch, len(targets)))


class LetterNet(nn.Module):
    """Convolutions over mel cepstra; every 20 ms the logits of a blank and of the letters."""

    def __init__(self, *, symbols: int, width: int = 64) -> None:
        super().__init__()
        self.cepstra = MelCepstrum(high=7600.0, floor=1e-6)
        self.layers = nn.Sequential(
            nn.Conv1d(40, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2, stride=2), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=4, dilation=2), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, symbols, 1))

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames symbols"]:
        return self.layers(self.cepstra(waves).transpose(1, 2)).transpose(1, 2)


class SpelledCommands(nn.Module):
    """A `LetterNet` and the phrases it listens for, kept among its weights as bytes: a weights file says all there is."""

    def __init__(self, *, vocabulary: Tensor, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("vocabulary", vocabulary)
        phrases = read_words(vocabulary)
        letters = "".join(sorted(set("".join(phrases))))
        self.spoken = CtcPhrases(LetterNet(symbols=len(letters) + 1, width=width), phrases=phrases, letters=letters)

    @property
    def phrases(self) -> tuple[str, ...]:
        return self.spoken.phrases

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch phrases"]:
        return self.spoken(waves)

    def written(self, waves: Float[Tensor, "batch samples"]) -> list[str]:
        """What is written without any list of phrases."""
        return self.spoken.written(waves)


def spelled(phrases: Sequence[str]) -> SpelledCommands:
    """An untrained network that listens for these phrases."""
    return SpelledCommands(vocabulary=as_bytes(phrases))


def build_spelled(state: Mapping[str, Tensor]) -> SpelledCommands:
    """The network whose weights these are."""
    return SpelledCommands(vocabulary=state["vocabulary"].to(torch.uint8),
                           width=len(state["spoken.module.layers.0.bias"]))
