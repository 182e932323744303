"""Total variation on the Shepp-Logan phantom, 256×256: quality and time beside BART, sigpy and pylops, in one run.

    python benchmarks/total_variation.py [--peers PYTHON] [--rounds 3] [--quick]

`--peers` is a Python that has sigpy and pylops (never dependencies of Assay); BART is looked up on the path. A peer
that is missing is skipped with a line that says so. Each method runs at its documented setting, then over a grid of
weights and iterations; "tuned" is its best PSNR, and "fast" its cheapest setting within 0.2 dB of the best peer. All
use one thread, and timed runs are interleaved, so that other work on the machine falls on all alike: read the ratios.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

# value, half axes a and b, centre x and y, angle in degrees: Shepp and Logan (1974), contrasts of Toft (1996), app. B.2
ELLIPSES = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0), (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0), (-0.2, 0.11, 0.31, 0.22, 0.0, -18),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18), (0.1, 0.21, 0.25, 0.0, 0.35, 0), (0.1, 0.046, 0.046, 0.0, 0.1, 0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0), (0.1, 0.046, 0.023, -0.08, -0.605, 0), (0.1, 0.023, 0.023, 0.0, -0.606, 0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0))
WEIGHTS = (3e-4, 1e-3, 2e-3, 3e-3)
NOISE = 0.002
CLOSE = 0.2                     # dB
Setting = Mapping[str, Any]
Timed = tuple[np.ndarray, float]

DOCUMENTED: dict[str, Setting] = {
    "assay": {"weight": 2e-3, "iterations": 400},
    "bart": {"weight": 0.01, "iterations": 30, "rho": None},        # pics: defaults, -R T:3:0:.01
    "sigpy": {"weight": 0.01, "iterations": 100},                   # TotalVariationRecon: max_iter = 100
    "pylops": {"weight": 0.1, "outer": 20, "inner": 5, "mu": 1.5},  # split-Bregman tutorial
}
GRID: dict[str, list[Setting]] = {
    "assay": [{"weight": w, "iterations": 1000, "tolerance": t, "isotropic": form}
              for w in WEIGHTS for t in (3e-4, 1e-4) for form in (True, False)],
    "bart": [{"weight": w, "iterations": n, "rho": r} for w in WEIGHTS for n in (200, 400, 1000) for r in (0.03, 0.1)],
    "sigpy": [{"weight": w, "iterations": n} for w in WEIGHTS for n in (300, 1000, 3000)],
    "pylops": [{"weight": w, "outer": outer, "inner": inner, "mu": 1.5}     # its weight is per inner denoising step
               for w in (0.01, 0.03, 0.06, 0.1) for outer, inner in ((20, 5), (40, 2), (100, 2))],
}


def shepp_logan(n: int) -> np.ndarray:
    """The modified phantom at n×n pixel centres, values 0..1."""
    axis = (2 * np.arange(n) - n + 1) / n
    x, y = axis[None, :], -axis[:, None]
    image = np.zeros((n, n))
    for value, a, b, x0, y0, degrees in ELLIPSES:
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        u, v = (x - x0) * c + (y - y0) * s, -(x - x0) * s + (y - y0) * c
        image[(u / a) ** 2 + (v / b) ** 2 <= 1] += value
    return image.clip(0)


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((abs(image) - truth) ** 2) / truth.max() ** 2))


def assay(grid: np.ndarray, mask: np.ndarray, setting: Setting) -> Timed:
    import torch

    from assay.operators.fourier import MaskedFourier
    from assay.solvers.total_variation import total_variation

    torch.set_num_threads(1)
    operator = MaskedFourier(torch.from_numpy(mask))
    y = torch.from_numpy(grid.astype(np.complex64))[None].flatten(1)[:, operator.mask.flatten()]
    start = time.perf_counter()
    solution = total_variation(y, operator, **setting)
    return solution.x[0].numpy(), time.perf_counter() - start


def bart(grid: np.ndarray, mask: np.ndarray, setting: Setting) -> Timed:
    """The command, timed with its reading and writing (half a megabyte each)."""
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("k", grid), ("s", np.ones_like(grid))):
            Path(folder, f"{name}.hdr").write_text(f"# Dimensions\n{grid.shape[0]} {grid.shape[1]} 1 1\n")
            Path(folder, f"{name}.cfl").write_bytes(array.astype(np.complex64).tobytes(order="F"))
        tuned = [] if setting["rho"] is None else ["-w", "1", "-u", f"{setting['rho']}"]
        command = ["bart", "pics", "-d0", "-S", *tuned, "-i", f"{setting['iterations']}", "-R",
                   f"T:3:0:{setting['weight']}", "k", "s", "x"]
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        seconds = time.perf_counter() - start
        image = np.frombuffer(Path(folder, "x.cfl").read_bytes(), np.complex64)
    return image.reshape(grid.shape, order="F"), seconds


def sigpy(grid: np.ndarray, mask: np.ndarray, setting: Setting) -> Timed:
    from sigpy.mri.app import TotalVariationRecon

    data, maps = grid[None].astype(np.complex64), np.ones((1, *grid.shape), np.complex64)
    start = time.perf_counter()
    image = TotalVariationRecon(data, maps, setting["weight"], weights=mask[None].astype(np.float32),
                                max_iter=setting["iterations"], show_pbar=False).run()
    return np.asarray(image), time.perf_counter() - start


def pylops(grid: np.ndarray, mask: np.ndarray, setting: Setting) -> Timed:
    import pylops as pl

    corner = np.fft.ifftshift(mask).ravel().nonzero()[0]
    y = np.fft.ifftshift(grid).ravel()[corner]
    F = pl.signalprocessing.FFT2D(grid.shape, norm="ortho", dtype=np.complex128)
    A = pl.Restriction(F.shape[0], corner, dtype=np.complex128) @ F
    D = [pl.FirstDerivative(grid.shape, axis=i, edge=False, kind="forward", dtype=np.complex128) for i in (0, 1)]
    start = time.perf_counter()
    image = pl.optimization.sparsity.splitbregman(
        A, y, D, niter_outer=setting["outer"], niter_inner=setting["inner"], mu=setting["mu"],
        epsRL1s=[setting["weight"]] * 2, tol=1e-8, tau=1.0, iter_lim=5, damp=1e-4)[0]
    seconds = time.perf_counter() - start
    return np.fft.fftshift(image.reshape(grid.shape)), seconds


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, Setting], Timed]] = {
    "assay": assay, "bart": bart, "sigpy": sigpy, "pylops": pylops}


def worker(name: str, folder: str) -> None:
    """Answer settings on standard input with seconds and an image file, in an interpreter that has the peer."""
    case = np.load(Path(folder, "case.npz"), allow_pickle=False)
    for line in sys.stdin:
        image, seconds = METHODS[name](case["grid"], case["mask"], json.loads(line))
        np.save(Path(folder, f"{name}.npy"), image)
        print(f"RESULT {seconds}", flush=True)


class Remote:
    """A method in another interpreter."""

    def __init__(self, name: str, python: str, folder: str) -> None:
        self.image = Path(folder, f"{name}.npy")
        self.process = subprocess.Popen([python, __file__, "--worker", name, "--folder", folder], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __call__(self, setting: Setting) -> Timed:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(setting) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("RESULT"):
                return np.load(self.image, allow_pickle=False), float(line.split()[1])
        raise RuntimeError("the peer ended without an answer")


def available(python: str | None) -> dict[str, str]:
    """Name of each method that can run here to the interpreter it runs in; a line for each that cannot."""
    found = {"assay": sys.executable}
    if shutil.which("bart"):
        found["bart"] = sys.executable
    else:
        print("SKIPPED bart: no command `bart` on the path (Debian package bart)")
    for name in ("sigpy", "pylops"):
        if python and subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0:
            found[name] = python
        else:
            print(f"SKIPPED {name}: give --peers a Python in which `import {name}` works")
    return found


def case(pattern: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, noisy centred Fourier grid (zero where not sampled), mask with 25 % of the samples."""
    import torch

    from assay.operators.subsampling import cartesian_lines, variable_density

    draw = {"variable density": variable_density, "lines": cartesian_lines}[pattern]
    mask = draw((n, n), 0.25, generator=torch.Generator().manual_seed(0)).numpy()
    truth, rng = shepp_logan(n), np.random.default_rng(0)
    noise = NOISE * (rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))) / math.sqrt(2)
    full = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(truth), norm="ortho"))
    return truth, (full + noise) * mask, mask


