"""What a sentence on a label may say, and the nearest lawful wording where it says something else.

Rules of the warning label: at most 180 characters; a count and the past tense for what was observed, "can" for what follows;
"worst case *found*" unless it was proved; "non-human behaviour" only against a declared reference; two significant digits;
never "safe", "robust", "certified AI", "complies with" or DANGER. Profiles are asked when they are read, labels
when they are built and when they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from assay.profiles.errors import ProfileError

LONGEST = 180           # characters of a sentence
LONGEST_ACTION = 140
MOST_ACTIONS = 4

# A word that no label says, and what to write instead.
FORBIDDEN: tuple[tuple[str, str], ...] = (
    (r"danger(?:s|ous|ously)?", "WARNING, with what was observed and how often"),
    (r"(?:un)?safe(?:ly|r|st)?", "“no harmful case was found”, with what was tested"),
    (r"robust(?:ly|ness)?", "“no harmful case was found”, with what was tested"),
    (r"certified ai|certified (?:system|product|model)s?", "“a bound was proved”, with the size of change it holds for"),
    (r"compl(?:y|ies|ied|iant|iance)|conform(?:s|ed|ity|ance)?|conformant", "“evidence relevant to” and the clause"),
    (r"pass(?:es|ed)|approved|guarantee[sd]?|trustworthy", "“no harmful case was found”, with what was tested"),
    (r"score of \d+ out of \d+|grade [a-f]|star rating", "the count, as in “4 of 100 images”"),
)
_WORDS = tuple((re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE), instead) for pattern, instead in FORBIDDEN)
_WORST = re.compile(r"(?<!own )\bworst cases?\b(?! found)", re.IGNORECASE)
_NON_HUMAN = re.compile(r"\bnon-?human\b|\binhuman\b", re.IGNORECASE)
_COUNT = re.compile(r"\b\d+ of \d+\b|\bin \d+ \w+")
_NUMBER = re.compile(r"(?<![\w.,])(\d+(?:\.\d+)?)(?![\w.]*\d)(\s?(?:%|dB\b|×|times\b))?")
_IRREGULAR = frozenset(["was", "were", "made", "put", "led", "lost", "took", "gave", "hid", "let", "became", "went", "rose",
                        "fell", "kept", "held", "found", "broke", "drew", "cut", "hurt", "shut", "set", "had", "did"])


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is.

    >>> capital("noise in ECGs")
    'Noise in ECGs'
    """
    return text[:1].upper() + text[1:]


class Objection(NamedTuple):
    """The rule that a text breaks, and what to write instead."""

    rule: str
    instead: str

    def __str__(self) -> str:
        return f"{self.rule}; write {self.instead}"


def sentences(text: str) -> list[str]:
    """The sentences of a text.

    >>> sentences("One. Is it two? It is 2.5 now.")
    ['One.', 'Is it two?', 'It is 2.5 now.']
    """
    return [part for part in re.split(r"(?<=[.?!])\s+", text.strip()) if part]


def objection(text: str, *, limit: int = LONGEST, proved: bool = False, reference: bool = False) -> Objection | None:
    """What is wrong with any text of a label, or None. `proved`: a certificate backs it; `reference`: one was declared.

    >>> print(objection("The system is robust."))
    “robust” is never said; write “no harmful case was found”, with what was tested
    >>> print(objection("The worst case was bad."))
    “worst case” was found, not proved; write “worst case found”
    >>> objection("The worst case found was bad.") is None
    True
    """
    for pattern, instead in _WORDS:
        if found := pattern.search(text):
            return Objection(f"“{found[0]}” is never said", instead)
    if not proved and (found := _WORST.search(text)):
        return Objection(f"“{found[0]}” was found, not proved", f"“{found[0]} found”")
    if not reference and (found := _NON_HUMAN.search(text)):
        return Objection(f"“{found[0]}” needs a human reference", "“unstable”")
    for sentence in sentences(text):
        if len(sentence) > limit:
            return Objection(f"a sentence of {len(sentence)} characters, more than {limit}", _shorter(sentence, limit))
    return None


