"""Commands about signatures: key, sign. They are checked by `assay verify` with --public-key, or --identity and --issuer."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.exits import EXIT, Exit
from assay.cli.group import cli

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from assay.verification import Claim

PASSWORD, TOKEN = "ASSAY_KEY_PASSWORD", "SIGSTORE_IDENTITY_TOKEN"


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
@click.option("--key", "key_file", type=click.Path(path_type=Path), help="Private key that `assay key` made.")
@click.option("--sigstore", is_flag=True,
              help="Sign with your identity instead of a key: keyless, over the network, and a public log keeps it.")
@click.option("--identity-token", envvar=TOKEN,
              help=f"OpenID Connect token for --sigstore (better as {TOKEN}); else the machine's own, or a browser asks.")
@click.option("--trust-config", type=click.Path(path_type=Path),
              help="Trust configuration of another Sigstore than the public one (JSON, as `sigstore --trust-config`).")
@click.option("--yes", is_flag=True, help="Send what --sigstore sends without being asked; needed where nobody can answer.")
def sign(folder: Path, key_file: Path | None, sigstore: bool, identity_token: str | None, trust_config: Path | None,
         yes: bool) -> int:
    """Sign the warning label of an audit, after checking that it holds.

    Writes warning_label.dsse.json (--key) or warning_label.sigstore.json (--sigstore) beside it.
    """
    if (key_file is None) is not sigstore:
        raise click.UsageError("Give --key FILE (`assay key FILE` makes one) or --sigstore, and not both.")
    if key_file is not None:
        return _with_key(folder, key_file)
    return _with_identity(folder, identity_token, trust_config, yes)


def _with_key(folder: Path, key_file: Path) -> int:
    from assay.attesting import sign as sign_label
    from assay.signing import keys

    private = _private(key_file)
    _refuse(sign_label(folder, private))
    click.echo(f"Signed by key {keys.key_id(private.public_key())}: {folder / 'warning_label.dsse.json'}\n"
               f"Check it: assay verify {folder} --public-key {keys.public_path(key_file)}", err=True)
    return EXIT["nothing"]


def _with_identity(folder: Path, token: str | None, trust_config: Path | None, yes: bool) -> int:
    from assay.attesting import sign_keyless

    claims, who = sign_keyless(folder, token=token, trust_config=trust_config, before=lambda said: agreed(said, yes=yes))
    _refuse(claims)
    if who is not None:
        more = f" --trust-config {trust_config}" if trust_config else ""
        click.echo(f"Signed by {who.identity}: {folder / 'warning_label.sigstore.json'}\n"
                   f"Check it: assay verify {folder} --identity {who.identity} --issuer {who.issuer}{more}", err=True)
    return EXIT["nothing"]


def agreed(said: Mapping[str, Any], *, yes: bool) -> None:
    """Say what leaves the machine before it does, and stop unless that is wanted."""
    subjects, findings = said["subject"], said["predicate"]
    found = ", ".join(test for kind in ("failedTests", "warnedTests", "passedTests") for test in findings[kind]) or "none"
    click.echo("To Sigstore's servers go the statement, with these names and findings, and your identity:\n  names: "
               + ", ".join(subject["name"] for subject in subjects) + f"\n  result: {findings['result']}; checks: {found}\n"
               "Its log is public and for ever. It keeps your identity, the time and digests; anyone who has the label can "
               "tell that you signed it.", err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody is there to agree to that; say --yes, or sign with --key, which sends nothing.")
    if not click.confirm("Send it?", err=True):
        raise Exit("findings", "Nothing was signed and nothing was sent.")


def _refuse(claims: list[Claim]) -> None:
    """Stop where a claim fails: nothing was signed."""
    if failed := [claim for claim in claims if not claim.holds]:
        raise Exit("findings", f"Nothing was signed: {failed[0].claim} FAILS ({failed[0].detail}).")


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
