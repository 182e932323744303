"""A folder of results computed part by part: hashed, resumable, no torch.

    header.json  parts/NAME.json  manifest.json  account.json  report.html  log.jsonl

As in an audit's folder every file is written aside and renamed, a part that exists is finished, and a folder that holds
other work is refused. Times live in the log, outside the manifest: equal runs have equal manifests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.file_digests import file_digest
from assay.records import FORMAT_VERSION, digest_of, to_json
from assay.store import StoreError, difference, read_object, write_aside

Watch = Callable[[str, int, int], None]         # part about to run, parts done, parts in all


class Workbook:
    """Reading and writing one folder of parts."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any]) -> Workbook:
        """A new folder, or the existing one if its header is the same; another work's folder is refused."""
        book, text = cls(path), to_json({"format": FORMAT_VERSION, **header}, indent=1).encode()
        existing = book.path / "header.json"
        if not existing.exists():
            if book.path.is_dir() and any(book.path.iterdir()):
                raise StoreError(f"{book.path}: this folder holds other files and no header.json; choose another --out")
            write_aside(existing, text)
        elif existing.read_bytes() != text:
            _ = book.header             # a truncated one is named as such
            raise StoreError(f"{existing}: this folder holds other work ({difference(existing, text)} differs); choose "
                             "another --out, or delete the folder")
        return book

    @property
    def header(self) -> dict[str, Any]:
        return self._json(self.path / "header.json")

    def has(self, part: str) -> bool:
        return self._part(part).exists()

    def read(self, part: str) -> dict[str, Any]:
        """The results of a finished part."""
        return self._json(self._part(part))

    def write(self, part: str, results: Mapping[str, Any], seconds: float) -> None:
        """Keep the results of a part; how long it took goes to the log."""
        write_aside(self._part(part), to_json(results, indent=1).encode())
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"part": part, "seconds": round(seconds, 3)}) + "\n")

    def fill(self, parts: Mapping[str, Callable[[], Mapping[str, Any]]],
             watch: Watch | None = None) -> dict[str, dict[str, Any]]:
        """Compute the parts that are not there yet, in their order, seal the folder, and return the results of all."""
        for done, (name, work) in enumerate(parts.items()):
            if self.has(name):
                continue
            if watch is not None:
                watch(name, done, len(parts))
            start = time.perf_counter()
            self.write(name, work(), time.perf_counter() - start)
        self.seal()
        return {name: self.read(name) for name in parts}

    def hashes(self) -> dict[str, str]:
        """Relative path → sha256 of the header and every part now on disk."""
        files = [self.path / "header.json", *sorted((self.path / "parts").glob("*.json"))]
        return {f.relative_to(self.path).as_posix(): file_digest(f) for f in files if f.exists()}

    def seal(self) -> str:
        """Write the manifest of header and parts; returns its digest."""
        files = self.hashes()
        write_aside(self.path / "manifest.json", to_json({"format": FORMAT_VERSION, "files": files}, indent=1).encode())
        return digest_of(files)

    def changed(self) -> list[str]:
        """What is not as the manifest says: names of files that differ, are missing, or are not named there."""
        named, found = self._json(self.path / "manifest.json").get("files", {}), self.hashes()
        return sorted(name for name in {*named, *found} if named.get(name) != found.get(name))

    def _part(self, part: str) -> Path:
        return self.path / "parts" / f"{part}.json"

    def _json(self, path: Path) -> dict[str, Any]:
        return read_object(path, missing="run the same command again", broken="delete it and run the same command again")
