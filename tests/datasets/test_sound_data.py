"""Labelled sounds: the made-up commands, folders of .wav files, waveforms in memory, and everything that is refused."""

from __future__ import annotations

import functools
import hashlib
import wave
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from scipy.signal import lfilter
from written import refused

from assay.arrays import InputError
from assay.datasets import commands
from assay.datasets.formats_wav import full_scale, holds_sounds, read_wav
from assay.datasets.measured import Dataset, Part
from assay.datasets.sounds import bundled_commands, labelled_sounds, load_sounds
from assay.records import DataRecord, from_data, to_data

RATE = 8000
FULL_SCALE = (-1.0, 32767 / 32768)
AUDITED = "16ac5c3b1db4cd9b96e2a5af3d16035f0f138918942823591fbcad565d5d335a"


def tone(number: int = 0, samples: int = 400) -> np.ndarray:
    """A loud tone and some noise, int16, another for each number."""
    noise = np.random.default_rng(number).normal(0, 500, samples)
    return np.round(12_000 * np.sin((number + 1) * 0.05 * np.arange(samples)) + noise).astype(np.int16)


def folder_of(path, *, classes=("no", "yes"), each=2, samples=400, rate=RATE):
    for number, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for i in range(each):
            wavfile.write(path / name / f"{i}.wav", rate, tone(10 * number + i, samples))
    return path


def memory(waves=None, labels=(0, 1, 0), **options):
    waves = torch.stack([torch.from_numpy(tone(i) / 2.0**15) for i in range(3)]) if waves is None else waves
    return labelled_sounds(waves, list(labels), **({"classes": ("a", "b"), "rate": RATE} | options))


# the made-up commands

cached = functools.cache(commands.commands)


def are_the_pinned(samples: np.ndarray) -> None:
    assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == AUDITED


def test_the_audited_part_is_the_same_on_every_machine():
    samples = np.stack([clip.samples for clip in cached("audited")])
    assert samples.dtype == np.int16 and samples.shape == (100, 16_000)
    are_the_pinned(samples)
    samples[57, 12_345] += 1
    with pytest.raises(AssertionError):
        are_the_pinned(samples)


