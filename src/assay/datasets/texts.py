"""Texts with the class each belongs to: the data of a text classifier's audit, from a user's table or the bundled notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from assay.arrays import InputError
from assay.datasets import claims, notes
from assay.datasets.columns import LABEL_COLUMNS, LONGEST, column_of, labels_of, rows_of, thinned
from assay.datasets.formats_labelled import class_names
from assay.datasets.frames import readable, shown
from assay.numerics.texts import encode
from assay.perturbations.codes import read_claim
from assay.perturbations.protocol import Examples
from assay.perturbations.revisions import TITLES, revisions_of
from assay.records import DataRecord, digest_of

MADE_UP = "made by Assay; no patient is described"
TEXT_COLUMNS = ("text", "note", "review", "sentence")


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
    """The same data as coded claims, with the revision of their codes in the options.

    Raises `InputError` naming the first sample that holds no code, or something else, or codes of another revision.
    """
    found: dict[tuple[str, ...], str] = {}         # the revisions a record may be of -> the first such sample
    for sample, text in zip(data.ids, data.texts, strict=True):
        try:
            codes = read_claim(text).codes
        except InputError as error:
            raise InputError(f"sample {sample!r}: {error}") from None
        if not codes:
            raise InputError(f"sample {sample!r}: no code; give a code a line, then \"Documented: …\"")
        found.setdefault(revisions_of(codes), sample)
    common = [revision for revision in TITLES if all(revision in some for some in found)]
    if not common:
        one, other = (found[some,] for some in TITLES)
        raise InputError(f"sample {one!r} is coded in {TITLES['icd9']} and sample {other!r} in {TITLES['icd10']}; audit "
                         "records of one revision at a time")
    return replace(data, record=replace(data.record, task="codes", options={**data.record.options, "revision": common[0]}))


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
    rows, columns = rows_of(path, "texts")
    text_column = column_of(columns, text_key, TEXT_COLUMNS, "text_key (--key)", path)
    label_column = column_of(columns, label_key, LABEL_COLUMNS, "label_key (--labels)", path)
    texts, said, ids = [], [], []
    for line, row in rows:
        texts.append(_text(row[text_column], f"{shown(path)}, line {line}"))
        said.append((row[label_column] or "").strip())
        ids.append((row.get("id") or "").strip() or f"row-{line}")
    labels, found = labels_of(said, names, [line for line, _ in rows], path)
    kept = thinned(len(texts), limit)
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
