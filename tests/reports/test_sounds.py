"""Sounds in a report: what is played is what was heard, and drawings show it where it is."""

from __future__ import annotations

import base64
import io
import math
import wave
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from assay.records import Finding
from assay.reports.sounds import (
    COLUMNS,
    FAINTEST,
    ROWS,
    WAVE_ROWS,
    drawing,
    heard_panels,
    shares,
    wav_uri,
    written_lines,
    written_note,
)

RATE = 16_000
CLASSES = ("yes", "no", "up")


def tone(frequency: float, *, rate: int = RATE, seconds: float = 0.5, height: float = 0.5) -> np.ndarray:
    return height * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def noise(samples: int = 4000, seed: int = 0) -> np.ndarray:
    return 0.2 * np.random.default_rng(seed).normal(size=samples)


def decoded(uri: str) -> np.ndarray:
    kind, content = uri.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def played(uri: str) -> tuple[int, np.ndarray]:
    kind, content = uri.split(",")
    assert kind == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(content))) as file:
        assert file.getnchannels() == 1 and file.getsampwidth() == 2
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


# what is played

def plays(uri: str, samples: np.ndarray, rate: int) -> None:
    found, values = played(uri)
    assert found == rate and values.shape == samples.shape
    assert np.abs(values - np.minimum(samples, 32767 / 32768)).max() <= 0.5001 / 32768


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_a_sound_is_played_as_it_is(rate):
    samples = np.concatenate((np.clip(noise(), -1, 1), [1.0, -1.0, 0.0]))
    plays(wav_uri(samples, rate), samples, rate)
    for broken in (wav_uri(samples, rate + 1), wav_uri(samples[:-1], rate), wav_uri(0.999 * samples, rate)):
        with pytest.raises(AssertionError):
            plays(broken, samples, rate)


def test_what_is_beyond_full_scale_is_cut():
    assert played(wav_uri(np.array([1.5, -3.0, 0.5]), RATE))[1].tolist() == pytest.approx([1, -1, 0.5], abs=1e-4)


def test_stored_samples_are_played_to_the_last_bit():
    stored = np.arange(-32767, 32768, 7, dtype=np.int16)
    assert np.array_equal(np.round(played(wav_uri(shares(stored), RATE))[1] * 32768), stored)


# what is drawn

