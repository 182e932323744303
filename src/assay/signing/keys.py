"""Ed25519 key files (RFC 8032; PEM of PKCS #8 and SubjectPublicKeyInfo, RFC 8410). `cryptography` is loaded when used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MOST_BYTES = 1 << 16
MODE = 0o600


class KeyFileError(ValueError):
    """A key file that cannot be used: the message names the file and the remedy."""


class PasswordNeededError(KeyFileError):
    """The private key is encrypted, and no password was given."""


def make_pair(path: Path, password: bytes | None = None) -> tuple[Path, str]:
    """A new pair: the private key at `path`, readable by its owner alone, the public one at `path`.pub; its place and id.

    With a password the private key is encrypted. Files that exist are left alone: `KeyFileError`.
    """
    _cryptography()
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    beside = public_path(path)
    for existing in (path, beside):
        if existing.exists() or existing.is_symlink():
            raise KeyFileError(f"{existing}: exists already, and a key is never overwritten; choose another name")
    private = Ed25519PrivateKey.generate()
    locked: Any = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_new(path, private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked), MODE)
    public = private.public_key()
    _write_new(beside, public.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo), 0o644)
    return beside, key_id(public)


def public_path(private: Path) -> Path:
    """Where the public key of a private one lies.

    >>> str(public_path(Path("lab.pem")))
    'lab.pem.pub'
    """
    return private.with_name(f"{private.name}.pub")


def read_private(path: Path, password: bytes | None = None) -> Ed25519PrivateKey:
    """The private key in a PEM file; `PasswordNeededError` where it is encrypted and no password was given."""
    _cryptography()
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = _read(path)
    encrypted = b"ENCRYPTED" in content.split(b"\n", 1)[0]
    if encrypted and not password:
        raise PasswordNeededError(f"{path}: the key is encrypted; give its password")
    return _loaded(path, lambda: s.load_pem_private_key(content, password if encrypted else None), Ed25519PrivateKey,
                   "no private key in PEM that can be read, or another password", "make one with `assay key`")


def read_public(path: Path) -> Ed25519PublicKey:
    """The public key in a PEM file; a private key is refused by name, since it should not lie where labels are checked."""
    _cryptography()
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    content = _read(path)
    if b"PRIVATE KEY" in content:
        raise KeyFileError(f"{path}: a private key; give the public one, {path.name}.pub, and keep this one to yourself")
    return _loaded(path, lambda: s.load_pem_public_key(content), Ed25519PublicKey, "no public key in PEM that can be read",
                   "ask the auditor for the file FILE.pub that `assay key FILE` made")


def _loaded(path: Path, load: Callable[[], Any], kind: type[Any], what: str, remedy: str) -> Any:
    """What `load` gives, if it is of this kind; `KeyFileError` that says what else it is."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: {what} ({_short(error)}); {remedy}") from None
    if not isinstance(key, kind):
        raise KeyFileError(f"{path}: a key of another kind; labels are signed with Ed25519, made with `assay key`")
    return key


def key_id(public: Ed25519PublicKey) -> str:
    """sha256 of the public key's DER form (SubjectPublicKeyInfo), in hexadecimal."""
    from cryptography.hazmat.primitives import serialization as s

    return hashlib.sha256(public.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def is_by(public: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the signature of the message is by this key."""
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _cryptography() -> None:
    try:
        import cryptography  # noqa: F401 - only whether it is there
    except ImportError:
        raise KeyFileError("signatures need the package cryptography: pip install 'assay[sign]'") from None


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise KeyFileError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise KeyFileError(f"{path}: too long for a key")
    return path.read_bytes()


def _write_new(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def _short(error: Exception) -> str:
    return str(error).split("\n")[0][:100]
