"""Audits every planted system and prints what a peer says, what must be said, and what is said.

    python -m attacks.run            prints the table
    python -m attacks.run --write    and puts it into attacks/README.md
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from assay.api import Audit, session_for
from assay.audits.executors.serial import Serial
from assay.audits.run import run_audit
from assay.datasets.labelled import LabelledImages, bundled_digits
from assay.datasets.measured import Part
from assay.perturbations.protocol import Examples
from assay.records import Verdict
from assay.systems import catalogue
from assay.systems.function import FunctionSystem
from assay.systems.torch import TorchSystem
from attacks import peers
from attacks.cases import CASES, Case, misjudged
from attacks.planted import Wrapper

HERE = Path(__file__).parent
PROFILE = HERE / "profile.toml"
BEGIN, END = "<!-- table: python -m attacks.run --write -->", "<!-- end of table -->"
HEAD = "| system | DeepFool flips | PGD-40 flips | must be | tiny pixels | second model | smallest flip | flags | rightly |"


def digits(count: int) -> Part:
    """The first audited digits."""
    data: LabelledImages = bundled_digits("audited")
    return Part(data, tuple(range(count)))


def built(case: Case, x: Examples) -> Wrapper:
    """The system, new: some remember what they were asked."""
    assert x.truth is not None
    loaded = catalogue.load(case.inner, role="audited")
    inner = loaded.system.module  # type: ignore[union-attr]
    return case.system(inner, x.inputs, x.truth).eval()


def verdicts_on(case: Case, data: Part, *, budget: str = "standard") -> list[Verdict]:
    """One audit from memory, judged; nothing is kept."""
    x = data.fetch(range(len(data.ids)))
    system = built(case, x)
    seconds = [s if isinstance(s, str) else TorchSystem(built(replace(case, system=s), x), name=s.__name__)
               for s in case.surrogates]
    session = session_for(FunctionSystem(system, name=case.name) if system.blind else system, data, profile=str(PROFILE),
                          budget=budget, established=("none",), surrogates=seconds, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        run_audit(session, Path(folder), executor=Serial())
        found = Audit(folder).verdicts
    return [v for v in found if v.check != "second-model" or case.surrogates]       # not applicable without


def row(case: Case, data: Part) -> tuple[str, bool]:
    """One line of the table, and whether the system was judged rightly."""
    x = data.fetch(range(len(data.ids)))
    assert x.truth is not None
    flips = peers.deepfool(built(case, x), x.inputs, x.truth), peers.pgd(built(case, x), x.inputs, x.truth)
    verdicts = verdicts_on(case, data)
    wrong = misjudged(case, verdicts)
    said = {v.check: f"{v.outcome} ({v.harmed}/{v.n})" for v in verdicts}
    raised = sorted({flag.id for v in verdicts for flag in v.flags})
    named = ", ".join(f"**{flag}**" if flag in case.flags else flag for flag in raised)
    must = "not flagged" if case.honest else " or ".join(sorted(case.outcomes))
    cells = (case.name, *(f"{share:.0%}".replace("%", " %") for share in flips), must, said["tiny-pixels"],
             said.get("second-model", "–"), said["smallest-flip"], named or "–", wrong or "yes")
    return f"| {' | '.join(cells)} |", not wrong


def table(cases: Sequence[Case], data: Part) -> tuple[list[str], int]:
    """The table's lines, printed as they come, and how many systems were judged rightly."""
    lines = [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    print("\n".join(lines), flush=True)
    right = 0
    for case in cases:
        line, rightly = row(case, data)
        print(line, flush=True)
        lines.append(line)
        right += rightly
    return lines, right


def main() -> None:
    """Print the table, and write it where asked."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    words.add_argument("--write", action="store_true", help="put the table into attacks/README.md")
    words.add_argument("--digits", type=int, default=20)
    asked = words.parse_args()
    torch.set_num_threads(1)
    lines, right = table(CASES, digits(asked.digits))
    summary = f"{right} of {len(CASES)} judged rightly, on the first {asked.digits} audited digits."
    print(summary)
    if asked.write:
        readme = HERE / "README.md"
        before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        readme.write_text(before + "\n".join([BEGIN, "", *lines, "", summary, "", END]) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
