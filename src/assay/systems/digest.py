"""The digest that names a model: the root digest of its files, as OpenSSF model signing (OMS v1.0) computes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path


def file_digest(path: Path) -> str:
    """sha256 of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def root_digest(files: Mapping[str, str]) -> str:
    """sha256 over the files' sha256 digests (as bytes) in path order.

    >>> root_digest({"a": "00" * 32}) == hashlib.sha256(bytes(32)).hexdigest()
    True
    """
    root = hashlib.sha256()
    for name in sorted(files):
        root.update(bytes.fromhex(files[name]))
    return root.hexdigest()
