"""Peers of the adversarial search beside ours: each package in a process of its own, every answer looked at again.

A worker loads the same case and the same weights, runs one method a line, and returns the changed inputs, the seconds of
processor time (one thread, so other work on the machine hardly counts) and how often it evaluated the model; what a method
imports or builds at its first call is not counted, since two examples go before. The parent looks at the changed inputs
again in float64 and in the box. `--peers` is a Python that has them (never dependencies of Assay); a peer that is missing
is skipped with a line that says so.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import torch
from torch import Tensor, nn

PACKAGES = {"adv-lib": "adv_lib.attacks", "foolbox": "foolbox", "torchattacks": "torchattacks",
            "ART": "art.attacks.evasion"}
NEEDS_TORCHVISION = ("adv-lib", "torchattacks")
SATURATION = 20.0               # the factor at which softmax rounds to 0 and 1 in float32
CLOSE = (1.001, 1.01)           # a point that flips when its change is lengthened by these was stuck, not robust
Request = Mapping[str, Any]
Method = Callable[..., Tensor]


class Counted(nn.Module):
    """A classifier that counts the examples it is evaluated on, forward and backward, and may scale its scores."""

    def __init__(self, inner: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        scores = self.factor * self.inner(x)
        self.forwards += len(x)
        if scores.requires_grad:
            scores.register_hook(self._backward)
        return scores

    def _backward(self, gradient: Tensor) -> None:
        if torch._C._functorch.is_legacy_batchedtensor(gradient):   # k gradients in one backward count k
            gradient = torch._remove_batch_dim(gradient, 1, 1, 0)
        self.backwards += gradient.numel() // gradient.shape[-1]


def classifier(name: str) -> Counted:
    """"lenet", "lenet saturated", or "signs/NAME" for a sign network whose weights are shipped."""
    from assay.systems import catalogue
    from assay.systems.weights import SHIPPED, fill, read_weights

    base, _, form = name.partition(" ")
    if base.startswith("signs/"):
        module = importlib.import_module("assay.systems.literature.signs").build(base.removeprefix("signs/"))
        weights = Path(str(SHIPPED / f"{base}.safetensors"))
        fill(module, read_weights(weights)[0], weights)
    else:
        module = catalogue.load(base, role="audited").system.module
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Counted(module.eval(), SATURATION if form == "saturated" else 1.0).eval()


@dataclass(frozen=True, kw_only=True)
class Case:
    """Inputs in [0, 1] that the classifier decides rightly, in float32 and float64."""

    model: str
    inputs: Tensor
    labels: Tensor

    def write(self, folder: str) -> None:
        np.savez(Path(folder, "case.npz"), inputs=self.inputs.numpy(), labels=self.labels.numpy())


def rightly_decided(model: str, inputs: Tensor, labels: Tensor) -> Case:
    keep = (exact(model)(inputs.double()).argmax(1) == labels) & (classifier(model)(inputs).argmax(1) == labels)
    return Case(model=model, inputs=inputs[keep], labels=labels[keep])


def digits(model: str, limit: int) -> Case:
    from assay.datasets.labelled import bundled_digits

    data = bundled_digits("audited")
    x = data.fetch(range(min(limit, len(data.ids))))
    assert x.truth is not None
    return rightly_decided(model, x.inputs, x.truth)


def signs(path: Path, limit: int) -> Case | None:
    """Test images at even distances for the first sign network with weights here; None, with a line, without one."""
    from assay.systems.weights import SHIPPED

    names = [name for name in ("caffenet", "vgg-f", "vgg-16", "vgg-19", "googlenet", "resnet-152")
             if Path(str(SHIPPED / "signs" / f"{name}.safetensors")).is_file()]
    if not names:
        print("SKIPPED sign network: no weights of one in assay/systems/literature/weights/signs")
        return None
    with np.load(path, allow_pickle=False) as file:
        images, labels = file["test_images"], file["test_labels"]
    chosen = np.arange(limit) * len(images) // limit
    return rightly_decided(f"signs/{names[0]}", torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).float() / 255,
                           torch.from_numpy(labels[chosen].astype(np.int64)))


def exact(model: str) -> Callable[[Tensor], Tensor]:
    """The classifier in float64, without gradients."""
    double = classifier(model).double()

    def scores(x: Tensor) -> Tensor:
        with torch.no_grad():
            return double(x)

    return scores


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One run looked at again: `flips` (n,) in float64 and the box, `size` (n,) with inf where not, `stuck` (n,)."""

    flips: np.ndarray
    size: np.ndarray
    stuck: np.ndarray
    forward: float
    backward: float
    seconds: float                          # of processor time, the least of the rounds
    rounds: tuple[float, ...] = ()          # seconds of each

    @property
    def milliseconds(self) -> float:
        return 1000 * self.seconds / len(self.flips)