def test_every_word_is_said_as_often_and_by_its_name():
    for part, (_, count) in commands.PARTS.items():
        clips = cached(part)
        assert Counter(clip.label for clip in clips) == dict.fromkeys(range(10), count // 10)
        assert all(clip.id.split("-")[0] == commands.CLASSES[clip.label] for clip in clips)
        assert len({clip.id for clip in clips}) == count


def test_no_clip_lies_in_two_parts():
    parts = {part: {clip.samples.tobytes() for clip in cached(part)} for part in commands.PARTS}
    assert {part: len(found) for part, found in parts.items()} == {p: n for p, (_, n) in commands.PARTS.items()}
    for one, other in combinations(parts.values(), 2):
        assert not one & other


def test_clips_are_loud_enough_and_never_clipped():
    peaks = np.array([np.abs(clip.samples.astype(int)).max() for clip in cached("audited")]) / 32767
    assert peaks.min() > 0.14 and peaks.max() < 0.92


def filtered(x: np.ndarray, frequency: float, width: float) -> np.ndarray:
    """Klatt's resonator by scipy: unit gain at 0 Hz, poles of radius exp(−πbT) at ±2πfT."""
    pole = np.exp(-np.pi * width / 16_000 + 2j * np.pi * frequency / 16_000)
    a = np.real(np.poly([pole, pole.conj()]))
    return lfilter([a.sum()], a, x)


def agrees_with_filters(resonated) -> None:
    """Three clips of constant setting: four filters one after another, each a sample later, and the noise beside them."""
    rng = np.random.default_rng(0)
    settings = np.array([[700, 1200, 2500, 3500, 1, 1, 5000, 1500], [300, 2100, 2900, 3300, 1, 1, 4000, 800],
                         [500, 900, 2300, 3900, 1, 1, 1000, 1200]], dtype=float)
    tracks = np.repeat(settings.T[:, None], 6, axis=1)
    voice, hiss = rng.normal(size=(2, 6 * commands.FRAME, 3))
    found = resonated(voice, hiss, tracks)
    for clip, setting in enumerate(settings):
        y = voice[:, clip]
        for frequency, width in zip(setting[:4], commands.BANDWIDTHS, strict=True):
            y = filtered(y, frequency, width)
        y = np.concatenate((np.zeros(3), y[:-3])) + filtered(hiss[:, clip], setting[6], setting[7])
        assert np.abs(found[:, clip] - y).max() < 1e-4 * np.abs(y).max()


def test_resonators_are_filters():
    agrees_with_filters(commands._resonated)


@pytest.mark.parametrize("broken", [
    lambda voice, hiss, tracks: np.roll(commands._resonated(voice, hiss, tracks), -1, axis=0),
    lambda voice, hiss, tracks: commands._resonated(voice, 0 * hiss, tracks),
    lambda voice, hiss, tracks: commands._resonated(voice, hiss, tracks * np.array([1.01] + [1] * 7)[:, None, None])])
def test_resonators_of_another_delay_noise_or_formant_are_caught(broken):
    with pytest.raises(AssertionError):
        agrees_with_filters(broken)


def test_one_resonator_alone_is_one_filter():
    """Voice of silence: what is left is the noise's resonator, without a delay."""
    hiss = np.random.default_rng(1).normal(size=(160, 1))
    tracks = np.repeat(np.array([500, 1500, 2500, 3500, 1, 1, 3000, 700.0])[:, None, None], 2, axis=1)
    found = commands._resonated(0 * hiss, hiss, tracks)[:, 0]
    assert np.abs(found - filtered(hiss[:, 0], 3000, 700)).max() < 1e-6


def test_the_glottis_is_open_for_six_tenths_of_a_period():
    """At 100 Hz a period is 160 samples, of which 96 are open: 2u − 3u², u the share of the opening that has passed."""
    found = commands._voice(np.full((320, 1), 100.0))[:, 0]
    for t in range(320):
        u = ((t + 1) % 160) / 96
        assert found[t] == pytest.approx(2 * u - 3 * u * u if u < 1 else 0.0, abs=1e-9) or (t + 1) % 160 in (0, 96)


def test_bundled_commands_are_a_data_set_of_sounds():
    data = bundled_commands()
    assert isinstance(data, Dataset) and data.record.n == 100 and data.record.task == "sound" and data.record.simulated
    assert data.classes == tuple(commands.WORDS) and data.rate == 16_000
    x = data.fetch([5, 0, 7])
    stored = np.stack([cached("audited")[i].samples for i in (5, 0, 7)])
    assert x.inputs.dtype == torch.float32 and np.array_equal(x.inputs.numpy(), stored / 2.0**15)
    assert x.box == FULL_SCALE and x.decibels and x.labelled
    assert torch.equal(x.inputs, torch.cat([data.fetch([i]).inputs for i in (5, 0, 7)]))
    assert from_data(DataRecord, to_data(data.record)) == data.record
    assert Part(data, (3, 1)).fetch([1]).ids == (data.ids[1],)
    with pytest.raises(InputError, match="no part 'test'; known: train, tuning, audited, held-out"):
        bundled_commands("test")


# folders of recordings

SHARES = tone(3).astype(np.float64) / 2.0**15


def pcm(path, values, width):
    """Whole numbers of so many bytes, by the standard library."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(RATE)
        file.writeframes(b"".join(int(v).to_bytes(width, "little", signed=True) for v in values))


FORMATS = {                 # what is written, and how far a value may lie from what was meant
    "8-bit": (lambda p: wavfile.write(p, RATE, (np.round(SHARES * 128) + 128).astype(np.uint8)), 1 / 256),
    "16-bit": (lambda p: wavfile.write(p, RATE, np.round(SHARES * 2**15).astype(np.int16)), 0.0),
    "16-bit by wave": (lambda p: pcm(p, np.round(SHARES * 2**15), 2), 0.0),
    "24-bit": (lambda p: pcm(p, np.round(SHARES * 2**23), 3), 0.0),
    "32-bit": (lambda p: wavfile.write(p, RATE, np.round(SHARES * 2**31).astype(np.int32)), 0.0),
    "float": (lambda p: wavfile.write(p, RATE, SHARES.astype(np.float32)), 0.0),
    "double": (lambda p: wavfile.write(p, RATE, SHARES), 0.0)}


def close_to(values: np.ndarray, step: float) -> None:
    assert values.shape == SHARES.shape and np.abs(values - SHARES).max() <= step


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_values(kind, tmp_path):
    write, step = FORMATS[kind]
    folder_of(tmp_path)
    write(tmp_path / "yes" / "0.wav")
    data = load_sounds(tmp_path)
    assert data.rate == RATE and data.ids[2] == "yes/0.wav"
    close_to(data.fetch([2]).inputs[0].double().numpy(), step)


@pytest.mark.parametrize("write", [lambda p, v: wavfile.write(p, RATE, v), lambda p, v: wavfile.write(
    p, RATE, (v * 2.0**31).clip(-2**31, 2**31 - 1).astype(np.int32))], ids=["float", "32-bit"])
def test_finer_recordings_are_rounded_to_sixteen_bits_and_counted(write, tmp_path):
    """To the nearest step; the greatest lies one step below 1."""
    folder_of(tmp_path)
    values = np.linspace(-1, 1, 400)
    write(tmp_path / "yes" / "0.wav", values)
    data = load_sounds(tmp_path)
    x = data.fetch([2])
    expected = np.array([min(round(v * 32768), 32767) for v in values.tolist()])
    assert (x.inputs[0].numpy() * 32768 == expected).all() and float(x.inputs.max()) == x.box[1]
    assert "1 rounded to 16 bits" in data.record.description


@pytest.mark.parametrize(("kind", "broken"), [
    ("8-bit", lambda s: s / 128.0), ("24-bit", lambda s: s / 2.0**23), ("32-bit", lambda s: s / 2.0**15),
    ("16-bit", lambda s: s / (2.0**15 - 1)), ("16-bit by wave", lambda s: s.byteswap() / 2.0**15)])
def test_another_middle_scale_or_order_of_bytes_is_caught(kind, broken, tmp_path):
    write, step = FORMATS[kind]
    write(tmp_path / "a.wav")
    stored = read_wav(tmp_path / "a.wav")[1]
    close_to(full_scale(stored, "a"), step)
    with pytest.raises(AssertionError):
        close_to(broken(stored), step)


def test_a_folder_of_classes(tmp_path):
    data = load_sounds(folder_of(tmp_path), licence="CC BY 4.0")
    x = data.fetch(range(4))
    assert data.ids == ("no/0.wav", "no/1.wav", "yes/0.wav", "yes/1.wav") and data.classes == ("no", "yes")
    assert x.truth.tolist() == [0, 0, 1, 1] and x.inputs.shape == (4, 400)
    assert np.array_equal(x.inputs.numpy(), np.stack([tone(i) for i in (0, 1, 10, 11)]) / 2.0**15)
    assert data.record.licence == "CC BY 4.0" and not data.record.simulated and data.record.n == 4
    assert "2 classes; 0.05 s at 8 kHz" in data.record.description and "silent" not in data.record.description
    assert from_data(DataRecord, to_data(data.record)) == data.record


def test_recordings_are_cut_or_padded_at_their_end_and_counted(tmp_path):
    folder_of(tmp_path)
    wavfile.write(tmp_path / "yes" / "1.wav", RATE, tone(11, 300))
    refused(load_sounds, tmp_path, "yes/1.wav: 300 samples, and the recordings before it have 400", "say --size 400")
    data = load_sounds(tmp_path, size=350)
    waves = data.fetch(range(4)).inputs.numpy()
    assert waves.shape == (4, 350) and "4 cut or padded to 350 samples" in data.record.description
    for i, number in enumerate((0, 1, 10)):
        assert np.array_equal(waves[i], tone(number)[:350] / 2.0**15)
    assert np.array_equal(waves[3], np.concatenate((tone(11, 300) / 2.0**15, np.zeros(50))))
    assert "3 cut or padded to 300" in load_sounds(tmp_path, size=300).record.description


def test_silent_recordings_are_left_out_and_counted(tmp_path):
    folder_of(tmp_path, each=3)
    wavfile.write(tmp_path / "no" / "1.wav", RATE, np.zeros(400, np.int16))
    wavfile.write(tmp_path / "yes" / "0.wav", RATE, np.full(400, 128, np.uint8))
    late = np.zeros(400, np.int16)
    late[399] = 1
    wavfile.write(tmp_path / "yes" / "2.wav", RATE, late)
    data = load_sounds(tmp_path)
    assert data.ids == ("no/0.wav", "no/2.wav", "yes/1.wav", "yes/2.wav") and data.record.n == 4
    assert "2 silent recordings left out" in data.record.description
    assert np.array_equal(data.fetch([1]).inputs[0].numpy(), tone(2) / 2.0**15)
    assert float(data.fetch([3]).inputs.abs().max()) == 2.0**-15
    assert "3 silent recordings left out" in load_sounds(tmp_path, size=399).record.description


def test_nothing_but_silence_is_refused(tmp_path):
    folder_of(tmp_path, each=1)
    for name in ("no", "yes"):
        wavfile.write(tmp_path / name / "0.wav", RATE, np.zeros(400, np.int16))
    refused(load_sounds, tmp_path, "silent throughout, as all recordings are; nothing can be audited")


def test_a_class_of_silence_alone_leaves_one_class(tmp_path):
    folder_of(tmp_path, each=1)
    wavfile.write(tmp_path / "yes" / "0.wav", RATE, np.zeros(400, np.int16))
    refused(load_sounds, tmp_path, "all sounds are of one class")


def test_what_is_softer_than_half_a_step_is_silent(tmp_path):
    folder_of(tmp_path, each=3)
    for name, loud in (("no/1", 0.49 / 32768), ("yes/2", 0.51 / 32768)):
        wavfile.write(tmp_path / f"{name}.wav", RATE, np.where(np.arange(400) == 7, loud, 0.0))
    data = load_sounds(tmp_path)
    assert data.ids == ("no/0.wav", "no/2.wav", "yes/0.wav", "yes/1.wav", "yes/2.wav")
    assert "1 silent recordings left out" in data.record.description
    assert bool(data.fetch(range(5)).inputs.any(1).all())


def test_silent_recordings_are_not_counted_twice(tmp_path):
    """Two are silent where they are kept, one of them clipped after it, one too short: both are told as silent alone."""
    folder_of(tmp_path, each=3, samples=300)
    wavfile.write(tmp_path / "no" / "1.wav", RATE, np.concatenate((np.zeros(300, np.int16), np.full(100, 32767, np.int16))))
    wavfile.write(tmp_path / "no" / "2.wav", RATE, np.zeros(50, np.int16))
    wavfile.write(tmp_path / "yes" / "0.wav", RATE, np.concatenate((np.full(9, 32767, np.int16), tone(10, 391))))
    wavfile.write(tmp_path / "yes" / "1.wav", RATE, tone(11, 299))
    found = load_sounds(tmp_path, size=300).record
    assert found.n == 4 and "2 silent recordings left out" in found.description
    assert "1 recordings clipped" in found.description and "2 cut or padded to 300 samples" in found.description


def test_clipped_recordings_are_told(tmp_path):
    folder_of(tmp_path, samples=2000)
    clipped = tone(0, 2000)
    clipped[100:102] = 32767                    # a thousandth of the samples
    wavfile.write(tmp_path / "no" / "0.wav", RATE, clipped)
    assert "1 recordings clipped (at least 0.1% of their samples" in load_sounds(tmp_path).record.description
    clipped[101] = 0
    wavfile.write(tmp_path / "no" / "0.wav", RATE, clipped)
    assert "recordings clipped" not in load_sounds(tmp_path).record.description


def test_a_limit_takes_recordings_through_all_of_the_data(tmp_path):
    data = load_sounds(folder_of(tmp_path, each=5), limit=4)
    assert data.ids == ("no/0.wav", "no/2.wav", "yes/0.wav", "yes/2.wav") and data.record.n == 4
    assert load_sounds(tmp_path, limit=99).record.n == 10


def test_class_names_may_be_given(tmp_path):
    folder_of(tmp_path / "sounds")
    (tmp_path / "names.txt").write_text("nein\nja\n", encoding="utf-8")
    assert load_sounds(tmp_path / "sounds", classes=tmp_path / "names.txt").classes == ("nein", "ja")
    data = load_sounds(tmp_path / "sounds", classes=["nein", "ja"])
    assert data.classes == ("nein", "ja") == data.record.classes
    refused(load_sounds, tmp_path / "sounds", "2 sub-folders, and 3 class names", classes=["a", "b", "c"])


def test_hidden_files_are_passed_over_and_others_counted(tmp_path):
    folder_of(tmp_path)
    (tmp_path / "no" / ".wav").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "no" / "notes.txt").write_text("x")
    (tmp_path / "README").write_text("x")
    data = load_sounds(tmp_path)
    assert data.record.n == 4 and "1 other files passed over" in data.record.description


@pytest.mark.parametrize(("options", "words"), [
    ({"limit": 0}, "limit=0; expected a whole number of at least 1"), ({"limit": True}, "limit=True; expected"),
    ({"size": 0}, "size=0; expected"), ({"size": 1.5}, "size=1.5; expected"),
    ({"classes": ["a", "a"]}, "two classes are both named 'a'")])
def test_refuses_arguments(options, words, tmp_path):
    with pytest.raises(InputError) as caught:
        load_sounds(folder_of(tmp_path), **options)
    assert words in str(caught.value)


def spoil(folder, what):
    bad = folder / "yes" / "1.wav"
    stored = tone(11)
    if what == "another rate":
        wavfile.write(bad, 2 * RATE, stored)
    elif what == "stereo":
        wavfile.write(bad, RATE, np.stack((stored, stored), axis=1))
    elif what == "another length":
        wavfile.write(bad, RATE, stored[:-1])
    elif what == "truncated":
        bad.write_bytes(bad.read_bytes()[:500])
    elif what == "empty file":
        bad.write_bytes(b"")
    elif what == "no samples":
        wavfile.write(bad, RATE, stored[:0])
    elif what == "text":
        bad.write_text("no sound")
    elif what == "NaN":
        wavfile.write(bad, RATE, np.where(np.arange(400) == 7, np.nan, stored / 2.0**15).astype(np.float32))
    elif what == "infinite":
        wavfile.write(bad, RATE, np.where(np.arange(400) == 7, np.inf, 0.0))
    elif what == "above 1":
        wavfile.write(bad, RATE, stored.astype(np.float32))
    elif what == "64-bit numbers":
        wavfile.write(bad, RATE, stored.astype(np.int64))
    elif what == "loose":
        bad.rename(folder / "1.wav")
    elif what == "empty class":
        (folder / "up").mkdir()
    elif what == "folder for a file":
        bad.unlink()
        bad.mkdir()
    else:
        raise AssertionError(what)


@pytest.mark.parametrize(("what", "words"), [
    ("another rate", "yes/1.wav: 16000 samples a second, and the recordings before it have 8000; bring all to one rate"),
    ("stereo", "yes/1.wav: 2 channels; mix it down to one"),
    ("another length", "yes/1.wav: 399 samples, and the recordings before it have 400"),
    ("truncated", "yes/1.wav: "), ("empty file", "yes/1.wav: the file is empty"),
    ("no samples", "yes/1.wav: "), ("text", "yes/1.wav: truncated or not a .wav file"),
    ("NaN", "yes/1.wav: NaN or infinite samples"), ("infinite", "yes/1.wav: NaN or infinite samples"),
    ("above 1", "and float samples lie in [−1, 1]; scale it down"),
    ("64-bit numbers", "yes/1.wav: samples of type int64; export it as 16-bit PCM"),
    ("loose", "1.wav: lies in no class"), ("empty class", "up: holds no .wav file"),
    ("folder for a file", "1.wav: a folder where a file was expected")])
def test_refuses_folders(what, words, tmp_path):
    folder_of(tmp_path)
    load_sounds(tmp_path)
    spoil(tmp_path, what)
    refused(load_sounds, tmp_path, words)


def test_refuses_folders_without_classes(tmp_path):
    refused(load_sounds, tmp_path, "holds no sub-folders; make one for each class")
    folder_of(tmp_path, classes=("no",))
    refused(load_sounds, tmp_path, "all sounds are of one class")
    refused(load_sounds, tmp_path / "nowhere", "does not exist")
    refused(load_sounds, tmp_path / "no" / "0.wav", "not a folder; give a folder with one sub-folder")


WRITERS = {"8-bit": np.uint8, "16-bit": np.int16, "32-bit": np.int32, "float": np.float32}


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_truncated_recording_is_refused_even_where_any_length_would_do(kind, kept, tmp_path):
    """The header says how many samples follow; fewer are no recording to be padded with silence."""
    folder_of(tmp_path)
    for file in sorted(tmp_path.glob("*/*.wav")):
        FORMATS[kind][0](file)
    cut = tmp_path / "no" / "0.wav"
    cut.write_bytes(cut.read_bytes()[:int(44 + kept * 400 * np.dtype(WRITERS[kind]).itemsize)])
    refused(load_sounds, tmp_path, "no/0.wav: truncated", size=400)


@pytest.mark.parametrize("kept", [1, 4, 10, 12, 20, 30, 36, 38, 43, 44])
def test_a_recording_cut_within_its_header_is_refused(kept, tmp_path):
    folder_of(tmp_path)
    cut = tmp_path / "yes" / "1.wav"
    cut.write_bytes(cut.read_bytes()[:kept])
    refused(load_sounds, tmp_path, "yes/1.wav: ")


def test_a_damaged_header_is_refused_or_read(tmp_path):
    """Any byte of the header changed: an `InputError`, or samples; never another error."""
    wavfile.write(tmp_path / "a.wav", RATE, tone())
    whole = (tmp_path / "a.wav").read_bytes()
    for place in range(44):
        for value in (0, 1, 2, 3, 127, 255):
            (tmp_path / "a.wav").write_bytes(whole[:place] + bytes([value]) + whole[place + 1:])
            try:
                assert len(full_scale(read_wav(tmp_path / "a.wav")[1], "a.wav"))
            except InputError as error:
                assert "a.wav: " in str(error)


def test_a_recording_that_changes_after_loading_is_refused(tmp_path):
    data = load_sounds(folder_of(tmp_path))
    stored = tone(10)
    stored[200] += 1
    wavfile.write(tmp_path / "yes" / "0.wav", RATE, stored)
    data.fetch([0, 1, 3])
    with pytest.raises(InputError, match=r"yes/0\.wav: changed since it was loaded"):
        data.fetch([2])


def test_a_folder_of_sounds_is_told_from_one_of_pictures(tmp_path):
    assert not holds_sounds(tmp_path / "nowhere") and not holds_sounds(tmp_path)
    (tmp_path / "pictures" / "cat").mkdir(parents=True)
    (tmp_path / "pictures" / "cat" / "0.png").write_text("x")
    assert not holds_sounds(tmp_path / "pictures")
    folder_of(tmp_path / "sounds")
    assert holds_sounds(tmp_path / "sounds") and not holds_sounds(tmp_path / "sounds" / "no")
    assert not holds_sounds(tmp_path / "sounds" / "no" / "0.wav")
    (tmp_path / "shouting" / "no").mkdir(parents=True)
    (tmp_path / "shouting" / "no" / "0.WAV").write_text("x")
    assert holds_sounds(tmp_path / "shouting")


# waveforms in memory

def test_waveforms_in_memory():
    data = memory()
    x = data.fetch([2, 0])
    assert data.ids == ("sound-0000", "sound-0001", "sound-0002") and data.rate == RATE and x.truth.tolist() == [0, 0]
    assert np.array_equal(x.inputs.numpy(), np.stack((tone(2), tone(0))) / 2.0**15)
    assert x.box == FULL_SCALE and isinstance(data, Dataset)
    assert data.record.description == "3 sounds, 2 classes; 0.05 s at 8 kHz"


@pytest.mark.parametrize(("waves", "labels", "options", "words"), [
    (torch.rand(3), (0, 1, 0), {}, "expected finite waveforms"), (torch.rand(3, 1, 9), (0, 1, 0), {}, "(n, samples)"),
    (torch.full((3, 9), torch.nan), (0, 1, 0), {}, "expected finite waveforms"),
    (torch.full((3, 9), 1.01), (0, 1, 0), {}, "in [−1, 1]"), (None, (0, 1), {}, "3 waveforms and 2 labels"),
    (None, (0, 1, 2), {}, "label 2 is out of range; the classes are 0 to 1"), (None, (0, 1, -1), {}, "label -1 is out"),
    (torch.eye(3, 9) * torch.tensor([[1.0], [0.0], [1.0]]), (0, 1, 0), {}, "waveform 1 is silent throughout"),
    (None, (1, 1, 1), {}, "of one class"), (None, (0, 1, 0), {"name": "mine", "classes": ("a",)}, "mine: label 1"),
    *((None, (0, 1, 0), {"rate": rate}, f"a rate of at least 1 sample a second, got {rate!r}")
      for rate in (0, -1, True, 8000.0, "8000", None)),
    (torch.full((3, 9), 0.5 + 0.5j), (0, 1, 0), {}, "expected real waveforms"),
    (np.full((3, 9), 0.5 + 0j), (0, 1, 0), {}, "expected real waveforms")])
def test_refuses_waveforms(waves, labels, options, words):
    with pytest.raises(InputError) as caught:
        memory(waves, labels, **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("labels", [np.array([0, 1, 0]), np.array([0, 1, 0], np.uint8), torch.tensor([0, 1, 0])])
def test_labels_may_be_an_array(labels):
    data = labelled_sounds(memory().fetch(range(3)).inputs.numpy(), labels, classes=("a", "b"), rate=RATE)
    assert data.labels == (0, 1, 0) and data.record == memory().record and data.fetch([1, 2]).truth.tolist() == [1, 0]
    assert from_data(DataRecord, to_data(data.record)) == data.record


# digests

def tells_apart(digest_of_data) -> None:
    """Whether one sample, one label and the rate each give another digest, and nothing else does."""
    waves = torch.stack([torch.from_numpy(tone(i) / 2.0**15) for i in range(3)])
    other = waves.clone()
    other[1, 200] += 2.0**-15
    first = digest_of_data(waves, (0, 1, 0), RATE)
    changed = [digest_of_data(other, (0, 1, 0), RATE), digest_of_data(waves, (0, 1, 1), RATE),
               digest_of_data(waves, (0, 1, 0), 2 * RATE), digest_of_data(waves[:, :-1], (0, 1, 0), RATE)]
    assert first == digest_of_data(waves.clone(), (0, 1, 0), RATE) and len({first, *changed}) == 5


def in_memory(waves, labels, rate):
    return memory(waves, labels, rate=rate).record.digest


def test_the_digest_names_samples_labels_and_rate():
    tells_apart(in_memory)


@pytest.mark.parametrize("broken", [
    lambda waves, labels, rate: in_memory(waves, labels, RATE),
    lambda waves, labels, rate: in_memory(waves, (0, 1, 0), rate),
    lambda waves, labels, rate: in_memory((waves * 2.0**12).round() / 2.0**12, labels, rate)])
def test_digests_that_overlook_something_are_caught(broken):
    with pytest.raises(AssertionError):
        tells_apart(broken)


def test_the_digest_of_a_folder_names_samples_and_rate(tmp_path):
    first = load_sounds(folder_of(tmp_path / "a"))
    assert load_sounds(folder_of(tmp_path / "b")).record.digest == first.record.digest
    assert load_sounds(folder_of(tmp_path / "c", rate=2 * RATE)).record.digest != first.record.digest
    stored = tone(10)
    stored[200] += 1
    wavfile.write(tmp_path / "b" / "yes" / "0.wav", RATE, stored)
    other = load_sounds(tmp_path / "b").record
    assert other.digest != first.record.digest
    assert {i for i in first.ids if first.record.samples[i] != other.samples[i]} == {"yes/0.wav"}
