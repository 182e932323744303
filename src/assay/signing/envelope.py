"""The envelope of a signed statement: DSSE v1.0 (secure-systems-lab/dsse, protocol.md and envelope.md).

Read more strictly than DSSE asks: an envelope with a field that no signature covers and no reader needs is refused, so that
nothing travels in it as if it were signed. A key id is a hint, which no signature covers, and never a reason to trust.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from assay import strict_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
FILE = "warning_label.dsse.json"
MOST_BYTES = 1 << 20


class EnvelopeError(ValueError):
    """An envelope that cannot be read: the message names the field and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """64 bytes of Ed25519, and the id of the key that it is said to be by ("" where none is said)."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The bytes that were signed, and by whom."""

    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> bytes:
        """What the signatures are over."""
        return pae(PAYLOAD_TYPE, self.payload)

    def to_bytes(self) -> bytes:
        """The JSON envelope."""
        listed = [{"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode()} for s in self.signatures]
        return json.dumps({"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(self.payload).decode(),
                           "signatures": listed}, indent=1).encode() + b"\n"


def pae(payload_type: str, body: bytes) -> bytes:
    """The pre-authentication encoding: type and body, each after its length in bytes.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def read(content: bytes) -> Envelope:
    """The envelope in a file's bytes; `EnvelopeError` names the field that is not as it must be."""
    if len(content) > MOST_BYTES:
        raise EnvelopeError(f"envelope: {len(content)} bytes, more than {MOST_BYTES}")
    try:
        data = strict_json.parse(content)
    except strict_json.StrictJsonError as error:
        raise EnvelopeError(f"envelope: {error}") from None
    _fields(data, {"payload", "payloadType", "signatures"}, "envelope")
    if data["payloadType"] != PAYLOAD_TYPE:
        raise EnvelopeError(f"payloadType: {str(data['payloadType'])[:80]!r} where {PAYLOAD_TYPE!r} is meant")
    listed = data["signatures"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= 16:
        raise EnvelopeError("signatures: a list of 1 to 16 is meant")
    signatures = tuple(_signature(item, f"signatures.{i}") for i, item in enumerate(listed))
    if len({s.keyid for s in signatures}) < len(signatures):
        raise EnvelopeError("signatures: two of them name the same key")
    return Envelope(payload=_bytes(data["payload"], "payload"), signatures=signatures)


def payload_of(envelope: Envelope) -> Any:
    """The signed JSON value, read strictly."""
    try:
        return strict_json.parse(envelope.payload)
    except strict_json.StrictJsonError as error:
        raise EnvelopeError(f"payload: {error}") from None


def _signature(item: Any, where: str) -> Signature:
    _fields(item, {"keyid", "sig"}, where, optional={"keyid"})
    keyid, sig = item.get("keyid", ""), _bytes(item["sig"], f"{where}.sig")
    if not isinstance(keyid, str) or len(keyid) > 128 or not keyid.isprintable() or not keyid.isascii():
        raise EnvelopeError(f"{where}.keyid: not a key id")
    if len(sig) != 64:
        raise EnvelopeError(f"{where}.sig: {len(sig)} bytes, and an Ed25519 signature has 64")
    return Signature(keyid=keyid, sig=sig)


def _fields(data: Any, known: AbstractSet[str], where: str, optional: AbstractSet[str] = frozenset()) -> None:
    if not isinstance(data, Mapping):
        raise EnvelopeError(f"{where}: an object is meant")
    if unknown := sorted(set(data) - known):
        raise EnvelopeError(f"{where}: unknown field {unknown[0][:80]!r}")
    if missing := sorted(known - optional - set(data)):
        raise EnvelopeError(f"{where}: missing field {missing[0]!r}")


def _bytes(text: Any, where: str) -> bytes:
    """Base64 with the standard or the URL-safe alphabet, as DSSE allows."""
    try:
        return base64.b64decode(text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except (AttributeError, UnicodeEncodeError, binascii.Error):
        raise EnvelopeError(f"{where}: not base64") from None
