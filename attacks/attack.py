"""What an attack on a label is, and the words that attacks are written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from attacks.forger import Forger

Asked = Literal["hashes", "replay", "signed"]
LABEL, MANIFEST, ENVELOPE = "warning_label.json", "manifest.json", "warning_label.dsse.json"
DEEP = "[" * 200_000
OTHER = "ab" * 32           # a digest of something else


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What is done, how the victim asks, and words of the reason for which it must be refused.

    `asked`: "hashes" is an unsigned folder and `assay verify --no-replay`, which anybody can run; "replay" an unsigned one
    and `assay verify`, for forgeries that agree with themselves; "signed" is `--public-key` without a replay. `blind` marks
    what tools/verify_label.py cannot see: report and drawings, which follow from the label and are bound by nothing else.
    """

    name: str
    does: Callable[[Forger], Any]
    asked: Asked
    reason: str
    blind: bool = False


def several(asked: Asked, cases: Mapping[str, tuple[Callable[[Forger], Any], str]], *, blind: bool = False) -> list[Attack]:
    """Attacks of a line each: name, what is done, reason."""
    return [Attack(name=name, does=does, asked=asked, reason=reason, blind=blind) for name, (does, reason) in cases.items()]


def attack(into: list[Attack], asked: Asked, reason: str) -> Callable[[Callable[[Forger], None]], None]:
    """Enter a function into a list; its name is the attack's."""
    def enter(does: Callable[[Forger], None]) -> None:
        into.append(Attack(name=does.__name__.replace("_", " "), does=does, asked=asked, reason=reason))
    return enter


def put(*path: str, value: Any) -> Callable[[Any], None]:
    """A change that sets the value at a path of keys."""
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value
    return change


def scaled(*path: str, by: float) -> Callable[[Any], None]:
    """A change that multiplies the number at a path of keys."""
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] *= by
    return change
