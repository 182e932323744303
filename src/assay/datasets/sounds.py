"""Sounds with the class each belongs to: a user's .wav files, or made-up spoken commands.

Every recording is looked at once when the data are opened (rate, length, range, digest) and none is kept; `fetch` reads
again what it needs, and refuses a file whose bytes are no longer those that were recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.arrays import InputError
from assay.datasets import commands, voices
from assay.datasets.formats_labelled import class_names
from assay.datasets.formats_wav import full_scale, read_wav, sound_files
from assay.datasets.frames import Array, digest, readable, shown
from assay.perturbations.protocol import Examples
from assay.records import DataRecord, digest_of

MADE_UP = "made by Assay; no person is recorded"
CLIPPED = 1e-3              # share of samples at full scale from which a recording is called clipped
BOX = (-1.0, 1 - 2.0**-15)      # full scale of 16 bits, whose greatest value is one step below 1


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledSounds:
    """Waveforms and labels: `fetch` gives inputs float32 (batch, samples) in [−1, 1) and truth int64 (batch,).

    Inputs are what a file of 16-bit samples holds: finer recordings are rounded to it, so that a change can be. `rate`
    is in samples a second, the same for all.
    """

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    rate: int
    record: DataRecord
    operator: None = None
    _read: Callable[[int], Array] = field(repr=False)

    def fetch(self, positions: Sequence[int]) -> Examples:
        """The samples at these positions, read anew; `InputError` if one is no longer what was recorded."""
        waves = torch.stack([torch.from_numpy(self._read(i).astype(np.float32)) for i in positions])
        return Examples(ids=tuple(self.ids[i] for i in positions), inputs=waves, box=BOX, rate=self.rate,
                        truth=torch.tensor([self.labels[i] for i in positions], dtype=torch.int64))


def bundled_commands(part: str = "audited") -> LabelledSounds:
    """Synthetic commands of one second at 16 kHz: 1,500 to train on, 250 to tune on, 100 to audit (`datasets.commands`).

    >>> bundled_commands().classes[:3], bundled_commands().rate
    (('yes', 'no', 'up'), 16000)
    """
    if part not in commands.PARTS:
        raise InputError(f"bundled commands have no part {part!r}; known: {', '.join(commands.PARTS)}")
    return _bundled("commands", part, commands.commands(part), classes=commands.CLASSES, name="synthetic spoken commands")


def bundled_voices(part: str = "audited") -> LabelledSounds:
    """Synthetic voices, 60 clips of an enrolled person and 60 of strangers (`datasets.voices`).

    >>> bundled_voices().classes
    ('somebody else', 'the enrolled person')
    """
    if part not in ("tuning", "audited"):
        raise InputError(f"bundled voices have no part {part!r}; known: tuning, audited")
    return _bundled("voices", part, voices.voices(part), classes=voices.CLASSES, name="clips of synthetic voices")


def _bundled(kind: str, part: str, clips: Sequence[commands.Clip], *, classes: tuple[str, ...], name: str) -> LabelledSounds:
    return _sounds(
        read=lambda i: clips[i].samples / 2.0**15, ids=[clip.id for clip in clips], labels=[clip.label for clip in clips],
        digests=[hashlib.sha256(clip.samples.tobytes()).hexdigest() for clip in clips], classes=classes, rate=commands.RATE,
        samples=commands.RATE, name=name, notes=[f"{part} part"], simulated=True, licence=MADE_UP,
        options={"data": f"bundled:{kind}" if part == "audited" else f"bundled:{kind}-{part}"})


def as_verification(data: LabelledSounds) -> LabelledSounds:
    """The same data as a verification's: class 1 the enrolled person. `InputError` unless there are two classes."""
    if len(data.classes) != 2:
        raise InputError(f"{data.record.id}: {len(data.classes)} classes; a verification has two: give one sub-folder of "
                         "sounds of others, and then one of the enrolled person's")
    return replace(data, record=replace(data.record, task="verification"))


