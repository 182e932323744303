"""What every adapter of a foreign format does with a user's settings: its own apart, pre-processing, two classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from assay.arrays import InputError
from assay.systems.preprocessing import Preprocessed, Preprocessing
from assay.systems.protocol import System
from assay.systems.torch import TwoClass

STEPS = tuple(f.name for f in fields(Preprocessing))


def divide(options: Mapping[str, Any], *, what: str, own: tuple[str, ...] = (),
           usual: Preprocessing | None = None) -> tuple[dict[str, Any], Preprocessing, str]:
    """A format's own settings, the pre-processing (`usual` with what the user says), and `binary`: "", logit, probability.

    Raises `InputError` for a setting that neither knows.
    """
    if unknown := sorted(set(options) - {*STEPS, *own, "binary"}):
        raise InputError(f"{what}: unknown setting {unknown[0]!r}; known: {', '.join((*own, 'binary', *STEPS))}")
    steps = {k: _as_step(k, v, what) for k, v in options.items() if k in STEPS}
    try:
        preprocessing = replace(usual or Preprocessing(), **steps)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    return {k: v for k, v in options.items() if k in own}, preprocessing, str(options.get("binary", ""))


def _as_step(key: str, value: Any, what: str) -> Any:
    """A value as `Preprocessing` wants it: one number where several may stand is a tuple, "none" is none of it."""
    if value == "none":
        return None if key in ("channels", "size", "crop") else ()
    if isinstance(value, list):
        value = tuple(value)
    numbers = value if isinstance(value, tuple) else (value,)
    if key in ("mean", "std", "scale", "size", "crop", "channels") and any(
            isinstance(v, bool) or not isinstance(v, (int, float)) for v in numbers):
        raise InputError(f"{what}: {key}={value!r} is not a number")
    if key in ("mean", "std"):
        return tuple(float(v) for v in numbers)
    if key == "crop":
        return numbers if len(numbers) == 2 else numbers * 2
    return value


def behind(system: System, preprocessing: Preprocessing, binary: str = "") -> System:
    """The system behind its pre-processing, and with scores of two classes where its one output is `binary`."""
    if preprocessing != Preprocessing():
        system = Preprocessed(system=system, preprocessing=preprocessing)
    return TwoClass(system, output=binary) if binary else system


def readable_file(path: Path, *, what: str) -> Path:
    """The path itself, or `InputError` if it is no regular file or holds nothing."""
    if not path.exists():
        raise InputError(f"{what} {path}: no such file")
    if not path.is_file():
        raise InputError(f"{what} {path}: not a file")
    if path.stat().st_size == 0:
        raise InputError(f"{what} {path}: the file is empty; fetch or export it again")
    return path
