"""Writes the slices that ship with Assay (`src/assay/datasets/bundled/brain.npz`): `python recipes/bundled_slices.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from assay.datasets import mni152

OUT = Path(__file__).parents[1] / "src/assay/datasets/bundled/brain.npz"


def main() -> None:
    arrays = {}
    for name, planes in (("audited", mni152.AUDITED), ("tuning", mni152.VALIDATION)):
        arrays[f"{name}_planes"] = np.array(planes, dtype=np.int16)
        for size in (128, 48):
            arrays[f"{name}_{size}"] = (mni152.slices(planes, size).numpy() * 65535).round().astype(np.uint16)
    np.savez_compressed(OUT, **arrays)
    print(f"{OUT} {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
