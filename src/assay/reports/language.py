"""The label in other languages: catalogues of words and sentences; what has none stays English and says so.

The JSON is English and the source. A sentence of it is looked up by its template, placeholders included; if any part of it
has no translation, the whole sentence stays English, so that none is half translated. No torch.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from assay.profiles.plain_words import LONGEST, capital
from assay.reports.wording import amount

CODES = ("de", "fr", "nb")          # beside English
_NUMBER = r"[−\d.,<>]+(?: ?(?:%|dB|×))?"
_PLACE = {"n": r"\d+", "m": r"\d+", "x": _NUMBER, "level": _NUMBER, "below": _NUMBER}


class LanguageError(ValueError):
    """A language that no label is written in: the message names those there are."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """One catalogue. `told` and its kin give None where it has no translation of the whole."""

    code: str
    decimal: str
    words: Mapping[str, str]
    nouns: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)
    verbs: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()

    def say(self, key: str, **values: str) -> str:
        """The label's own words, filled in."""
        return self.words[key].format(**values)

    def number(self, text: str) -> str:
        """A number as it is written in this language.

        >>> language("de").number("2.5 %"), language("en").number("2.5 %")
        ('2,5 %', '2.5 %')
        """
        return re.sub(r"(?<=\d)\.(?=\d)", self.decimal, text)

    def amount(self, value: float | None, unit: str = "") -> str:
        """A value with its unit; of a unit in words it is said that they are English."""
        if value is None:
            return self.say("not-measured")
        text = self.number(amount(value, unit))
        wordy = re.search(r"[A-Za-z]{3,}", text)
        return self.foreign(text) if wordy and self.code != "en" else text

    def foreign(self, text: str) -> str:
        """An English text, marked as such where the label is not English."""
        return text if self.code == "en" else f"({self.say('in-english')}) {text}"

    def is_foreign(self, text: str) -> bool:
        return self.code != "en" and text.startswith(f"({self.say('in-english')}) ")

    def shown(self, text: str) -> str:
        """A sentence of the JSON in this language, or in English and marked."""
        return told if (told := self.told(text)) is not None else self.foreign(text)

    def told(self, text: str) -> str | None:
        """A sentence of the JSON in this language."""
        return text if self.code == "en" else self._as_written(text, self.phrases)

    def change(self, text: str) -> str | None:
        """The size of a change in words."""
        return text if self.code == "en" else self._as_written(text.rstrip(","), self.changes)

    def noun(self, text: str) -> str | None:
        return text if self.code == "en" else self.nouns.get(text)

    def observed(self, hazard: str, change: str) -> str | None:
        """The sentence that says what was observed; without the established method where it would get too long."""
        if self.code == "en":
            return hazard
        told = self.told(hazard)
        if told is None and hazard.lower().startswith(change.lower().rstrip(",")):
            told = self._observed(hazard, change)
        return told if told is not None and len(told) <= LONGEST else None

    def _observed(self, hazard: str, change: str) -> str | None:
        rest = re.fullmatch(r",?(?: \((?P<x>\S+) times its noise\))?,? (?P<happened>.+?)"
                            r"(?:; with the established method \((?P<name>.+)\): (?P<n>\d+) of (?P<m>\d+))?\.",
                            hazard[len(change.rstrip(",")):])
        size = self.change(change)
        if rest is None or size is None or (happened := self._happened(rest["happened"])) is None:
            return None
        key = "observed" + "-noise" * bool(rest["x"])
        values = {"change": size, "happened": happened, "x": self.number(rest["x"] or ""), "name": rest["name"] or "",
                  "n": rest["n"] or "", "m": rest["m"] or ""}
        full = capital(self.say(f"{key}-beside" if rest["name"] else key, **values))
        return full if len(full) <= LONGEST else capital(self.say(key, **values))

    def _happened(self, text: str) -> str | None:
        for source, target in self.verbs.items():
            before, _, after = source.partition("{}")
            found = re.fullmatch(rf"{re.escape(before)}(\d+) of (\d+) (.+?){re.escape(after)}", text)
            if found and (noun := self.noun(found[3])) is not None:
                return target.replace("{}", self.say("count", n=found[1], m=found[2], noun=noun))
        return None

    def _as_written(self, text: str, table: Mapping[str, str]) -> str | None:
        """The translation with the source's capital and full stop."""
        bare = text.removesuffix(".")
        for source in dict.fromkeys((bare, bare[:1].lower() + bare[1:])):
            if (found := self._matched(source, table)) is not None:
                large = bare[:1].isupper() or (bare[:1] == "“" and found[:1] != "“")
                return (capital(found) if large else found) + "." * text.endswith(".")
        return None

    def _matched(self, text: str, table: Mapping[str, str]) -> str | None:
        if text in table:
            return table[text]
        for source, target in table.items():
            if "{" in source and (found := _pattern(source).fullmatch(text)):
                values = {name: self._part(name, value) for name, value in found.groupdict().items()}
                if None not in values.values():
                    return target.format(**values)
        return None

    def _part(self, name: str, value: str) -> str | None:
        if name in _PLACE:
            return self.number(value)
        return {"change": self.change, "noun": self.noun, "title": self.told}.get(name, lambda same: same)(value)


@functools.cache
def language(code: str) -> Language:
    """A catalogue by its code (ISO 639-1); `LanguageError` names those there are."""
    if code != "en" and code not in CODES:
        raise LanguageError(f"language {code!r}: there is none; known: en, {', '.join(CODES)}")
    data, english = _read(code), _read("en")

    def joined(table: str) -> dict[str, str]:
        """The English text to the one of this language, by the key that both have."""
        return {text: data[table][key] for key, text in english[table].items()}

    return Language(code=code, decimal=data["decimal"], words=data["words"], nouns=joined("nouns"),
                    changes=joined("changes"), verbs=joined("verbs"), phrases=joined("phrases"),
                    forbidden=tuple(data["forbidden"]))


@functools.cache
def _read(code: str) -> dict[str, Any]:
    return tomllib.loads(files("assay.reports").joinpath("languages", f"{code}.toml").read_text(encoding="utf-8"))


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)\}", template)
    return re.compile("".join(f"(?P<{piece}>{_PLACE.get(piece, '.+?')})" if i % 2 else re.escape(piece)
                              for i, piece in enumerate(pieces)))
