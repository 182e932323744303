"""Rooms: what is heard against sums written out in numpy, the level of each part, and rooms that hang on nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.arrays import InputError
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.rooms import COLUMNS, PlayedSound, Rooms, RoomSampler, grid, listen
from assay.perturbations.sounds import AddedSound

RATE, SAMPLES = 2000, 150
WIDE, OPEN = (0.0, 1e9), (-1e6, 1e6)
SHORT = RoomSampler(reverberation=(0.02, 0.06), delay=0.01, direct=(0.0, 12.0), band=(80.0, 700.0))


def sounds(batch: int = 3, samples: int = SAMPLES, dtype: torch.dtype = torch.float64) -> Tensor:
    return 0.1 * torch.randn(batch, samples, dtype=dtype, generator=torch.Generator().manual_seed(0))


def streams(batch: int = 3, seed: int = 0) -> list[torch.Generator]:
    return [stream(seed, i) for i in range(batch)]


def rooms(band=WIDE, count: int = 1, **changes: float) -> Rooms:
    """Rooms with the named columns, else silent and dry; seeds 0, 1, 2, …"""
    row = {"gain": 0.0, "delay": 0.0, "reverberation": 0.05, "direct": 200.0, "noise": -200.0, **changes}
    table = [[row.get(name, float(i)) for name in COLUMNS] for i in range(count)]
    return Rooms(table=torch.tensor(table, dtype=torch.float64), band=band, longest=row["reverberation"] + row["delay"])


# what is heard, written out

def impulse_response(room: dict[str, float], *, decay: float = 3.0) -> np.ndarray:
    """1, then from 2 ms to the reverberation time noise · 10^(−3 t / T60), its energy `direct` dB below."""
    generator = torch.Generator().manual_seed(int(room["seed"]))
    h = torch.randn(math.floor(room["reverberation"] * RATE) + 1, dtype=torch.float64, generator=generator).numpy()
    for i in range(len(h)):
        t = i / RATE
        h[i] *= 10 ** (-decay * t / room["reverberation"]) if t >= 0.002 else 0.0
    h *= 10 ** (-room["direct"] / 20) / math.sqrt(sum(v * v for v in h))
    h[0] = 1.0
    return h


def through(y: np.ndarray, band: tuple[float, float], order: int = 4) -> np.ndarray:
    """By a transform written as a matrix: each frequency times the modulus of two Butterworth filters."""
    n = len(y)
    k = np.arange(n)
    matrix = np.exp(-2j * np.pi * np.outer(k, k) / n)
    f = np.minimum(k, n - k) * RATE / n
    gain = 1 / np.sqrt(1 + (f / band[1]) ** order)
    if band[0] > 0:
        gain *= np.sqrt((f / band[0]) ** order / (1 + (f / band[0]) ** order))
    return (matrix.conj() @ (gain * (matrix @ y))).real / n


def smooth(n: int) -> int:
    """The least number from n on that is 2^a 3^b 5^c."""
    return min(2**a * 3**b * 5**c for a in range(12) for b in range(8) for c in range(6) if 2**a * 3**b * 5**c >= n)


def heard(waves: np.ndarray, drawn: Rooms, *, box=OPEN, order: int = 4, decay: float = 3.0, late: int = 0,
          noisy: float = 1.0) -> np.ndarray:
    """clip(g · (B(h ∗ x)(t − τ) + n)): convolution and delay by loops over time, τ in whole samples."""
    length, found = math.ceil(drawn.longest * RATE) + 2, []
    for x, row in zip(waves, drawn.table.tolist(), strict=True):
        room = dict(zip(COLUMNS, row, strict=True))
        h, delay = impulse_response(room, decay=decay), round(room["delay"] * RATE) + late
        noise = torch.randn(len(x), dtype=torch.float64, generator=torch.Generator().manual_seed(int(room["seed"]) + 2**31))
        echoed = np.zeros(smooth(len(x) + length))
        for i, value in enumerate(x):
            for j, share in enumerate(h[: len(echoed) - i - delay]):
                echoed[i + j + delay] += value * share
        gain = 10 ** (room["gain"] / 20)
        loud = noisy * 10 ** (room["noise"] / 20) * math.sqrt(np.mean(x * x))
        found.append(np.clip(gain * (through(echoed, drawn.band, order)[: len(x)] + loud * noise.numpy()), *box))
    return np.stack(found)


def whole_delays(table: Tensor) -> Tensor:
    """Delays in whole samples."""
    table = table.clone()
    table[:, COLUMNS.index("delay")] = (table[:, COLUMNS.index("delay")] * RATE).round() / RATE
    return table


def is_as_written_out(listening, dtype: torch.dtype = torch.float64, box=OPEN, **broken) -> None:
    waves = sounds(dtype=dtype)
    drawn = SHORT.draw(waves, streams())
    drawn = replace(drawn, table=whole_delays(drawn.table))
    found = listening(waves, drawn, rate=RATE, box=box)
    expected = heard(waves.double().numpy(), drawn, box=box, **broken)
    assert found.dtype == dtype and found.shape == waves.shape
    assert np.abs(found.double().numpy() - expected).max() < (1e-9 if dtype == torch.float64 else 2e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_heard_is_the_sum_over_time(dtype):
    is_as_written_out(listen, dtype)


def test_it_is_clipped_to_the_box():
    is_as_written_out(listen, box=(-0.05, 0.04))
    with pytest.raises(AssertionError):
        is_as_written_out(listen, box=(-0.05, 0.04), noisy=0.0)


@pytest.mark.parametrize("broken", [{"order": 2}, {"decay": 6.0}, {"late": 1}, {"noisy": 1.1}])
def test_another_filter_decay_delay_or_noise_is_caught(broken):
    with pytest.raises(AssertionError):
        is_as_written_out(listen, **broken)


def test_a_fraction_of_a_sample_is_kept_in_the_delay():
    """Of a tone far from both ends of the sound: sin(ω (t − τ)), to what its ends leave."""
    t = np.arange(1200) / RATE
    window = np.exp(-((t - 0.3) / 0.05) ** 2)
    for tau in (0.0, 0.00025, 0.0101, 0.01234):
        x = torch.from_numpy(window * np.sin(2 * np.pi * 300 * t))[None]
        found = listen(x, rooms(delay=tau), rate=RATE, box=OPEN)[0].numpy()
        late = np.exp(-((t - tau - 0.3) / 0.05) ** 2) * np.sin(2 * np.pi * 300 * (t - tau))
        assert np.abs(found - late).max() < 1e-5
        assert tau == 0 or np.abs(found - x[0].numpy()).max() > 0.1


# the level of each part

def gives_the_sound_back(waves: Tensor) -> None:
    assert float((listen(waves, rooms(count=len(waves)), rate=RATE) - waves).abs().max()) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_dry_and_silent_room_gives_the_sound_back(dtype):
    for constant in (0.0, 0.2):                 # 0 Hz is one of the frequencies from 0 on
        gives_the_sound_back(sounds(dtype=dtype) + constant)


@pytest.mark.parametrize("changes", [{"gain": 0.1}, {"delay": 0.5 / RATE}, {"direct": 40.0}, {"noise": -40.0},
                                     {"band": (80.0, 1e9)}, {"band": (0.0, 700.0)}])
def test_any_part_of_a_room_is_heard(changes):
    waves = sounds()
    assert float((listen(waves, rooms(count=3, **changes), rate=RATE) - waves).abs().max()) > 2e-4


def answer(drawn: Rooms, samples: int = 260) -> np.ndarray:
    """What is heard of an impulse."""
    impulse = torch.zeros(len(drawn), samples, dtype=torch.float64)
    impulse[:, 0] = 1.0
    return listen(impulse, drawn, rate=RATE, box=OPEN).numpy()


@pytest.mark.parametrize("direct", [0.0, 3.0, 12.0])
def test_the_rooms_answer_is_as_far_below_the_direct_sound_as_said(direct):
    h = answer(rooms(count=20, direct=direct, reverberation=0.1))
    level = 10 * np.log10(h[:, 0] ** 2 / (h[:, 1:] ** 2).sum(1))
    assert np.abs(level - direct).max() < 1e-3
    assert np.abs(h[:, 1:4]).max() < 1e-9 and np.abs(h[:, 4]).min() > 0 and np.abs(h[:, 202:]).max() < 1e-9


def falls_in(h: np.ndarray, seconds: float) -> None:
    """The mean of the squares over rooms falls by 60 dB in that time: a line through its logarithm, to 2 %."""
    t = np.arange(4, round(0.1 * RATE) + 1) / RATE
    slope = np.polyfit(t, 10 * np.log10((h[:, 4: 4 + len(t)] ** 2).mean(0)), 1)[0]
    assert slope == pytest.approx(-60 / seconds, rel=0.02)


def test_the_rooms_answer_falls_by_sixty_decibels_in_the_reverberation_time():
    h = answer(rooms(count=2000, direct=0.0, reverberation=0.1))
    falls_in(h, 0.1)
    for wrong in (0.09, 0.2):
        with pytest.raises(AssertionError):
            falls_in(h, wrong)


@pytest.mark.parametrize("noise", [-40.0, -20.0, 0.0])
def test_noise_is_as_many_decibels_beside_the_sound_as_said(noise):
    """In the mean over 400 rooms, whose standard error is 0.02 dB; white, so that neighbours do not know of each other."""
    waves = sounds(1, 600).expand(400, -1)
    n = listen(waves, rooms(count=400, noise=noise), rate=RATE, box=OPEN) - waves
    level = 10 * math.log10(float(n.square().sum(1).mean()) / float(waves[0].square().sum()))
    assert abs(level - noise) < 0.1
    assert abs(float((n[:, 1:] * n[:, :-1]).sum() / n.square().sum())) < 0.01
    assert not torch.equal(n[0], n[1])


def test_the_gain_is_a_factor_of_all_that_is_heard():
    """And of the noise, which is that of the room and not of the microphone."""
    waves = sounds()
    for gain in (-6.0, 20.0):
        quiet, loud = (listen(waves, rooms((80.0, 700.0), 3, gain=g, direct=3.0, noise=-20.0), rate=RATE, box=OPEN)
                       for g in (0.0, gain))
        assert torch.allclose(loud, 10 ** (gain / 20) * quiet, atol=1e-12)


# what a room hangs on

def test_a_room_is_heard_again_from_its_numbers_alone():
    waves = sounds()
    drawn = SHORT.draw(waves, streams())
    torch.manual_seed(7)
    again = Rooms(table=torch.tensor(drawn.table.tolist(), dtype=torch.float64), band=(80.0, 700.0), longest=0.07)
    assert torch.equal(listen(waves, drawn, rate=RATE), listen(waves, again, rate=RATE))
    for name in COLUMNS:
        table = drawn.table.clone()
        table[:, COLUMNS.index(name)] += 1 if name in ("seed", "gain", "noise", "direct") else 1 / RATE
        other = listen(waves, replace(drawn, table=table), rate=RATE)
        assert all(not torch.equal(a, b) for a, b in zip(other, listen(waves, drawn, rate=RATE), strict=True)), name
    seeds = RoomSampler().draw(waves, streams(), 100).column("seed")
    assert torch.equal(seeds, seeds.floor()) and float(seeds.max()) < 2**31 and len(set(seeds.tolist())) == 300


def draws_for_each_alone(draw) -> None:
    waves = sounds()
    together = draw(waves, streams(), 4)
    assert len(together) == 12 and together.table.dtype == torch.float64
    for i in range(3):
        alone = draw(waves[i:i + 1], streams()[i:i + 1], 4)
        assert torch.equal(alone.table, together.table[4 * i:4 * i + 4])


def test_a_waves_rooms_do_not_depend_on_the_batch():
    draws_for_each_alone(SHORT.draw)
    with pytest.raises(AssertionError):
        draws_for_each_alone(lambda waves, generators, count: SHORT.draw(waves, [stream(len(waves))] * len(waves), count))


def hears_each_alone(listening, sampler: RoomSampler) -> None:
    waves = sounds()
    drawn = sampler.draw(waves, streams(), 1)
    together = listening(waves, drawn, rate=RATE, box=OPEN)
    for i in range(3):
        alone = listening(waves[i:i + 1], replace(drawn, table=drawn.table[i:i + 1]), rate=RATE, box=OPEN)
        assert float((alone[0] - together[i]).abs().max()) < 1e-12


DRY, STILL = {"direct": (200.0, 200.0)}, {"noise": (-200.0, -200.0)}


@pytest.mark.parametrize("sampler", [SHORT, replace(SHORT, **DRY), replace(SHORT, **STILL), replace(SHORT, **DRY, **STILL)],
                         ids=["all", "noise", "answer", "transform"])
def test_what_is_heard_in_a_room_does_not_depend_on_the_batch(sampler):
    """Nor on how long the other rooms are: on none of its parts."""
    hears_each_alone(listen, sampler)

    def as_long_as_the_longest(waves: Tensor, drawn: Rooms, **options) -> Tensor:
        longest = float((drawn.column("reverberation") + drawn.column("delay")).max())
        return listen(waves, replace(drawn, longest=longest), **options)

    if sampler.direct == DRY["direct"] and sampler.noise == STILL["noise"]:
        with pytest.raises(AssertionError):
            hears_each_alone(as_long_as_the_longest, sampler)


def test_every_draw_stays_within_its_limits_and_reaches_near_them():
    sampler = RoomSampler()
    drawn = sampler.draw(sounds(), streams(), 400)
    assert drawn.band == (80.0, 7000.0)
    for name, low, high in (("gain", -6, 6), ("delay", 0, 0.02), ("reverberation", 0.1, 0.4), ("direct", 3, 12),
                            ("noise", -40, -25), ("seed", 0, 2**31)):
        values, near = drawn.column(name), 0.02 * (high - low)
        assert low <= float(values.min()) < low + near and high - near < float(values.max()) <= high
        assert abs(float(values.mean()) - (low + high) / 2) < 0.03 * (high - low)


# linear in the sound

def matrix(drawn: Rooms, samples: int) -> np.ndarray:
    """(rooms, samples, samples): what is heard of each unit impulse, written out."""
    unit = np.eye(samples)
    return np.stack([np.stack([heard(e[None], replace(drawn, table=drawn.table[i:i + 1]))[0] for e in unit], axis=1)
                     for i in range(len(drawn))])


def is_linear_with_its_adjoint(listening) -> None:
    """Sums and factors go through; the gradient of ⟨L x, y⟩ is Lᵀ y, and ⟨L x, y⟩ = ⟨x, Lᵀ y⟩."""
    waves, y = sounds(2, 24), sounds(2, 24).flip(1)
    drawn = SHORT.draw(waves, streams(2))
    table = whole_delays(drawn.table)
    table[:, COLUMNS.index("noise")] = -300.0
    drawn = replace(drawn, table=table)
    by = {"rate": RATE, "box": OPEN}
    both = listening(1.7 * waves - y, drawn, **by)
    assert torch.allclose(both, 1.7 * listening(waves, drawn, **by) - listening(y, drawn, **by), atol=1e-12), "linear"
    x = waves.clone().requires_grad_()
    value = (listening(x, drawn, **by) * y).sum()
    (gradient,) = torch.autograd.grad(value, x)
    transposed = np.einsum("bts,bt->bs", matrix(drawn, 24), y.numpy())
    assert np.abs(gradient.numpy() - transposed).max() < 1e-10, "adjoint"
    assert float((waves * gradient).sum()) == pytest.approx(float(value.detach()), rel=1e-9), "dot test"


def test_listening_is_linear_and_its_gradient_the_adjoint():
    is_linear_with_its_adjoint(listen)


@pytest.mark.parametrize(("broken", "law"), [
    (lambda x, drawn, **k: listen(x, drawn, **k | {"box": (-0.05, 0.05)}), "linear"),
    (lambda x, drawn, **k: listen(x, replace(drawn, table=drawn.table.flip(0)), **k), "adjoint"),
    (lambda x, drawn, **k: 2 * listen(x, drawn, **k).detach() - listen(x, drawn, **k), "adjoint")],
    ids=["clipped", "other rooms", "another gradient"])
def test_what_is_not_linear_or_has_another_gradient_is_caught(broken, law):
    with pytest.raises(AssertionError, match=law):
        is_linear_with_its_adjoint(broken)


def test_no_gradient_goes_through_the_loudness_of_the_noise():
    """The noise is the room's: it does not fall silent because the sound does."""
    waves, drawn = sounds(2, 24), rooms((80.0, 700.0), 2, noise=0.0, direct=3.0)
    gradients = []
    for one in (drawn, rooms((80.0, 700.0), 2, noise=-300.0, direct=3.0)):
        x = waves.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(listen(x, one, rate=RATE, box=OPEN).sum(), x)
        gradients.append(gradient)
    assert torch.allclose(*gradients, atol=1e-12)


