"""The one error of this package, and the nearest good word for a bad one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ProfileError(ValueError):
    """A profile that cannot be used: the message names the file and the key."""


def instead(word: object, known: Iterable[str]) -> str:
    """What to write instead of a word that is not known: the nearest one, and else all of them.

    >>> instead("kontrols", ["controls", "levels"]), instead("zzz", ["controls", "levels"])
    ("did you mean 'controls'?", 'known: controls, levels')
    """
    words = sorted(known)
    near = difflib.get_close_matches(str(word), words, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(words) or 'none'}"
