"""One folder per audit: append-only, hashed, resumable. No torch; tensors are read as numpy arrays.

    audit.json  plan.json  fitted/*.safetensors  parts/*.parquet  witnesses/*.safetensors  exhibits/*.safetensors
    manifest.json  log.jsonl

A unit of work is finished when its part exists; every file is written aside, flushed and renamed, so a killed run loses
at most the unit in flight. `manifest.json` hashes everything but itself, the log, the report and the label; times and
host names live in the log alone, so equal runs have equal manifests.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay import strict_json
from assay.file_digests import file_digest
from assay.records import FORMAT_VERSION, Finding, from_data, to_data, to_json

HASHED = ("audit.json", "plan.json", "fitted", "parts", "witnesses", "exhibits")
FINDINGS = pa.schema([
    *[(name, pa.string()) for name in ("check", "system", "role", "sample", "origin", "origin_sample")],
    ("level", pa.float64()), ("unit", pa.string()), ("metric", pa.string()), ("better", pa.string()),
    *[(name, pa.float64()) for name in ("normal", "average", "average_low", "average_high", "worst", "size",
                                        "control_size")],
    ("controls", pa.int64()), ("gain", pa.float64()), ("control_gain", pa.float64()), ("forward", pa.int64()),
    ("backward", pa.int64()), ("stop", pa.string()),
    ("flags", pa.list_(pa.struct([("id", pa.string()), ("detail", pa.string())]))), ("witness", pa.string()),
    ("extra", pa.map_(pa.string(), pa.float64())), ("notes", pa.string()),
    ("texts", pa.map_(pa.string(), pa.string())),
])


MOST_BYTES = 1 << 28        # of a JSON file: a million samples need half of it
MOST_ROWS = 1 << 20         # of one part, and its bytes once unpacked: shards are of a few samples
MOST_UNPACKED = 1 << 30
BESIDE = ("manifest.json", "log.jsonl", "report.html", "warning_label.json", "warning_label.svg", "warning_label.png",
          "warning_label.txt", "warning_label.dsse.json", "warning_label.sigstore.json", ".lock",   # outside the manifest
          *(f"warning_label.{code}.{kind}" for code in ("de", "fr", "nb") for kind in ("svg", "png", "txt")))


class StoreError(ValueError):
    """An audit folder that cannot be used: the message names the file and the remedy."""


class DiskFullError(StoreError):
    """No space left while writing: what was finished is kept, and the audit can be resumed."""


def write_aside(path: Path, data: bytes) -> None:
    """Write, flush to disk, rename: the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{path}: no space left on the device; free some and run the same command again: "
                                "finished units are kept") from error
        raise


