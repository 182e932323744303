"""The command line: exit codes, refusals, help without torch, JSON, names that try to escape."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import assay
import small_audit
from assay import cli
from assay.cli import exporting
from assay.datasets.bundled import BundledSlices
from assay.datasets.measured import simulate
from assay.reports.exports import FORMATS
from assay.systems import catalogue
from assay.systems.literature.deep_cascade import DeepCascade

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(cli.cli.commands)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """(exit code, stdout, stderr) of one command; runs in an empty folder, so that nothing is written elsewhere."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["assay", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        told = capsys.readouterr()
        return int(stop.value.code), told.out, told.err
    return command


@pytest.fixture
def toml(tmp_path) -> str:
    return small_audit.profile(tmp_path, "preflight", "tiny-data")


def audit(toml: str, out: str, *more: object, system: str = "zero-filled", data: object = "bundled:brain") -> list[object]:
    return ["audit", system, data, "--established", "tikhonov", "--size", 48, "--limit", 2, "--profile", toml,
            "--out", out, *more]


USAGE = {
    "unknown system": (["audit", "no-such-net"], "unknown system 'no-such-net'; known: deep-cascade"),
    "unknown module": (["audit", "no_such_module:make"], "cannot import 'no_such_module'"),
    "unknown attribute": (["audit", "json:make"], "has no 'make'"),
    "missing data": (["audit", "zero-filled", "nowhere.npz"], "nowhere.npz"),
    "unknown bundled set": (["audit", "zero-filled", "bundled:knee"], "unknown bundled set"),
    "empty folder": (["audit", "zero-filled", "empty"], "no files"),
    "bad size": (["audit", "zero-filled", "--size", "47"], "48 and 128"),
    "bad noise": (["audit", "zero-filled", "--noise", "2"], "noise"),
    "bad fraction": (["audit", "zero-filled", "--fraction", "0"], "fraction"),
    "unknown profile": (["audit", "zero-filled", "--profile", "nobody"], "unknown profile 'nobody'"),
    "unknown budget": (["audit", "zero-filled", "--budget", "huge"], "unknown budget 'huge'"),
    "unknown option": (["audit", "zero-filled", "--fast"], "No such option"),
    "unknown command": (["conquer"], "No such command"),
    "missing weights": (["audit", "deep-cascade", "--weights", "w.safetensors"], "w.safetensors: no such file"),
    "weights of a classical method": (["audit", "zero-filled", "--weights", "w.safetensors"], "weights"),
    "no audit": (["verify", "empty"], "is .* the folder of an audit"),
    "unknown check": (["explain", "nonsense"], "no check or flag is called 'nonsense'"),
}


@pytest.mark.parametrize("case", USAGE)
def test_what_a_user_can_mend_says_2_in_one_sentence(run, tmp_path, case):
    (tmp_path / "empty").mkdir()
    words, told = USAGE[case]
    code, out, err = run(*words)
    assert code == 2 and re.search(told, err) and out == "" and "Traceback" not in err, (code, err)


def weights(path: Path, kind: str) -> Path:
    """A file that claims to hold the deep cascade's weights."""
    state = dict(DeepCascade().state_dict())
    first = next(iter(state))
    if kind == "shape":
        state[first] = torch.zeros(3, 3)
    if kind == "missing":
        del state[first]
    if kind == "extra":
        state["backdoor"] = torch.zeros(1)
    if kind == "nan":
        state[first] = state[first] * float("nan")
    name = path / f"weights{'.pt' if kind == 'pickle' else '.npz' if kind.startswith('npz') else '.safetensors'}"
    if kind == "pickle" or kind == "pickle named safetensors":
        name.write_bytes(pickle.dumps(Bomb()))
    elif kind == "npz of objects":
        np.savez(name, a=np.array([Bomb()], dtype=object))
    elif kind == "npz truncated":
        np.savez(name, a=np.zeros(100))
        name.write_bytes(name.read_bytes()[:-60])
    elif kind == "npz of other arrays":
        np.savez(name, **{f"arr_{i}": np.zeros(3) for i in range(50)})
    elif kind == "npz with other names":
        np.savez(name, hello=np.zeros(3))
    else:
        save_file(state, name)
    if kind == "truncated":
        name.write_bytes(name.read_bytes()[:-1000])
    if kind == "empty":
        name.write_bytes(b"")
    return name


class Bomb:
    """Unpickling it would write a file."""

    def __reduce__(self):
        return (Path("EXPLODED").write_text, ("x",))


@pytest.mark.parametrize(("kind", "told"), [
    ("shape", "has shape .3, 3., the network needs"), ("missing", "is missing"), ("extra", "unexpected weight 'backdoor'"),
    ("nan", "NaN"), ("pickle", "refused"), ("pickle named safetensors", "not a whole safetensors file"),
    ("truncated", "not a whole safetensors file"), ("empty", "not a whole safetensors file"),
    ("npz of objects", "refused"), ("npz truncated", "npz"), ("npz of other arrays", "npz"), ("npz with other names", "npz"),
])
def test_bad_weights_are_refused_and_nothing_is_unpickled(run, tmp_path, kind, told):
    path = weights(tmp_path, kind)
    code, _, err = run("audit", "deep-cascade", "--weights", path, "--limit", 1, "--out", "a")
    assert code == 2 and re.search(told, err) and "Traceback" not in err, err
    assert not (tmp_path / "EXPLODED").exists() and not (tmp_path / "a").exists()


