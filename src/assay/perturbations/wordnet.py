"""Synonyms of an installed WordNet, read from its own files: no package, no download, no guess at what a word is.

The folder is that of Princeton's database files (`data.noun`, `index.noun`, `noun.exc`, …; format wndb(5WN)), as Debian's
`wordnet-base` puts it at /usr/share/wordnet and NLTK's data at nltk_data/corpora/wordnet. Miller, "WordNet: a lexical
database for English", Commun. ACM 38 (1995); its synonyms as substitutions: Ren, Deng, He and Che, "Generating natural
language adversarial examples through probability weighted word saliency", ACL 2019.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.arrays import InputError

PARTS = ("noun", "verb", "adj", "adv")
LEAST = 4                                       # letters of a word that may be replaced
PLAIN = re.compile(r"[a-z]+(?:[ -][a-z]+)*")
QUANTITIES = frozenset({"23", "28"})            # lexicographer files noun.quantity and noun.time: amounts, doses, dates
LINKING = re.compile(r" (?:of|in|at|to|by|for|from|with|on|and|or|the|a) ")     # such a noun's head is not its last word
WORDS_OF_GRAMMAR = """
about above across after again against along also although among another around because been before behind being below
beneath beside besides between beyond both could does doing done down during each either else even ever every everything
from further hence here herself himself however into itself just less like many might mine more most much must myself
near none nothing once only other others ought over past quite rather same shall should since some something somewhat
such than that their them then there therefore these they this those though through thus together under unless until
upon used very were what when where whether which while whom whose will with within would your yourself"""
GRAMMAR = frozenset(WORDS_OF_GRAMMAR.split())

Entries = dict[str, dict[str, str]]             # phrase -> alternative -> grade


@dataclass(frozen=True, kw_only=True)
class _Files:
    """Of one part of speech: the senses of each lemma, the words of each synset, the irregular forms of each lemma."""

    senses: Mapping[str, tuple[str, ...]]
    synsets: Mapping[str, tuple[str, ...]]
    irregular: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read(folder: Path, *, kept: Collection[str]) -> tuple[Entries, str]:
    """What may stand for what, and the digest of the files; words of `kept` are neither replaced nor put in.

    A word is replaced where it is a form of one word of one part of speech only, of all that WordNet knows, by the others of
    its synset in the same form (plural; third person, past or -ing). "near" where the word has one sense, "disputed" the
    first of several; further senses are left out. Left alone are words of grammar, of fewer than four letters or with a
    capital, synsets of quantities and times, and adjectives that only stand in some places.
    """
    content = {name: _bytes(folder, name) for part in PARTS for name in (f"index.{part}", f"data.{part}", f"{part}.exc")}
    files = {part: _Files(senses=_senses(content[f"index.{part}"]), synsets=_synsets(content[f"data.{part}"]),
                          irregular=_irregular(content[f"{part}.exc"])) for part in PARTS}
    readings: dict[str, set[tuple[str, str, str]]] = {}
    for part, known in files.items():
        for lemma in known.senses:
            for kind, form in _forms(part, lemma, known.irregular):
                readings.setdefault(form, set()).add((part, lemma, kind))
    entries: Entries = {}
    for form, found in readings.items():
        if len({(part, lemma) for part, lemma, _ in found}) == 1 and _replaceable(form, kept):
            alternatives: dict[str, str] = {}
            for part, lemma, kind in sorted(found):
                alternatives |= _alternatives(files[part], part, lemma, kind, kept)
            alternatives.pop(form, None)
            if alternatives:
                entries[form] = alternatives
    digest = hashlib.sha256(b"".join(hashlib.sha256(content[name]).digest() for name in sorted(content))).hexdigest()
    return entries, digest


def _alternatives(files: _Files, part: str, lemma: str, kind: str, kept: Collection[str]) -> dict[str, str]:
    senses = files.senses[lemma]
    words = files.synsets.get(senses[0], ())
    found: dict[str, str] = {}
    for word in words if lemma in words else ():        # else it has a capital there, or stands in some places only
        form = dict(_forms(part, word, files.irregular)).get(kind)
        if word != lemma and form and _replaceable(form, kept, least=1):
            found[form] = "near" if len(senses) == 1 else "disputed"
    return found


def _replaceable(form: str, kept: Collection[str], least: int = LEAST) -> bool:
    words = re.split("[ -]", form)
    return (len(form) >= least and PLAIN.fullmatch(form) is not None and form not in GRAMMAR
            and not any(word in kept for word in words))


def _forms(part: str, lemma: str, irregular: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """The forms of a lemma, each with its kind; a form that the rules do not tell is left out.

    >>> dict(_forms("noun", "biopsy", {})), dict(_forms("noun", "point of view", {}))
    ({'': 'biopsy', 's': 'biopsies'}, {'': 'point of view'})
    >>> dict(_forms("verb", "carry out", {}))
    {'': 'carry out', 's': 'carries out', 'ing': 'carrying out', 'ed': 'carried out'}
    >>> dict(_forms("verb", "take", {"take": ("taken", "took")}))       # two forms of the past: which is which is not known
    {'': 'take', 's': 'takes', 'ing': 'taking'}
    """
    yield "", lemma
    if part == "noun" and not LINKING.search(lemma):
        before, _, head = lemma.rpartition(" ")
        unusual = irregular.get(lemma, irregular.get(head, ()))
        if len(unusual) == 1 or not (unusual or head.endswith("man")):
            yield "s", f"{before} {unusual[0] if unusual else _with_s(head)}".strip()
    elif part == "verb":
        head, blank, after = lemma.partition(" ")
        unusual = irregular.get(head, ())
        for kind, form in (("s", _with_s(head)), ("ing", _with_ing(head)), ("ed", _with_ed(head))):
            listed = [w for w in unusual if (w.endswith("ing"), w.endswith("s")) == (kind == "ing", kind == "s")]
            if len(listed) < 2:
                yield kind, f"{listed[0] if listed else form}{blank}{after}"


def _with_s(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(?:s|x|z|ch|sh)$", word) else "s")


def _with_ing(word: str) -> str:
    if word.endswith("ie"):
        return word[:-2] + "ying"
    return (word[:-1] if re.search(r"[^eoy]e$", word) else word) + "ing"


def _with_ed(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ied"
    return word + ("d" if word.endswith("e") else "ed")


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise InputError(f"{folder}: {name} cannot be read ({error.strerror}); give the folder of an installed WordNet, "
                         "with data.noun, index.noun, noun.exc and those of verb, adj and adv (Debian: "
                         "/usr/share/wordnet, from wordnet-base)") from None


def _lines(content: bytes) -> Iterator[list[str]]:
    """The fields of each line but those of the licence, which begin with two blanks."""
    for line in content.decode("utf-8", "replace").splitlines():
        if line and not line.startswith("  "):
            yield line.split(" | ")[0].split()


def _senses(content: bytes) -> dict[str, tuple[str, ...]]:
    """lemma pos synset_cnt p_cnt … offsets, the most frequent sense first."""
    return {fields[0].replace("_", " "): tuple(fields[-int(fields[2]):]) for fields in _lines(content)}


def _synsets(content: bytes) -> dict[str, tuple[str, ...]]:
    """offset lex_file type w_cnt (word lex_id)… : the words; no synset of quantities, with digits, or of an instance."""
    found = {}
    for fields in _lines(content):
        count = int(fields[3], 16)
        words = [word.replace("_", " ") for word in fields[4: 4 + 2 * count: 2]]
        told = not (fields[1] in QUANTITIES and fields[2] == "n") and "@i" not in fields
        if told and not any(character.isdigit() for word in words for character in word):
            found[fields[0]] = tuple(word for word in words if PLAIN.fullmatch(word))
    return found


def _irregular(content: bytes) -> dict[str, tuple[str, ...]]:
    """form lemma…, turned: the irregular forms of each lemma."""
    found: dict[str, list[str]] = {}
    for fields in _lines(content):
        for lemma in fields[1:]:
            if (form := fields[0].replace("_", " ")) not in found.setdefault(lemma.replace("_", " "), []):
                found[lemma.replace("_", " ")].append(form)
    return {lemma: tuple(forms) for lemma, forms in found.items()}
