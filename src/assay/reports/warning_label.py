"""The warning label: built from an audit's folder, never typed; its canonical JSON is the source of every other format.

The JSON follows RFC 8785, so one label has one byte sequence; `digest` is the sha256 of that sequence without the
digest itself. Every number can be computed again from the folder: `differences` says which field disagrees.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import rfc8785

from assay import strict_json
from assay.letters import deceptive
from assay.records import Verdict
from assay.reports import label_fields
from assay.reports.comparison import Folder, compare, is_complete
from assay.reports.headline import headline
from assay.reports.label_layout import layout
from assay.reports.label_png import render_png
from assay.reports.label_rules import broken_rule
from assay.reports.label_svg import render_svg
from assay.reports.label_text import render_text
from assay.reports.language import CODES, LanguageError, language
from assay.reports.refusals import refusal_lines
from assay.reports.subgroups import subgroups
from assay.reports.two_classes import as_tests, told_with
from assay.reports.wording import printable
from assay.store import StoreError, write_aside

__all__ = ["LabelError", "LanguageError", "ahead", "build", "canonical", "differences", "drawn", "drawn_in", "expired",
           "read", "read_canonical", "render_png", "render_svg", "render_text", "validate", "write_all"]

VERSION = "0.5"
MOST_BYTES = 1 << 20


class LabelError(ValueError):
    """A label that does not hold: the message names the field, what is wrong and the remedy."""


def build(folder: Folder, verdicts: Sequence[Verdict], *, auditor: Mapping[str, str] | None = None, issued: datetime,
          system: str | None = None, version: str = "unversioned", supersedes: str | None = None) -> dict[str, Any]:
    """The warning label of one audited system (the first one unless `system` names it) as plain data.

    `auditor` holds name, independence (self, second-party or third-party) and contact; without it the label says that
    the audit was not attributed. `issued` needs a time zone. `version` is the audited system's own, `supersedes` the
    sha256 of an earlier label. Raises `LabelError` naming the field if the label does not follow its schema.
    """
    if issued.tzinfo is None:
        raise LabelError("issued: the time has no zone; give one, for example datetime.now(timezone.utc)")
    header, findings = folder.header, list(folder.findings())
    try:
        sealed = folder.manifest_digest
    except StoreError as error:
        raise LabelError(f"provenance.audit_digest: the audit has no whole manifest ({error}); run the same audit "
                         "command again to finish it") from None
    name = system or label_fields.first_audited(header)
    top = headline(folder, verdicts, system=name, findings=findings)
    rows = compare(verdicts, header["profile"], system=name)
    row = top.on or (rows[0] if rows else None)
    told = told_with(as_tests(rows, findings, header), row, header["profile"]["headline"])
    lines = refusal_lines(header["profile"], rows, findings, header, complete=is_complete(folder))
    label: dict[str, Any] = {
        "schema_version": VERSION,
        "subject": label_fields.subject(header, name, version),
        "headline": {"signal": top.signal.word, "manner": top.manner, "hazard": printable(top.hazard),
                     "consequence": printable(top.consequence), "rule": top.signal.rule,
                     "reason": printable(top.signal.reason)},
        "actions": label_fields.actions(header["profile"]),
        "results": None if row is None else label_fields.results(row, findings),
        "perturbation": None if row is None else label_fields.perturbation(row, header, top),
        "as_test": label_fields.as_test(told, header["data"].get("classes", ())),
        "evidence": label_fields.evidence(folder, rows, top, findings),
        "scope": label_fields.scope(header, row),
        "not_tested": label_fields.not_tested(folder, rows),
        "refusal": label_fields.refusal(lines),
        "profile": label_fields.profile_of(header["profile"], rows),
        "auditor": dict(auditor) if auditor else {"name": "not attributed", "independence": "self", "contact": ""},
        "provenance": label_fields.provenance(header, sealed),
        "issued": label_fields.stamp(issued),
        "valid_until": label_fields.stamp(issued + timedelta(days=int(header["profile"].get("validity_days", 365)))),
    }
    if compared := label_fields.groups(subgroups(rows, findings, header.get("groups", {})), row, name):
        label["groups"] = compared
    if header.get("redaction"):
        label["redaction"] = {"of": dict(header["redaction"]["of"])}
    if supersedes:
        label["supersedes"] = {"sha256": supersedes}
    label["digest"] = {"sha256": _digest(label)}
    validate(label)
    return label


def canonical(label: Mapping[str, Any]) -> bytes:
    """The label as RFC 8785 bytes: equal labels have equal bytes.

    >>> canonical({"b": 1.0, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    try:
        return rfc8785.dumps(dict(label))
    except rfc8785.CanonicalizationError as error:
        raise LabelError(f"warning label: {error}; canonical JSON has finite numbers and integers below 2^53 only") \
            from None


def validate(label: Any) -> None:
    """Nothing, or `LabelError` naming the first field that breaks the schema, a wording rule or the digest.

    The schema refuses a WARNING without replayable evidence, a NONE FOUND on incomplete evidence, and a BOUND PROVED
    without a certificate; the digest refuses any changed byte that still fits the schema.
    """
    errors = sorted(_validator().iter_errors(label), key=lambda e: (len(e.absolute_path), str(e.absolute_path)))
    if errors:
        error = errors[0]
        where = ".".join(str(part) for part in error.absolute_path) or "warning label"
        rule = error.schema.get("$comment", "") if isinstance(error.schema, Mapping) else ""
        raise LabelError(f"{where}: {error.message[:200]}{f' ({rule})' if rule else ''}; build the label again from "
                         "its audit")
    for name in ("issued", "valid_until"):
        try:
            datetime.fromisoformat(label[name])
        except ValueError:
            raise LabelError(f"{name}: {label[name]} is no date; build the label again from its audit") from None
    for where, text in _texts(label, ""):
        if reason := deceptive(text):
            raise LabelError(f"{where}: {printable(text)[:60]!r} {reason}; give it in plain letters")
    if broken := broken_rule(label):
        raise LabelError(broken)
    if label["digest"]["sha256"] != _digest(label):
        raise LabelError("digest.sha256: the label was changed after it was issued; build it again from its audit")


def read(text: str | bytes) -> dict[str, Any]:
    """A label from its JSON text, validated; duplicate keys and NaN are refused.

    >>> read('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    assay.reports.warning_label.LabelError: a: given twice; take the label from its audit again
    """
    try:
        label = strict_json.parse(text)
    except strict_json.StrictJsonError as error:
        what = "" if "given twice" in str(error) else "warning label: "
        raise LabelError(f"{what}{error}; take the label from its audit again") from None
    validate(label)
    return dict(label)


def read_canonical(content: bytes) -> dict[str, Any]:
    """A label from the bytes of its file, which must be its canonical form: one label, one file, one sha256."""
    label = read(content)
    if canonical(label) != content:
        raise LabelError("warning label: not its canonical bytes (RFC 8785); take the label from its audit again")
    return label


def differences(label: Mapping[str, Any], folder: Folder, verdicts: Sequence[Verdict]) -> list[str]:
    """Fields in which the label disagrees with one built again from the folder; empty if every number holds."""
    if label["subject"]["name"] not in [system["name"] for system in folder.header["systems"]]:
        return ["subject.name"]
    again = build(folder, verdicts, auditor=label["auditor"], issued=datetime.fromisoformat(label["issued"]),
                  system=label["subject"]["name"], version=label["subject"]["version"],
                  supersedes=label.get("supersedes", {}).get("sha256"))
    return _differing(label, again, "")


def expired(label: Mapping[str, Any], now: datetime) -> bool:
    """Whether the label's validity has ended; an expired label counts as NOTICE."""
    return now > datetime.fromisoformat(label["valid_until"])


def ahead(label: Mapping[str, Any], now: datetime) -> bool:
    """Whether the label says that it was issued more than a day from now: its validity would last too long."""
    return datetime.fromisoformat(label["issued"]) > now + timedelta(days=1)


def write_all(label: Mapping[str, Any], folder: Path, *, languages: Sequence[str] = ("en",)) -> list[Path]:
    """Write warning_label.json, .svg, .png and .txt into the folder, each aside and then renamed; return the paths.

    Drawings in other `languages` stand beside the English ones, as warning_label.nb.svg and so on; those that are there
    already are drawn again.
    """
    validate(label)
    written, contents = [], {"warning_label.json": canonical(label)}
    for code in dict.fromkeys(["en", *languages, *drawn_in(folder)]):
        contents |= drawn(label, code)
    for name, content in contents.items():
        write_aside(folder / name, content)
        written.append(folder / name)
    return written


def drawn(label: Mapping[str, Any], code: str = "en") -> dict[str, bytes]:
    """The label's drawings and its text, by file name: what anyone who has its JSON draws again, byte for byte."""
    tongue = language(code)
    page, stem = layout(label, tongue), "warning_label" if code == "en" else f"warning_label.{code}"
    return {f"{stem}.svg": render_svg(label, page, tongue).encode(), f"{stem}.png": render_png(label, page, tongue),
            f"{stem}.txt": render_text(label, tongue).encode()}


def drawn_in(folder: Path) -> list[str]:
    """The languages beside English that the folder has a drawing in."""
    kinds = ("svg", "png", "txt")
    return [code for code in CODES if any((folder / f"warning_label.{code}.{kind}").exists() for kind in kinds)]


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key, f"{where} (a name)")
            yield from _texts(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _texts(inner, f"{where}.{i}")


def _digest(label: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical({k: v for k, v in label.items() if k != "digest"})).hexdigest()


@functools.cache
def _validator() -> Any:
    text = files("assay.reports").joinpath("templates", "warning_label.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def _differing(old: Any, new: Any, where: str) -> list[str]:
    if where == "digest":
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [line for key in sorted({*old, *new})
                for line in _differing(old.get(key), new.get(key), f"{where}.{key}" if where else key)]
    return [] if old == new else [where]