def test_good_weights_pass_where_bad_ones_are_refused(tmp_path):
    """The twin of the test above: the same file, unspoiled."""
    loaded = catalogue.load("deep-cascade", role="audited", weights=weights(tmp_path, "good"))
    assert loaded.record.files and loaded.record.options["weights"].endswith("weights.safetensors")


def test_0_without_findings_1_with_them_and_json_is_the_documented_object(run, toml, tmp_path):
    code, out, err = run(*audit(toml, "quiet", "--format", "json"))
    assert code == 0, err
    found = json.loads(out)
    assert set(found) == {"folder", "signal", "rule", "reason", "complete", "checks", "risks", "extrapolations", "brackets",
                           "subgroups", "spreads", "as_test", "thresholds", "refusal"}
    assert found["folder"] == "quiet" and found["complete"] is True and found["as_test"] == []
    (row,) = found["checks"]
    assert set(row) == {"id", "system", "radius", "unit", "n", "harmed", "metric", "better", "normal", "average", "worst",
                        "established", "verdict"}
    assert set(row["established"]) == {"name", "normal", "average", "own_worst", "transfer", "harmed", "verdict"}
    assert (row["id"], row["system"], row["n"], row["verdict"]) == ("tiny-data", "zero-filled", 2, "none found")
    verdict = assay.Audit("quiet").verdicts[0]
    assert (row["worst"], row["normal"], row["average"]) == (verdict.worst, verdict.normal, verdict.average)
    for name in ("report.html", "warning_label.json", "warning_label.svg", "warning_label.png", "warning_label.txt"):
        assert (tmp_path / "quiet" / name).stat().st_size > 200
    small_audit.profile(tmp_path, "preflight", "tiny-data",
                        replace=("per_level = 2.0, over_control = 3.0", "per_level = 0.01"))
    code, out, _ = run(*audit(toml, "loud"))
    assert code == 1 and out == "" and assay.Audit("loud").verdicts[0].outcome == "unstable"
    for form, start in (("junit", "<?xml"), ("sarif", "{")):
        code, out, _ = run(*audit(toml, "loud", "--format", form))
        assert code == 1 and out.startswith(start)
    assert json.loads(out)["runs"][0]["results"]


def test_5_when_nothing_applies(run, tmp_path):
    toml = small_audit.profile(tmp_path, "local-gain", replace=('needs = "GRADIENT"', 'needs = "GRADIENT"\nsamples = 0'))
    code, _, err = run(*audit(toml, "a"))
    assert code == 5 and "Nothing was tested" in err


def test_4_is_our_fault_and_says_so(run, monkeypatch):
    def fault(*_: object, **__: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr("assay.audits.prepare.session_from", fault)
    code, _, err = run("plan", "zero-filled")
    assert code == 4 and "fault in Assay" in err and "RuntimeError: odd" in err


def test_plan_says_what_would_run_and_writes_nothing(run, toml, tmp_path):
    code, out, _ = run("plan", "zero-filled", "--established", "tikhonov", "--size", 48, "--limit", 2, "--profile", toml)
    assert code == 0 and "tiny-data" in out and "forecast" in out
    assert [p.name for p in tmp_path.iterdir()] == ["small.toml"]


LOADS = ("import sys; sys.argv = ['assay', *{words!r}]\nfrom assay import cli\n"
         "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
         "sys.exit('torch' in sys.modules)")


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], ["audit", "--help"], ["explain", "zero-gradient"],
                                   ["checks"]])