def objection_to_observation(text: str, *, counted: bool = True, proved: bool = False,
                             reference: bool = False) -> Objection | None:
    """What is wrong with the sentence that says what was observed: count, past tense, two significant digits.

    >>> print(objection_to_observation("A change damages many images."))
    no count; write how many of how many, as in “4 of 100 images”
    >>> print(objection_to_observation("A change of 1.25 % damaged 4 of 100 images."))
    “1.25” has more than two significant digits; write “1.2”
    """
    if counted and not _COUNT.search(text):
        return Objection("no count", "how many of how many, as in “4 of 100 images”")
    if not any(is_past(word) for word in re.findall(r"[A-Za-z]+", text)):
        return Objection("no past tense", "what was observed, as in “damaged 4 of 100 images”")
    return objection_to_digits(text) or objection(text, proved=proved, reference=reference)


def objection_to_digits(text: str) -> Objection | None:
    """The first measured number of a text (with a decimal point, or before %, dB, ×) of more than two significant digits."""
    for number, unit in _NUMBER.findall(text):
        digits = number.replace(".", "").lstrip("0")
        if "." not in number:
            digits = digits.rstrip("0")
        if ("." in number or unit) and len(digits) > 2:
            return Objection(f"“{number}” has more than two significant digits", f"“{float(f'{float(number):.1e}'):g}”")
    return None


def objection_to_verb(verb: str) -> Objection | None:
    """What is wrong with a profile's `verb`: it has a place for the count, and begins in the past tense.

    >>> print(objection_to_verb("damages {}"))
    “damages” is no past tense; write “damaged {}”
    """
    if verb.count("{}") != 1:
        return Objection("no one place {} for the count", f"“{verb.replace('{}', '').strip()} {{}}”")
    first = (verb.split() or [""])[0]
    if not is_past(first):
        stem = first.removesuffix("s").removesuffix("e")
        return Objection(f"“{first}” is no past tense", f"“{verb.replace(first, f'{stem}ed', 1)}”")
    return objection(verb)


def objection_to_consequence(text: str) -> Objection | None:
    """What is wrong with a consequence: "can", for nobody has seen it, and never "will".

    >>> print(objection_to_consequence("Tumours will vanish."))
    “will” foretells; write “Tumours can vanish.”
    """
    if found := re.search(r"\bwill\b", text):
        return Objection(f"“{found[0]}” foretells", f"“{text.replace('will', 'can', 1)}”")
    if not re.search(r"\bcan(?:not)?\b", text):
        return Objection("a consequence without “can”", "what can follow, as in “Structures can vanish.”")
    return objection(text)


def is_past(word: str) -> bool:
    """Whether a verb is in the past tense, as far as its form tells.

    >>> is_past("damaged"), is_past("made"), is_past("damages")
    (True, True, False)
    """
    return word.lower() in _IRREGULAR or (word.lower().endswith("ed") and len(word) > 3)


def validate_words(profile: Mapping[str, Any], where: str) -> None:
    """Every text of a profile that a label says; `ProfileError` names the key, the rule and what to write instead."""
    if len(profile.get("actions", ())) > MOST_ACTIONS:
        raise ProfileError(f"{where}: actions: {len(profile['actions'])} of them, and a label has room for {MOST_ACTIONS}")
    for place, wrong in _objections(profile):
        if wrong is not None:
            raise ProfileError(f"{where}: {place}: {wrong}")


def _objections(profile: Mapping[str, Any]) -> Iterator[tuple[str, Objection | None]]:
    for i, text in enumerate(profile.get("actions", ())):
        yield f"actions[{i}]", objection(text, limit=LONGEST_ACTION)
    for i, text in enumerate(profile.get("not_tested", ())):
        yield f"not_tested[{i}]", objection(text)
    for check in profile.get("checks", ()):
        name = f"check {check.get('id', '?')!r}"
        for key in ("title", "plain", "metric_name", "noun"):
            yield f"{name}, {key}", objection(str(check.get(key, "")))
        yield f"{name}, criterion.sentence", objection(str(check["criterion"].get("sentence", "")), limit=LONGEST)
        if "verb" in check:
            yield f"{name}, verb", objection_to_verb(check["verb"])
        if "consequence" in check:
            yield f"{name}, consequence", objection_to_consequence(check["consequence"])
    for line in profile.get("refusal", ()):
        yield f"refusal {line['id']!r}, sentence", objection(line["sentence"])


def _shorter(sentence: str, limit: int) -> str:
    """Two sentences in place of one: cut at the last comma, semicolon or colon that leaves both short enough."""
    cuts = [m.start() for m in re.finditer(r"[,;:] ", sentence) if m.start() < limit and len(sentence) - m.start() <= limit]
    if not cuts:
        return "two sentences"
    rest = sentence[cuts[-1] + 2:]
    return f"two sentences: “{sentence[:cuts[-1]]}.” “{capital(rest)}”"
