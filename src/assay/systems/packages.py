"""Packages that only some systems need: imported when such a system is loaded, with a message that says how to get them."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

from assay.arrays import InputError


def require(package: str, *, extra: str, what: str) -> Any:
    """The imported package; `InputError` with the extra to install where it is missing or does not import here.

    >>> require("no_such_package", extra="onnx", what="model.onnx")
    Traceback (most recent call last):
    assay.arrays.InputError: model.onnx needs the package 'no_such_package': pip install 'assay[onnx]'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        missing = (error.name or package).partition(".")[0]
        raise InputError(f"{what} needs the package {missing!r}: pip install 'assay[{extra}]'") from None
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise InputError(f"{what}: the package {package!r} is installed and does not import ({_first_line(error)}); "
                         f"{_remedy(str(error), package)}") from None


def version_of(distribution: str) -> str:
    """The installed version, or "unknown" for a package that was not installed by its name."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _remedy(message: str, package: str) -> str:
    if "torchvision::" in message:
        return ("this torchvision was built for another torch (the package index builds it for GPUs); install both from one "
                "index: pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu")
    return f"try python -c 'import {package}', and install versions that go together"
