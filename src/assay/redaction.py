"""A copy of an audit to hand over: the numbers and their hashes, and nothing of the inputs. No torch.

What goes: pictures, texts and sounds (exhibits), what systems wrote of them, stored changes (one that a search made
for an image shows that image's edges), weights fitted to the data (they hold its words or its mean pictures), the
recipe with its paths, digests of single samples (a short text is found from its digest by trying), names of samples,
of the data and of files, notes, details of flags, the log. Names of samples and of groups become pseudonyms, HMAC-
SHA256 under a key that stays with the owner, and rows are sorted by them: a group's name may say what its samples
have in common, its size and harm are numbers of the audit. What stays: every number, the profile, names of checks,
systems and classes. Of changes only the few parameters of turns and shifts are kept: an angle says nothing about the
image.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.profiles.load import digest_of_asked
from assay.pseudonyms import Pseudonyms, leaks, stands_in
from assay.records import LENT, Finding, to_data, to_json
from assay.store import FINDINGS, AuditFolder, StoreError, witness_key, write_aside

WITHHELD = "withheld"
MONEY = "spread.money"  # of a row: what the tariff says, which is withheld
PARAMETERS = 4          # a turn, two shifts, a change of size
FILES = ("data", "labels", "classes", "fit", "fields", "tariff", "groups", "key", "fit_key", "fit_labels",
         "profile")     # of a recipe
_PATH = re.compile(r"[/\\]|\.[A-Za-z0-9]{2,11}$")


def redacted(source: AuditFolder, target: Path, key: bytes) -> AuditFolder:
    """Write the copy and its manifest; equal audits and keys give equal copies.

    `StoreError` if `target` holds anything, if the source is unfinished or redacted already, or if a name of a sample or a
    file were found in the copy, which is then removed.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target}: exists already; name an empty or a new folder with --out")
    if source.header.get("redaction"):
        raise StoreError(f"{source.path}: is a redacted copy already; redact the audit itself")
    done, planned = source.done
    if done < planned:
        raise StoreError(f"{source.path}: {done} of {planned} parts ran; finish the audit first")
    copy = _Copy(source, AuditFolder(target), Pseudonyms(key=key))
    try:
        copy.write()
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    refuse_leaks(target, copy.names_withheld)
    return copy.target


def refuse_leaks(folder: Path, names: list[str]) -> None:
    """`StoreError` where a withheld name stands in the copy, which is removed."""
    if found := leaks(folder, names):
        shutil.rmtree(folder)
        raise StoreError(f"{found[0]}; a name that also means something else cannot be taken out: rename the sample or file "
                         "and audit again")


def withheld_names(source: AuditFolder) -> list[str]:
    """Names that must not stand in a copy: of samples, and of files and folders that the user named."""
    header = source.header
    recipe = header.get("recipe") or {}
    said = [str(recipe.get(name) or "") for name in FILES] + [str(header["data"]["id"])]
    said += [str(path) for path in (recipe.get("weights") or {}).values()]
    asked = [name for kind in ("systems", "established", "surrogates") for name in recipe.get(kind) or ()]
    said += [str(name) for name in (*asked, *(s["name"] for s in _systems_of(header)))]
    paths = [part for path in said if _PATH.search(path) for part in (path, Path(path).name) if _PATH.search(part)]
    tuned = [str(s) for choice in header.get("choices", {}).values() for s in choice.get("samples", ())]
    open_names = {*map(str, header["data"].get("classes", ())), *(str(c["id"]) for c in header["profile"]["checks"])}
    return sorted({*header["data"]["samples"], *tuned, *paths} - open_names)


