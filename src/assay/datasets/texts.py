"""Texts with the class each belongs to: the data of a text classifier's audit, from a user's table or the bundled notes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from assay.arrays import InputError
from assay.datasets import claims, notes
from assay.datasets.formats_labelled import class_names
from assay.datasets.frames import readable, regular_file, shown
from assay.numerics.texts import encode
from assay.perturbations.codes import read_claim
from assay.perturbations.protocol import Examples
from assay.records import DataRecord, digest_of

MADE_UP = "made by Assay; no patient is described"
LONGEST = 1_000_000                         # characters of one text
TEXT_COLUMNS, LABEL_COLUMNS = ("text", "note", "review", "sentence"), ("label", "class", "target", "y")


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledTexts:
    """Texts and labels: `fetch` gives inputs int32 (batch, longest), the code points, and truth int64 (batch,)."""

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    record: DataRecord
    operator: None = None
    texts: tuple[str, ...] = field(repr=False)

    def fetch(self, positions: Sequence[int]) -> Examples:
        """The samples at these positions."""
        return Examples(ids=tuple(self.ids[i] for i in positions),
                        inputs=torch.from_numpy(encode([self.texts[i] for i in positions])),
                        truth=torch.tensor([self.labels[i] for i in positions], dtype=torch.int64))


def bundled_notes(part: str = "audited") -> LabelledTexts:
    """Synthetic clinical notes with their risk: 2,000 to train on, 400 to tune on or 200 to audit (`datasets.notes`).

    >>> bundled_notes().classes
    ('low risk', 'high risk')
    """
    return _bundled("notes", part, notes.PARTS, notes.notes, classes=notes.CLASSES, name="synthetic clinical notes")


def bundled_claims(part: str = "audited") -> LabelledTexts:
    """Synthetic claims with the right decision: 3,000 to train on, 500 to tune on or 200 to audit (`datasets.claims`).

    >>> bundled_claims().classes
    ('denied', 'approved')
    """
    return checked_claims(_bundled("claims", part, claims.PARTS, claims.claims, classes=claims.CLASSES,
                                   name="synthetic claims"))


def _bundled(kind: str, part: str, parts: Iterable[str], draw: Callable[[str], Sequence[notes.Note | claims.CodedClaim]], *,
             classes: tuple[str, ...], name: str) -> LabelledTexts:
    if part not in parts:
        raise InputError(f"bundled {kind} have no part {part!r}; known: {', '.join(parts)}")
    drawn = draw(part)
    return labelled_texts([d.text for d in drawn], [d.label for d in drawn], classes=classes, ids=[d.id for d in drawn],
                          name=name, note=f"{part} part", simulated=True, licence=MADE_UP,
                          options={"data": f"bundled:{kind}" if part == "audited" else f"bundled:{kind}-{part}"})


def checked_claims(data: LabelledTexts) -> LabelledTexts:
    """The same data as coded claims; `InputError` naming the first sample that holds no code, or something else."""
    for sample, text in zip(data.ids, data.texts, strict=True):
        try:
            found = read_claim(text)
        except InputError as error:
            raise InputError(f"sample {sample!r}: {error}") from None
        if not found.codes:
            raise InputError(f"sample {sample!r}: no code; give a code a line, then \"Documented: …\"")
    return replace(data, record=replace(data.record, task="codes"))


def load_texts(path: str | Path, *, text_key: str | None = None, label_key: str | None = None,
               classes: str | Path | Sequence[str] | None = None, limit: int | None = None,
               licence: str = "unknown") -> LabelledTexts:
    """The texts of a .csv or .tsv file, a row each, with a first line that names the columns.

    Arguments: `text_key`, `label_key` the columns (without them, the one with a usual name); `classes` the class names in
    order, or a text file with one a line: without it whole numbers 0, 1, … are labels, and words are the classes
    themselves, sorted; `limit` the greatest number of samples, taken at even distances. A column "id" names the samples.
    Raises `InputError` naming file, line and remedy for anything that cannot be read.
    """
    path, names = Path(path), class_names(classes)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"limit={limit!r}; expected a whole number of at least 1")
    rows, columns = _rows(path)
    text_column = _column(columns, text_key, TEXT_COLUMNS, "text_key (--key)", path)
    label_column = _column(columns, label_key, LABEL_COLUMNS, "label_key (--labels)", path)
    texts, said, ids = [], [], []
    for line, row in rows:
        texts.append(_text(row[text_column], f"{shown(path)}, line {line}"))
        said.append((row[label_column] or "").strip())
        ids.append((row.get("id") or "").strip() or f"row-{line}")
    labels, found = _labels(said, names, [line for line, _ in rows], path)
    kept = range(len(texts)) if limit is None or limit >= len(texts) else [i * len(texts) // limit for i in range(limit)]
    options = {"path": readable(str(path)), "text_key": text_key, "label_key": label_key, "limit": limit,
               "licence": licence, "classes": None if names is None else list(names)}
    return labelled_texts([texts[i] for i in kept], [labels[i] for i in kept], classes=found, ids=[ids[i] for i in kept],
                          name=readable(path.name), note="", simulated=False, licence=licence, options=options)


def labelled_texts(texts: Sequence[str], labels: Sequence[int], *, classes: Sequence[str], ids: Sequence[str] = (),
                   name: str = "texts", note: str = "", simulated: bool = False, licence: str = "unknown",
                   options: Mapping[str, Any] | None = None) -> LabelledTexts:
    """The data set of texts in memory; `InputError` for empty texts, one class only, or two samples of one name."""
    ids = tuple(ids) or tuple(f"text-{i:04d}" for i in range(len(texts)))
    if not len(texts) == len(labels) == len(ids):
        raise InputError(f"{name}: {len(texts)} texts, {len(labels)} labels and {len(ids)} names; give one of each")
    for sample, text in zip(ids, texts, strict=True):
        _text(text, f"{name}, {sample}")
    if bad := [label for label in labels if not 0 <= label < len(classes)]:
        raise InputError(f"{name}: label {bad[0]} is out of range; the classes are 0 to {len(classes) - 1}")
    if len(set(labels)) < 2:
        raise InputError(f"{name}: all samples are of one class; a classifier is audited on at least two classes")
    if len(set(ids)) != len(ids):
        raise InputError(f"{name}: two samples are both named {next(i for i in ids if ids.count(i) > 1)!r}; rename one")
    samples = {sample: digest_of({"text": text, "label": label})
               for sample, text, label in zip(ids, texts, labels, strict=True)}
    longest = max(map(len, texts))
    record = DataRecord(
        id=str((options or {}).get("data", name)), n=len(ids), licence=licence, simulated=simulated, operator="", noise=None,
        digest=digest_of({"samples": samples, "classes": list(classes)}), samples=samples, options=dict(options or {}),
        task="text", classes=tuple(classes), description="; ".join(filter(None, (
            f"{len(ids)} {name}, {len(classes)} classes", f"up to {longest} characters", note))))
    return LabelledTexts(ids=ids, labels=tuple(labels), classes=tuple(classes), record=record, texts=tuple(texts))


def _rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """The rows with their lines, and the names of the columns."""
    suffix = regular_file(path).suffix.lower()
    if suffix not in (".csv", ".tsv"):
        raise InputError(f"{shown(path)}: not a table of texts; give a .csv or .tsv with a line of column names")
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{shown(path)}, line {line}: not UTF-8 (byte {error.start}); save the whole file in one encoding, "
                         "UTF-8") from None
    csv.field_size_limit(max(csv.field_size_limit(), 4 * LONGEST))
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter="\t" if suffix == ".tsv" else ",", strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{shown(path)}, line {reader.line_num}: {error}; is every quotation mark closed?") from None
    if not rows:
        raise InputError(f"{shown(path)}: no rows; nothing can be audited")
    for line, row in rows:
        if None in row or None in row.values():
            raise InputError(f"{shown(path)}, line {line}: another number of fields than the first line; put texts that "
                             "hold the delimiter in quotation marks")
    return rows, list(reader.fieldnames or ())


def _column(columns: Sequence[str], said: str | None, usual: Sequence[str], option: str, path: Path) -> str:
    if said is not None:
        if said not in columns:
            raise InputError(f"{shown(path)}: no column {said!r}; it has {', '.join(columns)}")
        return said
    found = [column for column in columns if column.lower() in usual]
    if len(found) != 1:
        raise InputError(f"{shown(path)}: which column is meant cannot be told from {', '.join(columns)}; say {option}=")
    return found[0]


def _text(text: str, place: str) -> str:
    if not text or not text.strip():
        raise InputError(f"{place}: the text is empty; remove the row")
    if len(text) > LONGEST:
        raise InputError(f"{place}: {len(text)} characters, more than {LONGEST}; cut the text into parts")
    try:
        encode([text])
    except ValueError as error:
        raise InputError(f"{place}: {error}") from None
    return text


def _labels(said: Sequence[str], names: Sequence[str] | None, lines: Sequence[int],
            path: Path) -> tuple[list[int], tuple[str, ...]]:
    """Numbers of classes, and the classes' names."""
    if empty := [line for line, word in zip(lines, said, strict=True) if not word]:
        raise InputError(f"{shown(path)}, line {empty[0]}: no label; remove the row or fill it in")
    if all(word.isdecimal() for word in said):
        numbers = [int(word) for word in said]
        return numbers, tuple(names or map(str, range(max(numbers) + 1)))
    known = tuple(names or sorted(set(said)))
    if unknown := [(line, word) for line, word in zip(lines, said, strict=True) if word not in known]:
        raise InputError(f"{shown(path)}, line {unknown[0][0]}: label {unknown[0][1]!r} is not one of {', '.join(known)}")
    return [known.index(word) for word in said], known
