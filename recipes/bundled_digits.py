"""Writes the digits that ship with Assay (`src/assay/datasets/bundled/digits.npz`): `python recipes/bundled_digits.py`.

The 1,797 images of scikit-learn, in its order, and one seeded split: 1,097 to train on, 200 to tune on, 500 to audit.
The split is by image: who wrote which digit is not recorded, so the 13 writers are shared between the parts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

OUT = Path(__file__).parents[1] / "src/assay/datasets/bundled/digits.npz"
SEED, TUNING, AUDITED = 0, 200, 500


def main() -> None:
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    if not np.array_equal(images, digits.images) or images.max() != 16:
        raise SystemExit("scikit-learn's digits are no longer whole numbers from 0 to 16")
    order = np.random.default_rng(SEED).permutation(len(images)).astype(np.int16)
    audited, tuning, train = np.split(order, [AUDITED, AUDITED + TUNING])
    np.savez_compressed(OUT, images=images, labels=labels, train_index=np.sort(train), tuning_index=np.sort(tuning),
                        audited_index=np.sort(audited))
    print(f"{OUT} {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
