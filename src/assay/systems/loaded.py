"""A system beside the record that identifies it, and what an adapter of a foreign format hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.file_digests import root_digest
from assay.records import SystemRecord, digest_of
from assay.systems.protocol import System, SystemFamily

SETTINGS = "settings.json"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A system (or a family of systems, one per forward model) beside the record that identifies it.

    `weights` is the weights file (safetensors) of a system that was fitted for this audit alone: the audit's folder keeps
    it, since no other file does.
    """

    system: System | SystemFamily
    record: SystemRecord
    weights: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """A system read from a foreign format: sha256 of each file, and the plain settings under which it is run.

    `settings` hold pre-processing and package versions. They enter the digest as a file would, so that the same weights
    behind another pre-processing are another system.
    """

    system: System
    name: str
    description: str
    kind: str = "network"
    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, str]:
        """The files' sha256 digests, and that of the settings' JSON as `settings.json`."""
        return {**self.files, SETTINGS: digest_of(dict(self.settings))}

    @property
    def digest(self) -> str:
        return root_digest(self.identity)
