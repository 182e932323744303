"""Commands that explain: checks, explain."""

from __future__ import annotations

from typing import Any

import click

from assay.cli.group import cli


@cli.command()
@click.option("--profile", default="research", show_default=True, help="A profile's name or TOML file.")
@click.option("--task", default="", help="Explain the checks of this task in full: numbers, sources, clauses.")
def checks(profile: str, task: str) -> int:
    """Say in plain words what a profile asks, and what counts as harm; with --task, where every number comes from."""
    from assay.reports import explained

    for read in _profiles(profile, task):
        for line in (explained.in_full if task else explained.overview)(read):
            click.echo(line)
    if not task:
        click.echo(f"\nIn full, with numbers, sources and clauses: assay checks --profile {profile} --task TASK")
    return 0


def _profiles(name: str, task: str = "") -> list[dict[str, Any]]:
    """The profile for a task, or for each of its tasks."""
    from assay.profiles import load as profiles

    tasks = (task,) if task else profiles.names().get(name) or (profiles.task_of(name),)
    return [profiles.load(name, task=task) for task in tasks]


@cli.command()
@click.argument("name")
@click.option("--profile", default="research", show_default=True, help="A profile's name or TOML file.")
def explain(name: str, profile: str) -> int:
    """Explain a check or a flag: what it asks, how, what counts as harm, from which source, what to do."""
    from assay.profiles.errors import instead
    from assay.reports import explained
    from assay.reports.wording import FLAGS

    if name in FLAGS:
        click.echo(f"{name}: {FLAGS[name]}")
        return 0
    read = _profiles(profile)
    found = [(p, check) for p in read for check in p["checks"] if check["id"] == name]
    if not found:
        known = {check["id"] for p in read for check in p["checks"]} | set(FLAGS)
        raise click.UsageError(f"no check or flag is called {name!r}; {instead(name, known)}; see `assay checks`")
    for i, (told, check) in enumerate(found):
        click.echo(("\n" if i else "") + f"[{told['id']}, {told['task']}]")
        for line in explained.of_check(check, told):
            click.echo(line)
        for key in ("perturbation", "levels", "search", "criterion"):
            if check.get(key):
                click.echo(f"  {key + ':':13} {check[key]}")
    return 0
