"""The Python API: `assay.audit(system, data)` runs, judges and tells; `Audit` is what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.records import Role, Verdict
from assay.store import AuditFolder, StoreError, read_plain
from assay.verdicts import judge_all

if TYPE_CHECKING:
    from assay.audits.run import Watcher
    from assay.audits.session import Session
    from assay.reports.refusals import RefusalLine
    from assay.verification import Claim, Say, Trusted


class Audit:
    """One audit's folder, read: findings, verdicts, report, warning label. Needs no torch."""

    def __init__(self, folder: str | Path) -> None:
        self._store = AuditFolder(Path(folder))
        self.header = self._store.header

    @property
    def folder(self) -> Path:
        return self._store.path

    @property
    def store(self) -> AuditFolder:
        return self._store

    @property
    def findings(self) -> Any:
        """All rows as an Arrow table; `.to_pandas()` where pandas is installed."""
        return self._store.table()

    @property
    def verdicts(self) -> list[Verdict]:
        return self.judged(self.header["profile"])

    def judged(self, profile: dict[str, Any]) -> list[Verdict]:
        """Verdicts of the stored findings under a profile: the audit's own, or one with other thresholds."""
        planned: dict[tuple[str, str], int] = {}
        for unit in self._store.plan["units"]:
            pair = (unit["check"], unit["system"])
            planned[pair] = planned.get(pair, 0) + len(unit.get("rows") or unit["samples"])
        for check in profile["checks"]:
            if check["method"] == "transfer":       # the source image is not its own target
                for pair in [p for p in planned if p[0] == check["id"]]:
                    if int(check["perturbation"].get("sources", 1)) == 1:
                        planned[pair] -= 1
        return judge_all(self._store.findings(), profile, skipped=self._store.skipped, planned=planned,
                         systems={s["name"]: s["role"] for s in self.header["systems"]})

    @property
    def refusals(self) -> dict[str, list[RefusalLine]]:
        """Of each audited system, where what was found lies beside the profile's refusal lines; empty where it has none."""
        from assay.reports.comparison import compare, is_complete
        from assay.reports.refusals import refusals_by_system

        return refusals_by_system(self.header, compare(self.verdicts, self.header["profile"]), list(self._store.findings()),
                                  complete=is_complete(self._store))

    @property
    def warning_label(self) -> dict[str, Any]:
        """The label as data; `write()` puts it beside the findings in four formats."""
        from assay.reports import warning_label

        return warning_label.build(self._store, self.verdicts, issued=datetime.now(UTC))

    def report(self, path: str | Path | None = None) -> Path:
        """Write the self-contained HTML report and return where it is."""
        from assay.reports import html

        return html.write_report(self._store, self.verdicts, Path(path) if path else self.folder / "report.html")

    def write(self, *, auditor: str = "", independence: str = "self", contact: str = "",
              version: str = "unversioned", languages: Sequence[str] = ()) -> dict[str, Any]:
        """Report and label beside the findings; returns the label. `languages` (de, fr, nb) are drawn beside English.

        `auditor` is who answers for the audit, `independence` self, second-party or third-party, `version` the audited
        system's own; the label says "not attributed" where nobody does.
        """
        from assay.reports import warning_label
        from assay.reports.language import language

        for code in languages:
            language(code)                                  # refused before anything is written
        self.report()
        named = {"name": auditor, "independence": independence, "contact": contact} if auditor else None
        label = warning_label.build(self._store, self.verdicts, issued=datetime.now(UTC), auditor=named, version=version)
        warning_label.write_all(label, self.folder, languages=languages)
        return label


def audit(system: Any, data: Any = "", *, profile: str = "research", budget: str = "standard",
          established: Sequence[Any] = (), surrogates: Sequence[Any] = (), out: str | Path | None = None, seed: int = 0,
          processes: int = 1, batch: int | None = None, watch: Watcher | None = None, **options: Any) -> Audit:
    """Run a profile on a system and data, write report and label, and return the finished audit.

    `system` is a name, `module:factory`, any torch module, a callable, or a system family with `bind(operator)`; `data`
    a path, "bundled:NAME", or a data set. Without `data` and `established` the task's usual ones are taken; `surrogates` are
    systems, not judged, on which changes are found that are carried over to a classifier. Further keywords are those of
    `assay.audits.recipe.Recipe` (task, labels, fit, mask, fraction, noise, size, …). `processes` and `batch` (samples
    computed at once) change time and memory alone. Running again with the same arguments and `out` resumes.
    """
    from assay.audits import run
    from assay.audits.executors import executor

    session = session_for(system, data, profile=profile, budget=budget, established=established, surrogates=surrogates,
                          seed=seed, **options)
    folder = Path(out) if out is not None else default_folder(session)
    run.run_audit(session, folder, executor=executor(processes, batch), watch=watch)
    finished = Audit(folder)
    finished.write()
    return finished


