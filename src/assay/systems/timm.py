"""timm's classifiers by name, with weights from a local .safetensors and the pre-processing of timm's configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from assay.arrays import InputError
from assay.file_digests import file_digest
from assay.systems.adapter_options import behind, divide
from assay.systems.loaded import Adapted
from assay.systems.packages import require, version_of
from assay.systems.preprocessing import Preprocessing
from assay.systems.published_weights import DOWNLOAD, build, read_state
from assay.systems.torch import TorchSystem


def load(rest: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """`timm:NAME` (or NAME.TAG) with `--weights FILE.safetensors`; `--weights download` fetches it (Hugging Face).

    Raises `InputError` for an unknown name, and where no weights are given: nothing is fetched unless asked for.
    """
    what = f"timm:{rest}"
    divide(options, what=what)
    timm = require("timm", extra="timm", what=what)
    if not timm.is_model(rest):
        near = timm.list_models(f"*{rest.partition('.')[0]}*")[:8]
        raise InputError(f"{what}: timm has no such model; "
                         + (f"near it: {', '.join(near)}" if near else "see timm.list_models()"))

    def make(classes: int | None) -> nn.Module:
        more = {} if classes is None else {"num_classes": classes}
        module: nn.Module = timm.create_model(rest, pretrained=False, **more)
        return module

    configuration = dict(timm.get_pretrained_cfg(rest).to_dict())
    if weights is None:
        raise InputError(f"{what}: say --weights with a local .safetensors (timm's own are {_hub(configuration) or 'none'} "
                         "on the Hugging Face hub), or --weights download to fetch them")
    path = _fetched(configuration, what) if weights == DOWNLOAD else weights
    head = configuration.get("classifier")
    module = build(make, read_state(path, ()), path, head=f"{head}.weight" if isinstance(head, str) else "")
    _, steps, binary = divide(options, what=what, usual=preset(configuration))
    settings = {"format": "timm", "model": rest, "timm": version_of("timm"), "preprocessing": steps.settings,
                **({"two_class": binary} if binary else {})}
    return Adapted(system=behind(TorchSystem(module, name=what, settings=settings), steps, binary), name=what,
                   settings=settings, files={path.name: file_digest(path)},
                   description=f"{rest} of timm {settings['timm']}, weights {path.name}")


def preset(configuration: Mapping[str, Any]) -> Preprocessing:
    """timm's evaluation transform: the shorter side to ⌊side / crop_pct⌋, the centre cut out, normalised.

    >>> preset({"input_size": (3, 224, 224), "crop_pct": 0.875, "mean": (0.5,), "std": (0.5,)}).settings["size"]
    256
    """
    _, height, width = configuration["input_size"]
    share = float(configuration.get("crop_pct") or 1.0)
    whole: int | tuple[int, int] = math.floor(height / share)
    if height != width or configuration.get("crop_mode") == "squash":
        whole = (math.floor(height / share), math.floor(width / share))
    return Preprocessing(size=whole, crop=(int(height), int(width)), mean=tuple(map(float, configuration["mean"])),
                         std=tuple(map(float, configuration["std"])),
                         filter="bicubic" if configuration.get("interpolation") == "bicubic" else "bilinear")


def _hub(configuration: Mapping[str, Any]) -> str:
    return str(configuration.get("hf_hub_id") or "")


def _fetched(configuration: Mapping[str, Any], what: str) -> Path:
    if not _hub(configuration):
        raise InputError(f"{what}: timm publishes no safetensors for it; give a local file with --weights")
    hub = require("huggingface_hub", extra="timm", what=f"{what} --weights download")
    try:
        return Path(hub.hf_hub_download(_hub(configuration), "model.safetensors"))
    except Exception as error:  # the hub's errors and those of the network have no common class
        raise InputError(f"{what}: {_hub(configuration)}/model.safetensors could not be fetched ({type(error).__name__}); "
                         "fetch the file and say --weights FILE") from None