def _systems_of(header: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The records of the systems that were judged and of those that changes were found on."""
    return [*header["systems"], *header.get("surrogates", ())]


class _Copy:
    """One redaction under way."""

    def __init__(self, source: AuditFolder, target: AuditFolder, names: Pseudonyms) -> None:
        self.source, self.target, self.names = source, target, names
        self.header, self.names_withheld = source.header, withheld_names(source)
        self.checks = {str(c["id"]): c for c in self.header["profile"]["checks"]}
        self.systems = {name: names.of(name, "system", 8) if _PATH.search(name) else name
                        for name in (str(s["name"]) for s in _systems_of(self.header))}
        self.of_classes = {str(unit["check"]) for unit in source.plan["units"] if unit.get("rows")}

    def write(self) -> None:
        """Header, plan, then the rows of each check and searching system, dealt out again by their pseudonyms."""
        write_aside(self.target.path / "audit.json", to_json(self._header(), indent=1).encode())
        units = [self._unit(dict(unit)) for unit in self.source.plan["units"]]
        stored = {(check, name): value for check, tensors in self.source.witnesses() for name, value in tensors.items()}
        for group in dict.fromkeys((u["check"], u["system"]) for _, u in units):
            mine = [(old, u) for old, u in units if (u["check"], u["system"]) == group]
            pool = sorted(s for _, u in mine for s in u["samples"])
            for _, unit in mine:
                unit["samples"], pool = pool[:len(unit["samples"])], pool[len(unit["samples"]):]
            rows = [self._row(f, stored) for old, _ in mine for f in self.source.findings_of(old)]
            self._parts([u for _, u in mine], rows)
        skipped = [{**s, "system": self.systems.get(s["system"], s["system"]), "reason": self._told(str(s["reason"]))}
                   for s in self.source.skipped]
        plan = {"units": [u for _, u in units], "skipped": skipped}
        write_aside(self.target.path / "plan.json", to_json(plan, indent=1).encode())
        self.target.seal()

    def _unit(self, unit: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The unit's old id, and the unit under new names."""
        old, system = str(unit["id"]), str(unit["system"])
        unit["id"] = old.replace(system.replace("/", "_"), self.systems[system])
        unit["system"], unit["samples"] = self.systems[system], [self.names.of(s) for s in unit["samples"]]
        return old, unit

    def _header(self) -> dict[str, Any]:
        data = self.header["data"]
        kept = {name: data[name] for name in ("n", "simulated", "noise", "truth", "task", "classes") if name in data}
        samples = {self.names.of(name): self.names.digest(digest, "sample digest")
                   for name, digest in data["samples"].items()}
        return {**{name: self.header[name] for name in ("format", "seed", "shard") if name in self.header},
                "name": " and ".join(self.systems[s["name"]] for s in self.header["systems"]), "profile": self._profile(),
                "systems": [self._system(s) for s in self.header["systems"]],
                **({"surrogates": [self._system(s) for s in seconds]} if (seconds := self.header.get("surrogates")) else {}),
                "data": {**kept, "id": WITHHELD, "digest": self.names.digest(data["digest"], "data digest"),
                         "licence": self._told(str(data["licence"])), "operator": self._told(str(data["operator"])),
                         "description": f"{data['n']} samples, whose description is withheld", "samples": samples,
                         "options": {}},
                **({"groups": self._groups()} if self.header.get("groups") else {}),
                "recipe": None, "choices": {}, "provenance": self.header["provenance"],
                "redaction": {"of": {"sha256": self.source.manifest_digest}, "pseudonyms": "HMAC-SHA256"}}

    def _groups(self) -> dict[str, str]:
        """Which samples are of one group, both under pseudonyms."""
        return dict(sorted((self.names.of(sample), self.names.of(group, "group"))
                           for sample, group in self.header["groups"].items()))

    def _profile(self) -> dict[str, Any]:
        """The profile without what the audit wrote into it, which its digest does not cover: columns, revision, tariff.

        Paths of tables are withheld too; the digest is then that of what is left.
        """
        checks, profile = [], self.header["profile"]
        for check in profile["checks"]:
            words = {k: WITHHELD if isinstance(v, str) and _PATH.search(v) else v
                     for k, v in check.get("perturbation", {}).items()
                     if k != "revision" and (k != "fields" or not isinstance(v, Mapping))}
            search = {k: v for k, v in check.get("search", {}).items() if k != "tariff"}
            checks.append({**check, **({"perturbation": words} if "perturbation" in check else {}),
                           **({"search": search} if "search" in check else {})})
        paths = any(WITHHELD in c.get("perturbation", {}).values() for c in checks)
        left = {**{k: v for k, v in profile.items() if k != "digest"}, "checks": checks}
        return {**left, "digest": digest_of_asked(left) if paths else profile["digest"]}

    def _system(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The system's record; names of its files stay where they are Assay's own."""
        options = {k: v for k, v in record["options"].items() if isinstance(v, (bool, int, float))}
        own = not re.search(r"[:/\\]", str(record["loader"])) and options == record["options"]
        return {**record, "name": self.systems[record["name"]], "description": self._told(str(record["description"])),
                "loader": "", "options": options, "files": record["files"] if own and record["loader"] else {}}

    def _told(self, text: str) -> str:
        """A sentence of the audit, unless it speaks of a sample or of a file."""
        return WITHHELD if stands_in(text, self.names_withheld) else text

    def _row(self, row: Finding, stored: Mapping[tuple[str, str], np.ndarray]) -> tuple[dict[str, Any], np.ndarray | None]:
        """The row under new names, and its stored change where that is a few parameters of a turn or shift."""
        value = stored.get((row.check, witness_key(to_data(row))))
        spec = self.checks.get(row.check, {}).get("perturbation") or {}
        kept = value if value is not None and spec.get("kind") == "affine" and value.size <= PARAMETERS else None
        renamed = str if row.check in self.of_classes else self.names.of            # the name of a class is no sample's
        sample, origin = renamed(row.sample), renamed(row.origin_sample)
        return {**to_data(row), "sample": sample, "origin_sample": origin,
                "system": self.systems[row.system], "origin": self.systems.get(row.origin, row.origin),
                "extra": {self._field(k): v for k, v in row.extra.items() if k != MONEY},
                "notes": WITHHELD if row.notes else "", "texts": {},
                "flags": [{"id": f.id, "detail": ""} for f in row.flags]}, kept

    def _field(self, name: str) -> str:
        """The name of an entry of `extra`; where it names a second system, that system's name in the copy."""
        lender, _, what = name.removeprefix(LENT).rpartition(".")
        return f"{LENT}{self.systems.get(lender, lender)}.{what}" if name.startswith(LENT) else name

    def _parts(self, units: list[dict[str, Any]], rows: list[tuple[dict[str, Any], np.ndarray | None]]) -> None:
        """A part for each unit: rows of its samples; what belongs to none (rows of classes) lies in the first."""
        home = {s: i for i, unit in enumerate(units) for s in unit["samples"]}
        for i, unit in enumerate(units):
            self._part(unit["id"], [r for r in rows if home.get(r[0]["sample"], 0) == i])

    def _part(self, unit: str, rows: list[tuple[dict[str, Any], np.ndarray | None]]) -> None:
        from safetensors.numpy import save

        tensors = {}
        order = ("system", "origin", "sample", "origin_sample", "level")
        rows = sorted(rows, key=lambda r: tuple(str(r[0][name]) for name in order))
        for row, value in rows:
            name = witness_key(row)
            if value is not None:
                tensors[name] = np.ascontiguousarray(value)
                row["witness"] = f"witnesses/{unit}.safetensors#{name}"
            elif row["witness"] is not None:
                row["witness"] = WITHHELD           # the owner holds it: a case that was stored stays one
            row["extra"], row["texts"] = sorted(row["extra"].items()), sorted(row["texts"].items())
        if tensors:
            write_aside(self.target.path / "witnesses" / f"{unit}.safetensors", save(dict(sorted(tensors.items()))))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([row for row, _ in rows], schema=FINDINGS), sink, compression="zstd")
        write_aside(self.target.path / "parts" / f"{unit}.parquet", sink.getvalue().to_pybytes())