def verify(path: str | Path, *, replay: bool = True, everything: bool = False, public_key: str | Path | None = None,
           identity: str | None = None, issuer: str | None = None, trust_config: str | Path | None = None,
           signature: bool = True, trust_code: bool = False,
           watch: Callable[[Any], None] | None = None) -> list[Claim]:
    """Check an audit's folder (or its warning_label.json): hashes, label, signature, expiry, model, data, then replay.

    With `public_key`, a PEM file, a signature by that key must be there; with `identity` and `issuer` one by that identity
    (Sigstore; `trust_config` names another than the public one); with `signature` false none is looked at. A replay builds
    the systems anew; those made by code that the folder names (`module:factory`) are built with `trust_code` alone, for the
    folder may come from anyone.
    """
    from assay.verification import Claim, check_files, check_signatures

    path = Path(path)
    folder = AuditFolder(path.parent if path.is_file() else path)
    beside = path if path.is_file() else path / "warning_label.json"
    trusted = _trusted(public_key, identity, issuer, trust_config)
    claims: list[Claim] = []

    def say(claim: str, holds: bool, detail: str) -> bool:
        claims.append(Claim(claim=claim, holds=holds, detail=detail))
        if watch is not None:
            watch(claims[-1])
        return holds

    good = check_files(folder, say)
    if good and (beside.exists() or trusted.demanded):
        good = _check_label(folder, beside, say)
        if good and signature:
            good = check_signatures(beside, folder, trusted, say)
    if good and replay:
        from assay.audits.replay import replay_all

        replay_all(folder, everything, say, trust_code=trust_code)
    return claims


def _trusted(public_key: str | Path | None, identity: str | None, issuer: str | None,
             trust_config: str | Path | None) -> Trusted:
    from assay.signing.keyless import KeylessError, Signer
    from assay.verification import Trusted

    if bool(identity) != bool(issuer):
        raise KeylessError("identity and issuer belong together: an identity says nothing without the service that "
                           "vouches for it (--identity lab@example.org --issuer https://accounts.google.com)")
    signer = Signer(identity=identity, issuer=issuer) if identity and issuer else None
    return Trusted(public_key=Path(public_key) if public_key is not None else None, signer=signer,
                   trust_config=Path(trust_config) if trust_config is not None else None)


def _check_label(folder: AuditFolder, path: Path, say: Say) -> bool:
    """Whether the label is whole, says what the findings say, is drawn as it says, and has not expired."""
    from assay.reports import html, warning_label
    from assay.verification import SHAPE_ERRORS

    if not path.exists():
        return say("the label is whole", False, f"{path.name} is missing; ask the auditor for it")
    try:
        label = warning_label.read_canonical(read_plain(path, warning_label.MOST_BYTES))
    except (warning_label.LabelError, StoreError) as error:
        return say("the label is whole", False, str(error))
    try:
        audit = Audit(folder.path)
        folder, verdicts = audit.store, audit.verdicts          # whose findings are kept between the questions
        wrong = warning_label.differences(label, folder, verdicts)
    except StoreError:
        raise
    except SHAPE_ERRORS as error:
        wrong = [f"the findings cannot be told ({type(error).__name__}: {error})"]
    if not say("the label says what the findings say", not wrong, "; ".join(wrong[:3]) or "every field"):
        return False
    try:
        expected = {**warning_label.drawn(label), "report.html": html.contents(folder, verdicts)}
        for code in warning_label.drawn_in(path.parent):
            expected |= warning_label.drawn(label, code)
    except StoreError:
        raise
    except SHAPE_ERRORS as error:
        return say("report and drawings can be drawn again", False, f"{type(error).__name__}: {str(error)[:200]}")
    present = {name: path.parent / name for name in expected if (path.parent / name).exists()}
    changed = [name for name, file in present.items() if read_plain(file) != expected[name]]
    good = say("report and drawings are those of the findings and the label", not changed, (
        f"{', '.join(changed)}: bytes differ (changed, or drawn by another version of Assay or Pillow); `assay report` "
        "draws them again") if changed else f"{len(present)} files drawn again")
    now = datetime.now(UTC)
    ahead = warning_label.ahead(label, now)
    say("the label has not expired", not (ahead or warning_label.expired(label, now)),
        f"issued {label['issued'][:10]}, which is in the future" if ahead else f"valid until {label['valid_until'][:10]}")
    return good


