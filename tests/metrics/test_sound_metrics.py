"""Hidden words: which word is hidden, when it is heard, and the least sound that makes a linear classifier hear it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from assay.arrays import InputError
from assay.checks import searching
from assay.checks.check import Check
from assay.metrics import protocol
from assay.metrics.protocol import Response
from assay.metrics.sound import heard_as, hidden_word
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.sounds import AddedSound
from assay.records import Access
from assay.systems.metered import Metered

HEARD_AS = protocol.find("heard-as")
NAMES = tuple(f"word-{i:04d}" for i in range(1000))


def named(ids: tuple[str, ...], truth: Tensor | None = None) -> Examples:
    return Examples(ids=ids, inputs=torch.zeros(len(ids), 2),
                    truth=torch.zeros(len(ids), dtype=torch.int64) if truth is None else truth)


# which word

def is_spread(hide, classes: int = 10) -> None:
    """Over the other classes about as often each: χ² of a thousand names below its quantile of 0.1 %."""
    for label in (0, 1, classes - 1):
        found = Counter(hide(named(NAMES, torch.full((1000,), label)), classes).tolist())
        assert label not in found and set(found) <= set(range(classes))
        expected = 1000 / (classes - 1)
        statistic = sum((found.get(c, 0) - expected) ** 2 / expected for c in range(classes) if c != label)
        assert statistic < chi2.ppf(0.999, classes - 2), statistic


def knows_the_name_alone(hide) -> None:
    together = hide(named(NAMES[:50]), 10)
    assert torch.equal(hide(named(NAMES[:50][::-1]), 10).flip(0), together)
    assert torch.equal(torch.cat([hide(named((name,)), 10) for name in NAMES[:50]]), together)
    torch.manual_seed(7)
    assert torch.equal(hide(named(NAMES[:50]), 10), together)


def the_next(x: Examples, classes: int) -> Tensor:
    return (x.truth + 1) % classes


def by_place(x: Examples, classes: int) -> Tensor:
    return (x.truth + 1 + torch.arange(len(x)) % (classes - 1)) % classes


def by_chance(x: Examples, classes: int) -> Tensor:
    return torch.randint(classes, (len(x),))


@pytest.mark.parametrize("classes", [3, 10, 12])
def test_the_hidden_word_is_another_and_every_other_as_often(classes):
    is_spread(hidden_word, classes)


def test_the_hidden_word_depends_on_the_name_alone():
    knows_the_name_alone(hidden_word)


@pytest.mark.parametrize(("law", "broken"), [(is_spread, the_next), (is_spread, by_chance), (knows_the_name_alone, by_place),
                                             (knows_the_name_alone, by_chance)])
def test_other_ways_to_hide_are_caught(law, broken):
    with pytest.raises(AssertionError):
        law(broken)


def test_of_two_words_the_other_is_hidden():
    truth = torch.arange(1000) % 2
    assert torch.equal(hidden_word(named(NAMES, truth), 2), 1 - truth)


@pytest.mark.parametrize("truth", [None, torch.zeros(1), torch.zeros(1, dtype=torch.complex64)])
def test_without_classes_nothing_is_hidden(truth):
    with pytest.raises(InputError, match="the right classes are not known"):
        hidden_word(Examples(ids=("a",), inputs=torch.zeros(1, 2), truth=truth), 3)


@pytest.mark.parametrize("classes", [1, 0])
def test_of_one_word_none_is_another(classes):
    with pytest.raises(InputError, match="a hidden word is another than the right one, and the system has one class only"):
        hidden_word(named(("a", "b")), classes)


# when it is heard

def response(batch: int = 200, classes: int = 5, seed: int = 0) -> Response:
    g = torch.Generator().manual_seed(seed)
    x = named(NAMES[:batch], torch.randint(classes, (batch,), generator=g))
    scores = torch.randn(batch, classes, dtype=torch.float64, generator=g)
    return Response(output=scores, changed=x, normal=torch.zeros_like(scores), original=x)


def ranks_as_it_is_heard(metric: protocol.Metric) -> None:
    """Harm above the goal exactly where the greatest score is that of the hidden word; its value is then 1."""
    r = response()
    target = hidden_word(r.original, 5).tolist()
    heard = [max(range(5), key=row.__getitem__) == t for row, t in zip(r.output.tolist(), target, strict=True)]
    assert 20 < sum(heard) < 80
    assert (metric.harm(r) > metric.goal).tolist() == heard
    assert metric.compute(r).tolist() == [float(h) for h in heard]
    margins = [row[t] - max(v for k, v in enumerate(row) if k != t)
               for row, t in zip(r.output.tolist(), target, strict=True)]
    assert metric.harm(r).tolist() == pytest.approx(margins)


def test_harm_is_positive_exactly_where_the_word_is_heard():
    ranks_as_it_is_heard(HEARD_AS)


def test_a_metric_of_any_wrong_word_is_caught():
    with pytest.raises(AssertionError):
        ranks_as_it_is_heard(protocol.find("error-rate"))


def test_heard_as_by_hand():
    assert heard_as(torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), torch.tensor([1, 1])).tolist() == [1.0, 0.0]
    assert HEARD_AS.better == "lower" and HEARD_AS.goal == 0.0 and HEARD_AS.needs_truth and HEARD_AS.sign == 1.0


def gradients(r: Response) -> dict[str, Tensor]:
    """Of the margin: 1 at the hidden word, −1 at the greatest other; of the log odds: −softmax over the others."""
    found = {"margin": torch.zeros_like(r.output), "log-odds": torch.zeros_like(r.output)}
    for i, (row, t) in enumerate(zip(r.output.tolist(), hidden_word(r.original, 5).tolist(), strict=True)):
        others = [k for k in range(5) if k != t]
        found["margin"][i, max(others, key=row.__getitem__)] = -1.0
        whole = sum(math.exp(row[k]) for k in others)
        for k in others:
            found["log-odds"][i, k] = -math.exp(row[k]) / whole
        found["margin"][i, t] = found["log-odds"][i, t] = 1.0
    return found


def climbs_to_the_word(climb) -> None:
    r = response()
    scores = r.output.clone().requires_grad_()
    value = climb(Response(output=scores, changed=r.changed, normal=r.normal, original=r.original))
    (found,) = torch.autograd.grad(value.sum(), scores)
    assert any(torch.allclose(found, expected, atol=1e-12) for expected in gradients(r).values())


@pytest.mark.parametrize("climb", sorted(HEARD_AS.climbs))
def test_gradients_of_what_is_climbed(climb):
    r = response()
    scores = r.output.clone().requires_grad_()
    value = HEARD_AS.climbed(Response(output=scores, changed=r.changed, normal=r.normal, original=r.original), climb)
    assert torch.allclose(torch.autograd.grad(value.sum(), scores)[0], gradients(r)[climb], atol=1e-12)
    climbs_to_the_word(HEARD_AS.climbs[climb])


@pytest.mark.parametrize("climb", ["margin", "log-odds", "dlr"])
def test_climbing_away_from_the_right_word_is_caught(climb):
    with pytest.raises(AssertionError):
        climbs_to_the_word(protocol.find("error-rate").climbs[climb])


def test_changed_truth_does_not_move_the_target():
    """The word is that of the original, whatever the changed example says of its own."""
    r = response()
    moved = Response(output=r.output, changed=named(r.original.ids, (r.original.truth + 1) % 5), normal=r.normal,
                     original=r.original)
    assert torch.equal(HEARD_AS.compute(moved), HEARD_AS.compute(r))


# the least sound that does it

SAMPLES = 48
STEP = 2.0**-15


class Linear:
    """Scores (0, w · x + b) of waveforms."""

    access = Access.GRADIENT

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(3)
        self.w = torch.randn(SAMPLES, dtype=torch.float64, generator=g)
        self.b = -1.0

    def __call__(self, waves: Tensor) -> Tensor:
        one = waves @ self.w + self.b
        return torch.stack((torch.zeros_like(one), one), dim=1)


def recordings() -> Examples:
    """Of forty sounds of different loudness the eight that are heard most clearly; the right word is the one heard."""
    g = torch.Generator().manual_seed(4)
    waves = 2 * torch.rand(40, SAMPLES, dtype=torch.float64, generator=g) - 1
    waves = 0.4 * waves / (1 + torch.arange(40) % 4)[:, None] ** 0.5
    waves = waves[(waves @ Linear().w + Linear().b).abs().argsort(descending=True)[:8]]
    return Examples(ids=NAMES[:8], inputs=waves, truth=Linear()(waves).argmax(1), box=(-1.0, 1.0), rate=16_000)


def loudness(wave: list[float], norm: str) -> float:
    return max(abs(v) for v in wave) if norm == "linf" else math.sqrt(sum(v * v for v in wave))


def dual(norm: str) -> float:
    """Of ℓ∞ it is ℓ1, of ℓ2 itself."""
    w = Linear().w.tolist()
    return sum(abs(v) for v in w) if norm == "linf" else math.sqrt(sum(v * v for v in w))


def margin(wave: list[float]) -> float:
    return abs(sum(a * b for a, b in zip(Linear().w.tolist(), wave, strict=True)) + Linear().b)


def least_levels(norm: str) -> list[float]:
    """20 log₁₀(margin / (‖w‖_dual · loudness))."""
    return [20 * math.log10(margin(wave) / (dual(norm) * loudness(wave, norm))) for wave in recordings().inputs.tolist()]


def greatest_margin(x: Examples, norm: str, level: float) -> float:
    """radius · ‖w‖_dual − margin, without whole steps."""
    (wave,) = x.inputs.tolist()
    return 10 ** (level / 20) * loudness(wave, norm) * dual(norm) - margin(wave)


def test_half_a_decibel_is_many_steps():
    """So that cutting to whole steps hides nothing: at least fifty of the greatest value, of which each sample loses one."""
    for level, wave in zip(least_levels("linf"), recordings().inputs.tolist(), strict=True):
        radius = 10 ** (level / 20) * loudness(wave, "linf")
        assert (radius - 10 ** (-0.5 / 20) * radius) / STEP > 50


def is_heard_from_the_least_level(norm: str, kind: type[AddedSound] = AddedSound, least: list[float] | None = None) -> None:
    """The check's own search: found half a decibel above the closed form, not found half a decibel below.

    What is found is less than the closed form by at most a step of 16 bits in each sample: by ‖w‖₁ steps.
    """
    check = Check(id="c", title="", question="", method="worst-case", metric="heard-as", criterion={}, sources=(), search={
        "kind": "bounded", "steps": 20, "restarts": 1, "climbs": ["log-odds", "margin"], "query": 0})
    lost = dual("linf") * STEP
    for i, level in enumerate(least or least_levels(norm)):
        x, target = recordings().only(i), Metered(Linear(), name="net")
        for above in (0.5, -0.5):
            found, _ = searching.search(check, target, HEARD_AS, kind.at(level + above, x, norm), x,
                                        target(x.inputs).detach(), [stream(0, x.ids[0])], ())
            assert (float(found.value) > 0) == (above > 0), (i, level, above)
            most = greatest_margin(x, norm, level + above)
            assert float(found.value) <= most + 1e-9
            assert above > 0 or float(found.value) >= most - lost - 1e-3 * abs(most)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_word_is_heard_from_the_least_level_on(norm):
    is_heard_from_the_least_level(norm)


@dataclass(frozen=True, kw_only=True)
class Power(AddedSound):
    """A broken twin: ten decibels a factor of ten, as of powers."""

    @classmethod
    def at(cls, level, x, norm="linf"):
        return super().at(2 * level, x, norm)


def test_decibels_of_power_and_another_dual_are_caught():
    with pytest.raises(AssertionError):
        is_heard_from_the_least_level("linf", Power)
    with pytest.raises(AssertionError):
        is_heard_from_the_least_level("linf", least=least_levels("l2"))


def test_queries_alone_find_it_too_two_decibels_above():
    check = Check(id="c", title="", question="", method="worst-case", metric="heard-as", criterion={}, sources=(), search={
        "kind": "bounded", "steps": 1, "restarts": 1, "climbs": ["margin"], "query": 800})

    class Masked(Linear):
        def __call__(self, waves):
            scores = super().__call__(waves)
            return scores.detach() + 0 * scores

    for i, level in enumerate(least_levels("linf")[:3]):
        x, target = recordings().only(i), Metered(Masked(), name="net")
        for above in (2.0, -0.5):
            found, flags = searching.search(check, target, HEARD_AS, AddedSound.at(level + above, x), x,
                                            target(x.inputs).detach(), [stream(0, x.ids[0])], ())
            assert (float(found.value) > 0) == (above > 0), (i, level, above)
            assert ("query-beats-gradient" in {flag.id for flag in flags[0]}) == (above > 0)
