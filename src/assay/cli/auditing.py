"""Commands that run, or say what would run: audit, demo, plan."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from assay.cli.exits import EXIT, Exit
from assay.cli.group import cli
from assay.cli.recipe import recipe_of, recipe_options

FORMATS = click.Choice(["text", "json", "junit", "sarif"])


@cli.command()
@recipe_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the audit (default runs/DATE-SYSTEM).")
@click.option("--processes", type=int, default=1, show_default=True, help="Local worker processes.")
@click.option("--batch", type=int, help="Samples computed at once (default: a whole unit of work); changes memory alone.")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
@click.option("--fail-on", multiple=True, metavar="RULE",
              help="What ends with code 1: WARNING, CAUTION (the default) or NOTICE, each with every stronger signal; "
                   "never; unstable, inconclusive, unstable:CHECK, inconclusive:CHECK; crossed, crossed:LINE (a refusal "
                   "line of the profile). May be given several times.")
@click.option("--redact", is_flag=True, help="Also write a copy to hand over, without inputs and names: see assay redact.")
def audit(out: Path | None, processes: int, batch: int | None, form: str, fail_on: tuple[str, ...], redact: bool,
          **values: Any) -> int:
    """Audit SYSTEM on DATA: plan, run (or resume), judge, write report and warning label.

    SYSTEM is a built-in name (deep-cascade, unet, total-variation, …; lenet, hog-svm, …) or your own module:factory.
    DATA is bundled:brain, bundled:digits, bundled:notes, bundled:claims, bundled:applications or bundled:commands, a file or
    folder of images or k-space, labelled images (a .npz, or a folder with one sub-folder for each class), texts with their
    classes (.csv, .tsv), rows with their classes (the same, with --fields), or sounds (a folder with one sub-folder of .wav
    files for each class).
    """
    return _run(recipe_of(values), out, form, processes, batch, fail_on, redact)


DEMOS = {"reconstruction": ("deep-cascade", Path("runs/demo")), "classifier": ("lenet", Path("runs/demo-classifier")),
         "text": ("notes-cnn", Path("runs/demo-text")), "codes": ("claims-net", Path("runs/demo-codes")),
         "table": ("applications-net", Path("runs/demo-table")), "sound": ("commands-res8", Path("runs/demo-sound"))}


@cli.command()
@click.argument("what", type=click.Choice(list(DEMOS)), default="reconstruction")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the audit (default runs/demo…).")
@click.option("--processes", type=int, default=1, show_default=True)
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def demo(what: str, out: Path | None, processes: int, form: str) -> int:
    """Audit a bundled system on bundled data, in minutes.

    reconstruction: a deep cascade against total variation on sixteen brain slices. classifier: a LeNet against HOG and a
    linear SVM on handwritten digits. text: a network that reads clinical notes (made up) against TF-IDF and logistic
    regression. codes: a network that decides on coded claims (made up) against logistic regression. table: a network that
    decides on applications for an allowance (made up) against logistic regression. sound: a network that hears spoken
    commands (synthetic) against logistic regression on cepstra.
    """
    from assay.audits.recipe import Recipe

    system, usual = DEMOS[what]
    out = out or usual
    profile = "public_sector" if what == "table" else "research"
    code = _run(Recipe(systems=(system,), budget="demo", profile=profile), out, form, processes)
    click.echo(f"\nLook:   open {out}/report.html\nVerify: {_command()} verify {out}", err=True)
    return 0 if code == EXIT["findings"] else code


def _command() -> str:
    """How this program was called: by its name where that finds it, else by its path."""
    found = shutil.which("assay")
    called = Path(sys.argv[0])
    if called.name != "assay" or (found and Path(found).resolve() == called.resolve()):
        return "assay"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)


def _session(recipe: Any) -> Any:
    from assay.audits.prepare import session_from

    if recipe.fit:
        click.echo(f"Fitting the established method to images of {recipe.fit} (a minute or two, if they are many)", err=True)
    return session_from(recipe)


def _run(recipe: Any, out: Path | None, form: str, processes: int = 1, batch: int | None = None,
         fail_on: tuple[str, ...] = (), redact: bool = False) -> int:
    from assay.api import Audit, default_folder
    from assay.audits.cost import forecast
    from assay.audits.executors import executor
    from assay.audits.plan import make_plan
    from assay.audits.run import run_audit
    from assay.reports import gate, progress

    gate.rules_of(fail_on)
    session = _session(recipe)
    rules = gate.rules_of(fail_on, session.profile)
    plan, folder = make_plan(session), out or default_folder(session)
    if not plan.units:
        raise Exit("untested", "Nothing was tested: no check of this profile applies to this system and data.")
    click.echo(progress.plan_text(session.header(), plan.data(session.data.ids),
                                  forecast(session, plan, session.bench())), err=True)
    with progress.watching(len(plan.units)) as watch:
        run_audit(session, folder, executor=executor(processes, batch), watch=watch, plan=plan)
    finished = Audit(folder)
    label = finished.write()
    _print(finished, form)
    if redact:
        _redacted(folder)
    return _gated(rules, label["headline"]["signal"], finished, told=bool(fail_on))


def _redacted(folder: Path) -> None:
    """A fresh copy beside the audit; an older one there, of the same command, gives way."""
    from assay.cli.redacting import key_of, written
    from assay.store import AuditFolder

    target = folder.with_name(f"{folder.resolve().name}-redacted")
    if (target / "audit.json").exists() and AuditFolder(target).header.get("redaction"):
        shutil.rmtree(target)
    written(folder, target, key_of(folder))


def _gated(rules: Any, signal: str, finished: Any, *, told: bool) -> int:
    """The exit code; where rules were given, what fired them and what could not."""
    from assay.reports import gate

    verdicts, refusals = finished.verdicts, finished.refusals
    reasons = gate.fired(rules, signal, verdicts, refusals)
    if told:
        for line in [*reasons, *gate.not_judged(rules, verdicts, refusals)]:
            click.echo(f"--fail-on: {line}", err=True)
    return EXIT["findings"] if reasons else EXIT["nothing"]


def _print(finished: Any, form: str) -> None:
    from rich.console import Console

    from assay.reports import exports, terminal

    Console(stderr=True).print(terminal.summary(finished.store, finished.verdicts))
    if form == "json":
        click.echo(json.dumps(exports.json_object(finished.store, finished.verdicts), indent=1, ensure_ascii=False))
    elif form == "junit":
        click.echo(exports.junit(finished.verdicts))
    elif form == "sarif":
        click.echo(json.dumps(exports.sarif(finished.verdicts, finished.folder), indent=1, ensure_ascii=False))


@cli.command("plan")
@recipe_options
def plan_(**values: Any) -> int:
    """Say what would run, what would not and why, and how long it would take. Runs no search."""
    from assay.audits.cost import forecast
    from assay.audits.plan import make_plan
    from assay.reports import progress

    session = _session(recipe_of(values))
    plan = make_plan(session)
    click.echo(progress.plan_text(session.header(), plan.data(session.data.ids),
                                  forecast(session, plan, session.bench())))
    return 0
