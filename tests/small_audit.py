"""A cheap audit for tests: four checks and preflight, zero-filled beside Tikhonov, a few 48×48 slices."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from assay.api import Audit
from assay.audits.executors.serial import Serial
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.run import run_audit
from assay.audits.session import Session

HEAD = """
id = "small"
title = "Small"
community = "research"
version = "0.1"
rate = 0.05
headline = "tiny-data"
not_tested = ["Everything else"]
actions = ["Look at the numbers."]
"""
CHECKS = {
    "preflight": """
question = "Can the system be judged at all?"
method = "preflight"
metric = "relative-error"
samples = 2
criterion = { kind = "reaches", threshold = 1e9, sentence = "flags only" }
""",
    "tiny-data": """
question = "How wrong can the image become?"
method = "worst-case"
perturbation = { kind = "inputs", norm = "l2" }
unit = "relative ℓ2"
levels = [0.02, 0.05]
search = { kind = "gradient", steps = 6, restarts = 1, query = 2 }
metric = "relative-error"
controls = 2
criterion = { kind = "grows", level = 0.02, per_level = 2.0, over_control = 3.0, sentence = "the error grew" }
""",
    "noise": """
question = "How wrong does the image become?"
method = "worst-case"
perturbation = { kind = "inputs", norm = "l2" }
unit = "relative ℓ2"
levels = [0.05]
search = { kind = "random", draws = 2 }
metric = "relative-error"
controls = 2
criterion = { kind = "grows", level = 0.05, per_level = 2.0, sentence = "the error grew" }
""",
    "structure": """
question = "Is a detail kept?"
method = "worst-case"
perturbation = { kind = "details", shape = "blob", pixels = 5 }
unit = "contrast, share of peak"
levels = [0.25]
search = { kind = "places", draws = 3 }
metric = "detail-lost"
controls = 2
criterion = { kind = "reaches", level = 0.25, threshold = 0.5, sentence = "half of the detail was lost" }
""",
    "local-gain": """
question = "How much is a tiny change magnified?"
method = "local-gain"
unit = "output change per input change"
search = { iterations = 8 }
needs = "GRADIENT"
metric = "gain"
controls = 2
criterion = { kind = "reaches", threshold = 5.0, sentence = "magnified five times" }
""",
}


def profile(folder: Path, *checks: str, replace: tuple[str, str] = ("", "")) -> str:
    """Write a profile of the named checks (all without names) and return its path; `replace` changes its text."""
    names = checks or tuple(CHECKS)
    head = HEAD if "tiny-data" in names else HEAD.replace('"tiny-data"', f'"{names[-1]}"')
    text = head + "".join(f'\n[[checks]]\nid = "{name}"\ntitle = "{name}"\nsources = ["a test"]{CHECKS[name]}'
                          for name in names)
    assert not replace[0] or replace[0] in text
    path = folder / "small.toml"
    path.write_text(text.replace(*replace) if replace[0] else text, encoding="utf-8")
    return str(path)


def session(toml: str, *, shard: int = 4, **words: Any) -> Session:
    recipe = Recipe(**{"systems": ("zero-filled",), "established": ("tikhonov",), "size": 48, "limit": 4,
                       "profile": toml, **words})
    return dataclasses.replace(session_from(recipe), shard=shard)


def run(toml: str, out: Path, **words: Any) -> Audit:
    """Audited, sealed, without report and label."""
    run_audit(session(toml, **words), out, executor=Serial())
    return Audit(out)


def words(toml: str, out: Path, *more: str) -> list[str]:
    """The same audit as words of the command line."""
    return ["audit", "zero-filled", "bundled:brain", "--established", "tikhonov", "--size", "48", "--limit", "4",
            "--profile", toml, "--out", str(out), *more]
