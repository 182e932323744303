from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from assay.reports.pictures import SIDE, data_uri


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_greys_are_those_of_the_window() -> None:
    image = np.array([[0.0, 0.5, 1.0, 2.0, -1.0, np.nan]])
    assert decoded(data_uri(image, low=0, high=1)).tolist() == [[0, 128, 255, 255, 0, 255]]


def test_equal_windows_give_equal_greys_to_equal_values() -> None:
    a, b = np.array([[0.3, 1.0]]), np.array([[0.3, 0.4]])
    assert decoded(data_uri(a, low=0, high=1))[0, 0] == decoded(data_uri(b, low=0, high=1))[0, 0]


def test_large_pictures_are_reduced_and_small_ones_kept() -> None:
    assert decoded(data_uri(np.ones((2 * SIDE, 4 * SIDE)), low=0, high=1)).shape == (SIDE // 2, SIDE)
    assert decoded(data_uri(np.ones((7, 5)), low=0, high=1)).shape == (7, 5)


def test_a_flat_window_does_not_divide_by_zero() -> None:
    assert decoded(data_uri(np.zeros((2, 2)), low=0, high=0)).max() == 0


def test_the_outline_frames_what_it_covers() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[8:11, 9:12] = True
    grey = decoded(data_uri(np.full((20, 20), 0.5), low=0, high=1, outline=mask))
    assert grey[5, 6] == 255 and grey[13, 14] == 255 and (grey[8:11, 9:12] == 128).all()


@pytest.mark.parametrize("bad", [np.zeros((2, 2, 2)), np.zeros((2, 2), dtype=complex), np.zeros(3)])
def test_what_is_no_picture_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a picture is real"):
        data_uri(bad, low=0, high=1)
