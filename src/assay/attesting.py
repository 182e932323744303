"""Signing the warning label of an audit, once everything that can be checked without a replay holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import strict_json
from assay.api import verify
from assay.reports import warning_label
from assay.signing import envelope, keyless, keys
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
    claims, payload = _to_sign(folder)
    if payload:
        mine = keys.key_id(private.public_key())
        made = envelope.Signature(keyid=mine, sig=private.sign(envelope.pae(envelope.PAYLOAD_TYPE, payload)))
        kept = tuple(s for s in _others(folder / envelope.FILE, payload) if s.keyid not in ("", mine))
        write_aside(folder / envelope.FILE, envelope.Envelope(payload=payload, signatures=(*kept, made)).to_bytes())
    return claims


def sign_keyless(folder: str | Path, *, token: str | None = None, trust_config: Path | None = None,
                 before: Callable[[Mapping[str, Any]], None] = lambda said: None,
                 ) -> tuple[list[Claim], keyless.Signer | None]:
    """Sign the label with an identity (Sigstore, `assay.signing.keyless.sign`): the claims, and who signed if anyone did.

    Checked first as by `sign`. `before` sees the statement before anything is sent, and what it raises stops that. The
    bundle lies beside the label; signatures by keys stay as they are.
    """
    folder = Path(folder)
    keyless.needed()
    claims, payload = _to_sign(folder)
    if not payload:
        return claims, None
    before(strict_json.parse(payload))
    bundle, who = keyless.sign(payload, token=token, trust_config=trust_config)
    write_aside(folder / keyless.FILE, bundle)
    return claims, who


def _to_sign(folder: Path) -> tuple[list[Claim], bytes]:
    """What was checked, and the statement's bytes; none where a claim fails."""
    if not (folder / LABEL).exists():
        return [Claim(claim="the label is whole", holds=False, detail="there is none; `assay report` writes it")], b""
    claims = verify(folder, replay=False, signature=False)
    if not all(claim.holds for claim in claims):
        return claims, b""
    label, manifest = read_plain(folder / LABEL), read_plain(folder / MANIFEST)
    return claims, warning_label.canonical(statement(warning_label.read(label), label, manifest))


def _others(path: Path, payload: bytes) -> tuple[envelope.Signature, ...]:
    """The signatures in an envelope that holds this payload; none where there is no such envelope."""
    try:
        there = envelope.read(read_plain(path, envelope.MOST_BYTES))
    except (FileNotFoundError, envelope.EnvelopeError, StoreError):
        return ()
    return there.signatures if there.payload == payload else ()