def load_sounds(path: str | Path, *, classes: str | Path | Sequence[str] | None = None, size: int | None = None,
                limit: int | None = None, licence: str = "unknown") -> LabelledSounds:
    """The .wav files of a folder with one sub-folder for each class: one channel, one rate, one length.

    Arguments: `classes` their names in the order of the sub-folders, or a text file with one a line; `size` the number of
    samples that recordings are cut to, or padded to with silence, both at their end; `limit` the greatest number of
    samples, taken at even distances through the data. Finer samples are rounded to 16 bits. Recordings that
    are then silent throughout are left out and counted: a change cannot be small beside nothing.
    Raises `InputError` naming file and remedy for anything that cannot be read, another rate, several channels.
    """
    path, names = Path(path), class_names(classes)
    for name, value in (("limit", limit), ("size", size)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{name}={value!r}; expected a whole number of at least 1")
    files, labels, found, others = sound_files(path, names)
    kept = range(len(files)) if limit is None or limit >= len(files) else [i * len(files) // limit for i in range(limit)]
    look = _look([files[i] for i in kept], size)
    chosen = [(files[i], labels[i], seen) for i, seen in zip(kept, look.digests, strict=True) if seen]

    def read(position: int) -> Array:
        file, _, recorded = chosen[position]
        _, stored = read_wav(file)
        if digest(stored) != recorded:
            raise InputError(f"{shown(file)}: changed since it was loaded; leave data in place during an audit, or load it "
                             "again")
        return _in_steps(_fitted(full_scale(stored, shown(file)), look.samples))

    notes = [f"{look.silent} silent recordings left out" if look.silent else "",
             f"{look.clipped} recordings clipped (at least {CLIPPED:.1%} of their samples at full scale)" if look.clipped
             else "", f"{look.fitted} cut or padded to {look.samples} samples" if look.fitted else "",
             f"{look.rounded} rounded to 16 bits" if look.rounded else "",
             f"{others} other files passed over" if others else ""]
    options = {"path": readable(str(path)), "classes": None if names is None else list(names), "size": size, "limit": limit,
               "licence": licence}
    return _sounds(read=read, ids=[readable(f"{file.parent.name}/{file.name}") for file, _, _ in chosen],
                   labels=[label for _, label, _ in chosen], digests=[seen for _, _, seen in chosen], classes=found,
                   rate=look.rate, samples=look.samples, name=readable(path.name), notes=notes, simulated=False,
                   licence=licence, options=options)


def labelled_sounds(waves: Float[Tensor, "n samples"], labels: Sequence[int], *, classes: Sequence[str], rate: int,
                    name: str = "sounds", licence: str = "unknown") -> LabelledSounds:
    """The data set of waveforms in memory, in shares of full scale."""
    if torch.as_tensor(waves).is_complex() or isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or rate < 1:
        raise InputError(f"{name}: expected real waveforms and a rate of at least 1 sample a second, got {rate!r}")
    if bad := [label for label in labels if int(label) != label]:
        raise InputError(f"{name}: label {bad[0]!r} is no whole number; number the classes from 0")
    stored, labels = torch.as_tensor(waves).detach().double().numpy(), [int(label) for label in labels]
    if stored.ndim != 2 or not np.isfinite(stored).all() or np.abs(stored).max(initial=0.0) > 1:
        raise InputError(f"{name}: expected finite waveforms (n, samples) in [−1, 1], got shape {stored.shape}")
    if len(stored) != len(labels):
        raise InputError(f"{name}: {len(stored)} waveforms and {len(labels)} labels; give one for each")
    if bad := [label for label in labels if not 0 <= label < len(classes)]:
        raise InputError(f"{name}: label {bad[0]} is out of range; the classes are 0 to {len(classes) - 1}")
    stored = _in_steps(stored)
    if silent := [i for i, wave in enumerate(stored) if not wave.any()]:
        raise InputError(f"{name}: waveform {silent[0]} is silent throughout; leave it out: a change cannot be small beside "
                         "nothing")
    return _sounds(read=lambda i: stored[i], ids=[f"sound-{i:04d}" for i in range(len(stored))], labels=labels,
                   digests=[digest(wave) for wave in stored], classes=tuple(classes), rate=int(rate),
                   samples=stored.shape[1], name=name, notes=[], simulated=False, licence=licence, options={})


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What the one look at every recording found; the digest of a silent one is ""."""

    digests: tuple[str, ...]
    rate: int
    samples: int
    silent: int
    clipped: int
    fitted: int
    rounded: int


def _look(files: Sequence[Path], size: int | None) -> _Look:
    digests, rate, samples, clipped, fitted, rounded = [], 0, size, 0, 0, 0
    for file in files:
        theirs, stored = read_wav(file)
        wave, place = full_scale(stored, shown(file)), shown(file)
        if rate and theirs != rate:
            raise InputError(f"{place}: {theirs} samples a second, and the recordings before it have {rate}; bring all to "
                             f"one rate (ffmpeg -i IN -ar {rate} OUT)")
        rate, samples = theirs, samples or len(wave)
        if size is None and len(wave) != samples:
            raise InputError(f"{place}: {len(wave)} samples, and the recordings before it have {samples}; cut or pad all to "
                             f"one length, or say --size {samples}")
        whole = _in_steps(wave)
        heard = bool(_fitted(whole, samples).any())
        digests.append(digest(stored) if heard else "")
        clipped += heard and bool((np.abs(wave) >= 1 - 2.0**-14).mean() >= CLIPPED)
        fitted += heard and len(wave) != samples
        rounded += heard and bool((whole != wave).any())
    assert samples is not None
    if not any(digests):
        raise InputError(f"{shown(files[0])}: silent throughout, as all recordings are; nothing can be audited")
    return _Look(digests=tuple(digests), rate=rate, samples=samples, silent=digests.count(""), clipped=clipped,
                 fitted=fitted, rounded=rounded)


def _in_steps(wave: Array) -> Array:
    """The nearest whole steps of 16 bits, the greatest one below full scale.

    >>> (_in_steps(np.array([1.4, -0.6, 99999.0]) / 2**15) * 2**15).tolist()
    [1.0, -1.0, 32767.0]
    """
    return np.clip(np.round(wave * 2.0**15) / 2.0**15, *BOX)


def _fitted(wave: Array, samples: int) -> Array:
    """Cut, or padded with silence, at the end.

    >>> _fitted(np.array([1.0, 2.0]), 3).tolist(), _fitted(np.array([1.0, 2.0]), 1).tolist()
    ([1.0, 2.0, 0.0], [1.0])
    """
    return wave[:samples] if len(wave) >= samples else np.concatenate((wave, np.zeros(samples - len(wave))))


def _sounds(*, read: Callable[[int], Array], ids: Sequence[str], labels: Sequence[int], digests: Sequence[str],
            classes: Sequence[str], rate: int, samples: int, name: str, notes: Sequence[str], simulated: bool, licence: str,
            options: Mapping[str, Any]) -> LabelledSounds:
    if len(set(labels)) < 2:
        raise InputError(f"{name}: all sounds are of one class; a classifier is audited on at least two classes")
    if len(set(ids)) != len(ids):
        raise InputError(f"{name}: two sounds are both named {next(i for i in ids if list(ids).count(i) > 1)!r}; rename one")
    told = {sample: digest_of({"sound": seen, "label": label})
            for sample, seen, label in zip(ids, digests, labels, strict=True)}
    absent = len(classes) - len(set(labels))
    record = DataRecord(
        id=str(options.get("data", name)), n=len(ids), licence=licence, simulated=simulated, operator="", noise=None,
        digest=digest_of({"samples": told, "rate": rate, "length": samples, "classes": list(classes)}), samples=told,
        options={**options, "rate": rate}, task="sound", classes=tuple(classes), description="; ".join(filter(None, (
            f"{len(ids)} {name}, {len(classes)} classes", f"{samples / rate:g} s at {rate / 1000:g} kHz", *notes,
            f"no sound of {absent} classes" if absent else ""))))
    return LabelledSounds(ids=tuple(ids), labels=tuple(labels), classes=tuple(classes), rate=rate, record=record, _read=read)
