"""A Sigstore of our own on this machine: a certificate authority, its transparency log and a signature log, over HTTP.

Only what the client asks is served (Fulcio's api/v2, Rekor's api/v1), written from the specifications: RFC 6962 (signed
certificate timestamps, Merkle tree), C2SP signed notes (checkpoints), Rekor's dsse 0.0.1 entries. So the real client signs
and verifies offline.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LAB, VOUCHER = "lab@example.org", "https://accounts.example.org"
_SCTS, _ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")


def token(identity: str = LAB, issuer: str = VOUCHER, minutes: int = 5) -> str:
    """An identity token, signed by nobody: the client only forwards it, and this authority believes everything."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": issuer, "sub": identity, "aud": "sigstore", "iat": now - 1, "exp": now + 60 * minutes}
    parts = [{"alg": "ES256", "typ": "JWT"}, claims]
    return ".".join([*(_url(json.dumps(part).encode()) for part in parts), _url(b"unsigned")])


class Sigstore:
    """The three services' keys, and their answers."""

    def __init__(self) -> None:
        self.authority, self.transparency, self.log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.root = self._certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]),
                                      self.authority.public_key(), [
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_usage(key_cert_sign=True), True),
            (x509.SubjectKeyIdentifier.from_public_key(self.authority.public_key()), False)], days=3650)
        self.earlier = hashlib.sha256(b"\0an earlier entry").digest()

    def certificate(self, asked: dict[str, Any], bearer: str) -> dict[str, Any]:
        """Fulcio: a certificate of ten minutes for the key of the request and the identity of the token."""
        request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
        claims = json.loads(base64.urlsafe_b64decode(bearer.split(".")[1] + "=="))
        extensions = [
            (x509.SubjectAlternativeName([x509.RFC822Name(claims["sub"])]), True),
            (x509.UnrecognizedExtension(_ISSUER, claims["iss"].encode()), False),
            (_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()), False)]
        serial = x509.random_serial_number()
        bare = self._certificate(x509.Name([]), request.public_key(), extensions, serial=serial)
        scts = x509.UnrecognizedExtension(_SCTS, self._promise(bare.tbs_certificate_bytes))
        made = self._certificate(x509.Name([]), request.public_key(), [*extensions, (scts, False)], serial=serial)
        chain = [c.public_bytes(serialization.Encoding.PEM).decode() for c in (made, self.root)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def entry(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Rekor: the second entry of a log of two."""
        content = asked["spec"]["proposedContent"]
        envelope, verifier = json.loads(content["envelope"]), content["verifiers"][0]
        payload = base64.b64decode(envelope["payload"])
        body = rfc8785.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(content["envelope"].encode()).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "signatures": [{"signature": s["sig"], "verifier": verifier} for s in envelope["signatures"]]}})
        root = hashlib.sha256(b"\1" + self.earlier + hashlib.sha256(b"\0" + body).digest()).digest()
        note = f"log.example.org - 1\n2\n{base64.b64encode(root).decode()}\n"
        signed = base64.b64encode(_id(self.log)[:4] + self._by(self.log, note.encode())).decode()
        kept = {"body": base64.b64encode(body).decode(), "integratedTime": int(datetime.now(UTC).timestamp()),
                "logID": _id(self.log).hex(), "logIndex": 1}
        promise = base64.b64encode(self._by(self.log, rfc8785.dumps(kept))).decode()
        proof = {"logIndex": 1, "treeSize": 2, "rootHash": root.hex(), "hashes": [self.earlier.hex()],
                 "checkpoint": f"{note}\n\u2014 log.example.org {signed}\n"}
        return {"1" * 64: {**kept, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}

    def trust_config(self, url: str) -> dict[str, Any]:
        """What a client needs to use and to trust this Sigstore."""
        since = {"start": "2020-01-01T00:00:00Z"}
        service = [{"url": url, "majorApiVersion": 1, "validFor": since, "operator": "example.org"}]
        root = base64.b64encode(self.root.public_bytes(serialization.Encoding.DER)).decode()

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "logId": {"keyId": base64.b64encode(_id(key)).decode()},
                    "publicKey": {"rawBytes": base64.b64encode(_public(key)).decode(),
                                  "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}}

        return {"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                                "tlogs": [log(self.log)], "ctlogs": [log(self.transparency)], "timestampAuthorities": [],
                                "certificateAuthorities": [{
                                    "subject": {"organization": "example.org", "commonName": "authority"}, "uri": url,
                                    "certChain": {"certificates": [{"rawBytes": root}]}, "validFor": since}]},
                "signingConfig": {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                                  "caUrls": service, "oidcUrls": service, "rekorTlogUrls": service, "tsaUrls": [],
                                  "rekorTlogConfig": {"selector": "ANY"}, "tsaConfig": {"selector": "ANY"}}}

    def _certificate(self, subject: x509.Name, key: Any, extensions: list[Any], *, serial: int = 1,
                     days: float = 1 / 144) -> x509.Certificate:
        now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        builder = x509.CertificateBuilder(issuer, subject, key, serial, now, now + timedelta(days=days))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.authority, hashes.SHA256())

    def _promise(self, certificate: bytes) -> bytes:
        """A list of one signed certificate timestamp (RFC 6962, 3.2 and 3.3), as an octet string."""
        now = int(datetime.now(UTC).timestamp() * 1000)
        entry = _id(self.authority) + struct.pack("!I", len(certificate))[1:] + certificate
        signature = self._by(self.transparency, struct.pack("!BBQH", 0, 0, now, 1) + entry + b"\0\0")
        made = b"\0" + _id(self.transparency) + struct.pack("!QHBBH", now, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(made) + 2, len(made)) + made
        return b"\x04" + bytes([len(listed)] if len(listed) < 128 else [0x81, len(listed)]) + listed

    @staticmethod
    def _by(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
        return key.sign(content, ec.ECDSA(hashes.SHA256()))


@contextmanager
def serving(config: Path) -> Iterator[Sigstore]:
    """A Sigstore that answers on this machine; `config` is where its trust configuration is written."""
    ours = Sigstore()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            answer = ours.certificate(asked, bearer) if self.path == "/api/v2/signingCert" else ours.entry(asked)
            self.send_response(201)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config.write_text(json.dumps(ours.trust_config(f"http://127.0.0.1:{server.server_address[1]}")))
        try:
            yield ours
        finally:
            server.shutdown()


def _url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _usage(**yes: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: yes.get(name, False) for name in names})
