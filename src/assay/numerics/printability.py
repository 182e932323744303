"""Can it be printed? The printability score of Sharif et al., and the total variation of a patch."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError, PerExample

Pixels = Float[Tensor, "batch channels height width"]
Palette = Float[Tensor, "colours channels"]

# Thirty colours for lack of a measured printer: three levels of each primary, and three greys. Our own choice.
_LEVELS = (0.12, 0.48, 0.84)
PRINTABLE = torch.tensor([*itertools.product(_LEVELS, repeat=3), *((grey,) * 3 for grey in (0.3, 0.66, 0.96))],
                         dtype=torch.float64)


def palette(channels: int) -> Palette:
    """The printable colours for images in [0, 1]: (30, 3), or for one channel the greys among them, (6, 1).

    >>> palette(3).shape, [round(grey, 2) for grey in palette(1).flatten().tolist()]
    (torch.Size([30, 3]), [0.12, 0.3, 0.48, 0.66, 0.84, 0.96])
    """
    if channels == 3:
        return PRINTABLE.clone()
    if channels != 1:
        raise InputError(f"printable colours are known for 1 or 3 channels, got {channels}; give your own")
    return PRINTABLE[(PRINTABLE[:, :1] == PRINTABLE).all(1)][:, :1].sort(dim=0).values


def non_printability(pixels: Pixels, colours: Palette | None = None, *, mask: Tensor | None = None) -> PerExample:
    """NPS(δ) = Σ_pixels Π_p ‖δ_pixel − p‖₂ over the printable colours p, (batch,): 0 where every pixel can be printed.

    The unit is that of the pixels to the number of colours. `mask`, (batch or 1, height, width), leaves out what is not
    printed. The gradient is 0 at a printable colour. Raises `InputError` where the channels differ. Sources: Sharif,
    Bhagavatula, Bauer and Reiter, "Accessorize to a crime" (CCS 2016); Eykholt et al. (CVPR 2018).

    >>> float(non_printability(torch.tensor([[[[0.25]]]]), torch.tensor([[0.0], [1.0]])))
    0.1875
    """
    colours = palette(pixels.shape[1]) if colours is None else colours
    if pixels.ndim != 4 or colours.ndim != 2 or colours.shape[1] != pixels.shape[1]:
        raise InputError(f"colours: need (colours, channels) for pixels (batch, channels, height, width), got "
                         f"{tuple(colours.shape)} for {tuple(pixels.shape)}")
    apart = pixels[:, None] - colours.to(pixels.dtype)[None, :, :, None, None]
    product = torch.linalg.vector_norm(apart, dim=2).prod(1)
    return (product if mask is None else torch.where(mask, product, 0.0)).flatten(1).sum(1)


def total_variation(pixels: Pixels) -> PerExample:
    """Σ √((δ_{i,j} − δ_{i+1,j})² + (δ_{i,j} − δ_{i,j+1})²) over channels and pixels, (batch,), in the unit of the pixels.

    Beyond the last row and column there is no difference. The gradient of a flat pixel is 0. Source: Sharif et al. (CCS
    2016), who ask for smooth stickers because a camera does not resolve rough ones.

    >>> round(float(total_variation(torch.tensor([[[[0.0, 1.0], [1.0, 1.0]]]]))), 4)
    1.4142
    """
    down = torch.nn.functional.pad(pixels.diff(dim=2), (0, 0, 0, 1))
    across = torch.nn.functional.pad(pixels.diff(dim=3), (0, 1, 0, 0))
    return torch.linalg.vector_norm(torch.stack((down, across)), dim=0).flatten(1).sum(1)
