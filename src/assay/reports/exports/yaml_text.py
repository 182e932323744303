"""Plain data as YAML that every reader takes the same way: block style, every text in double quotes."""

from __future__ import annotations

import json
from typing import Any


def yaml_lines(value: Any) -> list[str]:
    """Lists and mappings (with plain words as keys) of texts, finite numbers and truth values, a line each.

    >>> yaml_lines([{"name": "a: b", "value": 1e-05, "of": [{"n": 3}]}])
    ['- name: "a: b"', '  value: 1.0e-05', '  of:', '  - n: 3']
    """
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _member(f"{key}:", item)]
    lines = []
    for item in value:
        first, *rest = yaml_lines(item) if isinstance(item, (dict, list)) else [_scalar(item)]
        lines += [f"- {first}", *(f"  {line}" for line in rest)]
    return lines


def _member(key: str, item: Any) -> list[str]:
    if not isinstance(item, (dict, list)):
        return [f"{key} {_scalar(item)}"]
    if not item:
        return [f"{key} {'{}' if isinstance(item, dict) else '[]'}"]
    pad = "  " if isinstance(item, dict) else ""
    return [key, *(f"{pad}{line}" for line in yaml_lines(item))]


def _scalar(value: str | float | bool) -> str:
    """YAML 1.1 takes 1e-05 for a text and reads no pair of surrogates, so both are written otherwise than in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}{e}{exponent}"
    if isinstance(value, int):
        return str(value)
    return "".join(c if c.isprintable() else _code(c) for c in json.dumps(value, ensure_ascii=False))


def _code(character: str) -> str:
    number = ord(character)
    if 0xD800 <= number < 0xE000:
        return "\ufffd"                 # half of a pair is no character
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
