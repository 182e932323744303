"""Audit a reconstruction network of your own, with a forward model of your own: brain slices behind a blur.

    python examples/audit_reconstruction.py [FOLDER]

Trains a toy network in seconds and audits it beside Tikhonov regularisation, under the research profile at demo budget.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import assay
from assay.datasets.bundled import BundledSlices
from assay.datasets.measured import simulate
from assay.operators.protocol import dot_test
from assay.systems.torch import TorchSystem

SIZE = 48
GAUSS = torch.exp(-2 * (torch.pi * 2.0 * torch.fft.fftfreq(SIZE)) ** 2)     # of a width of two pixels


@dataclass(frozen=True)
class Blur:
    """x ↦ A x, a periodic Gaussian blur; it is symmetric, so its own adjoint. An operator needs no more than this."""

    name: str = "Gaussian blur"
    domain: tuple[int, ...] = (SIZE, SIZE)
    range: tuple[int, ...] = (SIZE, SIZE)
    dtype: torch.dtype = torch.float32

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.ifft2(GAUSS[:, None] * GAUSS * torch.fft.fft2(x)).real

    adjoint = forward


torch.manual_seed(0)
operator = Blur()
dot_test(operator, generator=torch.Generator().manual_seed(0))     # raises unless ⟨A x, y⟩ = ⟨x, Aᴴ y⟩
network = nn.Sequential(nn.Unflatten(1, (1, SIZE)), nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 8, 5, padding=2),
                        nn.ReLU(), nn.Conv2d(8, 1, 5, padding=2), nn.Flatten(1, 2))      # (batch, 48, 48) to the same
images = torch.stack([BundledSlices("brain-tuning", SIZE)[i] for i in range(4)])
optimiser = torch.optim.Adam(network.parameters(), lr=4e-3)
for _ in range(200):
    y = operator.forward(images)
    optimiser.zero_grad()
    (network(y + 0.01 * y.std() * torch.randn(y.shape)) - images).square().mean().backward()
    optimiser.step()

data = simulate(BundledSlices("brain", SIZE), operator, noise=0.01)
audit = assay.audit(TorchSystem(network, name="my-network"), data, established=["tikhonov"], budget="demo",
                    out=sys.argv[1] if len(sys.argv) > 1 else "runs/example-reconstruction")
for verdict in audit.verdicts:
    print(f"{verdict.check:12} {verdict.system:11} {verdict.outcome:15} {verdict.reason}")
print(audit.folder / "report.html")
