"""Commands about signatures: key, sign. A signature is checked by `assay verify --public-key`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assay.cli.exits import EXIT, Exit
from assay.cli.group import cli

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PASSWORD = "ASSAY_KEY_PASSWORD"


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--encrypt", is_flag=True,
              help=f"Encrypt the private key; its password is asked for, or taken from {PASSWORD}.")
def key(file: Path, encrypt: bool) -> int:
    """Make a pair of Ed25519 keys: the private one in FILE, the public one in FILE.pub. Nothing is overwritten."""
    from assay.signing import keys

    public, identity = keys.make_pair(file, _password(confirm=True) if encrypt else None)
    click.echo(f"Private key: {file} (keep it to yourself)\nPublic key:  {public} (give it to those who check your labels)\n"
               f"Key id:      {identity}", err=True)
    return EXIT["nothing"]


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, help="Private key that `assay key` made.")
def sign(folder: Path, key_file: Path) -> int:
    """Sign the warning label of an audit, after checking that it holds; writes warning_label.dsse.json beside it."""
    from assay.attesting import sign as sign_label
    from assay.signing import keys

    private = _private(key_file)
    failed = [claim for claim in sign_label(folder, private) if not claim.holds]
    if failed:
        raise Exit("findings", f"Nothing was signed: {failed[0].claim} FAILS ({failed[0].detail}).")
    click.echo(f"Signed by key {keys.key_id(private.public_key())}: {folder / 'warning_label.dsse.json'}\n"
               f"Check it: assay verify {folder} --public-key {keys.public_path(key_file)}", err=True)
    return EXIT["nothing"]


def _private(path: Path) -> Ed25519PrivateKey:
    from assay.signing import keys

    try:
        return keys.read_private(path)
    except keys.PasswordNeededError:
        return keys.read_private(path, _password(confirm=False))


def _password(*, confirm: bool) -> bytes:
    told = os.environ.get(PASSWORD) or click.prompt("Password of the key", hide_input=True, confirmation_prompt=confirm,
                                                    err=True)
    return str(told).encode()
