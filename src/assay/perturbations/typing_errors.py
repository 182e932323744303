"""Words as people mistype them: one letter inside the word swapped, left out, doubled, or hit beside its key."""

from __future__ import annotations

import functools
import re

from assay.perturbations.phrases import AFTER, BEFORE, Alternative, Slot, begins_sentence

KINDS = ("swap", "omit", "double", "key")
LEAST = 4               # letters of a word that may be mistyped
WORD = re.compile(r"(?<![\w'-])[A-Za-z]+(?![\w'-])")
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
KEPT = {word for phrase in (*BEFORE, *AFTER) for word in phrase.split()}       # what would hide a negation


def neighbours(letter: str) -> str:
    """The letters beside, above and below a key of the American keyboard, whose rows are shifted by half a key.

    >>> neighbours("g"), neighbours("q")
    ('tyfhvb', 'wa')
    """
    row = next(i for i, keys in enumerate(ROWS) if letter in keys)
    at = ROWS[row].index(letter)
    around = ((row - 1, at), (row - 1, at + 1), (row, at - 1), (row, at + 1), (row + 1, at - 1), (row + 1, at))
    return "".join(ROWS[r][c] for r, c in around if 0 <= r < len(ROWS) and 0 <= c < len(ROWS[r]))


@functools.lru_cache(maxsize=20_000)
def spellings(word: str, kinds: tuple[str, ...] = KINDS) -> tuple[str, ...]:
    """The word mistyped in one place, first and last letter kept, in the order of the kinds and the places.

    People read such words without effort (Rawlinson 1976); as attacks: Pruthi, Dhingra and Lipton, "Combating adversarial
    misspellings with robust word recognition", ACL 2019, whose four kinds these are ("add" as a letter typed twice).

    >>> spellings("pain", ("swap", "omit", "double"))
    ('pian', 'pin', 'pan', 'paain', 'paiin')
    """
    found: dict[str, None] = {}
    inside = range(1, len(word) - 1)
    for kind in kinds:
        for i in inside:
            if kind == "swap" and i + 1 < len(word) - 1:
                found[word[:i] + word[i + 1] + word[i] + word[i + 2:]] = None
            elif kind == "omit":
                found[word[:i] + word[i + 1:]] = None
            elif kind == "double":
                found[word[:i + 1] + word[i:]] = None
            elif kind == "key":
                for key in neighbours(word[i].lower()):
                    found[word[:i] + (key.upper() if word[i].isupper() else key) + word[i + 1:]] = None
    found.pop(word, None)
    return tuple(found)


@functools.lru_cache(maxsize=100_000)
def mistyped(text: str, kinds: tuple[str, ...] = KINDS) -> tuple[Slot, ...]:
    """Where a word of the text may be mistyped, by place: words of at least four letters.

    Left alone are names (a capital where no sentence begins), words with digits, hyphens or apostrophes, and the words
    that negate. Keyboards other than the American one, and other scripts, are not covered.

    >>> [text for text in (slot.alternatives[0].text for slot in mistyped("Known back pain, denies fever."))]
    ['Konwn', 'bcak', 'pian', 'fveer']
    """
    found = []
    for match in WORD.finditer(text):
        word, before = match.group(), text[max(0, match.start() - 40): match.start()]
        named = word[:1].isupper() and word.upper() != word and not begins_sentence(before)
        if len(word) >= LEAST and word.lower() not in KEPT and not named:
            found.append(Slot(start=match.start(), end=match.end(), alternatives=tuple(
                Alternative(text=spelling, grade="same") for spelling in spellings(word, kinds))))
    return tuple(found)
