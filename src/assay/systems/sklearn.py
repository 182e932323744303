"""scikit-learn classifiers: scores where they have them, decisions where they have not; never a gradient.

Hand a fitted estimator over in Python: `assay.audit(estimator, data)`, or `SklearnSystem(estimator, ...)`. From a file
only as skops, which names every type it builds and builds none that is not known to be harmless; pickle and joblib files
are programs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.file_digests import file_digest
from assay.numerics.texts import decode
from assay.records import Access
from assay.systems.adapter_options import behind, divide, readable_file
from assay.systems.loaded import Adapted
from assay.systems.packages import require, version_of

USES = ("decision_function", "predict_proba", "predict")


@dataclass(frozen=True, eq=False)
class SklearnSystem:
    """A fitted classifier on images flattened to (batch, features); class k of the audit is `classes[k]` of the estimator.

    Texts are handed over as a list of str: a pipeline that begins with a vectoriser takes them.
    The scores are its `decision_function` (a single one z for two classes as (0, z)), else the logarithms of its
    `predict_proba` (of probabilities below 1e-30, log 1e-30), else 1 for the class it predicts and −1 for the others.
    `use` names one of the three; `classes` the estimator's classes in the order of the data's, where they are not 0, 1, ….
    Raises `InputError` for an estimator that is no classifier, is not fitted, or has other classes.

    >>> from sklearn.linear_model import LogisticRegression
    >>> fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    >>> system = SklearnSystem(fitted)
    >>> system(torch.tensor([[[[0.0]]], [[[1.0]]]])).argmax(1).tolist(), system.access.name
    ([0, 1], 'SCORE')
    """

    estimator: Any
    name: str = ""
    kind: str = "classical"
    use: str = ""
    classes: Sequence[Any] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = self.name or type(self.estimator).__name__
        check_classifier(self.estimator, name)
        classes = _classes(self.estimator, self.classes, name)
        has = [u for u in USES if callable(getattr(self.estimator, u, None))]
        use = self.use or (has or [""])[0]
        if use not in has:
            raise InputError(f"system {name!r}: use={self.use!r}; this estimator has {', '.join(has)}")
        settings = {**self.settings, "use": use, "classes": [str(c) for c in classes],
                    "scikit-learn": version_of("scikit-learn")}
        for key, value in (("name", name), ("use", use), ("classes", tuple(classes)), ("settings", settings)):
            object.__setattr__(self, key, value)

    @property
    def access(self) -> Access:
        return Access.DECISION if self.use == "predict" else Access.SCORE

    def __call__(self, inputs: Tensor) -> Tensor:
        if inputs.dtype == torch.int32 and inputs.ndim == 2:
            return torch.from_numpy(self._columns(list(decode(inputs.cpu().numpy()))))
        if not inputs.is_floating_point():
            raise InputError(f"system {self.name!r}: inputs are {inputs.dtype}; give floats: images.float() / 255")
        features = inputs.detach().cpu().flatten(1).numpy().astype(np.float64)
        wanted = getattr(self.estimator, "n_features_in_", features.shape[1])
        if features.shape[1] != wanted:
            raise InputError(f"system {self.name!r}: images of shape {tuple(inputs.shape[1:])} give {features.shape[1]} "
                             f"features, and it was fitted on {wanted}; give images of the kind it was fitted on")
        return torch.from_numpy(self._columns(features)).to(inputs)

    def _columns(self, features: Any) -> np.ndarray:
        """The scores, a column for each class in the order of the data's."""
        scores = self._scores(features)
        if scores.shape != (len(features), len(self.classes)):
            raise InputError(f"system {self.name!r}: {self.use} gives {scores.shape}, not one score for each of "
                             f"{len(self.classes)} classes; say use=\"predict\", or decision_function_shape=\"ovr\"")
        held = np.asarray(self.estimator.classes_).tolist()
        return np.ascontiguousarray(scores[:, [held.index(c) for c in self.classes]])

    def _scores(self, features: Any) -> np.ndarray:
        if self.use == "predict":
            predicted = np.asarray(self.estimator.predict(features))
            held = np.asarray(self.estimator.classes_)
            return np.where(predicted[:, None] == held[None], 1.0, -1.0)
        if self.use == "predict_proba":
            return np.log(np.maximum(self.estimator.predict_proba(features), 1e-30))
        z = np.asarray(self.estimator.decision_function(features), dtype=np.float64)
        return np.stack((np.zeros_like(z), z), axis=1) if z.ndim == 1 else z


