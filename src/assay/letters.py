"""Letters that deceive: hidden or reordering characters, and letters that look like others (Unicode UTS #39, in small).

Standard library only: an audit asks it of names before it runs, a label of every text when it is written and when read.
"""

from __future__ import annotations

import re
import unicodedata

# Cyrillic, Greek and Armenian letters that are drawn like Latin ones in common typefaces (a part of UTS #39's confusables).
_CYRILLIC = "аеорсухіјѕһԁԛԝѵҮАВЕЗКМНОРСТУХІЈЅԌԚԜҺ"
_GREEK = "οντυικρχΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲϳ"
_ARMENIAN = "սոցՕՍօհզ"
_LOOK_ALIKES = frozenset(_CYRILLIC + _GREEK + _ARMENIAN)
HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})        # categories: control, format, private, surrogate, separators
_LATIN = re.compile(r"[A-Za-z]")
_STYLED = re.compile("[\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff]")    # full-width and mathematical alphabets


def deceptive(text: str) -> str:
    """Why a text may be read as another one, or "".

    Control, formatting and direction characters anywhere; full-width and mathematical alphabets; and a word in which Latin
    letters stand beside letters of another script that look like Latin ones. Names written wholly in one other script, and
    symbols such as α or σ beside Latin letters, are left alone.

    >>> deceptive("Example Lab"), deceptive("Лаборатория"), deceptive("αβ-CROWN")
    ('', '', '')
    >>> deceptive("Ex\\u0430mple Lab")
    'mixes letters that look alike (U+0430)'
    >>> deceptive("Lab\\u202e")
    'holds a hidden character (U+202E)'
    """
    if text.isascii() and text.isprintable():
        return ""
    if hidden := next((c for c in text if unicodedata.category(c) in HIDDEN), ""):
        return f"holds a hidden character ({_code(hidden)})"
    if found := _STYLED.search(text):
        return f"holds a letter in disguise ({_code(found[0])})"
    for word in re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", text)):
        alike = [c for c in word if c in _LOOK_ALIKES]
        if alike and _LATIN.search(word):
            return f"mixes letters that look alike ({_code(alike[0])})"
    return ""


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
