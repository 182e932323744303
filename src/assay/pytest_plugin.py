"""A pytest plugin: the fixture `assert_stable`, whose audits lie in the test's own temporary folder.

Every pytest of an environment that has Assay loads this module, so it imports nothing but pytest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def assert_stable(tmp_path: Path) -> Callable[..., Any]:
    """`assay.testing.assert_stable`, with folders `assay-1`, `assay-2`, … in `tmp_path` where `out` is not given."""
    from assay import testing

    count = 0

    def asserting(system: Any, data: Any = "", **options: Any) -> Any:
        __tracebackhide__ = True
        nonlocal count
        count += 1
        return testing.assert_stable(system, data, **{"out": tmp_path / f"assay-{count}", **options})

    return asserting
