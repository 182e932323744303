"""How a command ends that has an account to give: the page beside its parts, the summary for the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from assay.account import Account


def show(told: Account, folder: Path, facts: tuple[tuple[str, str], ...]) -> None:
    """Write `report.html` with the facts and the digest of the results, its text as `report.md`; print the summary, and
    where the page is."""
    from rich.console import Console

    from assay.records import digest_of
    from assay.reports import account
    from assay.store import write_aside
    from assay.workbook import Workbook

    page = account.page(told, facts=(*facts, ("results", digest_of(Workbook(folder).hashes()))))
    write_aside(folder / "report.html", page)
    write_aside(folder / "report.md", account.markdown(told).encode())
    Console(stderr=True).print(account.summary(told))
    click.echo(str(folder / "report.html"))
