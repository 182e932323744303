"""The command that asks what a classifier has learnt."""

from __future__ import annotations

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
@click.option("--time", "time", default="", help="When each input was taken (a number or a date): an array of the .npz, a "
                                               "column of the .csv, or a .csv with columns sample and time.")
@click.option("--shifted", default="", help="Labelled data of another time, site or device, of the same classes and kind: "
                                            "small models and SYSTEM are also tried on these.")
@click.option("--task", default="", help="As for audit, where neither SYSTEM nor DATA tells.")
@click.option("--weights", type=click.Path(path_type=Path), help="Weights of SYSTEM (.safetensors).")
@click.option("--labels", help="As for audit.")
@click.option("--key", help="As for audit.")
@click.option("--fields", default="", help="As for audit.")
@click.option("--value-range", type=float, nargs=2, default=None, help="As for audit.")
@click.option("--limit", type=int, help="Take so many inputs (at most 2,000 are used).")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the study (default runs/study-SYSTEM).")
def study(system: str, structures: str, words: tuple[str, ...], missing: tuple[float, ...], time: str, shifted: str,
          out: Path | None, weights: Path | None, seed: int, **said: Any) -> int:
    """Ask what SYSTEM has learnt from labelled DATA: success, use, instability and simplicity of candidate structures.

    Of images: brightness, colour cast, border, marker in a corner, sharpness, texture, directions of edges, small patches, a
    thumbnail. Of tables: each column, what is missing. Of texts: length, and the words given. Of all: place in the file, and
    time. Beside each verdict stand a network taught to follow the structure, and classes exchanged at random. Running again
    resumes.
    """
    from assay.arrays import InputError
    from assay.audits.prepare import session_from
    from assay.audits.recipe import Recipe
    from assay.records import to_data
    from assay.reports.progress import duration
    from assay.study.forecast import forecast
    from assay.study.prepare import facts_of, own, prepared
    from assay.study.run import Study, run_study
    from assay.systems.protocol import System

    recipe = Recipe(systems=(system,), established=("none",), seed=seed,
                    weights={system: str(weights)} if weights else {}, **said)
    session = session_from(recipe)
    other = _other(recipe, shifted, session.data) if shifted else None
    facts = facts_of(session.data.ids, str((session.recipe or {}).get("data", "")), time)
    material, candidates = prepared(session.data, seed=seed, facts=facts, shifted=other, words=words, missing=missing)
    audited = session.systems[0].system
    if not isinstance(audited, System):
        raise InputError(f"{system}: a study asks classifiers")
    made = Study.of(audited, material, (*candidates, *own(structures)), seed=seed)
    folder = out or Path("runs") / f"study-{''.join(c if c.isalnum() or c in '-.' else '-' for c in system)[:60]}"
    click.echo(f"Study of {session.name}: {len(made.structures)} structures, {len(material.y)} inputs; about "
               f"{duration(forecast(made))} on one core", err=True)
    header = {"system": to_data(session.systems[0].record), "data": to_data(session.data.record)}
    if other is not None:
        header["shifted"] = to_data(other.record)
    with session.threading():
        told = run_study(made, folder, header, watch=lambda part, done, total: click.echo(
            f"  {done + 1} of {total}: {part}", err=True))
    show(told, folder, (("system", f"{session.name}, {session.systems[0].record.digest}"),
                        ("data", session.data.record.description),
                        *((("shifted data", other.record.description),) if other is not None else ()), ("seed", str(seed))))
    return 0


def _other(recipe: Any, shifted: str, data: Any) -> Any:
    """The data of --shifted, read as those studied; `InputError` where these have other classes."""
    from dataclasses import replace

    from assay.arrays import InputError
    from assay.audits.prepare import TASKS, resolved

    words = resolved(replace(recipe, data=shifted))
    other, _ = TASKS[words.task].datasets(words)
    if unknown := [name for name in other.record.classes if name not in data.record.classes]:
        raise InputError(f"--shifted {shifted}: class {unknown[0]!r} is not one of {', '.join(data.record.classes)}; give "
                         "data of the same classes")
    return other
