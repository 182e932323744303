"""The command line: parse, call the API, print. Human text to stderr, data to stdout; nothing here loads torch."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

EXIT = {"nothing": 0, "findings": 1, "usage": 2, "incomplete": 3, "internal": 4, "untested": 5}
FORMATS = click.Choice(["text", "json", "junit", "sarif"])


class Exit(Exception):  # noqa: N818 - not an error by itself
    """A documented exit code with the sentence to print."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = EXIT[code], message


def main() -> None:
    """Run the command; every failure is one clear sentence and a documented exit code."""
    try:
        code = cli(standalone_mode=False)
    except Exit as stop:
        click.echo(stop.message, err=True)
        code = stop.code
    except click.ClickException as error:
        error.show()
        code = EXIT["usage"]
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nStopped. Everything finished is kept: run the same command again to resume.", err=True)
        code = EXIT["incomplete"]
    except Exception as error:
        code = _failure(error)
    sys.exit(code if isinstance(code, int) else 0)


def _failure(error: Exception) -> int:
    """Bad input is the user's to mend (2), a full disk leaves a resumable audit (3), the rest is ours (4)."""
    from assay.store import DiskFullError

    if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in (28, 122)):
        click.echo(f"Error: {error}", err=True)
        return EXIT["incomplete"]
    if isinstance(error, (ValueError, FileNotFoundError, PermissionError)):      # InputError, ProfileError, StoreError
        click.echo(f"Error: {error}", err=True)
        return EXIT["usage"]
    import traceback

    traceback.print_exc()
    click.echo("This is a fault in Assay, not in your input; please report it with the lines above.", err=True)
    return EXIT["internal"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="assay")
