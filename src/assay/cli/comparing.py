"""The command compare: two finished audits of the same samples. Loads no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from assay.cli.exits import EXIT, Exit
from assay.cli.group import cli

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@cli.command()
@click.argument("old", type=_FOLDER)
@click.argument("new", type=_FOLDER)
@click.option("--anyway", is_flag=True, help="Compare although the profiles differ; both are judged by the one of NEW.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def compare(old: Path, new: Path, anyway: bool, form: str) -> int:
    """Say whether the system audited in NEW is worse than the one in OLD, sample by sample.

    Both folders must hold the same samples. Ends with 1 where NEW is significantly worse in any test (5 %, after Holm's
    adjustment for the number of tests), with 5 where nothing could be compared.
    """
    from assay.api import Audit
    from assay.reports import old_and_new

    audits = [_whole(Audit(folder), name) for folder, name in ((old, "OLD"), (new, "NEW"))]
    headers = [a.header for a in audits]
    if refused := old_and_new.refusals(headers[0], headers[1]):
        raise click.UsageError("; ".join(refused))
    profile = headers[1]["profile"]
    differing = old_and_new.differing(headers[0]["profile"], profile)
    if differing and not anyway:
        raise click.UsageError("the profiles differ, so the questions do: " + "; ".join(differing[:6])
                               + (f"; and {len(differing) - 6} more" if len(differing) > 6 else "")
                               + ". Audit again under one profile, or give --anyway")
    sides = [_side(a, profile) for a in audits]
    found = old_and_new.compared(sides[0], sides[1], profile, seed=int(headers[1]["seed"]))
    told = {name: {"folder": str(a.folder), "system": s.system, "manifest_sha256": a.store.manifest_digest}
            for name, a, s in zip(("old", "new"), audits, sides, strict=True)}
    if form == "json":
        click.echo(json.dumps({**told, "profiles_differ_in": differing, **found.data()}, indent=1, ensure_ascii=False))
    else:
        _print(told, differing, found)
    if not found.tests:
        raise Exit("untested", "Nothing could be compared.")
    return EXIT["findings"] if found.worse else EXIT["nothing"]


def _whole(audit: Any, name: str) -> Any:
    """The audit, if its files are those of its manifest and every planned unit was run."""
    from assay.verification import check_files

    failed: list[str] = []

    def say(claim: str, holds: bool, detail: str) -> bool:
        if not holds:
            failed.append(f"{claim}: {detail}")
        return holds

    if not check_files(audit.store, say):
        raise click.UsageError(f"{name} ({audit.folder}) is not a whole audit; it does not hold that {failed[0]}")
    return audit


def _side(audit: Any, profile: dict[str, Any]) -> Any:
    from assay.reports.label_fields import first_audited
    from assay.reports.old_and_new import Side

    found = next(((s["name"], s["digest"]) for s in audit.header["systems"] if s["role"] == "established"), ("", ""))
    return Side(system=first_audited(audit.header), findings=list(audit.store.findings()),
                verdicts=audit.judged(profile), beside=found)


def _chance(p: float) -> str:
    """A p value in words: never 0.

    >>> _chance(0.03), _chance(1e-300)
    ('= 0.03', '< 0.0001')
    """
    from assay.reports.wording import significant

    return f"= {significant(p)}" if p >= 1e-4 else "< 0.0001"


def _line(test: Any) -> str:
    """One test: both values, the difference with its interval, p, and what it says."""
    from assay.reports.wording import significant

    unit, sign = (100, " %") if test.asked in ("harmed", "wrong") else (1, "")
    values = (test.old, test.new, test.difference, test.low, test.high)
    old, new, change, low, high = (significant(unit * value, 3) for value in values)
    return (f"{test.check}, {test.asked}: {old}{sign} to {new}{sign} (n = {test.n}); difference {change}{sign} "
            f"[{low}, {high}]; p {_chance(test.p)}, adjusted {_chance(test.adjusted)}: {test.conclusion}")


def _print(told: dict[str, Any], differing: list[str], found: Any) -> None:
    from assay.reports.wording import printable

    for name in ("old", "new"):
        click.echo(printable(f"{name.upper()}: {told[name]['system']} ({told[name]['folder']})"))
    for line in differing:
        click.echo(printable(f"The profiles differ in {line}"))
    for test in found.tests:
        click.echo(printable(_line(test)))
        for words, samples in (("newly", test.newly), ("no longer", test.no_longer)):
            if samples:
                more = f" and {len(samples) - 8} more" if len(samples) > 8 else ""
                click.echo(printable(f"  {words} {test.asked}: {', '.join(samples[:8])}{more}"))
    for check, reason in found.not_compared.items():
        click.echo(printable(f"{check}: not compared, {reason}"))
    click.echo("NEW is worse." if found.worse else "NEW was not shown to be worse, which does not prove it as good.")
