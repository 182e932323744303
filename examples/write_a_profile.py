"""Ask a question of your own: a profile (sure_mistakes.toml) and a metric, then another threshold without a new search.

    python examples/write_a_profile.py [FOLDER]

To use such a metric on the command line, in several processes or with `assay verify --trust-code`, put `register(...)` into
the module that holds your system's factory (`assay audit my_module:make_system ...`): it is then imported wherever the
system is made.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

from torch import Tensor

import assay
from assay.metrics.classification import CLIMBS
from assay.metrics.protocol import Metric, Response, register
from assay.profiles import load as profiles


def wrong_confidence(response: Response) -> Tensor:
    """max over k ≠ y of softmax(z)_k, (batch,): the confidence in the most confident wrong class."""
    probabilities = response.output.double().softmax(1)
    return probabilities.scatter(1, response.truth[:, None], 0.0).amax(1)


register(Metric(id="wrong-confidence", name="Confidence in a wrong class", unit="share", better="lower", least=0.0,
                greatest=1.0, compute=wrong_confidence, climbs=CLIMBS, needs_truth=True))

profile = str(Path(__file__).with_name("sure_mistakes.toml"))
audit = assay.audit("lenet", "bundled:digits", profile=profile, limit=100,
                    out=sys.argv[1] if len(sys.argv) > 1 else "runs/example-profile")

asked = profiles.load(profile, task="classification")
for threshold in (0.5, 0.9, 0.99):
    stricter = copy.deepcopy(asked)
    stricter["checks"][-1]["criterion"]["threshold"] = threshold
    for verdict in audit.judged(stricter):                          # from the stored findings: nothing is searched again
        print(f"at least {threshold:4.0%}  {verdict.system:8} {verdict.outcome:13} {verdict.harmed} of {verdict.n}, "
              f"mean of the worst {verdict.worst:.0%}")
print(audit.folder / "report.html")