# what is refused, and the grid

@pytest.mark.parametrize(("bad", "words"), [
    ({"gain": (1.0, 0.0)}, "gain: need"), ({"direct": (3.0, 2.0)}, "direct: need"), ({"noise": (-20, -30)}, "noise: need"),
    ({"band": (100.0, 50.0)}, "band: need"), ({"band": (50.0, 50.0)}, "low < high"),
    ({"gain": (1.0,)}, "gain: need"), ({"noise": (-3, -2, -1)}, "noise: need"),
    ({"reverberation": (0.2, 0.1)}, "reverberation: need"), ({"gain": (math.nan, 1.0)}, "gain: need"),
    ({"reverberation": (0.0, 0.1)}, "reverberation in"), ({"reverberation": (0.1, 2.1)}, "reverberation in"),
    ({"delay": -0.01}, "need delay in"),
    ({"delay": math.inf}, "need delay in"), ({"band": (-1.0, 100.0)}, "0 ≤ low < high")])
def test_impossible_intervals_are_refused(bad, words):
    with pytest.raises(InputError, match=words):
        RoomSampler(**bad)


def test_lists_as_profiles_write_them_are_intervals_too():
    assert RoomSampler(gain=[-6.0, 6.0], band=[80.0, 7000.0]) == RoomSampler()


