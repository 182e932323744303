"""How far the members of one set lie apart: scores, decisions, and money where a tariff says what a decision is worth.

Told is the distance alone. Which member has the greatest score, or is worth most, is never kept.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.arrays import InputError, PerExample
from assay.metrics.classification import decision
from assay.numerics.texts import decode
from assay.perturbations.codes import read_claim

KEYS = ("currency", "decisions", "paid", "codes")


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """What a record is worth: a(x) = D_d(x) + [d(x) is paid] Σ_c C_c, d(x) the decision, c the record's codes.

    `decisions` by class number; of classes that are `paid` each code adds what `codes` say, nothing where they are silent.

    >>> Tariff(currency="EUR", decisions=(0.0, 100.0)).amounts(torch.tensor([1, 0, 1])).tolist()
    [100.0, 0.0, 100.0]
    """

    currency: str
    decisions: tuple[float, ...]
    paid: tuple[int, ...] = ()
    codes: Mapping[str, float] = field(default_factory=dict)

    def amounts(self, decided: Tensor, records: Tensor | None = None) -> PerExample:
        """The amount of each record with its decision, (batch,); `records` are code points, needed where codes are paid."""
        worth = torch.tensor(self.decisions, dtype=torch.float64)[decided]
        if not self.codes or records is None:
            return worth
        of_codes = [sum(self.codes.get(code, 0.0) for code in read_claim(text).codes) for text in decode(records.numpy())]
        is_paid = torch.tensor([int(d) in self.paid for d in decided.tolist()])
        return worth + torch.where(is_paid, torch.tensor(of_codes, dtype=torch.float64), 0.0)


def load_tariff(path: str | Path, classes: Sequence[str]) -> dict[str, Any]:
    """The tariff in a TOML file, as plain values by class number; `InputError` naming file, key and remedy.

    `currency` a word, `[decisions]` an amount for each class by its name, and optionally `paid`, the names of the classes
    whose codes are paid too, with `[codes]`, an amount for each code.
    """
    try:
        said = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a .toml of amounts") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a TOML file that can be read ({error})") from None
    if bad := [key for key in said if key not in KEYS]:
        raise InputError(f"{path}: key {bad[0]!r} is unknown; a tariff has {', '.join(KEYS)}")
    currency = said.get("currency")
    if not isinstance(currency, str) or not currency.isprintable() or not 0 < len(currency) <= 12:
        raise InputError(f"{path}: currency is {currency!r}; give its name, such as currency = \"EUR\"")
    decisions, paid = _amounts(said, "decisions", path), said.get("paid", [])
    if missing := [name for name in classes if name not in decisions]:
        raise InputError(f"{path}: decisions: no amount for {missing[0]!r}; the decisions are {', '.join(classes)}")
    if not isinstance(paid, list) or (bad := [name for name in (*decisions, *paid) if name not in classes]):
        raise InputError(f"{path}: {bad[0] if isinstance(paid, list) else paid!r} is no decision; they are "
                         f"{', '.join(classes)}")
    codes = _amounts(said, "codes", path) if "codes" in said else {}
    if bool(codes) != bool(paid):
        raise InputError(f"{path}: codes and paid go together: say which decisions pay codes, and what each is worth")
    return {"currency": currency, "decisions": [decisions[name] for name in classes],
            "paid": sorted(classes.index(name) for name in paid), "codes": codes}


def tariff_from(said: Mapping[str, Any]) -> Tariff:
    """The tariff that `load_tariff` read."""
    return Tariff(currency=str(said["currency"]), decisions=tuple(said["decisions"]), paid=tuple(said.get("paid", ())),
                  codes=dict(said.get("codes", {})))


class Spread:
    """The members of one record's set as they are asked: the least and greatest of each number, and the decisions made.

    >>> seen = Spread(torch.tensor([[0.0, 200.0]]))
    >>> seen.look(torch.tensor([[0.0, 200.0], [0.0, 0.0], [200.0, 0.0]]))
    >>> seen.told()
    {'spread.score': 1.0, 'spread.decisions': 2.0}
    """

    def __init__(self, normal: Tensor, tariff: Tariff | None = None) -> None:
        self.usual, self.tariff = int(decision(normal)[0]), tariff
        self.decisions: set[int] = set()
        self.ends: dict[str, tuple[float, float]] = {}

    def look(self, scores: Tensor, records: Tensor | None = None) -> None:
        """Members with these scores (members, classes); those without a finite answer are left out."""
        whole = torch.isfinite(scores).all(1)
        self._widen("spread.score", scores.double().softmax(1)[whole, self.usual])
        decided = decision(scores)
        self.decisions |= set(decided[whole].tolist())
        if self.tariff is not None:
            self._widen("spread.money", self.tariff.amounts(decided, records)[whole])

    def _widen(self, name: str, values: Tensor) -> None:
        if len(values):
            low, high = self.ends.get(name, (float("inf"), float("-inf")))
            self.ends[name] = min(low, float(values.min())), max(high, float(values.max()))

    def told(self) -> dict[str, float]:
        """Greatest minus least of each number, and how many different decisions were made."""
        found = {name: high - low for name, (low, high) in self.ends.items()}
        return {**found, "spread.decisions": float(len(self.decisions))} if found else {}


def _amounts(said: Mapping[str, Any], key: str, path: str | Path) -> dict[str, float]:
    table = said.get(key)
    if not isinstance(table, Mapping) or not table:
        raise InputError(f"{path}: {key} is missing; write [{key}] and an amount for each below")
    for name, value in table.items():
        if isinstance(value, Mapping):
            raise InputError(f"{path}: {key}: {name!r} is a table; a dot outside quotes divides a key, so write the name in "
                             f"quotes, as \"{name}.{next(iter(value), '')}\" = 20")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
            raise InputError(f"{path}: {key}: {name!r} is {value!r}; give a finite number")
    return {str(name): float(value) for name, value in table.items()}
