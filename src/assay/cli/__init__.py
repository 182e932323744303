"""The command line: parse, call the API, print. Human text to stderr, data to stdout; nothing here loads torch."""

from __future__ import annotations

import sys

import click

from assay.cli import (  # noqa: F401 - each module adds its commands to the group
    auditing,
    comparing,
    experimenting,
    explaining,
    exporting,
    redacting,
    signing,
    studying,
    telling,
)
from assay.cli.exits import EXIT, Exit
from assay.cli.group import cli


def main() -> None:
    """Run the command; every failure is one clear sentence and a documented exit code."""
    try:
        code = cli(standalone_mode=False)
    except Exit as stop:
        click.echo(stop.message, err=True)
        code = stop.code
    except click.ClickException as error:
        error.show()
        code = EXIT["usage"]
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nStopped. Everything finished is kept: run the same command again to resume.", err=True)
        code = EXIT["incomplete"]
    except Exception as error:
        code = _failure(error)
    sys.exit(code if isinstance(code, int) else 0)


def _failure(error: Exception) -> int:
    """Bad input is the user's to mend (2), a full disk leaves a resumable audit (3), the rest is ours (4)."""
    from assay.store import DiskFullError

    if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in (28, 122)):
        click.echo(f"Error: {error}", err=True)
        return EXIT["incomplete"]
    if isinstance(error, (ValueError, FileNotFoundError, PermissionError)):      # InputError, ProfileError, StoreError
        click.echo(f"Error: {error}", err=True)
        return EXIT["usage"]
    import traceback

    traceback.print_exc()
    click.echo("This is a fault in Assay, not in your input; please report it with the lines above.", err=True)
    return EXIT["internal"]
