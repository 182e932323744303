"""Gives every reader of files broken files, and counts what it does: read, refused by a documented error, or a fault.

    python -m attacks.fuzz [--count 3000] [--only NAME …]      prints the table
    python -m attacks.fuzz --count 3000 --write                and puts it into attacks/README.md

Input i of a reader is a function of seed, reader and i alone. Each reader runs in a process of its own, with a limit of time
and memory for each file, so that a library that crashes is a result too.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from attacks.fuzz_readers import HERE, Reader, readers
from attacks.mutations import rounds

SECONDS = 20                # for one file
BYTES = 6 << 30             # of address space beyond what the process has when it begins
BEGIN, END = "<!-- fuzz: python -m attacks.fuzz --count 3000 --write -->", "<!-- end of fuzz -->"
READ, REFUSED = "read", "refused"


class TookTooLongError(BaseException):
    """One file took longer than it may; no reader can catch it by accident."""


@dataclass
class Told:
    """What a reader did with its inputs: counts, and of each kind of fault the first input that showed it."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, int] = field(default_factory=dict)

    def add(self, i: int, outcome: str) -> None:
        self.counts[outcome] += 1
        if outcome not in (READ, REFUSED):
            self.faults.setdefault(outcome, i)


def given(reader: Reader, i: int, seed: int = 0) -> bytes:
    """Input i: a valid file changed, or at i = 0, 1, … a valid one as it is."""
    if i < len(reader.seeds):
        return reader.seeds[i]
    r = Random(f"{seed}/{reader.name}/{i}")
    return rounds(r.choice(reader.seeds), reader.mutations, r)


def outcomes(reader: Reader, inputs: range, folder: Path, seed: int = 0) -> Iterator[tuple[int, str]]:
    """What the reader does with each input: read, refused, or the exception and where it arose."""
    folder = folder / "".join(c if c.isalnum() else "-" for c in reader.name)
    for name, content in reader.beside.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    path = folder / reader.place
    path.parent.mkdir(parents=True, exist_ok=True)
    for i in inputs:
        path.write_bytes(given(reader, i, seed))
        yield i, _outcome(reader, path)


def _outcome(reader: Reader, path: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
        return READ
    except reader.documented:
        return REFUSED
    except TookTooLongError:
        return f"longer than {SECONDS} s"
    except Exception as error:
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "/assay/" in f.filename]
        where = f"{ours[-1].filename.rpartition('/assay/')[2]}:{ours[-1].lineno}" if ours else "?"
        return f"{type(error).__name__} at {where}"


def _limited() -> None:
    """Time and memory for each file, in a process of its own."""
    def stop(*_: Any) -> None:
        raise TookTooLongError

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES,) * 2)
    signal.signal(signal.SIGALRM, stop)


def run(reader: Reader, count: int, seed: int) -> Told:
    """All inputs of a reader; after a crash of the whole process the next one goes on behind it."""
    told, start = Told(), 0
    while start < count:
        pipe, end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(pipe)
            os._exit(_child(reader, range(start, count), seed, end))
        os.close(end)
        with os.fdopen(pipe) as lines:
            for line in lines:
                i, outcome = json.loads(line)
                told.add(i, outcome)
                start = i + 1
        _, status = os.waitpid(child, 0)
        if start < count:
            told.add(start, f"the process ended with {os.waitstatus_to_exitcode(status)}")
            start += 1
    return told


def _child(reader: Reader, inputs: range, seed: int, end: int) -> int:
    """The reader's outcomes, a line of JSON for each, written before the next begins; 0 unless the run itself is broken."""
    try:
        logging.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)            # libraries that print are not part of the table
        _limited()
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            told = outcomes(reader, inputs, Path(folder), seed)
            while True:
                signal.alarm(SECONDS)
                found = next(told, None)
                signal.alarm(0)
                if found is None:
                    return 0
                os.write(end, json.dumps(found).encode() + b"\n")
    except BaseException:
        traceback.print_exc()
        return 3


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def table(all_told: Mapping[str, Told]) -> str:
    """A line for each reader, and the sum."""
    lines = ["| reader | files | read | refused by a documented error | anything else |", "|---|---|---|---|---|"]
    files = bad = 0
    for name, told in all_told.items():
        count, read, refused = sum(told.counts.values()), told.counts[READ], told.counts[REFUSED]
        lines.append(f"| {name} | {count:,} | {read:,} | {refused:,} | {count - read - refused:,} |")
        files, bad = files + count, bad + count - read - refused
    return "\n".join([*lines, "", f"{files:,} files; {bad:,} ended otherwise than read or refused by a documented error."])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])       # type: ignore[union-attr]
    parser.add_argument("--count", type=int, default=3000, help="files for each reader")
    parser.add_argument("--only", nargs="+", help="names of readers, or their beginnings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    asked, all_told = parser.parse_args(), {}
    with tempfile.TemporaryDirectory() as top:
        for reader in readers(Path(top)):
            if not asked.only or any(reader.name.startswith(word) for word in asked.only):
                all_told[reader.name] = told = run(reader, asked.count, asked.seed)
                print(reader.name, dict(told.counts), told.faults or "", file=sys.stderr, flush=True)
    print(table(all_told))
    if asked.write:
        readme = HERE / "README.md"
        head, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        tail = rest.partition(END)[2]
        readme.write_text(f"{head}{BEGIN}\n\n{table(all_told)}\n\n{END}{tail}", encoding="utf-8")
    return 1 if any(told.faults for told in all_told.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
