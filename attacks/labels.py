"""Makes two small signed audits, attacks copies of one, and says whether each attack was refused and why.

    python -m attacks.labels            prints the table
    python -m attacks.labels --write    and puts it into attacks/README.md
"""

from __future__ import annotations

import argparse
import contextlib
import io
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from assay import cli
from assay.api import Audit
from assay.attesting import sign
from assay.audits.executors.serial import Serial
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.audits.run import run_audit
from assay.signing import envelope, keys
from attacks import label_folders, label_forgeries, label_signatures, label_words
from attacks.attack import Attack
from attacks.forger import Forger

ATTACKS = (*label_words.ATTACKS, *label_folders.ATTACKS, *label_forgeries.ATTACKS, *label_signatures.ATTACKS)

HERE = Path(__file__).parent
TOOL_MAIN = runpy.run_path(str(HERE.parent / "tools" / "verify_label.py"))["main"]
BEGIN, END = "<!-- labels: python -m attacks.labels --write -->", "<!-- end of labels -->"
AUDITOR = {"auditor": "Example Lab", "independence": "third-party", "contact": "lab@example.org"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a verifier answered: exit code, and everything it printed."""

    code: int
    text: str

    @property
    def reason(self) -> str:
        """The first line that fails, or the error."""
        lines = [line for line in self.text.splitlines() if line.startswith(("FAIL", "Error"))]
        return lines[0] if lines else self.text.strip().splitlines()[-1] if self.text.strip() else "nothing"


def scene(top: Path) -> Path:
    """Two signed audits (`audit`, `other`), and the keys of their owner and of a forger."""
    for who in ("owner", "mallory"):
        keys.make_pair(top / f"{who}.pem")
    for name, seed in (("audit", 0), ("other", 1)):
        words = Recipe(systems=("deep-cascade",), established=("zero-filled",), data="bundled:brain", size=48, limit=2,
                       seed=seed, profile=str(HERE / "labels.toml"))
        run_audit(replace(session_from(words), shard=4), top / name, executor=Serial())
        Audit(top / name).write(**AUDITOR)
        claims = sign(top / name, keys.read_private(top / "owner.pem"))
        assert all(claim.holds for claim in claims), claims
    return top


@contextlib.contextmanager
def attacked(attack: Attack | None, made: Path) -> Iterator[Forger]:
    """A copy of the scene, attacked; removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        forger = Forger(top=Path(shutil.copytree(made, Path(folder) / "scene")))
        if attack is not None:
            attack.does(forger)
        yield forger


def assay(forger: Forger, asked: str) -> Told:
    """`assay verify` as the victim asks: unsigned folders come without a signature."""
    words = ["assay", "verify", str(forger.folder)]
    if asked == "signed":
        words += ["--public-key", str(forger.top / "owner.pem.pub")]
    else:
        (forger.folder / envelope.FILE).unlink(missing_ok=True)
    if asked != "replay":
        words.append("--no-replay")
    return called(cli.main, *words)


def tool(forger: Forger) -> Told:
    """tools/verify_label.py, which always demands the owner's signature."""
    return called(TOOL_MAIN, "verify_label.py", str(forger.folder), "--public-key", str(forger.top / "owner.pem.pub"))


def called(main: Callable[[], Any], *words: str) -> Told:
    """A program's main function, called with these words in this process."""
    told = io.StringIO()
    with mock.patch.object(sys, "argv", list(words)), contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        try:
            code = main()
        except SystemExit as stop:
            code = stop.code
    return Told(code=int(code or 0), text=told.getvalue())


def wrongly(attack: Attack, ours: Told, theirs: Told) -> str:
    """What is wrong with the answers, or "": refused for the attack's reason, and by the tool unless it is blind there."""
    if ours.code not in (1, 2):
        return f"assay verify ended with {ours.code}: {ours.text[-400:]}"
    if attack.reason not in ours.text:
        return f"refused for another reason than {attack.reason!r}: {ours.reason}"
    if (theirs.code == 0) is not attack.blind or theirs.code not in (0, 1, 2):
        return f"tools/verify_label.py ended with {theirs.code}: {theirs.reason}"
    return ""


def answers(attack: Attack, made: Path) -> tuple[Told, Told]:
    """Both verifiers on one attacked copy; the tool first, for the victim of an unsigned folder has no signature."""
    with attacked(attack, made) as forger:
        theirs = tool(forger)
        return assay(forger, attack.asked), theirs


def table(made: Path) -> tuple[list[str], int]:
    """A line for each attack, and how many were refused rightly."""
    lines, right = ["| attack | asked | `assay verify` says | the second verifier |", "|---|---|---|---|"], 0
    for attack in ATTACKS:
        ours, theirs = answers(attack, made)
        wrong = wrongly(attack, ours, theirs)
        right += not wrong
        seen = "cannot see it" if theirs.code == 0 else "refused"
        said = attack.reason if not wrong else f"**{wrong}**"
        lines.append(f"| {attack.name} | {attack.asked} | {said} | {seen} |".replace("\n", " "))
        print(lines[-1], flush=True)
    return lines, right


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into attacks/README.md")
    write = parser.parse_args().write
    with tempfile.TemporaryDirectory() as folder:
        made = scene(Path(folder))
        for asked in ("hashes", "replay", "signed"):
            with attacked(None, made) as forger:
                assert tool(forger).code == 0 and assay(forger, asked).code == 0, asked
        lines, right = table(made)
    lines += ["", f"{right} of {len(ATTACKS)} refused, each for its reason; the folder that was not attacked is accepted, "
                  "however it is asked."]
    print(lines[-1])
    if write:
        readme = HERE / "README.md"
        before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
