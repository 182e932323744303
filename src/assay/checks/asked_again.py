"""Is the system still the one that was asked first? Its answers before any search are kept and asked for again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.arrays import InputError
from assay.checks.check import Bench
from assay.numerics.norms import norm
from assay.numerics.texts import decode, encode
from assay.perturbations.protocol import Examples, stream
from assay.records import Flag

AWAY = (0.0, 0.02, 0.1)         # where it is asked: at the image, and this share of the range from it at every value;
                                # a text also without this share of its end
SAME = 1e-3                     # greatest relative change of the scores that is still the same answer


def remember(system: str, bench: Bench, x: Examples) -> None:
    """Ask once per process, before any search, and keep the scores.

    A system that counts similar questions may later repeat its first answer, so it is also asked a little beside each
    image: there the first answer is not the right one.
    """
    new = [i for i, sample in enumerate(x.ids) if ("first", system, sample) not in bench.cache]
    for i in new:
        bench.cache["first", system, x.ids[i]] = _ask(system, bench, x.only(i))


def changed_with_use(system: str, bench: Bench, x: Examples) -> list[list[Flag]]:
    """For each example, `changes-with-use` where the scores are no longer those that were given first.

    A system that answers differently each time is not meant (`not-deterministic`): two answers now must agree.
    """
    flags: list[list[Flag]] = []
    for i, sample in enumerate(x.ids):
        if ("first", system, sample) not in bench.cache:
            raise InputError(f"sample {sample!r}: the system was not asked before the search")
        first = bench.cache["first", system, sample]
        now, again = _ask(system, bench, x.only(i)), _ask(system, bench, x.only(i))
        scale = norm(first).clamp_min(1e-30)
        moved, restless = float((norm(now - first) / scale).amax()), float((norm(again - now) / scale).amax())
        flags.append([Flag(id="changes-with-use", detail=f"relative change {moved:.1e} since the first question")]
                     if moved > SAME and restless <= SAME else [])
    return flags


def _ask(system: str, bench: Bench, x: Examples) -> Tensor:
    """(places, classes): the scores at the input and beside it, in one direction drawn for the sample.

    Beside a text are its beginnings, in whole lines or, of one line, whole words; beside a row (numbers without a range)
    other rows of the data, since no other numbers are known to be a row.
    """
    if x.inputs.is_floating_point() and x.inputs.ndim == 2 and x.box is None:
        others = torch.randperm(max(bench.count, 1), generator=stream(bench.seed, "asked again", x.ids[0]))[: len(AWAY) - 1]
        places = torch.cat([x.inputs, *([bench.fetch(tuple(others.tolist())).inputs] if bench.count else [])])
    elif x.inputs.is_floating_point():
        low, high = x.box or (float("-inf"), float("inf"))
        width = high - low if x.box is not None else float(x.inputs.abs().amax())
        signs = torch.randn(x.inputs.shape, generator=stream(bench.seed, "asked again", x.ids[0])).sign().to(x.inputs.dtype)
        places = torch.cat([(x.inputs + away * width * signs).clamp(low, high) for away in AWAY])
    else:
        (text,) = decode(x.inputs.numpy())
        places = torch.from_numpy(encode([_beginning(text, away) for away in AWAY]))
    with torch.no_grad():
        return bench.systems[system](places).double()


def _beginning(text: str, away: float) -> str:
    """The text without this share of its end.

    >>> _beginning("a b c", 0.1), _beginning("a b c", 0.0), _beginning("one\\ntwo", 0.02)
    ('a b', 'a b c', 'one')
    """
    if away == 0:
        return text
    parts, joint = (text.splitlines(), "\n") if "\n" in text.strip() else (text.split(" "), " ")
    return joint.join(parts[: max(1, math.floor((1 - away) * len(parts)))])
