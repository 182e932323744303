"""Added sounds: whole steps of 16 bits, sizes in decibels, nearest and random members; each law beside what breaks it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

import bounded_oracles as oracle
from assay.arrays import InputError
from assay.datasets.sounds import BOX as FULL_SCALE
from assay.perturbations import registry
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import ConvexSet, Examples, stream
from assay.perturbations.sounds import ROUNDING, AddedSound, decibels, playable, stored

NORMS = ("l2", "linf")
LEVELS = (-40.0, -12.0, 3.0)
BOX = (-1.0, 1.0)
STEP = 2.0**-15


def sounds(batch: int = 4, samples: int = 12, *, peak: float = 1.0, seed: int = 0) -> Examples:
    """Sounds of different loudness, the first of them with many values near full scale where the peak is 1."""
    g = torch.Generator().manual_seed(seed)
    waves = 2 * torch.rand(batch, samples, dtype=torch.float64, generator=g) - 1
    waves = waves.sign() * waves.abs().sqrt()
    waves = waves / waves.abs().amax(1, keepdim=True) * peak / torch.arange(1, batch + 1)[:, None]
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=waves, box=BOX, rate=16_000)


def generators(x: Examples, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, sample) for sample in x.ids]


def direction(x: Examples, seed: int = 1) -> Tensor:
    return torch.randn(x.inputs.shape, dtype=x.inputs.dtype, generator=torch.Generator().manual_seed(seed))


def loudness(z: np.ndarray, norm: str) -> float:
    return max(abs(v) for v in z) if norm == "linf" else math.sqrt(sum(v * v for v in z))


def ratios(x: Examples, p: Tensor, norm: str) -> list[float]:
    """20 log₁₀ of the ratio of loudness, one sound after another."""
    return [20 * math.log10(loudness(change, norm) / loudness(wave, norm))
            for wave, change in zip(x.inputs.tolist(), p.tolist(), strict=True)]


def cut(p: Tensor) -> Tensor:
    """Whole steps, one value after another: the greatest number of them that its modulus holds."""
    return torch.tensor([[math.copysign(math.floor(abs(v) * 32768 + 0.001) / 32768, v) for v in row] for row in p.tolist()],
                        dtype=p.dtype)


def radii(x: Examples, norm: str, level: float) -> list[float]:
    return [10 ** (level / 20) * loudness(wave, norm) for wave in x.inputs.tolist()]


# whole steps

def values(dtype: torch.dtype) -> Tensor:
    """Changes of all sizes, of which a third are whole steps; and the ends of full scale, and nothing."""
    g = torch.Generator().manual_seed(5)
    p = torch.randn(30, 40, dtype=dtype, generator=g) * 10 ** torch.linspace(-6, -0.6, 30, dtype=dtype)[:, None]
    p[::3] = (p[::3] * 2**15).round() / 2**15
    p[0, :4] = torch.tensor([1.0, -1.0, 0.0, -0.0], dtype=dtype)
    return p


def is_cut(cutting, dtype: torch.dtype) -> None:
    """Multiples of 2⁻¹⁵, the greatest that are no larger; the same again; not one of them moved."""
    p = values(dtype)
    found = cutting(p)
    assert found.dtype == dtype and found.shape == p.shape
    steps = found.double() * 2**15
    assert torch.equal(steps, steps.round()), "not whole steps"
    assert bool((found.double().abs() <= p.double().abs() + 2e-3 * STEP).all()), "larger"
    assert bool((found.double().abs() > p.double().abs() - STEP).all()), "more than a step is lost"
    assert bool((found * p >= 0).all()), "another sign"
    assert torch.equal(found[::3], p[::3]) and torch.equal(cutting(found), found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_playable_change_is_cut_to_whole_steps(dtype):
    is_cut(playable, dtype)
    assert torch.equal(playable(values(dtype)).double(), cut(values(dtype).double()))


@pytest.mark.parametrize("broken", [
    lambda p: (p * 2**15).round() / 2**15, lambda p: (p * 2**15).floor() / 2**15, lambda p: p,
    lambda p: (p * 2**14).trunc() / 2**14, lambda p: (p * (2**15 - 1)).trunc() / (2**15 - 1)],
    ids=["nearest", "downwards", "not at all", "15 bits", "another scale"])
def test_other_ways_to_cut_are_caught(broken):
    with pytest.raises(AssertionError):
        is_cut(broken, torch.float64)


def test_what_rounding_left_just_short_of_a_step_is_that_step():
    """Less than a thousandth of a step is rounding, and more is not; nowhere is anything added to nothing."""
    whole = torch.tensor([[1.0, -1.0, 7.0, -300.0, 20_000.0]], dtype=torch.float64)
    for short, expected in ((0.5 * ROUNDING, whole), (2 * ROUNDING, whole - whole.sign())):
        assert torch.equal(playable((whole - short * whole.sign()) * STEP) * 2**15, expected)
    assert not playable(torch.tensor([[0.0, -0.0, 0.998 * STEP, -0.998 * STEP, 1e-30]], dtype=torch.float64)).any()
    p = torch.arange(-2000, 2000).float()[None] * STEP
    scaled = p / 0.7 * 0.7                              # there and back in single precision, as a search may do
    assert bool((scaled.abs() < p.abs()).any()) and torch.equal(playable(scaled), p)


def lets_gradients_through(cutting) -> None:
    p = values(torch.float64).requires_grad_()
    weights = torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(6))
    value = (cutting(p) * weights).sum()
    assert value.requires_grad and torch.equal(torch.autograd.grad(value, p)[0], weights)


def test_the_gradient_goes_through_as_if_nothing_was_cut():
    lets_gradients_through(playable)
    for broken in (lambda p: (p * 2**15).trunc() / 2**15, lambda p: playable(p).detach(), lambda p: 2 * playable(p)):
        with pytest.raises(AssertionError):
            lets_gradients_through(broken)


def is_as_stored(storing) -> None:
    """The nearest step, one value after another; what is in a file already stays; the gradient goes through."""
    waves = torch.cat((values(torch.float64), sounds(4, 40).inputs))
    found = storing(waves)
    for row, theirs in zip(waves.tolist(), found.tolist(), strict=True):
        for v, w in zip(row, theirs, strict=True):
            assert w * 32768 == int(w * 32768) and abs(w - v) <= STEP / 2 * (1 + 1e-9)
    assert torch.equal(storing(found), found)
    lets_gradients_through(storing)


def test_a_stored_sound_is_in_the_nearest_steps():
    is_as_stored(stored)
    for broken in (playable, lambda p: (p * 2**15).round() / 2**15, lambda p: stored(p + STEP / 4)):
        with pytest.raises(AssertionError):
            is_as_stored(broken)


def stays_a_recording(within: AddedSound, x: Examples) -> None:
    """Whole steps from −32768 to 32767: what a file of 16 bits holds."""
    for p in (within.project(x, 0.1 * direction(x)), within.steepest(x, direction(x)), within.sample(x, generators(x))):
        samples = within.apply(x, p).inputs * 2**15
        assert torch.equal(samples, samples.round()), "no file of 16 bits"
        assert float(samples.min()) >= -32768 and float(samples.max()) <= 32767, "beyond what 16 bits hold"


def recording(peak: float = 0.5) -> Examples:
    x = sounds(4, 200, peak=peak)
    return replace(x, inputs=(x.inputs * 2**15).round().clamp(-32768, 32767) / 2**15)


@pytest.mark.parametrize("norm", NORMS)
def test_a_changed_recording_of_16_bits_is_one_again(norm):
    for level in (-60.0, -20.0, -7.0):
        stays_a_recording(AddedSound.at(level, recording(), norm), recording())
        with pytest.raises(AssertionError, match="no file"):
            stays_a_recording(Whole.at(level, recording(), norm), recording())


@pytest.mark.parametrize("norm", NORMS)
def test_at_full_scale_too_which_ends_a_step_below_one(norm):
    x = replace(recording(1.0), box=FULL_SCALE)
    stays_a_recording(AddedSound.at(0.0, x, norm), x)
    with pytest.raises(AssertionError, match="beyond what 16 bits hold"):
        stays_a_recording(AddedSound.at(0.0, recording(1.0), norm), recording(1.0))


# size

def tells_sizes(within: AddedSound, norm: str) -> None:
    x = sounds()
    p = 0.01 * direction(x)
    assert within.size(x, p).tolist() == pytest.approx(ratios(x, cut(p), norm), abs=1e-9)


@dataclass(frozen=True, kw_only=True)
class Whole(AddedSound):
    """A broken twin: what is added and measured is not cut."""

    apply = InputBall.apply

    def size(self, x, p):
        return decibels(InputBall.size(self, x, p))


@dataclass(frozen=True, kw_only=True)
class Power(AddedSound):
    """A broken twin: 10 log₁₀ of the ratio of amplitudes."""

    def size(self, x, p):
        return super().size(x, p) / 2


@pytest.mark.parametrize("norm", NORMS)
def test_the_size_is_twenty_logarithms_of_the_ratio(norm):
    tells_sizes(AddedSound.at(-20.0, sounds(), norm), norm)
    with pytest.raises(AssertionError):
        tells_sizes(Power.at(-20.0, sounds(), norm), norm)
    with pytest.raises(AssertionError):
        tells_sizes(Whole.at(-20.0, sounds(), norm), norm)
    with pytest.raises(AssertionError):
        tells_sizes(AddedSound.at(-20.0, sounds(), norm), {"l2": "linf", "linf": "l2"}[norm])


def test_sizes_by_hand():
    """(3, 4)/8 beside (0, 5)/8: ℓ2 0 dB, ℓ∞ 20 log₁₀ 0.8; a 64th 36.12 dB less; nothing, or less than a step, −200 dB."""
    x = Examples(ids=("a",), inputs=torch.tensor([[0.0, 0.625]]), box=BOX)
    p = torch.tensor([[0.375, 0.5]])
    assert float(AddedSound.at(0.0, x, "l2").size(x, p)) == pytest.approx(0.0, abs=1e-6)
    assert float(AddedSound.at(0.0, x).size(x, p)) == pytest.approx(-1.9382, abs=1e-4)
    assert float(AddedSound.at(0.0, x).size(x, p / 64)) == pytest.approx(-38.0618, abs=1e-4)
    assert float(AddedSound.at(0.0, x).size(x, p / 64 + 0.9 * STEP)) == pytest.approx(-38.0618, abs=1e-4)
    for norm in NORMS:
        within = AddedSound.at(-20.0, x, norm)
        assert within.unit == "dB" and within.size(x, within.zero(x)).tolist() == [-200.0]
        for soft in (1e-30, 0.9 * STEP):
            assert within.size(x, torch.full((1, 2), soft)).tolist() == [-200.0]
            assert torch.equal(within.apply(x, torch.full((1, 2), soft)).inputs, x.inputs)
    assert decibels(torch.tensor([10.0, 0.5, 0.0])).tolist() == pytest.approx([20, -6.0206, -200], abs=1e-4)


# nearest and random members

def is_member(x: Examples, p: Tensor, norm: str, level: float) -> None:
    for wave, change, radius in zip(x.inputs.tolist(), p.tolist(), radii(x, norm, level), strict=True):
        assert loudness(change, norm) <= radius * (1 + 1e-9), "too loud"
        assert all(-1 <= a + b <= 1 for a, b in zip(wave, change, strict=True)), "beyond full scale"


def nearest(within: AddedSound, norm: str, level: float) -> None:
    """⟨p − z, q − z⟩ ≤ 0 for the greatest inner product over all members q, by the dual of one number."""
    x = sounds()
    p = direction(x)
    z = within.project(x, p)
    is_member(x, z, norm, level)
    assert torch.allclose(within.project(x, z), z, atol=1e-12)
    for wave, point, found, radius in zip(x.inputs.numpy(), p.numpy(), z.numpy(), radii(x, norm, level), strict=True):
        most = oracle.support(point - found, norm, radius, -1 - wave, 1 - wave)
        assert most - float((point - found) @ found) <= 1e-8


def steepest(within: AddedSound, norm: str, level: float) -> None:
    x = sounds()
    g = direction(x)
    d = within.steepest(x, g)
    is_member(x, d, norm, level)
    for wave, slope, found, radius in zip(x.inputs.numpy(), g.numpy(), d.numpy(), radii(x, norm, level), strict=True):
        assert float(slope @ found) == pytest.approx(oracle.support(slope, norm, radius, -1 - wave, 1 - wave), rel=1e-7)


WHOLE = 0.2                 # dB by which whole steps may be off on few and soft values


def off(level: float) -> float:
    """The same, for loud ones less."""
    return WHOLE if level < -30 else 0.05


def random_members(within: AddedSound, norm: str, level: float) -> None:
    """As loud as asked for, or as the farthest corner of full scale, whichever is less."""
    x = sounds()
    p = within.sample(x, generators(x), torch.full((len(x),), level, dtype=torch.float64))
    is_member(x, p, norm, level + off(level))
    farthest = [loudness([max(1 - v, 1 + v) for v in wave], norm) for wave in x.inputs.tolist()]
    expected = [min(20 * math.log10(far / loudness(wave, norm)), level)
                for far, wave in zip(farthest, x.inputs.tolist(), strict=True)]
    assert ratios(x, p, norm) == pytest.approx(expected, abs=off(level))
    assert within.size(x, p).tolist() == pytest.approx(ratios(x, cut(p), norm), abs=off(level))
    assert bool((p - cut(p)).abs().max() < STEP)


@dataclass(frozen=True, kw_only=True)
class Clipped(AddedSound):
    """A broken twin: what the whole ball says, clipped to full scale afterwards."""

    def _clip(self, x: Examples, p: Tensor) -> Tensor:
        return torch.clamp(p, -1 - x.inputs, 1 - x.inputs)

    def _whole(self) -> AddedSound:
        return AddedSound(ball=replace(self.ball, box=None))

    def project(self, x, p):
        return self._clip(x, self._whole().project(x, p))

    def steepest(self, x, gradient):
        return self._clip(x, self._whole().steepest(x, gradient))

    def sample(self, x, generators, size=None):
        return self._clip(x, self._whole().sample(x, generators, size))


@dataclass(frozen=True, kw_only=True)
class Open(AddedSound):
    """Another: full scale is forgotten."""

    def project(self, x, p):
        return AddedSound(ball=replace(self.ball, box=None)).project(x, p)

    steepest = AddedSound.uphill

    def sample(self, x, generators, size=None):
        return AddedSound(ball=replace(self.ball, box=None)).sample(x, generators, size)


LAWS = {"nearest": nearest, "steepest": steepest, "random members": random_members}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("level", LEVELS)
def test_laws(law, norm, level):
    LAWS[law](AddedSound.at(level, sounds(), norm), norm, level)


@pytest.mark.parametrize("law", LAWS)
def test_sets_that_clip_afterwards_or_forget_full_scale_are_caught(law):
    for broken, norm in ((Clipped, "l2"), (Open, "l2"), (Open, "linf")):
        with pytest.raises(AssertionError):
            LAWS[law](broken.at(3.0, sounds(), norm), norm, 3.0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_set_of_another_level_is_caught(law, norm):
    """A tenth of a decibel more."""
    class Louder(AddedSound):
        def sample(self, x, generators, size=None):
            return super().sample(x, generators, None if size is None else size + 0.1)

    with pytest.raises(AssertionError):
        LAWS[law](Louder.at(-11.9, sounds(), norm), norm, -12.0)


@pytest.mark.parametrize("norm", NORMS)
def test_random_members_are_as_loud_as_asked_for_each_sound(norm):
    x = sounds(peak=0.5)
    within, asked = AddedSound.at(-20.0, x, norm), torch.tensor([-20.0, -33.0, -40.0, -6.0])
    assert ratios(x, within.sample(x, generators(x), asked), norm) == pytest.approx(asked.tolist(), abs=WHOLE)
    assert ratios(x, within.sample(x, generators(x)), norm) == pytest.approx([-20.0] * 4, abs=WHOLE)


@pytest.mark.parametrize("norm", NORMS)
def test_random_members_do_not_depend_on_the_batch(norm):
    x = sounds()
    within = AddedSound.at(-6.0, x, norm)
    together = within.sample(x, generators(x))
    for i, sample in enumerate(x.ids):
        assert torch.allclose(within.sample(x.only(i), [stream(0, sample)])[0], together[i], atol=1e-14)


@pytest.mark.parametrize("norm", NORMS)
def test_in_single_precision_members_stay_in_full_scale_to_the_last_bit(norm):
    x = Examples(ids=("a", "b"), inputs=sounds(2, 4000).inputs.float(), box=BOX)
    for level in (-20.0, 0.0, 60.0):
        within = AddedSound.at(level, x, norm)
        for p in (within.project(x, 1e6 * direction(x)), within.steepest(x, direction(x)), within.sample(x, generators(x))):
            assert p.dtype == torch.float32 and float(within.apply(x, p).inputs.abs().max()) <= 1
            assert bool((within.size(x, p) <= level + 1e-4).all())


# what it is made from

def test_a_silent_sound_is_refused_by_name():
    x = Examples(ids=("loud", "nothing", "none"), inputs=torch.tensor([[0.1, 0.0], [0.0, 0.0], [0.0, -0.0]]), box=BOX)
    for norm in NORMS:
        with pytest.raises(InputError, match="nothing: silent throughout, and no sound is small beside nothing"):
            AddedSound.at(-20.0, x, norm)
    AddedSound.at(-20.0, x.only(0))


@pytest.mark.parametrize("level", [math.nan, math.inf, -math.inf, 200.1, -200.1])
def test_a_level_is_a_number_of_decibels(level):
    with pytest.raises(InputError, match=f"a level in dB is a number from -200 to 200, got {level}"):
        AddedSound.at(level, sounds())
    assert AddedSound.at(math.copysign(200.0, level), sounds()).ball.radius == pytest.approx(10 ** math.copysign(10, level))


@pytest.mark.parametrize("norm", NORMS)
def test_resizing_gives_the_set_of_another_level(norm):
    within = AddedSound.at(-20.0, sounds(), norm).resized(-34.0)
    assert isinstance(within, AddedSound) and isinstance(within, ConvexSet)
    assert within.ball == Ball(norm=norm, radius=10 ** (-34.0 / 20), relative=True, box=BOX)
    for law in LAWS.values():
        law(within, norm, -34.0)


def test_the_registry_builds_it_from_words():
    x = sounds()
    assert registry.build({"kind": "added-sound"}, -20.0, x) == AddedSound.at(-20.0, x, "linf")
    assert registry.build({"kind": "added-sound", "norm": "l2"}, -35.0, x) == AddedSound.at(-35.0, x, "l2")
    assert registry.unfit({"kind": "added-sound"}, x) == ""
    assert isinstance(registry.build({"kind": "added-sound"}, -20.0, x), registry.NESTED)


def test_the_truth_stays_and_the_sound_is_added():
    x = replace(sounds(), truth=torch.arange(4))
    p = 0.01 * direction(x)
    changed = AddedSound.at(0.0, x).apply(x, p)
    assert torch.equal(changed.inputs, x.inputs + cut(p)) and not torch.equal(changed.inputs, x.inputs + p)
    assert torch.equal(changed.truth, x.truth)
    assert changed.ids == x.ids and changed.decibels and isinstance(AddedSound.at(0.0, x), InputBall)


def test_where_no_step_is_soft_enough_the_set_is_empty():
    """A recording of 100 steps at −40 dB has one step, at −41 none."""
    x = Examples(ids=("a",), inputs=torch.tensor([[100.0, -50.0]]) / 2**15, box=(-1.0, 1.0), rate=8000)
    assert not bool(AddedSound.at(-40.0, x).empty(x)) and bool(AddedSound.at(-41.0, x).empty(x))


def test_soft_random_noise_of_the_l2_ball_is_as_loud_as_asked():
    """Cut towards 0 it would be softer: a step and a half on average becomes less than one."""
    x = Examples(ids=("a",), inputs=torch.full((1, 20_000), 100.0) / 2**15, box=(-1.0, 1.0), rate=8000)
    within = AddedSound.at(-36.5, x, norm="l2")
    p = within.sample(x, [torch.Generator().manual_seed(0)], torch.tensor([-36.5]))
    assert torch.equal(p * 2**15, (p * 2**15).round())
    assert abs(float(within.size(x, p)) + 36.5) < 0.35
    plain = InputBall.sample(within, x, [torch.Generator().manual_seed(0)], torch.tensor([10 ** (-36.5 / 20)]))
    assert float(within.size(x, plain)) < -37.5
