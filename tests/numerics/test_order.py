"""The median of censored numbers is numpy's where none is censored, and infinite where it cannot be known."""

from __future__ import annotations

import math
import statistics

import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.numerics.order import censored_median


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12), st.integers(0, 12))
def test_it_is_the_median_with_infinity_as_the_largest_number(known, censored):
    values = [*known, *[math.inf] * censored]
    assert censored_median(torch.tensor(values, dtype=torch.float64)) == statistics.median(values)


def test_of_none_nothing_is_known():
    assert censored_median(torch.zeros(0)) == math.inf
