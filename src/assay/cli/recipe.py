"""The words that say what is audited: options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is audited, on what data, under which profile."""
    options = [
        click.argument("system"),
        click.argument("data", default=""),
        click.option("--profile", default="research", show_default=True, help="A profile's name or TOML file."),
        click.option("--budget", default="standard", show_default=True, help="demo, standard, or one of the profile's."),
        click.option("--established", multiple=True,
                     help="Established method to compare with; may be given several times. Default: the task's usual one "
                          "(total-variation, hog-svm); none for none."),
        click.option("--surrogate", "surrogates", multiple=True,
                     help="Classification: a further system with gradients on which changes are found and carried over to "
                          "SYSTEM; it is not judged. May be given several times."),
        click.option("--task", default="",
                     help="reconstruction, classification, text, codes, sound, verification or table, where neither SYSTEM "
                          "nor DATA tells."),
        click.option("--labels",
                     help="Name of the array of labels in a .npz file; of a table, the column of the classes."),
        click.option("--fields", default="",
                     help="TOML file that declares the columns of a table of rows: kinds, ranges, what may change."),
        click.option("--tariff", default="",
                     help="TOML file of what each decision is worth: equivalent records are told apart in money too."),
        click.option("--groups", default="",
                     help="Which group each sample is of: a .csv with the columns sample and group, or the name of an array "
                          "of the .npz or a column of the table. Each group's rate is told, and the worst one named."),
        click.option("--classes", help="Classification: text file with the names of the classes, one a line."),
        click.option("--fit", default="",
                     help="Classification: labelled images to fit hog-svm or multinomial to, none of them audited; of the "
                          "size and classes of DATA. Of a .npz with a training part, that part."),
        click.option("--fit-key", help="Name of the array of images in the .npz of --fit."),
        click.option("--fit-labels", help="Name of the array of labels in the .npz of --fit."),
        click.option("--value-range", type=float, nargs=2, default=None,
                     help="Classification: least and greatest value of a pixel (0 255 for integers, 0 1 for floats)."),
        click.option("--weights", type=click.Path(path_type=Path), help="Weights of SYSTEM (.safetensors, author's .npz)."),
        click.option("--mask", type=click.Choice(["lines", "variable-density"]), default="lines", show_default=True),
        click.option("--fraction", type=float, default=0.33, show_default=True, help="Share of Fourier samples."),
        click.option("--mask-seed", type=int, default=0, show_default=True),
        click.option("--noise", type=float, default=0.01, show_default=True, help="Simulated noise, share of ‖y‖."),
        click.option("--kspace", is_flag=True, help="DATA is measured, fully sampled k-space."),
        click.option("--key", help="Name of the array in a .npz, .mat or .h5 file; of texts, the column that holds them."),
        click.option("--axes", help="What each axis of a k-space array is, a letter each: s samples, c coils, h height, w "
                                    "width (schw)."),
        click.option("--axis", type=int, help="Axis of a NIfTI volume to cut across."),
        click.option("--size", type=int,
                     help="Centre-crop or zero-pad images to this many pixels; cut or pad sounds to this many samples."),
        click.option("--limit", type=int, help="Audit the first so many samples."),
        click.option("--licence", default="unknown", help="Licence of DATA, for the record."),
        click.option("--seed", type=int, default=0, show_default=True),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def recipe_of(values: dict[str, Any]) -> Any:
    from assay.audits.recipe import Recipe

    system, weights = values.pop("system"), values.pop("weights")
    return Recipe(systems=(system,), weights={system: str(weights)} if weights else {}, **values)