def load(rest: str, *, weights: Path | None, options: Mapping[str, Any]) -> Adapted:
    """`sklearn:PATH.skops`; settings `use`, `classes` and pre-processing.

    Raises `InputError` for a file that is not skops, or that holds types beyond those that skops knows to be harmless.
    """
    path, what = Path(rest), f"estimator {rest}"
    if weights is not None:
        raise InputError(f"weights {weights}: {what} holds its own; leave out --weights")
    if path.suffix != ".skops":
        raise InputError(f"{what}: only .skops files are read; pickle and joblib files can hold programs that run as they "
                         "are read: save it with skops.io.dump(estimator, 'model.skops')")
    own, preprocessing, _ = divide(options, what=what, own=("use", "classes"))
    readable_file(path, what="estimator")
    skops = require("skops.io", extra="sklearn", what=what)
    estimator = _read(skops, path)
    chosen = own.get("classes", ())
    inner = SklearnSystem(estimator, name=f"sklearn:{path.name}", use=str(own.get("use", "")),
                          classes=chosen if isinstance(chosen, (list, tuple)) else (chosen,))
    settings = {**inner.settings, "preprocessing": preprocessing.settings}
    return Adapted(system=behind(inner, preprocessing), name=inner.name, kind="classical", settings=settings,
                   files={path.name: file_digest(path)},
                   description=f"{type(estimator).__name__} of scikit-learn {version_of('scikit-learn')}, {path.name}; "
                               f"{inner.use}, query-only")


def is_estimator(value: Any) -> bool:
    """Whether the object is a scikit-learn estimator; scikit-learn is not imported to find out."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(value, base.BaseEstimator)


def check_classifier(estimator: Any, name: str) -> None:
    """Raise `InputError` unless it is a fitted classifier."""
    if isinstance(estimator, type):
        raise InputError(f"system {name!r}: a class, not an estimator; make and fit one")
    if not callable(getattr(estimator, "predict", None)):
        raise InputError(f"system {name!r}: {type(estimator).__name__} has no predict; give a classifier")
    if getattr(estimator, "classes_", None) is None:
        raise InputError(f"system {name!r}: {type(estimator).__name__} has no classes_; a classifier that was fitted is "
                         "needed: call fit first")


def _classes(estimator: Any, wanted: Sequence[Any], name: str) -> list[Any]:
    """The estimator's classes in the order of the data's."""
    held = estimator.classes_
    if isinstance(held, list):
        raise InputError(f"system {name!r}: {len(held)} outputs; a classifier of one output is audited")
    held = np.asarray(held).tolist()
    if wanted:
        if missing := [c for c in wanted if c not in held]:
            raise InputError(f"system {name!r}: it has no class {missing[0]!r}; its classes are {held}")
        if sorted(map(str, wanted)) != sorted(map(str, held)):
            raise InputError(f"system {name!r}: classes={list(wanted)}, and it was fitted on {held}; name each once")
        return list(wanted)
    if all(isinstance(c, (int, float)) for c in held) and held != list(range(len(held))):
        raise InputError(f"system {name!r}: it was fitted on classes {held}, and the data's are 0 to {len(held) - 1}; say "
                         "classes= with its classes in the order of the data's")
    return held


def _read(skops: Any, path: Path) -> Any:
    try:
        if unknown := skops.get_untrusted_types(file=path):
            raise InputError(f"estimator {path}: it holds {', '.join(unknown[:3])}, which skops does not know to be "
                             "harmless; load it yourself and hand it over in Python as SklearnSystem(estimator)")
        return skops.load(path, trusted=[])
    except InputError:
        raise
    except Exception as error:  # a broken archive raises whatever its first broken part raises
        line = (str(error).strip().splitlines() or [""])[0][:200]
        raise InputError(f"estimator {path}: truncated or not a skops file ({type(error).__name__}: {line})") from None
