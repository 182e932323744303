"""Ordinary conditions of a recording: what each does to a tone or a pulse, by hand, and the laws of the set."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.perturbations import acoustics, registry
from assay.perturbations.acoustics import CONDITIONS, NAMES, Acoustics
from assay.perturbations.protocol import Examples

RATE = 8000


def tone(frequency: float, seconds: float = 1.0) -> torch.Tensor:
    return (2 * math.pi * frequency * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE).sin() / 2


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def decibels(part: torch.Tensor, whole: torch.Tensor) -> float:
    return 10 * math.log10(float(part.square().sum() / whole.square().sum()))


@pytest.mark.parametrize("condition", [acoustics.noise, acoustics.hum])
@pytest.mark.parametrize("ratio", [40.0, 10.0])
def test_noise_lies_as_far_below_the_sound_as_said(condition, ratio):
    wave = tone(440)
    added = condition(wave, ratio, generator(), RATE) - wave
    assert abs(decibels(added, wave) + ratio) < 0.1
    with pytest.raises(AssertionError):         # ten decibels of power are not ten of amplitude
        assert abs(decibels(added, wave) + 2 * ratio) < 0.1


def test_a_hum_has_the_mains_and_its_overtones_alone():
    added = acoustics.hum(tone(440), 0.0, generator(), RATE) - tone(440)
    power = np.abs(np.fft.rfft(added.numpy())) ** 2
    kept = [50, 100, 150, 250, 350]
    assert power[kept].sum() > 0.999 * power.sum()


def test_a_telephone_keeps_its_band_and_nothing_else():
    band = (300.0, 3400.0)
    for frequency, kept in ((200, 0.0), (1000, 1.0), (3600, 0.0)):
        heard = acoustics.telephone(tone(frequency), band, generator(), RATE)
        assert abs(float(heard.square().sum() / tone(frequency).square().sum()) - kept) < 1e-6


def test_a_room_answers_with_the_energy_it_should():
    pulse = torch.zeros(RATE, dtype=torch.float64)
    pulse[100] = 0.5
    heard = acoustics.room(pulse, (0.3, 6.0), generator(), RATE)
    assert abs(float(heard[100]) - 0.5) < 1e-3              # less its mean, which no loudspeaker plays
    assert abs(10 * math.log10(0.25 / float(heard[101:].square().sum())) - 6.0) < 0.05


def test_faster_is_higher_and_slower_is_lower():
    for factor in (1.25, 0.8):
        heard = acoustics.speed(tone(400), factor, generator(), RATE)
        middle = heard[2000:6000] * torch.hann_window(4000, dtype=torch.float64)
        assert abs(int(np.abs(np.fft.rfft(middle.numpy())).argmax()) * 2 - 400 * factor) <= 2


def test_beyond_the_ends_of_a_recording_there_is_silence():
    """Also where it begins and ends in the middle of a sound."""
    wave = torch.full((1000,), 0.5, dtype=torch.float64)
    heard = acoustics.speed(wave, 1.25, generator(), RATE)
    assert not heard[:99].any() and not heard[-99:].any() and bool((heard[101:-101] == 0.5).all())
    assert bool((acoustics.speed(wave, 0.8, generator(), RATE) == 0.5).all())


def test_later_moves_the_sound_and_leaves_silence():
    wave = tone(440)
    heard = acoustics.later(wave, 0.1, generator(), RATE)
    assert not heard[:800].any() and torch.equal(heard[800:], wave[:-800])


def test_overdriven_softer_and_coarse_by_hand():
    wave = torch.tensor([0.5, -0.3, 0.1], dtype=torch.float64)
    assert acoustics.overdriven(wave, 0.5, generator(), RATE).tolist() == [0.25, -0.25, 0.1]
    assert torch.allclose(acoustics.softer(wave, 20.0, generator(), RATE), wave / 10)
    assert acoustics.coarse(wave, 3, generator(), RATE).tolist() == [0.5, -0.25, 0.0]


def test_packets_are_lost_whole_and_as_often_as_said():
    wave = torch.ones(2000 * 160, dtype=torch.float64)
    packets = acoustics.lost(wave, 0.1, generator(), RATE).unflatten(0, (2000, 160))
    assert bool(((packets == 0).all(1) | (packets == 1).all(1)).all())
    assert abs(float((packets[:, 0] == 0).double().mean()) - 0.1) < 3 * math.sqrt(0.09 / 2000)


def sounds() -> Examples:
    waves = torch.stack([tone(440), tone(1000)]).float()
    return Examples(ids=("a", "b"), inputs=(waves * 2**15).round() / 2**15, truth=torch.tensor([0, 1]), box=(-1.0, 1.0),
                    rate=RATE)


@pytest.mark.parametrize("kind", NAMES)
def test_every_kind_gives_a_recording_that_is_the_same_again_and_worse_with_severity(kind):
    x, within = sounds(), Acoustics()
    changes = []
    for severity in range(6):
        p = torch.tensor([[float(NAMES.index(kind)), float(severity)]], dtype=torch.float64).repeat(2, 1)
        heard = within.apply(x, p).inputs
        assert torch.equal(heard, within.apply(x, p).inputs)
        assert heard.dtype == x.inputs.dtype and float(heard.abs().max()) <= 1
        assert torch.equal((heard * 2**15).round(), heard * 2**15)
        assert torch.equal(within.apply(x.only(1), p[1:]).inputs[0], heard[1])
        changes.append(float((heard - x.inputs).norm()))
    assert changes[0] == 0
    if kind in ("white noise", "hum", "overdriven", "softer", "coarse"):
        assert changes == sorted(changes) and changes[1] > 0


def test_the_members_are_all_kinds_at_the_level():
    within = registry.build({"kind": "acoustics"}, 3.0, sounds())
    members = list(within.members(sounds()))
    assert len(members) == len(CONDITIONS) == within.count(sounds()) == 11
    assert {tuple(m[0].tolist()) for m in members} == {(float(k), 3.0) for k in range(11)}


def test_inputs_that_are_no_sounds_are_refused():
    x = Examples(ids=("a",), inputs=torch.zeros(1, 8), truth=torch.tensor([0]))
    with pytest.raises(InputError, match="asked of sounds"):
        Acoustics().apply(x, torch.tensor([[0.0, 1.0]]))
