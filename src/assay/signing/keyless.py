"""Keyless signatures: the same statement, signed by an identity instead of a key (Sigstore). `sigstore` is loaded when used.

The identity is proved to Sigstore's certificate authority by an OpenID Connect token; a key of minutes signs, and a public
log keeps certificate, signature and digest for ever. What is stored is Sigstore's bundle, v0.3: envelope, certificate, proof
of the log. Sources: docs.sigstore.dev (bundle format); Newman, Meyers and Torres-Arias, Sigstore (CCS 2022).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import strict_json
from assay.signing.envelope import PAYLOAD_TYPE

if TYPE_CHECKING:
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.oidc import IdentityToken

FILE = "warning_label.sigstore.json"
MOST_BYTES = 1 << 20
_ISSUER = "1.3.6.1.4.1.57264.1.1"         # Fulcio's extension that names who vouches for the identity


class KeylessError(ValueError):
    """A bundle, token or service that cannot be used: the message names it and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Who signed, as the certificate says: an e-mail address or a workflow's URL, and the service that vouches for it."""

    identity: str
    issuer: str


def needed() -> None:
    """`KeylessError` with the extra to install where the package is missing."""
    try:
        import sigstore  # noqa: F401 - only whether it is there
    except ImportError:
        raise KeylessError("keyless signatures need the package sigstore: pip install 'assay[sigstore]'") from None


def sign(payload: bytes, *, token: str | None = None, trust_config: Path | None = None) -> tuple[bytes, Signer]:
    """The bundle's bytes over a statement, and who signed it: `KeylessError` where Sigstore refuses or cannot be reached.

    Without a token the one of the machine is taken (GitHub Actions and the like), else a browser asks. `trust_config` names
    another Sigstore than the public one, as `sigstore --trust-config` does. The bundle is verified before it is returned.
    """
    needed()
    from sigstore.dsse import Statement
    from sigstore.sign import SigningContext

    with _told("Sigstore did not sign"):
        trust = _trust(trust_config, offline=False)
        with SigningContext.from_trust_config(trust).signer(_identity_token(token, trust)) as signer:
            bundle = signer.sign_dsse(Statement(payload))
        who = _named(bundle)
        _verified(bundle, who, trust)
    return bundle.to_json().encode() + b"\n", who


def statement_of(content: bytes) -> bytes:
    """The statement in a bundle, read without the package and without a check of who signed it."""
    try:
        data = strict_json.parse(content)
    except strict_json.StrictJsonError as error:
        raise KeylessError(f"bundle: {error}") from None
    inner = data.get("dsseEnvelope") if isinstance(data, Mapping) else None
    if not isinstance(inner, Mapping) or inner.get("payloadType") != PAYLOAD_TYPE:
        raise KeylessError(f"bundle: no envelope of {PAYLOAD_TYPE}; `assay sign --sigstore` makes one")
    try:
        return base64.b64decode(inner.get("payload"), validate=True)        # type: ignore[arg-type]
    except (TypeError, ValueError, binascii.Error):
        raise KeylessError("bundle: dsseEnvelope.payload is not base64") from None


def verify(content: bytes, who: Signer, *, trust_config: Path | None = None) -> None:
    """Refuse a bundle that this identity did not sign: `KeylessError`. Uses no network.

    Trusted are the keys that the installed package brings, or fetched last (`sigstore plumbing update-trust-root`).
    """
    needed()
    from sigstore.models import Bundle

    signed = statement_of(content)
    with _told("the bundle does not hold"):
        if _verified(Bundle.from_json(content), who, _trust(trust_config, offline=True)) != signed:
            raise KeylessError("the bundle can be read in two ways")


def _verified(bundle: Bundle, who: Signer, trust: ClientTrustConfig) -> bytes:
    """Certificate, identity, log and signature, in Sigstore's own code."""
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    policy = Identity(identity=who.identity, issuer=who.issuer)
    kind, payload = Verifier(trusted_root=trust.trusted_root).verify_dsse(bundle, policy)
    if kind != PAYLOAD_TYPE:
        raise KeylessError(f"the bundle holds {kind[:80]!r} where {PAYLOAD_TYPE!r} is meant")
    return bytes(payload)


def _trust(path: Path | None, *, offline: bool) -> ClientTrustConfig:
    from sigstore.models import ClientTrustConfig

    if path is None:
        return ClientTrustConfig.production(offline=offline)
    if not path.is_file():
        raise KeylessError(f"{path}: no such file; give the trust configuration that `sigstore --trust-config` takes")
    try:
        return ClientTrustConfig.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KeylessError(f"{path}: no trust configuration of Sigstore ({_short(error)})") from None


def _identity_token(given: str | None, trust: ClientTrustConfig) -> IdentityToken:
    from sigstore.oidc import IdentityToken, Issuer, detect_credential

    if raw := given or detect_credential():
        return IdentityToken(raw)
    return Issuer(trust.signing_config.get_oidc_url()).identity_token()


def _named(bundle: Bundle) -> Signer:
    """Identity and issuer of the bundle's certificate."""
    from cryptography import x509

    found = bundle.signing_certificate.extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    listed = [*names.get_values_for_type(x509.RFC822Name), *names.get_values_for_type(x509.UniformResourceIdentifier)]
    if not listed:
        raise KeylessError("the certificate names neither an address nor a URL")
    issuer: Any = found.get_extension_for_oid(x509.ObjectIdentifier(_ISSUER)).value
    return Signer(identity=listed[0], issuer=issuer.value.decode())


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever Sigstore, its network or a hostile bundle raises becomes a `KeylessError`: none of it is a fault of ours."""
    try:
        yield
    except KeylessError:
        raise
    except Exception as error:
        cause = f"; {_short(error.__cause__)}" if error.__cause__ else ""
        raise KeylessError(f"{what}: {_short(error) or type(error).__name__}{cause}") from error


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
