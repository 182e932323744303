"""Commands that explain: checks, explain."""

from __future__ import annotations

from typing import Any

import click

from assay.cli.group import cli


@cli.command()
@click.option("--profile", default="research", show_default=True)
def checks(profile: str) -> int:
    """List a profile's checks, by task: id, question."""
    for task, listed in _checks_of(profile).items():
        click.echo(f"{task}:")
        for check in listed:
            click.echo(f"  {check['id']:22} {check['question']}")
    return 0


def _checks_of(profile: str) -> dict[str, list[dict[str, Any]]]:
    """Task -> the profile's checks."""
    from assay.profiles import load as profiles

    tasks = profiles.names().get(profile) or (profiles.task_of(profile),)
    return {task: profiles.load(profile, task=task)["checks"] for task in tasks}


@cli.command()
@click.argument("name")
@click.option("--profile", default="research", show_default=True)
def explain(name: str, profile: str) -> int:
    """Explain a check or a flag: what it asks, how, from which source, what to do."""
    from assay.reports.wording import FLAGS

    if name in FLAGS:
        click.echo(f"{name}: {FLAGS[name]}")
        return 0
    found = [(task, c) for task, listed in _checks_of(profile).items() for c in listed if c["id"] == name]
    if not found:
        raise click.UsageError(f"no check or flag is called {name!r}; see `assay checks`")
    for task, check in found:
        click.echo(f"{check['id']} ({task}): {check['title']}\n{check['question']}\n")
        for field in ("method", "perturbation", "levels", "search", "metric", "controls", "criterion", "sources"):
            if check.get(field):
                click.echo(f"  {field:13} {check[field]}")
    return 0
