"""tools/verify_label.py: a second verifier that shares nothing with the first, and agrees with it."""

from __future__ import annotations

import ast
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import small_audit
from assay.file_digests import model_digest, model_files
from assay.systems.weights import SHIPPED

cryptography = pytest.importorskip("cryptography")
from assay.attesting import sign  # noqa: E402 - needs cryptography
from assay.signing import keys  # noqa: E402

TOOL = Path(__file__).parents[1] / "tools" / "verify_label.py"
# An interpreter without site-packages but for cryptography, in which Assay, torch and numpy cannot be imported.
ALONE = """
import runpy, sys
sys.path.append({site!r})
for name in ("assay", "torch", "numpy", "rfc8785", "jsonschema", "pyarrow"):
    sys.modules[name] = None
sys.argv = ["verify_label.py", *sys.argv[1:]]
runpy.run_path({tool!r}, run_name="__main__")
"""


def alone(*words: object) -> tuple[int, str]:
    site = str(Path(cryptography.__file__).parents[1])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", ALONE.format(site=site, tool=str(TOOL)), *map(str, words)],
                          capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> Path:
    """An audit of a network that is one file of weights, signed with k.pem. Read only."""
    top = tmp_path_factory.mktemp("signed")
    audit = small_audit.run(small_audit.profile(top, "noise"), top / "audit", systems=("deep-cascade",),
                            established=("zero-filled",), limit=2)
    audit.write()
    keys.make_pair(top / "k.pem")
    assert all(claim.holds for claim in sign(top / "audit", keys.read_private(top / "k.pem")))
    return top


def test_it_is_short_and_imports_nothing_of_ours():
    text = TOOL.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    found = {(node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
             for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))}
    assert found - set(sys.stdlib_module_names) == {"cryptography"}


def test_the_interpreter_alone_has_neither_assay_nor_torch():
    """So that the other tests mean something."""
    for name in ("assay", "torch"):
        code = ALONE.format(site=str(Path(cryptography.__file__).parents[1]), tool=str(TOOL)).replace("runpy.run_path", "#")
        done = subprocess.run([sys.executable, "-I", "-S", "-c", f"{code}\nimport {name}"], capture_output=True, text=True)
        assert done.returncode == 1 and name in done.stderr


def test_a_signed_audit_passes_with_its_model(signed):
    weights = next(path for path in SHIPPED.glob("*.safetensors")
                   if model_digest(path) == json.loads((signed / "audit/audit.json").read_text())["systems"][0]["digest"])
    code, told = alone(signed / "audit", "--public-key", signed / "k.pem.pub", "--model", weights)
    assert code == 0 and told.count("PASS") == 7 and "FAIL" not in told, told


def test_a_change_fails_and_is_named(signed, tmp_path):
    folder = Path(shutil.copytree(signed / "audit", tmp_path / "audit"))
    weights = next(SHIPPED.glob("lenet*.safetensors"))
    code, told = alone(folder, "--public-key", signed / "k.pem.pub", "--model", weights)
    assert code == 1 and "FAIL  the model is the one that was audited" in told
    (folder / "parts" / "more.parquet").write_bytes(b"")
    code, told = alone(folder, "--public-key", signed / "k.pem.pub")
    assert code == 1 and "none besides: 'parts/more.parquet'" in told


@pytest.mark.parametrize("words", [[], ["nowhere", "--public-key", "nothing"], ["."], ["--fast"]])
def test_a_wrong_call_ends_with_2(words):
    code, told = alone(*words)
    assert code == 2 and "usage:" in told


def test_a_foreign_model_has_its_settings_beside_its_files(tmp_path):
    """As Assay records it: the files, and the settings as one more; the tool finds the files alone."""
    tool = runpy.run_path(str(TOOL))
    (tmp_path / "a").mkdir()
    for name in ("m.onnx", "a/weights", "a-b"):
        (tmp_path / name).write_text(name)
    settings = "5f" * 32
    record = {"files": {**model_files(tmp_path), "settings.json": settings}}
    wanted = tool["root"](record["files"])
    assert tool["model"](tmp_path, record, wanted) == []
    assert tool["model"](tmp_path, {"files": {}}, model_digest(tmp_path)) == []        # a bare OMS digest
    assert tool["model"](tmp_path, {"files": {}}, wanted) == ["it has no files; only a replay can tell"]
    (tmp_path / "a-b").write_text("other")
    assert tool["model"](tmp_path, record, wanted) == ["not the files that were audited"]
    (tmp_path / "a-b").unlink()
    (tmp_path / "a-b").symlink_to(tmp_path / "m.onnx")
    assert tool["model"](tmp_path, record, wanted)
