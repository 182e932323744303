"""Certificates of systems whose exact radii are known; what is not the chain, and what is wrong, gets none; smoothing."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binomtest, norm
from torch import nn

import small_classifier as small
from assay.arrays import InputError
from assay.bounds.smoothing import smoothed_radius, votes_needed
from assay.checks import certificate
from assay.checks.certificate import replayed, unprovable
from assay.checks.check import Check
from assay.perturbations.protocol import Examples
from assay.systems.function import FunctionSystem
from assay.systems.smoothed import Smoothed
from assay.systems.torch import TorchSystem
from assay.verdicts import judge

RIGHT = small.N - small.WRONG


def check(**changes) -> Check:
    said = {"id": "proof", "title": "", "question": "", "method": "certificate", "metric": "certified-radius", "sources": (),
            "criterion": {"kind": "certifies", "within": 0.01, "sentence": "s"}, "unit": "ℓ2",
            "perturbation": {"kind": "inputs", "norm": "l2", "relative": False}, **changes}
    return Check(**said)


def system() -> TorchSystem:
    linear = small.Linear()
    return TorchSystem(nn.Sequential(nn.Flatten(), linear.linear), name="net")


def asked(target=None, **changes):
    words = check(**changes)
    return small.ask(target or system(), **{name: getattr(words, name) for name in (
        "id", "method", "metric", "criterion", "unit", "perturbation", "search")})


def test_a_linear_classifier_is_certified_to_its_distance():
    """The images lie far from the ends of the range, so that the box takes nothing away."""
    known = small.distances()
    rows = asked().findings
    for i, row in enumerate(rows):
        if i >= RIGHT:
            assert row.worst is None and row.extra["already-wrong"] == 1 and row.notes
        else:
            assert row.worst <= float(known[i]) and row.worst == pytest.approx(float(known[i]), abs=3e-5)
            assert row.extra["bound.exact"] == 1 and row.size is None and row.flags == ()


def test_sizes_are_told_in_the_unit_of_the_check():
    relative = asked(perturbation={"kind": "inputs", "norm": "l2"}).findings
    x, _ = small.images()
    for plain, share, size in zip(asked().findings[:RIGHT], relative, x.flatten(1).norm(dim=1), strict=False):
        assert share.worst * float(size) == pytest.approx(plain.worst, abs=1e-5)
    pixels = asked(perturbation={"kind": "inputs", "norm": "linf", "relative": "range"}, unit="share").findings[0]
    assert 0 < pixels.worst < asked().findings[0].worst


def test_what_is_stored_is_proved_again_and_what_is_forged_is_not():
    found = asked()
    x, row = small.examples().only(0), found.findings[0]
    (stored,) = (v for name, v in found.witnesses.items() if name == "net|s0|-")
    again = replayed(check(), row, small.bench(system()), x, stored)
    assert again["worst"] == pytest.approx(row.worst, rel=1e-6)
    forged = replayed(check(), row, small.bench(system()), x, 1.01 * stored)
    assert forged["worst"] == 0.0
    assert len(found.witnesses) == RIGHT


class Elsewhere(TorchSystem):
    """Answers its layers at mid-grey images and something else elsewhere."""


class Sly(nn.Module):
    """A chain when it is recorded, and another one when it is called with data."""

    def __init__(self) -> None:
        super().__init__()
        self.last = small.Linear().linear

    def forward(self, x):
        scores = self.last(x.flatten(1))
        return scores if isinstance(x, torch.fx.Proxy) else scores.flip(1)


def test_a_system_that_is_not_its_chain_is_not_certified():
    rows = asked(TorchSystem(Sly(), name="net")).findings
    assert all(f.worst is None and [g.id for g in f.flags] == ["raised"] for f in rows)
    assert "does not answer as its layers do" in rows[0].notes
    assert "no torch network" in unprovable(check(), Elsewhere(system().module), small.examples())


@pytest.mark.parametrize(("target", "changes", "why"), [
    (lambda: FunctionSystem(lambda x: x), {}, "no torch network"),
    (lambda: TorchSystem(nn.Sequential(nn.Flatten(), nn.Linear(36, 3), nn.Tanh())), {}, "Tanh has no bounds"),
    (lambda: TorchSystem(nn.Sequential(nn.Flatten(), nn.Linear(36, 9000), nn.ReLU())), {}, "9000 values"),
    (lambda: Smoothed(system(), sigma=0.1), {"perturbation": {"kind": "inputs", "norm": "linf"}}, "ℓ2 balls only"),
    (system, {}, ""), (lambda: Smoothed(system(), sigma=0.1), {}, ""),
])
def test_what_cannot_be_proved_is_said_before_the_run(target, changes, why):
    reason = unprovable(check(**changes), target(), small.examples())
    assert (why in reason) if why else reason == ""


def test_other_inputs_are_not_bounded():
    x = Examples(ids=("a",), inputs=torch.zeros(1, 4, dtype=torch.int32), truth=torch.tensor([0]))
    assert "real numbers" in unprovable(check(), system(), x)
    with pytest.raises(InputError, match="kind"):
        unprovable(check(perturbation={"kind": "affine"}), system(), small.examples())


# --- smoothing


def test_radius_by_hand_and_against_scipy():
    for votes, draws in ((60, 100), (990, 1000), (1000, 1000), (5001, 10_000)):
        radius, p = smoothed_radius(votes, draws, sigma=0.5, alpha=0.001)
        exact = binomtest(votes, draws, alternative="greater").proportion_ci(0.999, method="exact").low
        assert p == pytest.approx(exact, abs=1e-9)
        assert radius == pytest.approx(0.5 * norm.ppf(exact) if exact > 0.5 else 0.0)
    n = votes_needed(0.3, sigma=0.1, alpha=0.001)
    assert smoothed_radius(n, n, sigma=0.1, alpha=0.001)[0] >= 0.3 > smoothed_radius(n - 1, n - 1, sigma=0.1, alpha=0.001)[0]
    with pytest.raises(InputError, match="alpha"):
        smoothed_radius(1, 2, sigma=0.1, alpha=0.7)


class Plane(nn.Module):
    """Two classes, apart at ⟨w, x⟩ = b with ‖w‖ = 2: the smoothed classifier has the same boundary."""

    def forward(self, x):
        z = 2 * (x.flatten(1)[:, 0] - 0.3)
        return torch.stack((torch.zeros_like(z), z), dim=1)


def plane(distances: list[float]) -> Examples:
    x = torch.zeros(len(distances), 4)
    x[:, 0] = 0.3 + torch.tensor(distances)
    return Examples(ids=tuple(f"s{i}" for i in range(len(x))), inputs=x, truth=torch.ones(len(x), dtype=torch.long))


def radii(sigma: float, draws: int, distances: list[float], alpha: float = 0.001) -> list[float]:
    words, x = check(search={"draws": draws, "alpha": alpha}), plane(distances)
    bench = small.bench(Smoothed(TorchSystem(Plane()), sigma=sigma))
    return certificate._by_votes(words, bench.systems["net"].system, bench, x)[0].tolist()


def test_of_a_linear_classifier_the_radius_is_the_distance_in_the_limit():
    """P(f(x + σN) = c) = Φ(d/σ), so the radius tends to d: below it with few draws, close to it with many."""
    known = [0.02, 0.05, 0.1, 0.2]
    few, many = radii(0.1, 1000, known), radii(0.1, 100_000, known)
    for a, b, d in zip(few, many, known, strict=True):
        assert a <= d + 1e-9 and b <= d + 1e-9 and abs(b - d) < abs(a - d) + 1e-3
        assert b == pytest.approx(d, abs=0.006)
    assert radii(0.1, 1000, [-0.2])[0] == 0.0                # decided otherwise: nothing is proved of the label


def test_proofs_fail_as_rarely_as_they_say():
    """At 20 % failure a tenth to a fifth of the radii would be too large; a bound by p̂ alone fails for half of them."""
    d, sigma = 0.1, 0.1
    p = norm.cdf(d / sigma)
    votes = torch.distributions.Binomial(200, torch.tensor(p)).sample((3000,)).int().tolist()
    too_large = sum(smoothed_radius(k, 200, sigma=sigma, alpha=0.2)[0] > d for k in votes) / len(votes)
    naive = sum(sigma * norm.ppf(min(k / 200, 1 - 1e-9)) > d for k in votes) / len(votes)
    assert too_large <= 0.2 + 0.02 and naive > 0.3


def test_all_samples_share_the_probability_of_failure():
    one = radii(0.1, 1000, [0.2])[0]
    among = radii(0.1, 1000, [0.2] * 30)[0]
    assert among < one                                       # alpha / 30 each


def test_the_smoothed_system_is_the_same_at_every_call_and_in_every_batch():
    smoothed = Smoothed(system(), sigma=0.2, draws=150)
    x, _ = small.images()
    votes = smoothed(x)
    assert torch.equal(votes, smoothed(x)) and votes.sum(1).tolist() == [150.0] * len(x)
    assert torch.equal(votes[3:4], smoothed(x[3:4])) and smoothed.name == "net-smoothed"
    assert smoothed.settings["sigma"] == 0.2
    with pytest.raises(InputError, match="sigma"):
        Smoothed(system(), sigma=0.0)


def test_a_certificate_of_the_smoothed_system_says_how_surely():
    found = asked(Smoothed(system(), sigma=0.2), search={"draws": 500})
    right = [f for f in found.findings if not f.extra["already-wrong"]]
    assert any(f.worst > 0 for f in right)
    assert all(f.extra["failure-probability"] == 0.001 and f.extra["bound.smoothing"] == 1 for f in right)
    words = {"id": "proof", "metric": "certified-radius", "unit": "ℓ2",
             "criterion": {"kind": "certifies", "within": 1e-4, "share": 0.1, "sentence": "s"}}
    verdict = judge(found.findings, words, "net", role="audited")
    assert verdict.outcome.value == "certified" and verdict.failure == 0.001
    assert "probability of at least 0.999" in verdict.reason
    again = replayed(check(search={"draws": 500}), right[0], small.bench(Smoothed(system(), sigma=0.2)),
                     small.examples().only(int(right[0].sample[1:])), torch.zeros(1))
    assert math.isfinite(again["worst"])