def test_help_loads_no_torch(words):
    done = subprocess.run([sys.executable, "-c", LOADS.format(words=words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout, done.stderr


def test_loading_torch_is_caught():
    code = LOADS.format(words=["--help"]).replace("from assay import cli", "import torch; from assay import cli")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 1


def test_judging_and_hashing_an_audit_load_no_torch(run, toml, tmp_path):
    assert run(*audit(toml, "a"))[0] == 0
    for words in (["judge", "a"], ["report", "a"], ["verify", "a", "--no-replay"], ["export", "a", "--to", "cyclonedx"]):
        done = subprocess.run([sys.executable, "-c", LOADS.format(words=words)], capture_output=True, text=True,
                              check=False, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stdout, done.stderr)


def test_a_label_can_be_attributed_and_still_verifies(run, toml, tmp_path):
    assert run(*audit(toml, "a"))[0] == 0
    assert assay.Audit("a").warning_label["auditor"]["name"] == "not attributed"
    assert run("report", "a", "--auditor", "A Laboratory", "--independence", "third-party", "--version", "1.2")[0] == 0
    text = (tmp_path / "a" / "warning_label.txt").read_text(encoding="utf-8")
    assert "A Laboratory (third party)" in text and "zero-filled 1.2" in text
    assert run("verify", "a", "--no-replay")[0] == 0
    assert run("report", "a", "--independence", "friend")[0] == 2


def test_exports_go_to_a_file_or_to_standard_output(run, toml, tmp_path):
    assert run(*audit(toml, "a"))[0] == 0
    code, out, _ = run("export", "a", "--to", "junit")
    assert code == 0 and out.startswith("<?xml")
    (tmp_path / "README.md").write_text("# Mine\n", encoding="utf-8")
    assert [run("export", "a", "--to", "huggingface", "--out", "README.md")[0] for _ in range(2)] == [0, 0]
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "# Mine\n" in card and card.count("## Warning label") == 1
    (tmp_path / "README.md").write_bytes(b"\xff")
    code, _, err = run("export", "a", "--to", "huggingface", "--out", "README.md")
    assert code == 2 and "UTF-8" in err
    assert list(FORMATS) == exporting.FORMS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_a_help_text(name):
    command = cli.cli.commands[name]
    assert command.help and command.help.strip().endswith((".", ")")), name
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert set(silent) <= {"mask", "mask_seed", "seed", "processes", "form", "out", "profile", "budget"}, silent


def documents() -> str:
    return "\n".join(p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])


def undocumented(text: str) -> list[str]:
    return [name for name in COMMANDS if f"assay {name}" not in text]


def test_every_command_is_documented():
    text = documents()
    if "assay " not in text:
        pytest.skip("the documents are not written yet")
    assert undocumented(text) == []
    assert undocumented(text.replace("assay verify", "")) == ["verify"]


HOSTILE = ["<script>alert(1)<script>.png", "..%2f..%2fetc.png", "a\"onload=x'.png", "up..png"]


def escaped(folder: Path, around: Path, before: set[Path]) -> None:
    """Nothing was written outside the audit's folder, and no markup of a name reached the report or the label's SVG."""
    new = set(around.rglob("*")) - before
    assert all(folder in p.parents or p == folder for p in new), new
    for name in ("report.html", "warning_label.svg"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "<script>alert" not in text and "\"onload=x'" not in text and "<img src=x" not in text


def test_names_of_pictures_escape_neither_the_folder_nor_the_html(run, toml, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    source = BundledSlices(size=48)
    for i, name in enumerate(HOSTILE):
        Image.fromarray((255 * source[i]).byte().numpy()).save(pictures / name)
    before = set(tmp_path.rglob("*"))
    code, _, err = run("audit", "zero-filled", pictures, "--established", "tikhonov", "--profile", toml, "--out", "a")
    assert code == 0, err
    escaped(tmp_path / "a", tmp_path, before)
    samples = set(assay.Audit("a").header["data"]["samples"])
    assert len(samples) == 3 and samples < set(HOSTILE)          # the last one is set aside for tuning
    assert run("verify", "a")[0] == 0


class Renamed:
    """Bundled slices under other names."""

    def __init__(self, *names: str) -> None:
        self.plain = BundledSlices(size=48)
        self.ids, self.licence, self.description, self.options = names, "<img src=x>", "<img src=x onerror=y>", {}
        self.digests = dict.fromkeys(names, "00")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.plain[index]


def test_names_in_memory_escape_neither_the_folder_nor_the_html(toml, tmp_path):
    names = ("../../up", "/etc/x", "<script>alert(1)</script>", "a|0.02#b", "\x1b[31m\u202e", "", "set aside for tuning")
    operator = small_audit.session(toml).data.operator
    before = set(tmp_path.rglob("*"))
    found = assay.audit("zero-filled", simulate(Renamed(*names), operator), profile=toml, established=("tikhonov",),
                        out=tmp_path / "in" / "a", size=48)
    escaped(tmp_path / "in" / "a", tmp_path, before | {tmp_path / "in"})
    rows = found.store.findings()
    assert {f.sample for f in rows if f.check == "tiny-data"} == set(names[:-1]) and all(f.witness for f in rows
                                                                                 if f.check == "tiny-data")
    text = (found.folder / "report.html").read_text(encoding="utf-8")
    assert "\x1b" not in text and "\u202e" not in text


def test_a_system_named_like_a_path_stays_in_the_folder(toml, tmp_path):
    operator = small_audit.session(toml).data.operator
    before = set(tmp_path.rglob("*"))
    from assay.systems.function import FunctionSystem
    assay.audit(FunctionSystem(operator.adjoint, name="../../<script>alert(1)</script>"), "bundled:brain", profile=toml,
                established=("tikhonov",), out=tmp_path / "in" / "a", size=48, limit=1)
    escaped(tmp_path / "in" / "a", tmp_path, before | {tmp_path / "in"})


def test_a_name_in_the_html_is_caught(tmp_path):
    for name in ("report.html", "warning_label.svg"):
        (tmp_path / name).write_text("<p><script>alert(1)</script>")
    with pytest.raises(AssertionError):
        escaped(tmp_path, tmp_path, set())