def compare(pattern: str, python: str | None, *, rounds: int, quick: bool) -> None:
    truth, grid, mask = case(pattern, 256)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "case.npz"), grid=grid, mask=mask)
        run = {name: Remote(name, path, folder) for name, path in available(python).items()}
        tried: dict[str, list[tuple[Setting, float, float]]] = {}
        for name, method in run.items():
            grids = GRID[name][::3] if quick else GRID[name]
            method(DOCUMENTED[name])                                    # the first call pays for imports and plans
            tried[name] = [(s, psnr(image, truth), t) for s in [DOCUMENTED[name], *grids] for image, t in [method(s)]]
        best = {name: max(rows, key=lambda row: row[1]) for name, rows in tried.items()}
        peers = [best[name][1] for name in run if name != "assay"]
        goal = max(peers) - CLOSE if peers else -math.inf
        chosen = {(name, "documented"): rows[0] for name, rows in tried.items()}
        chosen |= {(name, "tuned"): best[name] for name in run}
        for name, rows in tried.items():
            if enough := [row for row in rows if row[1] >= goal]:
                chosen[name, "fast"] = min(enough, key=lambda row: row[2])
        seconds = dict.fromkeys(chosen, math.inf)
        for _ in range(rounds):
            for key, row in chosen.items():
                seconds[key] = min(seconds[key], run[key[0]](row[0])[1])
        for remote in run.values():
            remote.process.stdin.close()                                # type: ignore[union-attr]
            remote.process.wait()
    print(f"\n25 % {pattern}, noise sd {NOISE}; least of {rounds} interleaved runs, one thread")
    print(f"{'method':8} {'setting':11} {'PSNR/dB':>8} {'seconds':>8}  values")
    for (name, kind), (setting, value, _) in sorted(chosen.items()):
        print(f"{name:8} {kind:11} {value:8.2f} {seconds[name, kind]:8.2f}  {json.dumps(setting)}")
    others = [seconds[key] for key in chosen if key[1] == "fast" and key[0] != "assay"]
    ours = seconds.get(("assay", "fast"))
    print(f"best peer {max(peers, default=math.nan):.2f} dB, assay tuned {best['assay'][1]:.2f} dB; time of assay's fast "
          f"setting / fastest peer within {CLOSE} dB: "
          + (f"{ours / min(others):.2f}" if ours is not None and others else "not comparable (one side did not reach it)"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peers", help="a Python with sigpy and pylops")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a third of the grid")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.folder)
        return
    for pattern in ("variable density", "lines"):
        compare(pattern, options.peers, rounds=options.rounds, quick=options.quick)


if __name__ == "__main__":
    main()
