"""What can be checked about an audit's folder without torch: is every file the one that the manifest names?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assay.store import AuditFolder

Say = Callable[[str, bool, str], bool]      # claim, whether it holds, detail -> whether it holds


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that was checked."""

    claim: str
    holds: bool
    detail: str


def check_files(folder: AuditFolder, say: Say) -> bool:
    """Hash every file again and compare with the manifest; also that every planned unit is there."""
    expected, found = folder.manifest, folder.hash_files()
    broken = [f"{name}: bytes differ" for name in expected if name in found and found[name] != expected[name]]
    broken += [f"{name}: missing" for name in expected if name not in found]
    broken += [f"{name}: not in the manifest" for name in found if name not in expected]
    if not say("files are those of the manifest", not broken, "; ".join(broken[:3]) or f"{len(found)} files"):
        return False
    done, planned = folder.done
    return say("every planned unit was run", done == planned, f"{done} of {planned}")
