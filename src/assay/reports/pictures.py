"""Arrays as small PNG data URIs, grey or in colour, all pictures of a row under one window."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 192      # pixels; larger pictures are reduced by whole-pixel averages to keep the report small


def data_uri(image: NDArray[Any], *, low: float, high: float, outline: NDArray[Any] | None = None,
             side: int = SIDE) -> str:
    """The image (height, width), or (height, width, 3) in colour, as a PNG data URI: `low` is black, `high` white.

    Values outside are clipped, not-a-number is shown white. `outline` is a mask (height, width); a frame is drawn around
    what it covers. Pictures with an edge above `side` pixels are reduced. Raises ValueError unless the image is
    real and of one of these shapes.

    >>> data_uri(np.zeros((2, 2)), low=0.0, high=1.0)[:22]
    'data:image/png;base64,'
    """
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or np.iscomplexobj(image):
        raise ValueError(f"a picture is real, (height, width) or (height, width, 3), not {image.dtype} of shape "
                         f"{image.shape}")
    grey = (np.asarray(image, dtype=np.float64) - low) / max(high - low, 1e-30)
    levels = np.round(255 * np.clip(np.nan_to_num(grey, nan=1.0, posinf=1.0, neginf=0.0), 0, 1)).astype(np.uint8)
    if outline is not None and outline.any():
        levels = _framed(levels, outline)
    picture = Image.fromarray(levels)
    if max(picture.size) > side:
        scale = side / max(picture.size)
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
                                 Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _framed(levels: NDArray[np.uint8], mask: NDArray[Any], margin: int = 3) -> NDArray[np.uint8]:
    """A one-pixel white frame with a black one inside, so that it is seen on any background."""
    rows, columns = np.nonzero(mask)
    top, bottom = max(rows.min() - margin, 0), min(rows.max() + margin, levels.shape[0] - 1)
    left, right = max(columns.min() - margin, 0), min(columns.max() + margin, levels.shape[1] - 1)
    framed = levels.copy()
    for inset, grey in ((0, 255), (1, 0)):
        t, b, l, r = top + inset, bottom - inset, left + inset, right - inset  # noqa: E741
        if b <= t or r <= l:
            break
        framed[t, l:r + 1] = framed[b, l:r + 1] = grey
        framed[t:b + 1, l] = framed[t:b + 1, r] = grey
    return framed
