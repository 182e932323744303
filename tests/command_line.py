"""The command line as a test calls it."""

from __future__ import annotations

from click.testing import CliRunner

from assay.cli import cli


def run(*words: object, **more: object) -> tuple[int, str]:
    """Exit code and what was printed; 2 and the error's words where it raises."""
    done = CliRunner().invoke(cli, [str(w) for w in words], standalone_mode=False, **more)
    return (2, str(done.exception)) if done.exception is not None else (done.return_value, done.output)