def powers(samples: np.ndarray, rate: int, column: int) -> np.ndarray:
    """One column's spectrum by a sum over a Hann window about its sample, frequency by frequency, then means of bands."""
    length = round(0.025 * rate)
    middle = round(column * (len(samples) - 1) / (COLUMNS - 1))
    window = []
    for i in range(length):
        place = middle - length // 2 + i
        weight = 0.5 - 0.5 * math.cos(2 * math.pi * i / (length - 1))
        window.append(weight * samples[place] if 0 <= place < len(samples) else 0.0)
    found = []
    for k in range(length // 2 + 1):
        real = sum(v * math.cos(2 * math.pi * k * i / length) for i, v in enumerate(window))
        imaginary = sum(v * math.sin(2 * math.pi * k * i / length) for i, v in enumerate(window))
        found.append(real**2 + imaginary**2)
    return np.array(found)


def bands(rate: int) -> list[list[int]]:
    """The frequencies of each row from below: as even as they go, the first rows one more."""
    count = round(0.025 * rate) // 2 + 1
    rows = min(ROWS, count)
    small, more = divmod(count, rows)
    found, at = [], 0
    for row in range(rows):
        size = small + (row < more)
        found.append(list(range(at, at + size)))
        at += size
    return found


def spectrogram(picture: np.ndarray) -> np.ndarray:
    """Grey levels of the spectrogram, the lowest frequency first."""
    return picture[WAVE_ROWS + 2:][::-1]


def draws_the_spectrum(picture: np.ndarray, samples: np.ndarray, rate: int, loudest: float, column: int) -> None:
    power = powers(samples, rate, column)
    found = spectrogram(picture)[:, column]
    for row, places in enumerate(bands(rate)):
        decibels = 10 * math.log10(max(sum(power[k] for k in places) / len(places), 1e-30) / loudest)
        grey = 255 * min(max(decibels / FAINTEST, 0.0), 1.0)
        assert abs(grey - float(found[row])) <= 0.51, (row, grey, found[row])


@pytest.mark.parametrize("rate", [8000, 16_000])
@pytest.mark.parametrize("column", [0, 1, 77, 239])
def test_a_column_of_the_spectrogram_by_a_loop(rate, column):
    samples = noise(2500) + np.concatenate((tone(1500, rate=rate, seconds=2000 / rate), np.zeros(500)))
    picture = decoded(drawing(samples, rate, 50.0, 1.0))
    assert picture.shape == (WAVE_ROWS + 2 + ROWS, COLUMNS)
    draws_the_spectrum(picture, samples, rate, 50.0, column)


@pytest.mark.parametrize("change", [lambda s: (s, 100.0), lambda s: (s[::-1], 50.0), lambda s: (1.1 * s, 50.0)])
def test_another_sound_or_scale_is_caught(change):
    samples, loudest = change(noise(2500))
    with pytest.raises(AssertionError):
        draws_the_spectrum(decoded(drawing(samples, RATE, loudest, 1.0)), noise(2500), RATE, 50.0, 77)


def is_dark_at(picture: np.ndarray, frequency: float, rate: int) -> None:
    """Away from the ends the darkest row holds the frequency; 400 Hz away nothing is drawn as dark."""
    middle = spectrogram(picture)[:, 20:220].astype(float).mean(1)
    step = rate / round(0.025 * rate)
    dark = bands(rate)[int(middle.argmin())]
    assert dark[0] * step - step / 2 <= frequency <= dark[-1] * step + step / 2
    assert middle.min() < 25
    for row, places in enumerate(bands(rate)):
        if min(abs(k * step - frequency) for k in places) > 400:
            assert middle[row] > 150, row


@pytest.mark.parametrize(("frequency", "rate"), [(440, 16_000), (1000, 16_000), (3000, 16_000), (6500, 16_000), (700, 8000),
                                                 (3500, 8000)])
def test_a_tone_is_dark_at_its_frequency(frequency, rate):
    samples = tone(frequency, rate=rate)
    picture = decoded(drawing(samples, rate, float(powers(samples, rate, 120).max()), 0.5))
    is_dark_at(picture, frequency, rate)
    turned = np.concatenate((picture[: WAVE_ROWS + 2], picture[WAVE_ROWS + 2:][::-1]))
    for broken, at in ((turned, frequency), (picture, frequency + 300)):
        with pytest.raises(AssertionError):
            is_dark_at(broken, at, rate)


def test_silence_is_white_and_its_waveform_a_line():
    picture = decoded(drawing(np.zeros(4000), RATE, 1.0, 0.5))
    assert bool((picture[WAVE_ROWS:] == 255).all())
    dark = (picture[:WAVE_ROWS] == 0)
    assert dark.sum(0).tolist() == [1] * COLUMNS and len(set(dark.argmax(0).tolist())) == 1
    assert dark.argmax(0)[0] in (WAVE_ROWS // 2 - 1, WAVE_ROWS // 2)


def test_silence_beside_silence_is_white_too():
    """The loudest of a silent original is 0, and nothing is 80 dB below nothing."""
    picture = decoded(drawing(np.zeros(4000), RATE, 0.0, 0.5))
    assert bool((picture[WAVE_ROWS:] == 255).all())
    assert not bool((decoded(drawing(np.full(4000, 1e-3), RATE, 0.0, 0.5))[WAVE_ROWS + 2:] == 255).all())


def test_silence_before_a_tone_is_white_and_the_tone_is_not():
    samples = np.concatenate((np.zeros(4000), tone(1000, seconds=0.25)))
    grey = spectrogram(decoded(drawing(samples, RATE, float(powers(samples, RATE, 200).max()), 0.5)))
    assert bool((grey[:, :113] == 255).all()) and bool((grey[:, 125:].min(0) < 60).all())


def test_the_waveform_reaches_from_the_least_to_the_greatest_of_each_column():
    samples = noise(4800)
    samples /= np.abs(samples).max()
    picture = decoded(drawing(samples, RATE, 1.0, 1.0))[:WAVE_ROWS]
    for column in range(COLUMNS):
        part = samples[20 * column: 20 * column + 20]
        rows = np.flatnonzero(picture[:, column] == 0)
        assert abs(rows[0] - (1 - max(part.max(), 0)) * 23.5) <= 0.51
        assert abs(rows[-1] - (1 - min(part.min(), 0)) * 23.5) <= 0.51
        assert len(rows) == rows[-1] - rows[0] + 1


@pytest.mark.parametrize("samples", [1, 10, 100, 239])
def test_short_sounds_are_drawn(samples):
    assert decoded(drawing(0.5 * np.ones(samples), RATE, 1.0, 0.5)).shape == (WAVE_ROWS + 2 + ROWS, COLUMNS)


# the panels of a report

def finding(system: str, **changes) -> Finding:
    made = Finding(check="hidden-word", system=system, role="audited" if system == "net" else "established", sample="s1",
                   origin="net", origin_sample="s1", level=-40.0, unit="dB", metric="heard-as", better="lower", normal=0.0,
                   average=0.0, average_low=0.0, average_high=0.0, worst=1.0, size=-40.0, control_size=-40.0, controls=4,
                   extra={"label": 0.0, "decision.normal": 0.0, "decision.worst": 2.0, "confidence.normal": 0.98,
                          "confidence.worst": 0.61})
    return replace(made, **changes)


ROW = finding("net")
ROWS_OF_ALL = [ROW, finding("mfcc", extra={"label": 0.0, "decision.worst": 0.0}),
               finding("mfcc", origin="mfcc", extra={"label": 0.0, "decision.normal": 1.0})]
ORIGINAL = np.round(32767 * tone(1000)).astype(np.int16)
CHANGE = np.round(32767 * tone(3000, height=0.005)).astype(np.int16)


def panels(changed: np.ndarray | None, original: np.ndarray = ORIGINAL, kind: str = ""):
    return heard_panels(ROW, ROWS_OF_ALL, ["net", "mfcc"], CLASSES, original, changed, RATE, kind=kind)


def test_three_panels_with_what_was_decided():
    found, note = panels(ORIGINAL + CHANGE, kind="a hidden word")
    assert [title for title, *_ in found] == ["Original", "With the change", "The change alone"]
    lines = [panel[3] for panel in found]
    assert lines[0] == ("right: “yes”", "net: “yes” (98 %)", "mfcc: “no”")
    assert lines[1] == ("a hidden word", "size of the change: −40 dB", "net: “up” (61 %)", "mfcc: “yes”")
    assert "0 to 8 kHz" in note and "80 dB below it" in note
    for title, picture, _, below, alt in found:
        assert decoded(picture).shape == (WAVE_ROWS + 2 + ROWS, COLUMNS)
        assert alt.startswith(f"{title}, s1: ") and all(line in alt for line in below)
    assert panels(ORIGINAL + CHANGE)[0][1][3] == lines[1][1:]


def test_the_sounds_are_the_original_the_changed_and_the_change_made_loud():
    sounds = [panel[2] for panel in panels(ORIGINAL + CHANGE)[0]]
    plays(sounds[0], ORIGINAL / 32768, RATE)
    plays(sounds[1], (ORIGINAL + CHANGE) / 32768, RATE)
    plays(sounds[2], CHANGE / np.abs(CHANGE).max() / 2, RATE)


def says_how_loud(below: tuple[str, ...], decibels: str, times: str) -> None:
    assert below == (f"its loudest point lies {decibels} dB below the original’s",
                     f"waveform and sound {times} times amplified")


@pytest.mark.parametrize(("height", "decibels", "times"), [(0.05, "20", "10"), (0.005, "40", "100"), (0.25, "6", "2"),
                                                           (0.0005, "60", "1000")])
def test_the_loudness_of_the_change_is_told(height, decibels, times):
    """Original and change of one point each: 20 log₁₀ of their ratio, and what makes the change half of full scale."""
    original, change = np.zeros(2000, np.int16), np.zeros(2000, np.int16)
    original[500], change[700] = round(32767 / 2), -round(32767 * height)
    below = panels(original + change, original)[0][2][3]
    says_how_loud(below, decibels, times)
    with pytest.raises(AssertionError):
        says_how_loud(panels(original + 2 * change, original)[0][2][3], decibels, times)


def test_all_three_are_drawn_beside_the_loudest_of_the_original():
    pictures = [decoded(panel[1]) for panel in panels(ORIGINAL + CHANGE)[0]]
    loudest = max(float(powers(shares(ORIGINAL), RATE, column).max()) for column in (60, 61, 120, 121))
    for picture, samples in zip(pictures, (ORIGINAL, ORIGINAL + CHANGE, CHANGE), strict=True):
        found, power = spectrogram(picture)[:, 120], powers(shares(samples), RATE, 120)
        for row, places in enumerate(bands(RATE)):
            grey = 255 * min(max(10 * math.log10(max(np.mean(power[places]), 1e-30) / loudest) / FAINTEST, 0), 1)
            assert abs(grey - float(found[row])) < 2
    is_dark_at(pictures[0], 1000, RATE)
    darkest = bands(RATE)[int(spectrogram(pictures[2])[:, 120].argmin())]
    assert 40 * darkest[0] <= 3000 <= 40 * darkest[-1]


def test_a_change_of_nothing_has_no_panel_and_no_change_is_one():
    assert [title for title, *_ in panels(ORIGINAL)[0]] == ["Original", "With the change"]
    assert [title for title, *_ in panels(None)[0]] == ["Original"]


@pytest.mark.parametrize("cut", [1, -1])
def test_sounds_of_other_lengths_are_compared_where_both_are(cut):
    changed = (ORIGINAL + CHANGE)[:-cut] if cut > 0 else np.concatenate((ORIGINAL + CHANGE, np.zeros(-cut, np.int16)))
    found = panels(changed)[0]
    assert len(found) == 3 and len(played(found[2][2])[1]) == min(len(changed), len(ORIGINAL))


# what is written freely

def test_what_is_written_stands_below_both_sounds_and_not_below_the_change():
    written = tuple(written_lines({"net": np.array([ord(c) for c in text], dtype=np.int32)}) for text in ("up", " "))
    changed = ORIGINAL.copy()
    changed[100:200] += 50
    panels, _ = heard_panels(finding("net"), [finding("net")], ["net"], CLASSES, ORIGINAL, changed, RATE, written=written)
    assert panels[0][3][-1] == "net, left to write freely: “up”"
    assert panels[1][3][-1] == "net, left to write freely: nothing"
    assert not any("freely" in line for line in panels[2][3])


def test_how_often_the_phrase_is_written_is_counted_over_the_rows_at_the_level():
    check = {"id": "c", "metric": "heard-as"}
    shares_wrong = ((0.0, 0.0), (0.0, 0.5), (1.0, 1.0))
    rows = [finding("net", check="c", sample=str(i), level=1.0, extra={"written-error.normal": before,
                                                                       "written-error.worst": after})
            for i, (before, after) in enumerate(shares_wrong)]
    others = [replace(rows[0], sample="x", level=2.0), replace(rows[0], system="other")]
    told = written_note(check, "net", 1.0, [*rows, *others])
    assert "the right answer letter by letter for 2 of 3 (33 % of the letters wrong)" in told
    assert "the other answer letter by letter for 1 of 3 (50 % of the letters wrong)" in told
    asked = {**check, "metric": "error-rate"}
    assert "the right answer letter by letter for 1 of 3" in written_note(asked, "net", 1.0, rows)
    assert written_note(check, "net", 1.0, [replace(row, extra={}) for row in rows]) == ""
