"""res8: a small residual network that spots keywords.

Tang and Lin, "Deep residual learning for small-footprint keyword spotting", ICASSP 2018 (arXiv 1710.10361), table 1; the
cosine transform of all forty log-mel energies, and a scale behind every second normalisation, are those of the weights its
authors published (Honk).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from assay.arrays import InputError
from assay.systems.sound_features import MelCepstrum

LAYERS = 6
SAMPLES = 16_000            # one second at 16 kHz
PUBLISHED = ("silence", "unknown", "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


class Res8(nn.Module):
    """Scores of `classes` for one second of sound at 16 kHz, (batch, 16000) -> (batch, classes).

    A convolution and 4×3 averages, then six convolutions, each followed by batch normalisation and every second one by the
    addition of what went in two before; means over time and frequency, a linear layer. `floor` is added to the mel energies.
    """

    def __init__(self, *, maps: int = 45, classes: int = 12, floor: float = 0.0) -> None:
        super().__init__()
        self.features = MelCepstrum(floor=floor)
        self.conv0 = nn.Conv2d(1, maps, 3, padding=1, bias=False)
        self.convolutions = nn.ModuleList(nn.Conv2d(maps, maps, 3, padding=1, bias=False) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.BatchNorm2d(maps, affine=False) for _ in range(LAYERS))
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(maps)) for _ in range(LAYERS // 2))
        self.output = nn.Linear(maps, classes)

    def forward(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch classes"]:
        if waves.ndim != 2 or waves.shape[1] != SAMPLES:
            raise InputError(f"res8 hears one second at 16 kHz, (batch, {SAMPLES}), got {tuple(waves.shape)}; cut or pad "
                             "the recordings")
        return self.output(self.pooled(waves))

    def pooled(self, waves: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch maps"]:
        """What the last layer is given: means over time and frequency."""
        x = older = F.avg_pool2d(F.relu(self.conv0(self.features(waves)[:, None])), (4, 3))
        for i, (convolve, normalise) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = F.relu(convolve(x))
            if i % 2:
                x = older = x + older
            x = normalise(x)
            if i % 2 == 0:
                x = x * self.scales[i // 2][:, None, None]
        return x.mean((2, 3))


def build(state: Mapping[str, Tensor]) -> Res8:
    """The network whose weights these are; ours adds 1e-6 to the energies, which the published one does not."""
    return Res8(maps=len(state["conv0.weight"]), classes=len(state["output.bias"]), floor=1e-6)


def from_author(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The published weights (Honk's names) under ours; `InputError` naming what is missing."""
    def given(name: str) -> Tensor:
        if name not in arrays:
            raise InputError(f"{name!r} is missing; expected the res8 of castorini/honk-models")
        return torch.from_numpy(np.asarray(arrays[name]))

    state = {"conv0.weight": given("conv0.weight"), "output.weight": given("output.weight"),
             "output.bias": given("output.bias")}
    for i in range(LAYERS):
        state[f"convolutions.{i}.weight"] = given(f"conv{i + 1}.weight")
        for name in ("running_mean", "running_var"):
            state[f"norms.{i}.{name}"] = given(f"bn{i + 1}.{name}")
        state[f"norms.{i}.num_batches_tracked"] = torch.tensor(0.0)
    for i in range(LAYERS // 2):
        state[f"scales.{i}"] = given(f"scale{2 * i + 1}.scale").reshape(-1)
    return state