def test_as_many_rooms_and_generators_as_sounds():
    waves = sounds()
    with pytest.raises(InputError, match="need one for each of 3 sounds, got 2"):
        SHORT.draw(waves, streams(2))
    with pytest.raises(InputError, match="need one for each of 3 sounds, got 6"):
        listen(waves, SHORT.draw(waves, streams(), 2), rate=RATE)


def test_the_grid_holds_reverberation_and_noise_and_leaves_the_rest():
    cells = grid(SHORT, [0.1, 0.3], [-40, -20])
    assert list(cells) == [(0.1, -40), (0.1, -20), (0.3, -40), (0.3, -20)]
    for (reverberation, noise), sampler in cells.items():
        assert sampler == replace(SHORT, reverberation=(reverberation, reverberation), noise=(float(noise), float(noise)))
        drawn = sampler.draw(sounds(), streams(), 20)
        assert set(drawn.column("reverberation").tolist()) == {reverberation}
        assert set(drawn.column("noise").tolist()) == {noise}
        assert len(set(drawn.column("gain").tolist())) == 60


# added sounds that are played

def test_what_is_played_is_the_sound_with_whole_steps_added():
    x = Examples(ids=("a", "b"), inputs=sounds(2), box=(-1.0, 1.0), rate=RATE)
    within, p = PlayedSound.at(-20.0, x), 0.01 * sounds(2).flip(0)
    drawn = SHORT.draw(x.inputs, streams(2), 3)
    found = within.seen(x, p, drawn)
    assert isinstance(within, AddedSound) and isinstance(within.resized(-30.0), PlayedSound) and found.shape == (6, SAMPLES)
    added = torch.from_numpy(np.trunc(p.numpy() * 2**15) / 2**15)
    one_by_one = torch.stack([w for w in x.inputs + added for _ in range(3)])
    assert torch.equal(found, listen(one_by_one, drawn, rate=RATE))
    assert not torch.allclose(found, listen(torch.stack([w for w in x.inputs + p for _ in range(3)]), drawn, rate=RATE),
                              atol=1e-9)
    p = p.requires_grad_()
    assert bool((torch.autograd.grad(within.seen(x, p, drawn).sum(), p)[0] != 0).all())
