"""The command redact: a copy of an audit to hand over. Loads no torch."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from pathlib import Path

import click

from assay.cli.exits import EXIT
from assay.cli.group import cli


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the copy (default: FOLDER-redacted).")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False),
              help="File with the key of the pseudonyms (default: FOLDER.redaction.key beside it; made if there is none).")
@click.option("--check", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Write nothing, and say whether this folder is the redacted copy of FOLDER under the key.")
def redact(folder: Path, out: Path | None, key: Path | None, check: Path | None) -> int:
    """Write a copy of a finished audit without inputs, stored changes, and names of samples and files.

    The copy has a manifest of its own, names the original's digest, and verifies with `assay verify --no-replay`. The key
    stays with the owner, who can show with it that the copy is one (`--check`).
    """
    secret = key or key_of(folder)
    if check is not None:
        return _checked(folder, secret, check)
    target = out or folder.with_name(f"{folder.resolve().name}-redacted")
    written(folder, target, secret)
    return EXIT["nothing"]


def key_of(folder: Path) -> Path:
    """Where the key lies if nobody says otherwise: beside the audit, so that no folder that is handed over holds it."""
    return folder.with_name(f"{folder.resolve().name}.redaction.key")


def written(folder: Path, target: Path, key: Path) -> None:
    """Redact, and say where the copy and the key are."""
    from assay.api import redact as copied
    from assay.pseudonyms import read_key

    if target.resolve() in (folder.resolve(), *folder.resolve().parents) or folder.resolve() in target.resolve().parents:
        raise click.UsageError(f"--out {target}: must lie outside the audit, and not around it")
    if target.resolve() in key.resolve().parents:
        raise click.UsageError(f"--key {key}: lies in the copy, and would be handed over with it")
    copied(folder, target, key=read_key(key))
    click.echo(f"Hand over: {target}\nKeep:      {key} (who has it can tell which pseudonym is which sample)", err=True)


def _checked(folder: Path, key: Path, copy: Path) -> int:
    """Redact again, aside, and compare the manifests (equal audits and keys give equal copies) and the copy's files."""
    from assay.api import redact as copied
    from assay.pseudonyms import read_key
    from assay.store import AuditFolder
    from assay.verification import check_files

    if not key.exists():
        raise click.UsageError(f"--key {key}: no such file; the key that the copy was made with is needed")
    aside = Path(tempfile.mkdtemp())
    try:
        again = copied(folder, aside / "copy", key=read_key(key)).folder
        same = filecmp.cmp(again / "manifest.json", copy / "manifest.json", shallow=False)
        same = same and check_files(AuditFolder(copy), lambda claim, holds, detail: holds)
    except FileNotFoundError:
        same = False
    finally:
        shutil.rmtree(aside)
    click.echo(f"{copy} {'is' if same else 'is not'} the redacted copy of {folder} under this key.", err=True)
    return EXIT["nothing"] if same else EXIT["findings"]
