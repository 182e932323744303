"""What the search costs beyond the network, and whether memory grows with the number of samples.

    python benchmarks/overhead.py [--steps 24] [--size 128] [--batch 2]

Time: one step of gradient ascent with the audit's own objective, against the bare forward + backward of the same batch.
Bare passes are interleaved with the steps, one for one, so that other work on the machine falls on both alike; medians,
by wall clock and by processor time. Wanted: ratio ≤ 1.15.

Memory: peak resident memory of a cheap audit (zero-filled, one small check) of 100 and of 1,000 samples, each in a fresh
process, read as VmHWM, before and after report and label are written; `ru_maxrss` is printed beside it (it also counts
what the parent held at the fork). Wanted: no growth, within 5 %.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe
from assay.checks.searching import objective_of
from assay.metrics import protocol as metrics
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.searches.gradient_ascent import gradient_ascent
from assay.searches.result import Score

RATIO, GROWTH = 1.15, 1.05
COUNTS = (100, 1000)
Clock = tuple[float, float]
PROFILE = """
id = "memory"
title = "Memory"
community = "research"
version = "0.1.0"
rate = 0.05
headline = "tiny-data"
not_tested = ["Everything else"]
actions = ["None: this profile only measures memory."]
[[checks]]
id = "tiny-data"
title = "Tiny change of the data"
question = "How wrong can the image become?"
plain = "a change of {level} of the measured signal"
method = "worst-case"
perturbation = { kind = "inputs", norm = "l2" }
unit = "relative ℓ2"
levels = [0.02]
search = { kind = "gradient", steps = 2, restarts = 1, query = 1 }
metric = "relative-error"
controls = 1
sources = ["none"]
criterion = { kind = "grows", level = 0.02, per_level = 2.0, sentence = "the error grew" }
"""


def clock() -> Clock:
    return time.perf_counter(), time.process_time()


def step_cost(size: int, batch: int, steps: int) -> list[str]:
    """Durations of search steps and bare passes, alternating: the objective is the hook between two steps."""
    session = session_from(Recipe(systems=("deep-cascade",), established=(), size=size, limit=batch))
    x = session.data.fetch(tuple(range(batch)))
    system = session.bench().systems["deep-cascade"]
    network = system.system                                    # the same network without the counter
    metric, within = metrics.find("relative-error"), InputBall(ball=Ball(radius=0.02))
    with torch.no_grad():
        normal = network(x.inputs)
    taken: list[Clock] = []
    bare: list[Clock] = []
    began: list[Clock] = []

    asked = objective_of(metric, system, within, x, normal)

    def objective(p: Tensor) -> Tensor | Score:
        if began:
            taken.append(_since(began.pop()))
        bare.append(_bare(network, x))
        began.append(clock())
        return asked(p)

    gradient_ascent(objective, within, x=x, generators=[stream(0, i) for i in x.ids], steps=steps, restarts=1)
    lines = []
    reached = False
    for position, name in enumerate(("wall clock", "processor time")):
        ours = statistics.median(c[position] for c in taken[1:])           # the first warms up
        theirs = statistics.median(c[position] for c in bare[1:])
        lines.append(f"{name:16} search step {ours * 1e3:8.1f} ms   forward + backward {theirs * 1e3:8.1f} ms   "
                     f"ratio {ours / theirs:.3f}")
        reached = ours / theirs <= RATIO
    return [f"deep cascade {size}×{size}, batch {batch}, {len(taken) - 1} interleaved pairs, "
            f"{torch.get_num_threads()} threads, medians", *lines, f"wanted ≤ {RATIO}: {'ok' if reached else 'MISSED'}"]


def _bare(network: Callable[[Tensor], Tensor], x: Examples) -> Clock:
    start = clock()
    with torch.enable_grad():                                  # the search's last look at its objective is without
        inputs = x.inputs.detach().requires_grad_(True)
        torch.autograd.grad(network(inputs).abs().square().sum(), inputs)
    return _since(start)


def _since(start: Clock) -> Clock:
    now = clock()
    return now[0] - start[0], now[1] - start[1]


def smooth_images(count: int, side: int = 32) -> np.ndarray:
    """Random smooth images, greatest value 1: Gaussian noise of low frequencies only."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    noise = np.fft.fft2(rng.standard_normal((count, side, side))) * np.exp(-(frequency * 8) ** 2)
    images = np.abs(np.fft.ifft2(noise).real)
    return (images / images.max((1, 2), keepdims=True)).astype(np.float32)


def memory() -> list[str]:
    lines = [f"{'samples':>8}{'audit':>12}{'+ report':>12}{'ru_maxrss':>12}{'seconds':>10}"]
    peaks: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "memory.toml").write_text(PROFILE, encoding="utf-8")
        for count in COUNTS:
            np.save(place / f"{count}.npy", smooth_images(count))
            command = [sys.executable, __file__, "--child", str(place / f"{count}.npy"), str(place / "memory.toml"),
                       str(place / f"audit-{count}")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                return [*lines, f"MISSED: the audit of {count} samples failed: {done.stderr.strip()[-600:]}"]
            peaks[count] = seen = json.loads(done.stdout.splitlines()[-1])
            lines.append(f"{count:8}{seen['audit']:9.1f} MiB{seen['report']:8.1f} MiB{seen['maxrss']:8.1f} MiB"
                         f"{seen['seconds']:10.1f}")
    for stage in ("audit", "report"):
        ratio = peaks[COUNTS[1]][stage] / peaks[COUNTS[0]][stage]
        lines.append(f"{'with report' if stage == 'report' else 'audit alone'}: {ratio:.3f} times the memory for "
                     f"{COUNTS[1] // COUNTS[0]} times the samples, wanted ≤ {GROWTH}: "
                     f"{'ok' if ratio <= GROWTH else 'MISSED'}")
    return lines


def child(data: str, profile: str, out: str) -> None:
    """The audit in its own process: peak memory after the run, and after report and label."""
    import resource

    from assay.api import Audit
    from assay.audits.executors.serial import Serial
    from assay.audits.run import run_audit

    start = time.perf_counter()
    session = session_from(Recipe(systems=("zero-filled",), established=(), data=data, profile=profile))
    run_audit(session, Path(out), executor=Serial())
    after_run = _peak()
    Audit(out).write()
    print(json.dumps({"audit": after_run, "report": _peak(), "seconds": time.perf_counter() - start,
                      "maxrss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def _peak() -> float:
    """VmHWM in MiB: the greatest resident size of this process image."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        child(*words.child)
        return 0
    timed = step_cost(words.size, words.batch, words.steps)
    print("\n".join(timed), flush=True)
    lines = memory()
    print("\n".join(["", *lines]))
    return 1 if any("MISSED" in line for line in timed + lines) else 0


if __name__ == "__main__":
    raise SystemExit(main())