def session_for(system: Any, data: Any, *, profile: str, budget: str, established: Sequence[Any], seed: int,
                surrogates: Sequence[Any] = (), **options: Any) -> Session:
    """A session from names (which another process can repeat) or from objects in memory (which it cannot)."""
    from assay.audits.prepare import session_from
    from assay.audits.recipe import Recipe
    from assay.systems import catalogue

    made: dict[str, catalogue.Loaded] = {}

    def name_of(given: Any, role: Role) -> str:
        if isinstance(given, str):
            return given
        loaded = catalogue.adopt(given, role=role)
        made[loaded.record.name] = loaded
        return loaded.record.name

    words = Recipe(systems=(name_of(system, "audited"),), established=tuple(name_of(s, "established") for s in established),
                   surrogates=tuple(name_of(s, "surrogate") for s in surrogates),
                   data=str(data) if isinstance(data, (str, Path)) else "in memory", profile=profile, budget=budget,
                   seed=seed, **options)
    return session_from(words, systems=made, data=None if isinstance(data, (str, Path)) else data)


def default_folder(session: Session) -> Path:
    """`runs/DATE-SYSTEM`, the date being today's: the same command on the same day resumes."""
    name = "".join(c if c.isalnum() or c in "-." else "-" for c in session.name)[:60]
    return Path("runs") / f"{datetime.now(UTC):%Y-%m-%d}-{name}"


def redact(folder: str | Path, out: str | Path, *, key: bytes) -> Audit:
    """Write a copy without inputs, stored changes and names to `out`, with report and label, and return it.

    `key` are 32 bytes that stay with the owner (`assay.pseudonyms.read_key`): whoever has them and the audit writes the same
    copy again. The label keeps the names and dates of the audit's own. `StoreError` where files or label of the audit do not
    hold, or where a withheld name is left in the copy, which is then removed.
    """
    from assay.redaction import redacted, refuse_leaks, withheld_names
    from assay.reports import html, warning_label

    original = Audit(folder)
    label = _held(original)
    copy = Audit(redacted(original.store, Path(out), key).path)
    place = [s["name"] for s in original.header["systems"]].index(label["subject"]["name"])
    verdicts = copy.verdicts
    html.write_report(copy.store, verdicts, copy.folder / "report.html")
    warning_label.write_all(warning_label.build(
        copy.store, verdicts, auditor=label["auditor"], issued=datetime.fromisoformat(label["issued"]),
        version=label["subject"]["version"], system=copy.header["systems"][place]["name"]), copy.folder)
    refuse_leaks(copy.folder, withheld_names(original.store))
    return copy


def _held(audit: Audit) -> dict[str, Any]:
    """The audit's label, if its files are those of the manifest and the label says what the findings say."""
    from assay.reports import warning_label
    from assay.verification import check_files

    def say(claim: str, holds: bool, detail: str) -> bool:
        if not holds:
            raise StoreError(f"{audit.folder}: it does not hold that {claim} ({detail}); see `assay verify`")
        return holds

    check_files(audit.store, say)
    path = audit.folder / "warning_label.json"
    if not path.exists():
        raise StoreError(f"{path}: no such file; write it with `assay report {audit.folder}`")
    label = warning_label.read(path.read_bytes())
    if wrong := warning_label.differences(label, audit.store, audit.verdicts):
        raise StoreError(f"{path}: {wrong[0]} is not what the findings say; write it again with `assay report "
                         f"{audit.folder}`")
    return label
