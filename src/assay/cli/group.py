"""The group that every command joins."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="assay")
def cli() -> None:
    """Find the worst case of an AI system, beside the average case and the established method."""
