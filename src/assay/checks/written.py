"""What a system that spells writes of a sound without a list of phrases: told beside the decision, never judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from assay.metrics.protocol import Response
from assay.metrics.sound import hidden_word
from assay.numerics.texts import edits, encode
from assay.records import Finding
from assay.systems.metered import Metered
from assay.systems.protocol import Writer
from assay.systems.torch import TorchSystem

LONGEST = 1000      # characters of a text that a row keeps
HIDDEN = ("heard-as", "heard-in-rooms")        # metrics that ask for another answer than the right one


def writer(target: Metered) -> Writer | None:
    """The module that writes, where the system is one."""
    module = target.system.module if isinstance(target.system, TorchSystem) else None
    return module if isinstance(module, Writer) else None


def written_texts(systems: Mapping[str, Metered], inputs: Tensor, changed: Tensor) -> dict[str, Tensor | None]:
    """As pictures: what each system that writes made of both, `written:NAME` and `written-normal:NAME`, as code points."""
    found: dict[str, Tensor | None] = {}
    for name, target in systems.items():
        if (spelling := writer(target)) is not None:
            for panel, sounds in (("written-normal", inputs), ("written", changed)):
                found[f"{panel}:{name}"] = torch.from_numpy(encode([*spelling.written(sounds), " "]))[:-1]
    return found


def letters_wrong(target: Metered, metric: str, own: Response) -> dict[str, Tensor]:
    """`written-error.normal` and `.worst` (batch,): edits from what is written to the phrase, over the phrase's letters.

    The phrase is the right one, and under a change that hides another answer that one. Empty for systems that do not write.
    """
    spelling, x = writer(target), own.original
    if spelling is None or x.truth is None or not x.labelled:
        return {}
    asked = hidden_word(x, own.output.shape[1]) if metric in HIDDEN else x.truth
    pairs = (("normal", x.inputs, x.truth), ("worst", own.changed.inputs, asked))
    return {f"written-error.{when}": torch.tensor([
        edits(text, spelling.phrases[label]) / len(spelling.phrases[label])
        for text, label in zip(spelling.written(sounds), labels.tolist(), strict=True)], dtype=torch.float64)
        for when, sounds, labels in pairs}


def with_texts(rows: Sequence[Finding], target: Metered, inputs: Tensor, changed: Tensor) -> list[Finding]:
    """The rows, one for each input, with what the system writes of it (`written.normal`) and of the changed one
    (`written.worst`), where it writes; of a row that has no worst case only the first."""
    spelling = writer(target)
    if spelling is None:
        return list(rows)
    before, after = ([text[:LONGEST] for text in spelling.written(sounds)] for sounds in (inputs, changed))
    return [replace(row, texts={"written.normal": one} | ({} if row.worst is None else {"written.worst": other}))
            for row, one, other in zip(rows, before, after, strict=True)]
