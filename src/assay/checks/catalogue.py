"""Every method of asking and every metric, imported so that profiles find them by name."""

from assay.checks import (  # noqa: F401
    boundary,
    certificate,
    clever,
    fooling,
    hallucination,
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
from assay.metrics import (  # noqa: F401
    certified,
    classification,
    image_quality,
    invention,
    orbit,
    sound,
    stability,
    tables,
)

__all__ = ["METHODS"]
