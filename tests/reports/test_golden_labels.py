"""The five labels look as they did: their drawing commands by sha256, their pictures by a coarse fingerprint.

The commands are exact. The pixels depend on the version of Pillow, so of them only mean greys are kept, of 16 × 64
fields, at three widths: another rasteriser passes and a moved box fails. Run as a script, this file writes them anew, after
somebody has looked at the pictures.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_audit
from PIL import Image
from synthetic_labels import labelled

from assay.reports import label_png
from assay.reports.label_layout import FILLS, layout
from assay.reports.sheet import Box, Page

GOLDEN = Path(__file__).parent / "golden" / "labels.json"
WIDTHS = (400, 800, 1600)       # pixels
FIELDS = (64, 16)
TOLERANCE = 10                  # of 255, for the mean grey of a field


def rounded(value: Any) -> Any:
    """Widths of text are measured by FreeType, whose last digits are its own."""
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def commands(page: Page) -> str:
    drawn = [[type(item).__name__, rounded({k: v for k, v in vars(item).items() if v or k != "language"})]
             for item in page.items]
    return hashlib.sha256(json.dumps([page.width, page.height, drawn], sort_keys=True).encode()).hexdigest()


def fingerprint(word: str, page: Page, width: int) -> np.ndarray:
    picture = Image.open(io.BytesIO(label_png.render_png(labelled(word), page, scale=width / page.width)))
    assert picture.width == width
    return np.asarray(picture.convert("L").resize(FIELDS[::-1], Image.Resampling.BOX), dtype=int)


def moved(page: Page, fill: str, *, down: float) -> Page:
    """The same drawing with the boxes of one colour elsewhere."""
    assert any(isinstance(i, Box) and i.fill == fill for i in page.items)
    return replace(page, items=tuple(replace(i, y=i.y + down) if isinstance(i, Box) and i.fill == fill else i
                                     for i in page.items))


def golden() -> dict[str, Any]:
    return dict(json.loads(GOLDEN.read_text(encoding="utf-8")))


def farthest(word: str, page: Page, width: int) -> int:
    kept = np.array(list(bytes.fromhex(golden()[word]["greys"][str(width)]))).reshape(FIELDS)
    return int(np.abs(fingerprint(word, page, width) - kept).max())


@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_the_drawing_is_the_same(word: str) -> None:
    assert commands(layout(labelled(word))) == golden()[word]["commands"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_the_picture_is_the_same(word: str, width: int) -> None:
    assert farthest(word, layout(labelled(word)), width) <= TOLERANCE


@pytest.mark.parametrize("width", WIDTHS)
def test_a_moved_bar_is_seen(width: int) -> None:
    page = moved(layout(labelled("WARNING")), FILLS["worst"], down=12)
    assert commands(page) != golden()["WARNING"]["commands"]
    assert farthest("WARNING", page, width) > TOLERANCE


@pytest.mark.parametrize("width", WIDTHS)
def test_another_smoothing_is_no_change(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another version of Pillow may do to edges stays below the tolerance."""
    monkeypatch.setattr(label_png, "SMOOTH", 1)
    assert farthest("WARNING", layout(labelled("WARNING")), width) <= TOLERANCE


def main() -> None:
    made = {word: {"commands": commands(page), "greys": {
        str(width): bytes(fingerprint(word, page, width).ravel().tolist()).hex() for width in WIDTHS}}
        for word in synthetic_audit.SIGNALS for page in [layout(labelled(word))]}
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
