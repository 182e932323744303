"""The forger's tools: a copy of a signed audit, and what it takes to change it and make the rest agree again."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from assay.api import Audit
from assay.reports import html, warning_label
from assay.signing import envelope, keys
from assay.signing.statement import statement
from assay.store import FINDINGS, AuditFolder

Change = Callable[[Any], None]


@dataclass(frozen=True, kw_only=True)
class Forger:
    """A copy of a folder that holds two signed audits, `audit` (to be attacked) and `other`, and the keys of both sides.

    `owner.pem` signed both; a forger has it only where an attack is about what its owner might sign unawares.
    """

    top: Path

    @property
    def folder(self) -> Path:
        return self.top / "audit"

    @property
    def other(self) -> Path:
        return self.top / "other"

    def part(self, check: str = "noise", system: str = "deep-cascade", kind: str = "parts") -> Path:
        """A file of one unit."""
        suffix = "parquet" if kind == "parts" else "safetensors"
        return self.folder / kind / f"{check}~{system}~00000.{suffix}"

    def edit(self, name: str, change: Change) -> None:
        """Change a JSON file's value, and leave everything else as it is."""
        path = self.folder / name
        data = json.loads(path.read_text(encoding="utf-8"))
        change(data)
        path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")

    def text(self, name: str, old: str, new: str) -> None:
        """Replace the first place of a text in a file."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8", errors="surrogateescape")

    def label(self, change: Change, *, sealed: bool = True) -> None:
        """Change the label; unless not `sealed`, make its own digest anew."""
        path = self.folder / "warning_label.json"
        label = json.loads(path.read_bytes())
        change(label)
        if sealed:
            bare = {key: value for key, value in label.items() if key != "digest"}
            label["digest"] = {"sha256": hashlib.sha256(warning_label.canonical(bare)).hexdigest()}
        path.write_bytes(warning_label.canonical(label))

    def rows(self, change: Change, part: Path | None = None) -> None:
        """Change every row of a part."""
        path = part or self.part()
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            change(row)
        pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), path)

    def tensors(self, change: Callable[[dict[str, Any]], dict[str, Any]], kind: str = "witnesses") -> None:
        """Change the tensors of a file."""
        path = self.part(kind=kind)
        save_file(change(load_file(path)), path)

    def sealed(self) -> None:
        """Make the manifest of the files as they are now."""
        AuditFolder(self.folder).seal()

    def issued(self, *, now: datetime | None = None, **named: Any) -> None:
        """Manifest, label, report and drawings made anew, so that everything agrees but the signature and the truth."""
        self.sealed()
        audit = Audit(self.folder)
        label = warning_label.build(audit.store, audit.verdicts, issued=now or datetime.now(UTC), **named)
        warning_label.write_all(label, self.folder)
        html.write_report(audit.store, audit.verdicts, self.folder / "report.html")

    # --- signatures ---

    def envelope(self, change: Change) -> None:
        """Change the envelope as JSON."""
        self.edit(envelope.FILE, change)

    def payload(self, change: Change) -> None:
        """Change the signed statement within the envelope, and keep the signature."""
        def inner(data: Any) -> None:
            signed = json.loads(base64.b64decode(data["payload"]))
            change(signed)
            data["payload"] = base64.b64encode(json.dumps(signed).encode()).decode()
        self.envelope(inner)

    def statement(self) -> dict[str, Any]:
        """The statement that belongs to the folder as it is now."""
        label, manifest = ((self.folder / name).read_bytes() for name in ("warning_label.json", "manifest.json"))
        return statement(json.loads(label), label, manifest)

    def sign(self, who: str, payload: bytes | Mapping[str, Any] | None = None, *, keyid: str | None = None,
             encoded: bool = True) -> None:
        """Sign a payload (the right statement, unless given), with that key, naming `keyid`; not `encoded`: without PAE."""
        private = keys.read_private(self.top / f"{who}.pem")
        value = self.statement() if payload is None else payload
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        message = envelope.pae(envelope.PAYLOAD_TYPE, body) if encoded else body
        made = envelope.Signature(keyid=keyid or keys.key_id(private.public_key()), sig=private.sign(message))
        (self.folder / envelope.FILE).write_bytes(envelope.Envelope(payload=body, signatures=(made,)).to_bytes())

    def key_id(self, who: str) -> str:
        return keys.key_id(keys.read_public(self.top / f"{who}.pem.pub"))
