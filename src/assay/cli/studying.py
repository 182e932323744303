"""The command that asks what a classifier has learnt."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from assay.cli.group import cli
from assay.cli.pages import show


@cli.command()
@click.argument("system")
@click.argument("data", default="")
@click.option("--structures", default="", help="Your own candidates: module:NAME of a sequence of structures, tried "
                                               "besides.")
@click.option("--word", "words", multiple=True, help="Of texts: a word, or phrase, that may have been learnt; several "
                                                     "times.")
@click.option("--missing", multiple=True, type=float, help="Of tables: a value that stands for one that is missing.")
@click.option("--task", default="", help="As for audit, where neither SYSTEM nor DATA tells.")
@click.option("--weights", type=click.Path(path_type=Path), help="Weights of SYSTEM (.safetensors).")
@click.option("--labels", help="As for audit.")
@click.option("--key", help="As for audit.")
@click.option("--fields", default="", help="As for audit.")
@click.option("--value-range", type=float, nargs=2, default=None, help="As for audit.")
@click.option("--limit", type=int, help="Take the first so many inputs (at most 2,000 are used).")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the study (default runs/study-SYSTEM).")
def study(system: str, structures: str, words: tuple[str, ...], missing: tuple[float, ...], out: Path | None,
          weights: Path | None, seed: int, **said: Any) -> int:
    """Ask what SYSTEM has learnt from labelled DATA: success, use, instability and simplicity of candidate structures.

    Of images: brightness, colour cast, border, marker in a corner, sharpness, texture, directions of edges, small patches, a
    thumbnail. Of tables: each column, what is missing. Of texts: length, and the words given. Beside each verdict stand a
    network taught to follow the structure, and classes exchanged at random. Running again resumes.
    """
    from assay.arrays import InputError
    from assay.audits.prepare import session_from
    from assay.audits.recipe import Recipe
    from assay.records import to_data
    from assay.reports.progress import duration
    from assay.study.run import Study, forecast, run_study
    from assay.systems.protocol import System

    session = session_from(Recipe(systems=(system,), established=("none",), seed=seed,
                                  weights={system: str(weights)} if weights else {}, **said))
    material, candidates = _material(session, words, missing, seed)
    audited = session.systems[0].system
    if not isinstance(audited, System):
        raise InputError(f"{system}: a study asks classifiers")
    made = Study.of(audited, material, (*candidates, *_own(structures)), seed=seed)
    folder = out or Path("runs") / f"study-{''.join(c if c.isalnum() or c in '-.' else '-' for c in system)[:60]}"
    click.echo(f"Study of {session.name}: {len(made.structures)} structures, {len(material.y)} inputs; about "
               f"{duration(forecast(made))} on one core", err=True)
    with session.threading():
        told = run_study(made, folder, {"system": to_data(session.systems[0].record), "data": to_data(session.data.record)},
                         watch=lambda part, done, total: click.echo(f"  {done + 1} of {total}: {part}", err=True))
    show(told, folder, (("system", f"{session.name}, {session.systems[0].record.digest}"),
                        ("data", session.data.record.description), ("seed", str(seed))))
    return 0


def _material(session: Any, words: Sequence[str], missing: Sequence[float], seed: int) -> tuple[Any, tuple[Any, ...]]:
    """The data as two halves, and the candidates for inputs of their kind."""
    import torch

    from assay.arrays import InputError
    from assay.perturbations.protocol import stream
    from assay.structures import library
    from assay.study.material import MOST, halves

    record = session.data.record
    if not record.classes:
        raise InputError(f"data {record.id!r} have no classes: a study asks what a classifier has learnt")
    places = torch.randperm(len(session.data.ids), generator=stream(seed, "study"))[:MOST].sort().values.tolist()
    examples = session.data.fetch(tuple(places))
    material = halves(examples.inputs, examples.truth, classes=len(record.classes), box=examples.box, seed=seed)
    x = material.x
    if not x.is_floating_point():
        return material, library.of_texts(words)
    if x.ndim == 2:
        names = record.options.get("fields", {}).get("names") or [str(i) for i in range(x.shape[1])]
        return material, library.of_rows(list(names), tuple(missing))
    return material, library.of_images(examples.box or (0.0, 1.0))


def _own(named: str) -> tuple[Any, ...]:
    """The user's structures, from module:NAME."""
    from assay.arrays import InputError
    from assay.structures.protocol import Structure

    if not named:
        return ()
    module, _, name = named.partition(":")
    try:
        found = tuple(getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"--structures {named!r}: {error}; give module:NAME of a list of structures") from None
    for g in found:
        if not isinstance(g, Structure):
            raise InputError(f"--structures {named!r}: {g!r} is no structure; it needs id, title, keeps_truth, unfit and "
                             "features (assay.structures.protocol.OfFunction makes one of a function)")
    return found
