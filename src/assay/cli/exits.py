"""Exit codes, and how a command ends with one of them."""

from __future__ import annotations

EXIT = {"nothing": 0, "findings": 1, "usage": 2, "incomplete": 3, "internal": 4, "untested": 5}


class Exit(Exception):  # noqa: N818 - not an error by itself
    """A documented exit code with the sentence to print."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = EXIT[code], message
