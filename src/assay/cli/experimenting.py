"""The command that runs live experiments on what training learns."""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli.group import cli
from assay.cli.pages import show
from assay.experiments import MODULES, SIZES


@cli.command()
@click.argument("name", type=click.Choice(list(MODULES)))
@click.option("--size", type=click.Choice(SIZES), default="quick", show_default=True,
              help="quick: minutes, one or few seeds; full: as published, up to an hour.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results (default runs/experiment-NAME-SIZE).")
def experiment(name: str, size: str, seed: int, out: Path | None) -> int:
    """Repeat an experiment on what training learns, beside its published figures.

    stripes: a cue in the background against the way of a stripe, by strength. second-coordinate: a cue of size 1e-4 against
    seven intervals. existence: a network exists; training and computing need not find it. before-after: errors and smallest
    flips of classifiers before and after deep learning. hallucination: a detail planted in training appears where it is not.
    """
    from assay.experiments.experiment import find, run_experiment
    from assay.reports.progress import duration

    chosen, folder = find(name), out or Path("runs") / f"experiment-{name}-{size}"
    parts = chosen.parts(size, seed)
    click.echo(f"{chosen.title}: {len(parts)} parts, about {duration(sum(part.seconds for part in parts))} on one "
               "core", err=True)
    told = run_experiment(chosen, folder, size=size, seed=seed, watch=lambda part, done, total: click.echo(
        f"  {done + 1} of {total}: {part}", err=True))
    show(told, folder, (("experiment", name), ("size", size), ("seed", str(seed))))
    return 0
