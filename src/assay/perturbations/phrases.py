"""Phrases that can stand for each other in a text, and where in a text one may be replaced without another meaning.

A table says which phrases mean the same, row by row, with how sure that is. Replaced are whole words only; never a phrase
that is negated, part of a name, or beside a number (a dose, a date, a code).
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from assay.arrays import InputError
from assay.perturbations import wordnet
from assay.perturbations.written import GRADES, table_bytes, table_rows

SHIPPED = ("clinical", "spelling")
COLUMNS = ("phrase", "alternative", "grade", "source")
BEFORE = ("no", "not", "nor", "never", "without", "denies", "denied", "deny", "denying", "negative for", "neither",
          "free of", "absence of", "rule out", "rules out", "ruled out", "cannot", "isn't", "doesn't", "didn't", "unlikely")
AFTER = ("ruled out", "denied", "absent", "unlikely", "excluded", "not present", "not seen", "not found")
TURNS = re.compile(r"\b(?:but|however|except|although|yet|apart from)\b")
NEGATES_WHAT_FOLLOWS = re.compile(rf"\b(?:{'|'.join(map(re.escape, BEFORE))})\b")
NEGATES_WHAT_STANDS_BEFORE = re.compile(rf"\b(?:{'|'.join(map(re.escape, AFTER))})\b")
FAR = 1000          # characters of a sentence that are looked at on either side
WORD = re.compile(r"\w(?:[\w'-]*\w)?")            # with its hyphens and apostrophes: "post-stroke" holds no stroke
PLAIN = re.compile(r"[A-Za-z][A-Za-z' -]*")
RESIDUAL = re.compile(r"\bother\b", re.IGNORECASE)
SENTENCE = re.compile(r"[.;:!?\n]+(?=\s|$)|\n")
BEGINS = re.compile(r"[.;:!?\n\-*•(\"“]\s*$")
TITLES = re.compile(r"\b(?:mr|mrs|ms|dr|prof|st|sir)\.?\s+$", re.IGNORECASE)
ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A phrase that may stand for another, with its grade."""

    text: str
    grade: str


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A stretch of a text, and what may stand there instead (in the text's own case)."""

    start: int
    end: int
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class PhraseTable:
    """Which phrases may stand for which: `entries` by phrase in lower case. Rows hold in both directions, not in chains."""

    name: str
    digest: str
    entries: Mapping[str, tuple[Alternative, ...]]
    _by_first: Mapping[str, frozenset[int]] = field(init=False, repr=False)     # first word -> numbers of words

    def __post_init__(self) -> None:
        first: dict[str, set[int]] = {}
        for phrase in self.entries:
            words = WORD.findall(phrase)
            if words:
                first.setdefault(words[0], set()).add(len(words))
        object.__setattr__(self, "_by_first", {word: frozenset(counts) for word, counts in first.items()})

    def matches(self, text: str) -> list[tuple[int, int]]:
        """Where phrases of the table stand: the longest first, then what does not overlap it, by place."""
        words = [(m.start(), m.end()) for m in WORD.finditer(text)]
        spans = ((start, words[i + count - 1][1]) for i, (start, end) in enumerate(words)
                 for count in self._by_first.get(text[start:end].lower(), ()) if i + count <= len(words))
        known = (span for span in spans if " ".join(text[slice(*span)].lower().split()) in self.entries)
        found = sorted(known, key=lambda s: (s[0] - s[1], s[0]))
        taken, kept = bytearray(len(text)), []
        for start, end in found:
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                kept.append((start, end))
        return sorted(kept)


@functools.cache
def load_table(name: str) -> PhraseTable:
    """A table that ships with Assay, "icd10cm" where its package is installed, a user's .csv, or the folder of a WordNet.

    The columns are phrase, alternative, grade ("same", "near" or "disputed") and source; a row holds in both directions.
    Raises `InputError` naming file, line and remedy for anything else.
    """
    if name.lower().endswith(".csv"):
        return table_from(table_bytes(name, "phrases"), name)
    if name == "icd10cm":
        return table_from(_of_icd10cm(), name)
    if name not in SHIPPED and Path(name).is_dir():
        return _of_wordnet(Path(name))
    if name not in SHIPPED:
        raise InputError(f"table {name!r}: known are {', '.join(SHIPPED)} and icd10cm, or give the path of a .csv of "
                         "phrases, or of the folder of an installed WordNet")
    return table_from(resources.files(__package__).joinpath("tables", f"{name}.csv").read_bytes(), name)


def _of_wordnet(folder: Path) -> PhraseTable:
    entries, digest = wordnet.read(folder, kept={phrase.split()[0] for phrase in (*BEFORE, *AFTER)})
    return PhraseTable(name=str(folder), digest=digest, entries={
        phrase: tuple(Alternative(text=text, grade=grade) for text, grade in found.items())
        for phrase, found in entries.items()})


def _of_icd10cm() -> bytes:
    """Titles of ICD-10-CM codes and the inclusion terms below them, as a table.

    "These terms are the conditions for which that code is to be used", mostly synonyms of the title (ICD-10-CM Official
    Guidelines, section I.A.11), so they are graded near. Residual codes ("other …"), whose terms are various conditions,
    and terms with numbers, commas or brackets are left out.
    """
    try:
        import simple_icd_10_cm as icd
    except ImportError:
        raise InputError("table 'icd10cm': needs the package simple-icd-10-cm (extra icd): pip install "
                         "simple-icd-10-cm") from None
    rows: dict[tuple[str, str], str] = {}
    for code in icd.get_all_codes(with_dots=True):
        if icd.is_category_or_subcategory(code):
            title = icd.get_description(code)
            terms = [re.sub(r"\s+NOS$", "", term) for term in icd.get_inclusion_term(code)]
            rows |= {(title.lower(), term.lower()): code for term in terms if term.lower() != title.lower()
                     and all(PLAIN.fullmatch(said) and not RESIDUAL.search(said) for said in (title, term))}
    lines = [f"{title},{term},near,ICD-10-CM {code}" for (title, term), code in rows.items()]
    return "\n".join((",".join(COLUMNS), *lines)).encode()


def table_from(content: bytes, name: str) -> PhraseTable:
    """The table that these bytes of a .csv file are.

    >>> table = table_from(b"phrase,alternative,grade,source\\nback pain,lumbago,same,x\\n", "mine")
    >>> [a.text for a in table.entries["lumbago"]]
    ['back pain']
    """
    entries: dict[str, dict[str, Alternative]] = {}
    for place, row in table_rows(content, name, COLUMNS):
        one, other = (_phrase(row[column], column, place) for column in COLUMNS[:2])
        if one.lower() == other.lower():
            raise InputError(f"{place}: {one!r} is its own alternative; remove the row")
        for a, b in ((one, other), (other, one)):
            entries.setdefault(a.lower(), {}).setdefault(b.lower(), Alternative(text=b, grade=row["grade"]))
    return PhraseTable(name=name, digest=hashlib.sha256(content).hexdigest(),
                       entries={phrase: tuple(found.values()) for phrase, found in entries.items()})


def _phrase(value: str | None, column: str, place: str) -> str:
    text = " ".join((value or "").split())
    if not text:
        raise InputError(f"{place}: {column} is empty")
    if any(character.isdigit() for character in text):
        raise InputError(f"{place}: {column} {text!r} holds a number, and numbers, doses and codes are never replaced")
    return text


@functools.lru_cache(maxsize=100_000)
def slots(text: str, table: PhraseTable, grades: tuple[str, ...] = GRADES) -> tuple[Slot, ...]:
    """Where the text may say the same in other words, and how, by place.

    Left alone are phrases in a negated clause (Chapman et al., "A simple algorithm for identifying negated findings and
    diseases in discharge summaries", 2001, with the whole clause as the window), phrases that look like part of a name,
    and phrases next to a number. An article before the phrase is replaced with it: "a stroke", "an apoplexy".

    >>> table = table_from(b"phrase,alternative,grade,source\\nback pain,lumbago,same,x\\n", "mine")
    >>> found = slots("Back pain for years. No back pain today.", table)
    >>> [(s.start, s.end, s.alternatives[0].text) for s in found]
    [(0, 9, 'Lumbago')]
    """
    found = []
    ends = [0, *(m.end() for m in SENTENCE.finditer(text)), len(text)]
    for start, end in table.matches(text):
        if _negated(*_around(text, start, end, ends)) or _name(text, start, end) or _numbered(text, start, end):
            continue
        said = text[start:end]
        known = [a for a in table.entries[" ".join(said.lower().split())] if a.grade in grades]
        article = ARTICLE.search(text[max(0, start - 8): start])
        begin = start - (article.end() - article.start()) if article else start
        texts = [_article(article.group(1), a.text) + article.group(2) + a.text if article else a.text for a in known]
        first = text[begin:end]
        if known:
            found.append(Slot(start=begin, end=end, alternatives=tuple(
                Alternative(text=_cased(t, first), grade=a.grade) for t, a in zip(texts, known, strict=True))))
    return tuple(found)


def mentions(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text, as whole words in any case, outside a negated clause.

    >>> mentions("Denies fever. Fever at night.", "fever"), mentions("No fever.", "fever")
    (True, False)
    """
    words = r"\s+".join(map(re.escape, phrase.split()))
    ends = [0, *(m.end() for m in SENTENCE.finditer(text)), len(text)]
    return any(not _negated(*_around(text, m.start(), m.end(), ends))
               for m in re.finditer(rf"(?<![\w-]){words}(?![\w-])", text, re.IGNORECASE))


def rewrite(text: str, places: Sequence[Slot], chosen: Sequence[int]) -> str:
    """The text with the chosen alternatives (1, 2, …; 0: as it is; −1: the phrase left out) in these places.

    >>> rewrite("a b c", [Slot(start=2, end=3, alternatives=(Alternative(text="B!", grade="same"),))], [1])
    'a B! c'
    """
    parts, at = [], 0
    for slot, choice in zip(places, chosen, strict=True):
        if choice:
            parts += [text[at: slot.start], slot.alternatives[choice - 1].text if choice > 0 else ""]
            at = slot.end
    return "".join((*parts, text[at:]))


def _around(text: str, start: int, end: int, ends: Sequence[int]) -> tuple[str, str]:
    """What stands near before and after the place in its own sentence; `ends` are the ends of all sentences.

    No more than `_negated` looks at: a sentence of a megabyte is not copied for each of its phrases.
    """
    last = bisect.bisect_right(ends, start)
    stop = max(end, ends[min(last, len(ends) - 1)])
    return text[max(ends[last - 1], start - 2 * FAR): start], text[end: min(stop, end + 2 * FAR)]


def _negated(before: str, after: str) -> bool:
    """Whether the rest of the sentence before and after a phrase negates it: up to a turn of the sentence."""
    clause = TURNS.split(before.lower()[-FAR:])[-1], TURNS.split(after.lower()[:FAR])[0]
    return bool(NEGATES_WHAT_FOLLOWS.search(clause[0]) or NEGATES_WHAT_STANDS_BEFORE.search(clause[1]))


def _name(text: str, start: int, end: int) -> bool:
    """Capital letters where no sentence begins, unless all letters around are; or a title before it."""
    said, before = text[start:end], text[max(0, start - 40): start]
    if TITLES.search(before):
        return True
    around = text[max(0, start - 40): end + 40]
    if around.upper() == around or said.upper() == said:
        return False
    inner = any(word[:1].isupper() for word in said.split()[1:])
    return inner or (said[:1].isupper() and not begins_sentence(before))


def begins_sentence(before: str) -> bool:
    """Whether a sentence, or an item of a list, begins after this.

    >>> begins_sentence("Done. "), begins_sentence("seen by ")
    (True, False)
    """
    return not before.strip() or bool(BEGINS.search(before))


def _numbered(text: str, start: int, end: int) -> bool:
    return bool(re.search(r"\d\s*[%/×x-]?\s*$", text[max(0, start - 4): start])) \
        or bool(re.match(r"\s*[#/×-]?\s*\d", text[end: end + 4]))


def _article(article: str, following: str) -> str:
    """"a" or "an" before a phrase, by its first letter.

    >>> _article("A", "angina"), _article("an", "stroke")
    ('An', 'a')
    """
    right = "an" if following[:1].lower() in "aeio" else "a"
    return right.capitalize() if article[:1].isupper() else right


def _cased(phrase: str, like: str) -> str:
    """The phrase with the capitals of what it replaces.

    >>> _cased("lumbago", "Back pain"), _cased("lumbago", "BACK PAIN"), _cased("lumbago", "back pain")
    ('Lumbago', 'LUMBAGO', 'lumbago')
    """
    if len(like) > 1 and like.upper() == like and like.lower() != like:
        return phrase.upper()
    return phrase[:1].upper() + phrase[1:] if like[:1].isupper() else phrase