def cli() -> None:
    """Find the worst case of an AI system, beside the average case and the established method."""


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is audited, on what data, under which profile."""
    options = [
        click.argument("system"),
        click.argument("data", default=""),
        click.option("--profile", default="research", show_default=True, help="A profile's name or TOML file."),
        click.option("--budget", default="standard", show_default=True, help="demo, standard, or one of the profile's."),
        click.option("--established", multiple=True,
                     help="Established method to compare with; may be given several times. Default: the task's usual one "
                          "(total-variation, hog-svm); none for none."),
        click.option("--task", default="",
                     help="reconstruction, classification, text, codes, sound, verification or table, where neither SYSTEM "
                          "nor DATA tells."),
        click.option("--labels",
                     help="Name of the array of labels in a .npz file; of a table, the column of the classes."),
        click.option("--fields", default="",
                     help="TOML file that declares the columns of a table of rows: kinds, ranges, what may change."),
        click.option("--classes", help="Classification: text file with the names of the classes, one a line."),
        click.option("--fit", default="",
                     help="Classification: labelled images to fit hog-svm or multinomial to, none of them audited; of the "
                          "size and classes of DATA. Of a .npz with a training part, that part."),
        click.option("--fit-key", help="Name of the array of images in the .npz of --fit."),
        click.option("--fit-labels", help="Name of the array of labels in the .npz of --fit."),
        click.option("--value-range", type=float, nargs=2, default=None,
                     help="Classification: least and greatest value of a pixel (0 255 for integers, 0 1 for floats)."),
        click.option("--weights", type=click.Path(path_type=Path), help="Weights of SYSTEM (.safetensors, author's .npz)."),
        click.option("--mask", type=click.Choice(["lines", "variable-density"]), default="lines", show_default=True),
        click.option("--fraction", type=float, default=0.33, show_default=True, help="Share of Fourier samples."),
        click.option("--mask-seed", type=int, default=0, show_default=True),
        click.option("--noise", type=float, default=0.01, show_default=True, help="Simulated noise, share of ‖y‖."),
        click.option("--kspace", is_flag=True, help="DATA is measured, fully sampled k-space."),
        click.option("--key", help="Name of the array in a .npz, .mat or .h5 file; of texts, the column that holds them."),
        click.option("--axes", help="What each axis of a k-space array is, a letter each: s samples, c coils, h height, w "
                                    "width (schw)."),
        click.option("--axis", type=int, help="Axis of a NIfTI volume to cut across."),
        click.option("--size", type=int,
                     help="Centre-crop or zero-pad images to this many pixels; cut or pad sounds to this many samples."),
        click.option("--limit", type=int, help="Audit the first so many samples."),
        click.option("--licence", default="unknown", help="Licence of DATA, for the record."),
        click.option("--seed", type=int, default=0, show_default=True),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _recipe(values: dict[str, Any]) -> Any:
    from assay.audits.recipe import Recipe

    system, weights = values.pop("system"), values.pop("weights")
    return Recipe(systems=(system,), weights={system: str(weights)} if weights else {}, **values)


@cli.command()
@recipe_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the audit (default runs/DATE-SYSTEM).")
@click.option("--processes", type=int, default=1, show_default=True, help="Local worker processes.")
@click.option("--batch", type=int, help="Samples computed at once (default: a whole unit of work); changes memory alone.")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def audit(out: Path | None, processes: int, batch: int | None, form: str, **values: Any) -> int:
    """Audit SYSTEM on DATA: plan, run (or resume), judge, write report and warning label.

    SYSTEM is a built-in name (deep-cascade, unet, total-variation, …; lenet, hog-svm, …) or your own module:factory.
    DATA is bundled:brain, bundled:digits, bundled:notes, bundled:claims or bundled:commands, a file or folder of images or
    k-space, labelled images (a .npz, or a folder with one sub-folder for each class), texts with their classes (.csv, .tsv),
    rows with their classes (the same, with --fields), or sounds (a folder with one sub-folder of .wav files for each class).
    """
    return _run(_recipe(values), out, form, processes, batch)


DEMOS = {"reconstruction": ("deep-cascade", Path("runs/demo")), "classifier": ("lenet", Path("runs/demo-classifier")),
         "text": ("notes-cnn", Path("runs/demo-text")), "codes": ("claims-net", Path("runs/demo-codes")),
         "sound": ("commands-res8", Path("runs/demo-sound"))}


@cli.command()
@click.argument("what", type=click.Choice(list(DEMOS)), default="reconstruction")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the audit (default runs/demo…).")
@click.option("--processes", type=int, default=1, show_default=True)
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
def demo(what: str, out: Path | None, processes: int, form: str) -> int:
    """Audit a bundled system on bundled data, in minutes.

    reconstruction: a deep cascade against total variation on sixteen brain slices. classifier: a LeNet against HOG and a
    linear SVM on handwritten digits. text: a network that reads clinical notes (made up) against TF-IDF and logistic
    regression. codes: a network that decides on coded claims (made up) against logistic regression. sound: a network that
    hears spoken commands (synthetic) against logistic regression on cepstra.
    """
    from assay.audits.recipe import Recipe

    system, usual = DEMOS[what]
    out = out or usual
    code = _run(Recipe(systems=(system,), budget="demo"), out, form, processes)
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


def _run(recipe: Any, out: Path | None, form: str, processes: int = 1, batch: int | None = None) -> int:
    from assay.api import Audit, default_folder
    from assay.audits.cost import forecast
    from assay.audits.executors import executor
    from assay.audits.plan import make_plan
    from assay.audits.run import run_audit
    from assay.reports import progress

    session = _session(recipe)
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
    return EXIT["findings"] if label["headline"]["signal"] in ("WARNING", "CAUTION") else EXIT["nothing"]


def _print(finished: Any, form: str) -> None:
    from rich.console import Console

    from assay.reports import exports, terminal

    Console(stderr=True).print(terminal.summary(finished.store, finished.verdicts))
    if form == "json":
        click.echo(json.dumps(exports.json_object(finished.store, finished.verdicts), indent=1, ensure_ascii=False))
    elif form == "junit":
        click.echo(exports.junit(finished.verdicts))
    elif form == "sarif":
        click.echo(json.dumps(exports.sarif(finished.verdicts), indent=1, ensure_ascii=False))


@cli.command("plan")
@recipe_options
def plan_(**values: Any) -> int:
    """Say what would run, what would not and why, and how long it would take. Runs no search."""
    from assay.audits.cost import forecast
    from assay.audits.plan import make_plan
    from assay.reports import progress

    session = _session(_recipe(values))
    plan = make_plan(session)
    click.echo(progress.plan_text(session.header(), plan.data(session.data.ids),
                                  forecast(session, plan, session.bench())))
    return 0


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--everything", is_flag=True, help="Replay every stored witness, not only the most harmful.")
@click.option("--no-replay", is_flag=True, help="Check hashes, label and expiry only; needs no torch.")
def verify(path: Path, everything: bool, no_replay: bool) -> int:
    """Check an audit folder or its warning_label.json: hashes, expiry, model, then replay the witnesses."""
    from assay.api import verify as check

    def show(claim: Any) -> None:
        click.echo(f"{'holds ' if claim.holds else 'FAILS '} {claim.claim}: {claim.detail}", err=True)

    claims = check(path, replay=not no_replay, everything=everything, watch=show)
    failed = [c for c in claims if not c.holds]
    click.echo("Every claim that was checked holds." if not failed else
               f"{len(failed)} of {len(claims)} claims fail: {failed[0].claim}.", err=True)
    return EXIT["findings"] if failed else EXIT["nothing"]


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--profile", help="Judge by another profile's criteria (default: the audit's own).")
@click.option("--budget", default="standard", show_default=True)
def judge(folder: Path, profile: str | None, budget: str) -> int:
    """Apply criteria to stored findings again; runs no search and loads no torch."""
    from assay.api import Audit
    from assay.profiles import load as profiles

    stored = Audit(folder)
    task = stored.header["profile"].get("task", "reconstruction")
    truth = bool(stored.header["data"].get("truth", True))
    chosen = profiles.load(profile, task=task, budget=budget, truth=truth) if profile else stored.header["profile"]
    for verdict in stored.judged(chosen):
        click.echo(f"{verdict.check}\t{verdict.system}\t{verdict.outcome}\t{verdict.reason}")
    return 0


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--auditor", default="", help="Who answers for the audit; without it the label says: not attributed.")
@click.option("--independence", type=click.Choice(["self", "second-party", "third-party"]), default="self",
              show_default=True, help="How far the auditor is from whoever made the system.")
@click.option("--contact", default="", help="How to reach the auditor.")
@click.option("--version", default="unversioned", help="The audited system's own version.")
def report(folder: Path, **named: str) -> int:
    """Write report.html and the warning label of a finished audit again; loads no torch."""
    from assay.api import Audit

    Audit(folder).write(**named)
    click.echo(str(folder / "report.html"))
    return 0


@cli.command()
@click.option("--profile", default="research", show_default=True)
def checks(profile: str) -> int:
    """List a profile's checks, by task: id, question."""
    for task, listed in _checks_of(profile).items():
        click.echo(f"{task}:")
        for check in listed:
            click.echo(f"  {check['id']:22} {check['question']}")
    return 0


def _checks_of(profile: str) -> dict[str, list[dict[str, Any]]]:
    """Task -> the profile's checks."""
    from assay.profiles import load as profiles

    tasks = profiles.names().get(profile) or (profiles.task_of(profile),)
    return {task: profiles.load(profile, task=task)["checks"] for task in tasks}


@cli.command()
@click.argument("name")
@click.option("--profile", default="research", show_default=True)
def explain(name: str, profile: str) -> int:
    """Explain a check or a flag: what it asks, how, from which source, what to do."""
    from assay.reports.wording import FLAGS

    if name in FLAGS:
        click.echo(f"{name}: {FLAGS[name]}")
        return 0
    found = [(task, c) for task, listed in _checks_of(profile).items() for c in listed if c["id"] == name]
    if not found:
        raise click.UsageError(f"no check or flag is called {name!r}; see `assay checks`")
    for task, check in found:
        click.echo(f"{check['id']} ({task}): {check['title']}\n{check['question']}\n")
        for field in ("method", "perturbation", "levels", "search", "metric", "controls", "criterion", "sources"):
            if check.get(field):
                click.echo(f"  {field:13} {check[field]}")
    return 0


if __name__ == "__main__":
    main()
