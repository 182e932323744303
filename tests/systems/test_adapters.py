"""How a foreign format is named on the command line, what is refused and why, and what enters the digest."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from assay.arrays import InputError
from assay.audits.prepare import resolved
from assay.audits.recipe import Recipe
from assay.systems import adapters, catalogue
from assay.systems.adapter_options import divide
from assay.systems.loaded import Adapted
from assay.systems.packages import require
from assay.systems.preprocessing import Preprocessing
from assay.systems.torch import TorchSystem


def load(spec: str, **words):
    return catalogue.load(spec, role="audited", **words)


@pytest.mark.parametrize(("spec", "words"), [
    ("net.pt", "pickle or TorchScript.*safetensors.*module:factory.*TorchScript archive is a program"),
    ("net.pth", "pickle.*safetensors.torch.save_file.*module:factory"), ("a/net.ckpt", "pickle"), ("net.bin", "pickle"),
    ("net.pt2", "pickle"), ("model.pkl", "pickle"), ("model.joblib", "skops.io.dump.*SklearnSystem"),
    ("model.h5", "without its safe mode; save the model as .keras"), ("net.safetensors", "--weights"),
    ("net.onnx", "write onnx: in front"), ("net.keras", "write keras: in front"), ("e.skops", "write sklearn: in front"),
    ("sklearn:model.pkl", "pickle and joblib files can hold programs"), ("keras:model.h5", "without its safe mode"),
    ("onnx:", "nothing follows onnx:; write onnx:PATH.onnx"), ("maite:model", "maite:MODULE:FACTORY"),
])
def test_a_file_that_is_not_opened_is_refused_with_the_remedy(spec, words, tmp_path):
    with pytest.raises(InputError, match=words):
        load(spec)


def test_a_path_in_python_is_refused_alike():
    with pytest.raises(InputError, match="pickle"):
        catalogue.adopt(Path("net.pt"), role="audited")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_reason_given_against_torchscript_is_true(tmp_path):
    """torch.jit.load runs the archive's __setstate__, which here writes a file before anything was called."""
    written = tmp_path / "written"
    source = f"""
class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = torch.zeros(1)
    @torch.jit.export
    def __getstate__(self):
        return self.training
    @torch.jit.export
    def __setstate__(self, state: bool):
        self.training = state
        self.kept = torch.from_file({str(written)!r}, True, 4, dtype=torch.uint8).fill_(65)
    def forward(self, x):
        return x
"""
    code = tmp_path / "planted.py"
    code.write_text("import torch\n" + source, encoding="utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        import planted
        torch.jit.script(planted.Module()).save(str(tmp_path / "net.pt"))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("planted", None)
    written.unlink(missing_ok=True)
    torch.jit.load(str(tmp_path / "net.pt"))
    assert written.exists()
    written.unlink()
    with pytest.raises(InputError, match=r"torch.jit.load runs parts of it, which may write files"):
        load(str(tmp_path / "net.pt"))
    assert not written.exists()


@pytest.mark.parametrize(
    ("spec", "words"), [("onnx:m.onnx?scale", "'scale' is not a setting"), ("keras:m.keras?=2", "not a setting")]
)
def test_settings_that_cannot_be_read_are_refused(spec, words):
    with pytest.raises(InputError, match=words):
        load(spec)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sclae": 255}, "unknown setting 'sclae'; known: output, binary, channels, size"),
        ({"scale": "grey"}, "'grey' is not a number"),
        ({"mean": ("a", 1)}, "not a number"),
        ({"layout": "CHW"}, "layout='CHW'; known: NCHW, NHWC"),
        ({"size": 1.5}, "whole numbers"),
    ],
)
def test_a_setting_that_means_nothing_names_the_system_and_what_is_known(options, words):
    with pytest.raises(InputError, match=f"m.onnx.*{words}"):
        divide(options, what="ONNX model m.onnx", own=("output",))


def test_settings_change_what_they_name_and_leave_the_rest():
    usual = Preprocessing(size=256, crop=(224, 224), mean=(0.5,), std=(0.2,))
    own, steps, binary = divide(
        {"crop": 8, "mean": "none", "output": "y", "binary": "logit"}, what="", own=("output",), usual=usual
    )
    assert (own, binary) == ({"output": "y"}, "logit")
    assert steps == Preprocessing(size=256, crop=(8, 8), std=(0.2,))


@pytest.mark.parametrize("spec", ["onnx:m.onnx", "torchvision:resnet18", "timm:resnet18", "keras:m.keras", "sklearn:m.skops",
                                  "maite:a:b", "efficientnet-lite0", "efficientnet-lite0?scale=1", "net.pt"])
def test_their_task_is_classification(spec):
    words = resolved(Recipe(systems=(spec,)))
    assert (words.task, words.data, words.established) == ("classification", "bundled:digits", ("hog-svm",))


def test_a_factory_whose_module_has_another_name_is_still_one():
    assert not adapters.known("my_onnx:model") and adapters.known("onnx:model.onnx")
    assert load("torch.nn:Flatten").record.name == "Flatten"


def test_everything_that_can_be_written_is_said_of_an_unknown_name():
    with pytest.raises(InputError) as caught:
        load("no-such-net")
    assert all(form in str(caught.value) for form in adapters.forms())


def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path):
    """`None` in sys.modules is what Python itself takes for a module that is not there."""
    (tmp_path / "m.onnx").write_bytes(b"x")
    for package, spec in (("onnxruntime", f"onnx:{tmp_path / 'm.onnx'}"), ("torchvision", "torchvision:resnet18"),
                          ("timm", "timm:resnet18"), ("efficientnet_lite_pytorch", "efficientnet-lite0")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf"needs the package '{package}': pip install 'assay\[\w+\]'"):
            load(spec)


def test_every_extra_that_a_message_names_exists():
    import re
    import tomllib

    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {extra for path in (root / "src" / "assay" / "systems").glob("*.py")
             for extra in re.findall(r'extra="([\w-]+)"', path.read_text(encoding="utf-8"))}
    assert named and named <= set(extras)


def test_a_torchvision_built_for_another_torch_is_said_to_be_one(monkeypatch):
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("assay.systems.packages.importlib.import_module", broken)
    with pytest.raises(InputError, match=r"built for another torch.*--index-url https://download.pytorch.org/whl/cpu"):
        require("torchvision", extra="torchvision", what="torchvision:resnet18")


def adapted(**changes) -> Adapted:
    return Adapted(**{"system": TorchSystem(nn.Flatten()), "name": "n", "description": "", "files": {"a": "00" * 32},
                      "settings": {"scale": 255.0, "package": "1.0"}, **changes})


def test_files_settings_and_versions_enter_the_digest_and_the_name_does_not():
    base = adapted().digest
    assert adapted(name="other").digest == base
    changed = [{"files": {"a": "01" * 32}}, {"settings": {"scale": 1.0, "package": "1.0"}},
               {"settings": {"scale": 255.0, "package": "1.1"}}]
    assert len({base, *(adapted(**c).digest for c in changed)}) == 4


def test_the_record_shows_what_its_digest_was_made_of(monkeypatch):
    from assay.file_digests import root_digest

    monkeypatch.setitem(
        sys.modules, "assay.systems.onnx", types.SimpleNamespace(load=lambda rest, weights, options: adapted())
    )
    record = load("onnx:m.onnx?name=mine").record
    assert (record.name, record.loader) == ("mine", "onnx:m.onnx?name=mine")
    assert root_digest(record.files) == record.digest and "settings.json" in record.files
