"""Digests of files and of models made of files, as OpenSSF model signing (OMS v1.0) computes them. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

GIT = (".git", ".gitattributes", ".github", ".gitignore")       # at the top of a folder, left out by OMS


def file_digest(path: Path) -> str:
    """sha256 of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def root_digest(files: Mapping[str, str]) -> str:
    """sha256 over the files' sha256 digests (as bytes), the files in the order of their paths.

    Paths are compared folder by folder, as OMS compares them: `a/b` comes before `a-b`, although `-` comes before `/`.
    Names are not hashed.

    >>> root_digest({"a": "00" * 32}) == hashlib.sha256(bytes(32)).hexdigest()
    True
    >>> root_digest({"a-b": "00" * 32, "a/b": "11" * 32}) == hashlib.sha256(b"\\x11" * 32 + bytes(32)).hexdigest()
    True
    """
    root = hashlib.sha256()
    for name in sorted(files, key=lambda name: PurePosixPath(name).parts):
        root.update(bytes.fromhex(files[name]))
    return root.hexdigest()


def model_files(path: Path) -> dict[str, str]:
    """sha256 of each file of a model, by its path within it; a model of one file has the path `.`.

    As OMS: files of git at the top are left out, empty folders count for nothing, links and devices are refused with
    `ValueError`.
    """
    return {name: file_digest(path / name) for name in sorted(_names(path, PurePosixPath()))}


def model_digest(path: Path) -> str:
    """The OMS v1.0 root digest of a model: what `model_signing sign` writes as its subject's digest."""
    return root_digest(model_files(path))


def _names(top: Path, inner: PurePosixPath) -> Iterator[str]:
    here = top / inner
    if here.is_symlink() or not (here.is_file() or here.is_dir()):
        raise ValueError(f"{here}: a link, a device or missing; a model is made of files and folders, so copy it there")
    if here.is_file():
        yield str(inner)
        return
    for below in here.iterdir():
        if inner.parts or below.name not in GIT:
            yield from _names(top, inner / below.name)
