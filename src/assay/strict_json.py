"""JSON read as if whoever wrote it meant harm: one meaning for each text, or an error. Standard library only."""

from __future__ import annotations

import json
import math
from typing import Any


class StrictJsonError(ValueError):
    """A text that is not JSON, or that two readers could understand differently: the message says where or why."""


def parse(text: str | bytes) -> Any:
    """The value of a JSON text (RFC 8259, UTF-8).

    Keys given twice, NaN and infinities (also as 1e999), half surrogate pairs and nesting beyond Python's limit are
    refused with `StrictJsonError`: each means different things to different readers.

    >>> parse('{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    >>> parse('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    assay.strict_json.StrictJsonError: a: given twice
    """
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refused, parse_float=_finite)
        if b"\\u" in (text.encode() if isinstance(text, str) else text):
            json.dumps(value, ensure_ascii=False).encode()
    except StrictJsonError:
        raise
    except UnicodeEncodeError:
        raise StrictJsonError("half a surrogate pair is no character") from None
    except RecursionError:
        raise StrictJsonError("not JSON (nested too deeply)") from None
    except ValueError as error:             # also bytes that are no UTF-8, and integers of thousands of digits
        raise StrictJsonError(f"not JSON ({str(error)[:200]})") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise StrictJsonError(f"{key[:80]}: given twice")
        seen[key] = value
    return seen


def _refused(word: str) -> Any:
    raise StrictJsonError(f"{word} is not a number in JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise StrictJsonError(f"{digits[:20]} is beyond every number in double precision")
    return value