def look_again(case: Case, adversarial: np.ndarray, norm: str, answer: Mapping[str, Any]) -> Answer:
    """The perturbation as the box leaves it, in float64; `stuck`: not found, but lengthened by `CLOSE` it flips."""
    n = len(adversarial)
    x, labels, scores = case.inputs[:n].double(), case.labels[:n], exact(case.model)
    given = torch.from_numpy(adversarial).double()
    p = torch.where(torch.isfinite(given), given, x).clamp(0, 1) - x
    flips = scores(x + p).argmax(1) != labels
    size = p.flatten(1).norm(dim=1) if norm == "l2" else p.flatten(1).abs().amax(1)
    stuck = torch.zeros_like(flips)
    for factor in CLOSE:
        stuck |= ~flips & (scores((x + factor * p).clamp(0, 1)).argmax(1) != labels)
    return Answer(flips=flips.numpy(), size=torch.where(flips, size, torch.inf).numpy(), stuck=stuck.numpy(),
                  forward=answer["forward"] / n, backward=answer["backward"] / n, seconds=answer["seconds"])


class Worker:
    """A package's methods in another interpreter."""

    def __init__(self, package: str, python: str, script: str, folder: str, shim: str | None = None) -> None:
        self.package, self.folder = package, folder
        given = ["--shim", shim] if shim else []
        self.process = subprocess.Popen([python, "-W", "ignore", script, "--worker", package, "--folder", folder, *given],
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)

    def __call__(self, case: Case, request: Request) -> Answer | str:
        """The answer to one request, or the error's words."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):                      # one that has ended gives no line below
            self.process.stdin.write(json.dumps({"model": case.model, **request}) + "\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("RESULT "):
                answer = json.loads(line.removeprefix("RESULT "))
                if "error" in answer:
                    return str(answer["error"])
                found = np.load(Path(self.folder, f"{self.package}.npy"), allow_pickle=False)
                return look_again(case, found, request["norm"], answer)
        return "the process ended without an answer"

    def close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def serve(package: str, folder: str, methods: Mapping[str, Method], shim: str | None) -> None:
    """Answer requests on standard input; a method gets (model, inputs, labels, norm, **options) and returns inputs."""
    torch.set_num_threads(1)
    if package in NEEDS_TORCHVISION:
        _torchvision(shim)
    with np.load(Path(folder, "case.npz"), allow_pickle=False) as file:
        inputs, labels = torch.from_numpy(file["inputs"]), torch.from_numpy(file["labels"])
    warm: set[tuple[str, str]] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if (request["method"], request["norm"]) not in warm:
            warm.add((request["method"], request["norm"]))
            with contextlib.suppress(Exception), contextlib.redirect_stdout(sys.stderr):
                methods[request["method"]](classifier(request["model"]), inputs[:2].clone(), labels[:2].clone(),
                                           request["norm"], **request["options"])
        model, n = classifier(request["model"]), min(len(inputs), request.get("limit") or len(inputs))
        torch.manual_seed(0)
        np.random.seed(0)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                start = time.process_time()
                found = methods[request["method"]](model, inputs[:n].clone(), labels[:n].clone(), request["norm"],
                                                   **request["options"])
                seconds = time.process_time() - start
        except Exception as error:      # whatever a peer raises is its result
            print("RESULT " + json.dumps({"error": f"{type(error).__name__}: {str(error)[:90]}"}), flush=True)
            continue
        np.save(Path(folder, f"{package}.npy"), found.detach().float().numpy())
        print("RESULT " + json.dumps({"seconds": seconds, "forward": model.forwards, "backward": model.backwards}),
              flush=True)


def _torchvision(shim: str | None) -> None:
    """What a torchvision built for CUDA wants declared beside a torch without, and a visdom with nothing in it."""
    if shim:
        sys.path.insert(0, str(Path(shim).parent))
        importlib.import_module(Path(shim).stem)
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    globals()["_declared"] = library                                # it forgets its operators when it is collected
    if importlib.util.find_spec("visdom") is None:                  # adv-lib imports it for plots
        sys.modules["visdom"] = types.ModuleType("visdom")
        sys.modules["visdom"].Visdom = object                       # type: ignore[attr-defined]


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--peers", help=f"a Python with {', '.join(PACKAGES)}")
    parser.add_argument("--shim", help="a Python file to import before torchvision, in place of the two declarations")
    parser.add_argument("--data", type=Path, help="gtsrb_32x32.npz, for the sign network")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved runs of each; the least time counts")
    parser.add_argument("--limit", type=int, default=500, help="how many digits")
    parser.add_argument("--only", nargs="+", default=[], metavar="METHOD", help="these methods alone, by their names")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    return parser


@contextlib.contextmanager
def workers(case: Case, options: argparse.Namespace, script: str, folder: str) -> Iterator[dict[str, Worker]]:
    """Ours and each peer that can be imported; a line for each that cannot."""
    case.write(folder)
    found = {"assay": Worker("assay", sys.executable, script, folder)}
    for package, module in PACKAGES.items():
        probe = ["-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import peers; "
                       f"peers._torchvision({options.shim!r}); import {module}"]
        if options.peers and subprocess.run([options.peers, *probe], capture_output=True).returncode == 0:
            found[package] = Worker(package, options.peers, script, folder, options.shim)
        else:
            print(f"SKIPPED {package}: give --peers a Python in which `import {module}` works")
    try:
        yield found
    finally:
        for worker in found.values():
            worker.close()


def ratio_of_times(ours: Answer, theirs: Answer) -> float:
    """The median over the rounds of our seconds over theirs in the same round: other work on the machine delays both."""
    return float(np.median(np.array(ours.rounds) / np.array(theirs.rounds)))


def interleaved(case: Case, found: Mapping[str, Worker], requests: Sequence[tuple[str, Request]],
                rounds: int) -> dict[int, Answer]:
    """Each request's answer by its place, with the least seconds of `rounds` runs; a line for each that fails."""
    answers: dict[int, Answer] = {}
    failed: set[int] = set()
    seconds: dict[int, list[float]] = {}
    for _ in range(rounds):
        for place, (package, request) in enumerate(requests):
            if package not in found or place in failed or (place in answers and request.get("limit")):
                continue
            answer = found[package](case, request)
            if isinstance(answer, str):
                print(f"FAILED {package} {request['method']} {request['norm']}: {answer}")
                failed.add(place)
                continue
            seconds.setdefault(place, []).append(answer.seconds)
            if place not in answers or answer.seconds < answers[place].seconds:
                answers[place] = answer
    return {place: replace(answer, rounds=tuple(seconds[place])) for place, answer in answers.items()}


def machine() -> str:
    load = os.getloadavg()[0]
    return f"load {load:.1f}" + (": a loaded machine, read the ratios" if load > 2 else "")
