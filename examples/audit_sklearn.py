"""Audit a scikit-learn classifier, which gives scores and no gradients, beside a differentiable one.

    pip install -e '.[sklearn]'
    python examples/audit_sklearn.py [FOLDER]

Without gradients a search has queries alone, and starts from the worst cases of the system beside it. What it does not find
is `inconclusive`, never `none found`: a few dozen queries find little (flag `query-only`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.svm import SVC

import assay
from assay.datasets.labelled import bundled_digits, one_batch

images, labels = one_batch(bundled_digits("train"))
estimator = SVC(kernel="rbf", gamma=0.5).fit(images.flatten(1).numpy(), labels.numpy())

audit = assay.audit(estimator, "bundled:digits", established=["multinomial"], limit=60,
                    profile=str(Path(__file__).with_name("three_questions.toml")),
                    out=sys.argv[1] if len(sys.argv) > 1 else "runs/example-sklearn")

for verdict in audit.verdicts:
    print(f"{verdict.check:14} {verdict.system:12} {verdict.outcome:13} {verdict.reason}")
    print(f"{'':14} {'flags: ' + ', '.join(flag.id for flag in verdict.flags) if verdict.flags else 'no flags'}")
print(audit.folder / "report.html")