def read_plain(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of an ordinary file of at most `most` bytes; a pipe or a device, which may never end, is refused."""
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: not an ordinary file; take the folder from its audit again")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise StoreError(f"{path}: more than {most >> 20} MB, which no audit writes; take the folder from its audit again")
    return content


def read_object(path: Path, *, missing: str, broken: str = "") -> dict[str, Any]:
    """The JSON object of a file; `missing` and `broken` say what to do where there is none, or where it is no JSON."""
    try:
        data = strict_json.parse(read_plain(path))
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; {missing}") from None
    except strict_json.StrictJsonError as error:
        raise StoreError(f"{path}: not valid JSON ({error}){broken and '; '}{broken}") from None
    if not isinstance(data, dict):
        raise StoreError(f"{path}: expected a JSON object")
    return data


class AuditFolder:
    """Reading and writing one audit's folder."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._read: tuple[list[tuple[str, bytes]], pa.Table] | None = None
        self._built: list[Finding] | None = None

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any], plan: Mapping[str, Any],
               fitted: Mapping[str, bytes] | None = None) -> AuditFolder:
        """A new folder, or the existing one if it holds the same audit; another audit's folder is refused.

        `fitted` are the weights files of systems that were fitted for this audit, by the systems' names.
        """
        folder = cls(path)
        text = to_json({"format": FORMAT_VERSION, **header}, indent=1).encode()
        existing = folder.path / "audit.json"
        if existing.exists():
            if existing.read_bytes() != text:
                _ = folder.header           # a truncated one is named as such
                raise StoreError(f"{existing}: this folder holds another audit ({difference(existing, text)} differs); "
                                 "choose another --out, or delete the folder")
        else:
            write_aside(folder.path / "plan.json", to_json(plan, indent=1).encode())
            for name, content in (fitted or {}).items():
                write_aside(folder.path / "fitted" / f"{name}.safetensors", content)
            write_aside(existing, text)
        return folder

    def clear_leftovers(self) -> None:
        """Remove what a killed run was writing. For the one process that holds the folder's lock."""
        for leftover in self.path.rglob(".*.part"):
            leftover.unlink(missing_ok=True)

    @property
    def header(self) -> dict[str, Any]:
        return self._json("audit.json")

    @property
    def plan(self) -> dict[str, Any]:
        return self._json("plan.json")

    def fitted(self) -> dict[str, Path]:
        """The weights files of systems that were fitted for this audit, by the systems' names."""
        return {path.stem: path for path in sorted((self.path / "fitted").glob("*.safetensors"))}

    @property
    def skipped(self) -> list[dict[str, str]]:
        """What was planned as not applicable: check, system, reason."""
        return list(self.plan.get("skipped", []))

    @property
    def done(self) -> tuple[int, int]:
        """Units finished, units planned."""
        units = self.plan["units"]
        return sum(self.has(unit["id"]) for unit in units), len(units)

    def has(self, unit: str) -> bool:
        return (self.path / "parts" / f"{unit}.parquet").exists()

    def write_unit(self, unit: str, findings: Sequence[Finding], witnesses: Mapping[str, np.ndarray],
                   exhibits: Mapping[str, np.ndarray]) -> None:
        """Tensors first, the part last: a part that exists vouches for its witnesses."""
        from safetensors.numpy import save

        rows = [to_data(f) for f in findings]
        for row in rows:
            name = witness_key(row)
            row["witness"] = f"witnesses/{unit}.safetensors#{name}" if name in witnesses else None
            row["extra"], row["texts"] = sorted(row["extra"].items()), sorted(row["texts"].items())
        if witnesses:
            write_aside(self.path / "witnesses" / f"{unit}.safetensors", save(dict(sorted(witnesses.items()))))
        if exhibits:
            write_aside(self.path / "exhibits" / f"{unit}.safetensors", save(dict(sorted(exhibits.items()))))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), sink, compression="zstd")
        write_aside(self.path / "parts" / f"{unit}.parquet", sink.getvalue().to_pybytes())

    def table(self) -> pa.Table:
        """All findings as one Arrow table, in the order of the plan; parts are decoded again only if a byte has changed."""
        names = [unit["id"] for unit in self.plan["units"] if self.has(unit["id"])]
        contents = [(path, read_plain(path)) for path in (self.path / "parts" / f"{name}.parquet" for name in names)]
        key = [(str(path), hashlib.sha256(content).digest()) for path, content in contents]
        if self._read is None or self._read[0] != key:
            tables = [self._part(path, content) for path, content in contents]
            self._read, self._built = (key, pa.concat_tables(tables) if tables else FINDINGS.empty_table()), None
        return self._read[1]

    def _part(self, path: Path, content: bytes) -> pa.Table:
        try:
            with pq.ParquetFile(pa.BufferReader(content)) as file:
                size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
                if file.metadata.num_rows > MOST_ROWS or size > MOST_UNPACKED:
                    raise StoreError(f"{path}: {file.metadata.num_rows} rows of {size} bytes, which no audit writes; take "
                                     "the folder from its audit again")
                found = file.read(use_threads=False)    # read_table would import pandas, which takes a third of a second
            return found if found.schema.equals(FINDINGS) else pa.table([_column(found, f) for f in FINDINGS],
                                                                        schema=FINDINGS)
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{path}: not a whole part ({str(error)[:120]}); delete it and run the audit again") \
                from None

    def findings(self) -> list[Finding]:
        """All rows as records, built once for as long as no part changes."""
        table = self.table()
        if self._built is None:
            self._built = self._records(table)
        return list(self._built)

    def findings_of(self, unit: str) -> list[Finding]:
        """The findings of one finished unit."""
        path = self.path / "parts" / f"{unit}.parquet"
        return self._records(self._part(path, read_plain(path)))

    def _records(self, table: pa.Table) -> list[Finding]:
        rows = table.to_pylist()
        for row in rows:
            given = [name for name, _ in [*(row["extra"] or []), *(row["texts"] or [])]]
            if twice := {*(name for name in given if given.count(name) > 1), *(row.keys() & set(given))}:
                raise StoreError(f"{self.path / 'parts'}: two values for {min(twice)} in one row: nobody can say which "
                                 "counts")
            row["extra"], row["texts"] = dict(row["extra"] or []), dict(row["texts"] or [])
            row["flags"] = row["flags"] or []
        try:
            return [from_data(Finding, row) for row in rows]
        except ValueError as error:
            raise StoreError(f"{self.path / 'parts'}: not findings ({error}); run `assay verify` to see which part was "
                             "changed") from None

    def exhibits(self) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """For each stored file: the check's id, and its pictures by key."""
        yield from self._tensors("exhibits")

    def witnesses(self) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """For each stored file: the check's id, and its perturbations by key."""
        yield from self._tensors("witnesses")

    def _tensors(self, kind: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        for unit in self.plan["units"]:
            path = self.path / kind / f"{unit['id']}.safetensors"
            if path.exists():
                try:
                    yield unit["check"], load(path.read_bytes())
                except SafetensorError as error:
                    raise StoreError(f"{path}: not a whole safetensors file ({error})") from None

    def seal(self) -> str:
        """Write the manifest of everything hashed and return its root digest."""
        files = self.hash_files()
        write_aside(self.path / "manifest.json", json.dumps({"format": FORMAT_VERSION, "files": files},
                                                            indent=1, sort_keys=True).encode())
        return self.manifest_digest

    def hash_files(self) -> dict[str, str]:
        """Relative path → sha256 of every hashed file now on disk."""
        found: dict[str, str] = {}
        for name in HASHED:
            top = self.path / name
            paths = sorted(p for p in top.rglob("*") if p.is_file()) if top.is_dir() else [top] if top.exists() else []
            found |= {p.relative_to(self.path).as_posix(): file_digest(p) for p in paths if not p.name.startswith(".")}
        return dict(sorted(found.items()))

    def odd_entries(self) -> list[str]:
        """What no audit writes: links and devices, and hidden files among those that are hashed."""
        found = [path for path in self.path.iterdir() if not _plain(path)]
        for name in HASHED:
            below = (self.path / name).rglob("*") if (self.path / name).is_dir() else ()
            found += [path for path in below if not _plain(path) or path.name.startswith(".")]
        return sorted({path.relative_to(self.path).as_posix() for path in found})

    def unbound(self) -> list[str]:
        """What lies in the folder, outside the manifest, and is none of Assay's own files."""
        return sorted(path.name for path in self.path.iterdir() if path.name not in (*HASHED, *BESIDE))

    @property
    def manifest(self) -> dict[str, str]:
        files = self._json("manifest.json").get("files")
        if not isinstance(files, dict):
            raise StoreError(f"{self.path / 'manifest.json'}: field 'files' is missing")
        return files

    @property
    def manifest_digest(self) -> str:
        """sha256 of the manifest's canonical form: what the warning label carries."""
        text = json.dumps(self.manifest, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def log(self, **entry: Any) -> None:
        """One line in the log, which is outside the manifest: times, hosts, executors."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, sort_keys=True) + "\n")

    def _json(self, name: str) -> dict[str, Any]:
        return read_object(self.path / name, missing=f"is {self.path} the folder of an audit?")


def witness_key(row: Mapping[str, Any]) -> str:
    """The name of a row's perturbation: origin|sample|level, and the sample it was made for where that differs."""
    level = "-" if row["level"] is None else format(row["level"], ".6g")
    name = f"{row['origin']}|{row['sample']}|{level}"
    return name if row["origin_sample"] == row["sample"] else f"{name}|{row['origin_sample']}"


def _column(found: pa.Table, field: pa.Field) -> Any:
    """The column as findings have it; nulls where the part was written before there was such a column."""
    if field.name not in found.column_names:
        return pa.nulls(found.num_rows, field.type)
    column = found[field.name]
    return column if column.type.equals(field.type) else column.cast(field.type)


def _plain(path: Path) -> bool:
    return not path.is_symlink() and (path.is_file() or path.is_dir())


def difference(existing: Path, text: bytes) -> str:
    """The keys in which a header that is there differs from the one that is wanted."""
    old, new = json.loads(existing.read_text(encoding="utf-8")), json.loads(text)
    return ", ".join(sorted(k for k in {*old, *new} if old.get(k) != new.get(k))) or "its layout"
