"""Signing the warning label of an audit, once everything that can be checked without a replay holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.api import verify
from assay.reports import warning_label
from assay.signing import envelope, keys
from assay.signing.statement import LABEL, MANIFEST, statement
from assay.store import StoreError, read_plain, write_aside
from assay.verification import Claim

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign(folder: str | Path, private: Ed25519PrivateKey) -> list[Claim]:
    """Sign the label of an audit's folder with a private key (`assay.signing.keys.read_private`).

    Everything but a replay is checked first; where a claim fails nothing is signed. A signature of the same statement by
    another key is kept beside the new one; one of an earlier label is replaced. Returns the claims.
    """
    folder = Path(folder)
    if not (folder / LABEL).exists():
        return [Claim(claim="the label is whole", holds=False, detail="there is none; `assay report` writes it")]
    claims = verify(folder, replay=False, signature=False)
    if not all(claim.holds for claim in claims):
        return claims
    label, manifest = read_plain(folder / LABEL), read_plain(folder / MANIFEST)
    payload = warning_label.canonical(statement(warning_label.read(label), label, manifest))
    mine = keys.key_id(private.public_key())
    made = envelope.Signature(keyid=mine, sig=private.sign(envelope.pae(envelope.PAYLOAD_TYPE, payload)))
    kept = tuple(s for s in _others(folder / envelope.FILE, payload) if s.keyid not in ("", mine))
    write_aside(folder / envelope.FILE, envelope.Envelope(payload=payload, signatures=(*kept, made)).to_bytes())
    return claims


def _others(path: Path, payload: bytes) -> tuple[envelope.Signature, ...]:
    """The signatures in an envelope that holds this payload; none where there is no such envelope."""
    try:
        there = envelope.read(read_plain(path, envelope.MOST_BYTES))
    except (FileNotFoundError, envelope.EnvelopeError, StoreError):
        return ()
    return there.signatures if there.payload == payload else ()
