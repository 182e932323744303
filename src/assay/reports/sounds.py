"""The sound rows of a report: waveform and spectrogram drawn, and the sound itself to be played, all inside the file."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.numerics.texts import decode
from assay.records import Finding
from assay.reports.comparison import same_level
from assay.reports.decisions import decided_lines
from assay.reports.pictures import data_uri
from assay.reports.wording import amount, shortened, significant

COLUMNS, WAVE_ROWS, ROWS = 240, 48, 96      # of one drawing: across, of the waveform, of the spectrogram below it
DARKEST, FAINTEST = 0.0, -80.0              # dB beside the loudest of the original: what is drawn black, and white
LOUD = 0.5                                  # of full scale: how loud the change alone is made to be played
WINDOW = 0.025                              # seconds of one spectrum

WRITTEN = "written-error."                  # what rows tell of it, followed by when
HIDDEN = ("heard-as", "heard-in-rooms")     # metrics of another answer than the right one

Heard = tuple[str, str, str, tuple[str, ...], str]      # title, picture, sound, lines below, text for who cannot see
Sound = NDArray[Any]
Lines = tuple[str, ...]


def heard_panels(row: Finding, rows: Sequence[Finding], systems: Sequence[str], classes: Sequence[str], original: Sound,
                 changed: Sound | None, rate: int, *, kind: str = "",
                 written: tuple[Lines, Lines] = ((), ())) -> tuple[tuple[Heard, ...], str]:
    """The original, the changed sound and the change alone, each drawn and playable, and the note on how they are drawn.

    `written` are the lines of what systems write of both without a list of phrases (`written_lines`).
    """
    before, after = (mine + more for mine, more in zip(decided_lines(row, rows, systems, classes), written, strict=True))
    plain = shares(original)
    loudest = float(_spectrum(plain, rate).max())
    tall = max(float(np.abs(plain).max(initial=0.0)), 1e-9)
    found = [("Original", plain, plain, before, tall)]
    if changed is not None:
        other = shares(changed)
        found.append(("With the change", other, other, (kind, *after) if kind else after, tall))
        difference = other - plain[: len(other)] if len(plain) >= len(other) else other[: len(plain)] - plain
        top = float(np.abs(difference).max(initial=0.0))
        if top > 0:
            found.append(("The change alone", difference, difference * (LOUD / top), (
                f"its loudest point lies {amount(20 * float(np.log10(tall / top)), 'dB')} below the original’s",
                f"waveform and sound {significant(LOUD / top)} times amplified"), top))
    note = (f"Above the waveform, below it the spectrogram, 0 to {significant(rate / 2000)} kHz: black is the loudest of "
            f"the original, white {-FAINTEST:g} dB below it, in all three.")
    return tuple((title, drawing(shown, rate, loudest, height), wav_uri(played, rate), lines,
                  f"{title}, {row.sample}: waveform and spectrogram; {'; '.join(lines)}")
                 for title, shown, played, lines, height in found), note


def written_lines(texts: Mapping[str, NDArray[Any] | None]) -> Lines:
    """What each system that spells writes, letter by letter, by its name; systems that do not are left out.

    >>> written_lines({"net": np.array([103, 111], dtype=np.int32), "other": None})
    ('net, left to write freely: “go”',)
    """
    found = {name: decode(np.atleast_2d(points))[0].strip() for name, points in texts.items() if points is not None}
    return tuple(f"{shortened(name, 24)}, left to write freely: {f'“{shortened(text)}”' if text else 'nothing'}"
                 for name, text in found.items())


def written_note(check: Mapping[str, Any], system: str, level: float | None, findings: Sequence[Finding]) -> str:
    """How often a system that spells writes the phrase asked, letter by letter; "" where it does not write."""
    rows = [f for f in findings if f.check == check["id"] and f.system == f.origin == system and same_level(f.level, level)
            and WRITTEN + "worst" in f.extra]
    if not rows:
        return ""
    told = []
    for when, what in (("normal", "without any change it writes the right answer"),
                       ("worst", f"under the worst change the {'other' if check['metric'] in HIDDEN else 'right'} answer")):
        wrong = [f.extra[f"{WRITTEN}{when}"] for f in rows]
        told.append(f"{what} letter by letter for {sum(share == 0 for share in wrong)} of {len(rows)} "
                    f"({amount(sum(wrong) / len(wrong), 'share')} of the letters wrong)")
    return f"Left to write freely, with no list to choose from, {'; '.join(told)}. This is told, not judged."


def shares(stored: Sound) -> NDArray[np.float64]:
    """16-bit samples in shares of full scale."""
    return np.asarray(stored, dtype=np.float64) / 2.0**15


def wav_uri(samples: NDArray[np.float64], rate: int) -> str:
    """The sound as a .wav file of 16-bit samples in a data URI.

    >>> wav_uri(np.zeros(4), 8000)[:26]
    'data:audio/wav;base64,UklG'
    """
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.clip(np.round(samples * 2.0**15), -(2**15), 2**15 - 1).astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()


def drawing(samples: NDArray[np.float64], rate: int, loudest: float, tall: float) -> str:
    """Waveform above spectrogram as a PNG data URI, dark on white: the power drawn black, the value drawn at the edge."""
    spectrum = _rows(_spectrum(samples, rate))
    decibels = 10 * np.log10(np.maximum(spectrum, 1e-30) / max(loudest, 1e-12))
    light = np.clip((decibels - DARKEST) / (FAINTEST - DARKEST), 0, 1)
    picture = np.concatenate((_waveform(samples / tall), np.ones((2, COLUMNS)), light[::-1]))
    return data_uri(picture, low=0.0, high=1.0, side=COLUMNS)


def _waveform(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, columns): black between the least and the greatest value of each column's samples, −1 to 1 the height."""
    parts = np.array_split(samples, COLUMNS)
    middle = (WAVE_ROWS - 1) / 2
    picture = np.ones((WAVE_ROWS, COLUMNS))
    for column, part in enumerate(parts):
        top, bottom = (round(middle * (1 - end)) for end in (part.max(initial=0.0), part.min(initial=0.0)))
        picture[top: bottom + 1, column] = 0.0
    return picture


def _spectrum(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Power (frequencies, columns) in Hann windows, evenly placed over the sound."""
    length = max(16, round(WINDOW * rate))
    framed = np.pad(samples, (length // 2, length - length // 2))
    starts = np.linspace(0, len(samples) - 1, COLUMNS).round().astype(int)
    windows = framed[starts[:, None] + np.arange(length)] * np.hanning(length)
    power: NDArray[np.float64] = np.abs(np.fft.rfft(windows, axis=1).T) ** 2
    return power


def _rows(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of neighbouring frequencies, `ROWS` of them."""
    return np.stack([part.mean(0) for part in np.array_split(power, min(ROWS, len(power)))])
