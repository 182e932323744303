"""Every method of asking and every metric, imported so that profiles find them by name."""

from assay.checks import (  # noqa: F401
    boundary,
    certificate,
    clever,
    fooling,
    local_gain,
    manitest,
    operator_norm,
    over_the_air,
    patch,
    physical,
    preflight,
    rare_event,
    sampling,
    smallest_change,
    transfer,
    universal,
    worst_case,
)
from assay.checks.check import METHODS
from assay.metrics import boundary as boundary_ratio  # noqa: F401
from assay.metrics import certified, classification, image_quality, orbit, sound, stability, tables  # noqa: F401

__all__ = ["METHODS"]
