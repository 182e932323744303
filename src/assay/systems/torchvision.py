"""torchvision's classifiers by name, with weights from a local file and the pre-processing of the published weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from assay.arrays import InputError
from assay.file_digests import file_digest
from assay.systems.adapter_options import behind, divide
from assay.systems.loaded import Adapted
from assay.systems.packages import require, version_of
from assay.systems.preprocessing import Preprocessing
from assay.systems.published_weights import DOWNLOAD, build, read_state
from assay.systems.torch import TorchSystem

AUXILIARY = ("googlenet", "inception_v3")       # their published weights expect inputs normalised in another way


def load(rest: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """`torchvision:NAME` with `--weights FILE`, a .safetensors or torchvision's own .pth; `--weights download` fetches it.

    Pre-processing is that of the published weights that the file is, or else of the newest ones.
    Raises `InputError` for an unknown name, and where no weights are given: nothing is fetched unless asked for.
    """
    what = f"torchvision:{rest}"
    _, steps, binary = divide(options, what=what)       # wrong settings are told before a package is imported
    models = require("torchvision", extra="torchvision", what=what).models
    try:
        entries = list(models.get_model_weights(rest))
    except ValueError:
        raise InputError(f"{what}: torchvision has no such model; known: {', '.join(models.list_models(module=models))}"
                         ) from None
    published = {str(e.url).rsplit("-", 1)[-1].removesuffix(".pth"): e for e in entries}
    if weights is None:
        raise InputError(f"{what}: say --weights with a local file (.safetensors, or the published {entries[-1].url}), or "
                         "--weights download to fetch it")
    path = _fetched(entries[-1]) if weights == DOWNLOAD else weights
    state = read_state(path, list(published))
    digest = file_digest(path)
    entry = next((e for prefix, e in published.items() if digest.startswith(prefix)), None)

    def make(classes: int | None) -> nn.Module:
        more: dict[str, Any] = {"init_weights": False} if rest in AUXILIARY else {}
        if rest in AUXILIARY and entry is not None:
            more["transform_input"] = True
        if classes is not None:
            more["num_classes"] = classes
        module: nn.Module = models.get_model(rest, weights=None, **more)
        return module

    _, steps, binary = divide(options, what=what, usual=_preset(entry or entries[-1], what))
    settings = {"format": "torchvision", "model": rest, "torchvision": version_of("torchvision"),
                "preprocessing": steps.settings, **({"two_class": binary} if binary else {})}
    system = TorchSystem(build(make, state, path), name=what, settings=settings)
    whose = f"weights {path.name}" + ("" if entry is None else f" ({entry.name}, published)")
    return Adapted(system=behind(system, steps, binary), name=what, settings=settings, files={path.name: digest},
                   description=f"{rest} of torchvision {settings['torchvision']}, {whose}")


def _preset(entry: Any, what: str) -> Preprocessing:
    """The published weights' own evaluation transform: resize, crop, normalise."""
    preset = entry.transforms()
    (size,), (crop,) = preset.resize_size, preset.crop_size
    mode = str(preset.interpolation.value)
    if mode not in ("bilinear", "bicubic"):
        raise InputError(f"{what}: its published pre-processing resizes by {mode}; say ?filter=bilinear and size=")
    return Preprocessing(size=int(size), crop=(int(crop), int(crop)), mean=tuple(preset.mean), std=tuple(preset.std),
                         filter="bilinear" if mode == "bilinear" else "bicubic")


def _fetched(entry: Any) -> Path:
    """The published file in torch's cache, fetched once and compared with the sha256 in its name."""
    name = str(entry.url).rsplit("/", 1)[-1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(entry.url, str(path), hash_prefix=name.rsplit("-", 1)[-1].removesuffix(".pth"),
                                           progress=False)
        except (OSError, RuntimeError) as error:
            raise InputError(f"weights {entry.url}: could not be fetched ({error}); fetch the file and say --weights FILE"
                             ) from None
    return path
