"""Commands on a finished audit: verify, judge, report. None of them loads torch, but a replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from assay.cli.exits import EXIT
from assay.cli.group import cli


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--everything", is_flag=True, help="Replay every stored witness, not only the most harmful.")
@click.option("--no-replay", is_flag=True, help="Check hashes, label and expiry only; needs no torch.")
@click.option("--public-key", type=click.Path(path_type=Path),
              help="Demand a signature by this key (PEM); without it a signature is told, not checked.")
@click.option("--identity", help="Demand a keyless signature by this identity: an e-mail address, or a workflow's URL.")
@click.option("--issuer", help="The service that vouches for the identity, for instance https://accounts.google.com.")
@click.option("--trust-config", type=click.Path(path_type=Path),
              help="Trust configuration of another Sigstore than the public one (JSON, as `sigstore --trust-config`).")
@click.option("--trust-code", is_flag=True,
              help="Run code that the folder names (systems given as module:factory); look at that code before.")
def verify(path: Path, everything: bool, no_replay: bool, **named: Any) -> int:
    """Check an audit folder or its warning_label.json: hashes, expiry, signature, model, then replay the witnesses."""
    from assay.api import verify as check

    def show(claim: Any) -> None:
        click.echo(f"{'holds ' if claim.holds else 'FAILS '} {claim.claim}: {claim.detail}", err=True)

    claims = check(path, replay=not no_replay, everything=everything, watch=show, **named)
    failed = [c for c in claims if not c.holds]
    click.echo("Every claim that was checked holds." if not failed else
               f"{len(failed)} of {len(claims)} claims fail: {failed[0].claim}.", err=True)
    return EXIT["findings"] if failed else EXIT["nothing"]


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--profile", help="Judge by another profile's criteria (default: the audit's own).")
@click.option("--budget", default="standard", show_default=True)
def judge(folder: Path, profile: str | None, budget: str) -> int:
    """Apply criteria to stored findings again; runs no search and loads no torch."""
    from assay.api import Audit
    from assay.profiles import load as profiles

    stored = Audit(folder)
    task = stored.header["profile"].get("task", "reconstruction")
    truth = bool(stored.header["data"].get("truth", True))
    noise = stored.header["data"].get("noise")
    chosen = profiles.at_noise(profiles.load(profile, task=task, budget=budget, truth=truth), noise) if profile else \
        stored.header["profile"]
    for verdict in stored.judged(chosen):
        click.echo(f"{verdict.check}\t{verdict.system}\t{verdict.outcome}\t{verdict.reason}")
    return 0


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--auditor", default="", help="Who answers for the audit; without it the label says: not attributed.")
@click.option("--independence", type=click.Choice(["self", "second-party", "third-party"]), default="self",
              show_default=True, help="How far the auditor is from whoever made the system.")
@click.option("--contact", default="", help="How to reach the auditor.")
@click.option("--version", default="unversioned", help="The audited system's own version.")
@click.option("--language", "languages", multiple=True, type=click.Choice(["de", "fr", "nb"]),
              help="Draw the label in this language too (warning_label.nb.svg, .png, .txt); may be repeated.")
def report(folder: Path, languages: tuple[str, ...], **named: str) -> int:
    """Write report.html and the warning label of a finished audit again; loads no torch."""
    from assay.api import Audit

    Audit(folder).write(languages=languages, **named)
    click.echo(str(folder / "report.html"))
    return 0
