"""The command export: an audit's facts in other programs' formats. Loads no torch."""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli.exits import EXIT
from assay.cli.group import cli

FORMS = ["cyclonedx", "huggingface", "chai", "annex-iv", "annex-iv-json", "sarif", "junit", "json", "csv", "parquet"]


@cli.command("export")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--to", "form", type=click.Choice(FORMS), required=True, help="The format.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="File to write (default: standard output). A README.md that exists keeps its own text.")
def export_(folder: Path, form: str, out: Path | None) -> int:
    """Write a finished audit in another program's format; nothing is measured again.

    cyclonedx: CycloneDX 1.7 bill of materials with model card and declarations. huggingface: a README with model-index.
    chai: applied model card of the Coalition for Health AI (XML). annex-iv, annex-iv-json: test log with lines to sign,
    evidence relevant to AI Act Annex IV 2(g). sarif, junit, json: as `assay audit --format`. csv, parquet: all findings.
    """
    from assay.api import Audit
    from assay.reports import exports
    from assay.store import write_aside

    audit = Audit(folder)
    told = exports.material_of(audit.store, audit.verdicts)
    if told.expired:
        click.echo(f"The label expired on {told.label['valid_until'][:10]}: audit again before relying on it.", err=True)
    data = exports.written(told, form, out)
    if out is None:
        click.echo(data, nl=False)
    else:
        write_aside(out, data)
        click.echo(str(out), err=True)
    return EXIT["nothing"]
