"""Names under a key that stays with their owner, and the search for names that should have gone. No torch."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from assay.records import to_json
from assay.store import StoreError, write_aside

_WORD = re.compile(r"\w+")
LEAST = 5               # letters of a name that is looked for: shorter ones stand in every file by chance


@dataclass(frozen=True, kw_only=True)
class Pseudonyms:
    """Equal names of a kind have equal pseudonyms under one key, and nobody without the key can compute them.

    HMAC-SHA256 of kind and name. Source: RFC 2104; as a pseudonym: ENISA, Pseudonymisation techniques (2019), section 5.

    >>> Pseudonyms(key=bytes(32)).of("slice 7")
    'sample-722c8b481d2a9fd4'
    """

    key: bytes

    def of(self, name: str, kind: str = "sample", digits: int = 16) -> str:
        """The pseudonym; with 16 digits two of 100,000 names share one with a chance below 1e-9."""
        return f"{kind}-{self.digest(name, kind)[:digits]}"

    def digest(self, text: str, kind: str) -> str:
        """64 hexadecimal digits: in place of a digest that could be found by trying."""
        return hmac.new(self.key, f"{kind}\0{text}".encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()


def read_key(path: Path) -> bytes:
    """The key in a file of 64 hexadecimal digits, made (and kept from other users) where there is none."""
    if not path.exists():
        write_aside(path, (secrets.token_hex(32) + "\n").encode())
        path.chmod(0o600)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise StoreError(f"{path}: not a key of 64 hexadecimal digits; name another file, and one will be made")
    return key


def leaks(folder: Path, names: Sequence[str]) -> list[str]:
    """Where one of the names stands as a word of its own: in a file's name or text, in a table's or a tensor's names."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    words = {word for path in paths for text in _texts(folder, path) for word in _WORD.findall(text)}
    pattern = _pattern([name for name in names if words.issuperset(_WORD.findall(name))])     # few: the rest cannot be there
    found = []
    for path in paths if pattern else []:
        match = next((m for text in _texts(folder, path) if pattern and (m := pattern.search(text))), None)
        if match:
            found.append(f"{path.relative_to(folder)}: {match[0]!r} of the original audit stands in the redacted copy")
    return found


def stands_in(text: str, names: Sequence[str]) -> bool:
    """Whether one of the names stands in the text as a word of its own."""
    pattern = _pattern(names)
    return pattern is not None and pattern.search(text) is not None


def _pattern(names: Sequence[str]) -> re.Pattern[str] | None:
    """Names of at least five letters; of digits alone only in quotes, since every table holds numbers."""
    wanted = sorted({n for n in names if len(n) >= LEAST}, key=lambda n: (-len(n), n))
    parts = [f'"{n}"' if n.isdigit() else rf"(?<!\w){re.escape(n)}(?!\w)" for n in wanted]
    return re.compile("|".join(parts)) if parts else None


def _texts(folder: Path, path: Path) -> Iterator[str]:
    yield path.relative_to(folder).as_posix()
    if path.suffix == ".parquet":
        for row in pq.read_table(path).to_pylist():
            yield to_json({k: dict(v) if k == "extra" else v for k, v in row.items() if v is not None})
    yield path.read_bytes().decode("utf-8", "replace")
