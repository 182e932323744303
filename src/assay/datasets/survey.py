"""The one look at every sample when a source is opened: shape, finite values, scale, digest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from assay.arrays import InputError, check_finite
from assay.datasets.frames import Array, Frames, check_dtype, digest
from assay.operators.fourier import ifft2


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found: which frames are kept (indices), which were blank, their digests, shape and greatest modulus."""

    kept: tuple[int, ...]
    blank: tuple[int, ...]
    digests: tuple[str, ...]
    shape: tuple[int, ...]
    scale: float
    size: int | None = None
    centred: bool = True
    zeros: float = 0.0

    def read_again(self, frames: Frames, i: int) -> Array:
        """Sample i, cropped; `InputError` if it is not byte for byte what was surveyed."""
        array = frames.read(self.kept[i])
        if digest(array) != self.digests[i]:
            raise InputError(f"{frames.place(self.kept[i])}: changed since it was loaded; leave data in place during "
                             "an audit, or load it again")
        return fit(array, self.size)


def survey_images(frames: Frames, *, where: str, limit: int | None, size: int | None) -> Survey:
    """Reads every image once; refuses those that are not finite, not two-dimensional, blank, or of another shape."""
    kept: list[int] = []
    blank: list[int] = []
    digests: list[str] = []
    shape, scale = None, 0.0
    for i in range(len(frames.ids)):
        if limit is not None and len(kept) == limit:
            break
        stored = frames.read(i)
        image = fit(_checked(stored, frames.place(i), ndims=(2,)), size)
        modulus, constant = float(np.abs(image).max()), bool((image == image.flat[0]).all())
        if constant and frames.skip_blank:
            blank.append(i)
            continue
        if constant:
            what = "zero everywhere" if modulus == 0 else "constant"
            raise InputError(f"{frames.place(i)}: the image is {what}, so there is nothing to reconstruct in it; "
                             "leave it out")
        shape = _same_shape(image.shape, shape, frames, i, remedy="bring all to one shape, or say size=")
        scale = max(scale, modulus)
        kept.append(i)
        digests.append(digest(stored))
    if not kept or shape is None:
        raise InputError(f"{where}: every plane is blank; look at the file, or name planes= along another axis")
    return Survey(kept=tuple(kept), blank=tuple(blank), digests=tuple(digests), shape=shape, scale=scale, size=size)


def survey_kspace(frames: Frames, *, where: str, limit: int | None, centred: bool | None) -> Survey:
    """Reads every k-space once; finds the scale of its images, where zero frequency is, and the share of zeros."""
    count = len(frames.ids) if limit is None else min(limit, len(frames.ids))
    digests: list[str] = []
    shape, scale, zeros, total = None, 0.0, 0, 0
    for i in range(count):
        stored = _checked(frames.read(i), frames.place(i), ndims=(2, 3))
        if stored.dtype.kind != "c":
            raise InputError(f"{frames.place(i)}: real values of type {stored.dtype}; k-space is complex: name the "
                             "complex array, or read images with load_images")
        if not stored.any():
            raise InputError(f"{frames.place(i)}: zero everywhere; leave it out")
        shape = _same_shape(stored.shape, shape, frames, i, remedy="keep one shape in a data set")
        k = stored.astype(np.complex128)
        centred = zero_frequency_in_middle(k, frames.place(i)) if centred is None else centred
        scale = max(scale, image_peak(k, centred=centred))
        zeros, total = zeros + int((stored == 0).sum()), total + stored.size
        digests.append(digest(stored))
    if shape is None or centred is None:
        raise InputError(f"{where}: no k-space in it; name another file")
    return Survey(kept=tuple(range(count)), blank=(), digests=tuple(digests), shape=shape, scale=scale,
                  centred=centred, zeros=zeros / total)


def image_peak(k: Array, *, centred: bool) -> float:
    """max_r (Σ_c |(F⁻¹ k_c)(r)|²)^½, the greatest modulus of the image of k-space ([coils,] height, width).

    >>> image_peak(np.array([[2.0 + 0j, 0], [0, 0]]), centred=False)
    1.0
    """
    image = ifft2(torch.from_numpy(k), centred=centred).abs()
    return float(image.max() if image.ndim == 2 else image.square().sum(0).max().sqrt())


def zero_frequency_in_middle(k: Array, where: str) -> bool:
    """Whether more than half of the energy lies in the middle half of both axes; False if it does after a shift.

    >>> zero_frequency_in_middle(np.eye(4)[:1].T * np.eye(4)[:1] + 0j, "k")
    False
    """
    def middle(values: Array) -> float:
        height, width = values.shape[-2:]
        part = values[..., height // 4: height - height // 4, width // 4: width - width // 4]
        return float((np.abs(part) ** 2).sum() / (np.abs(values) ** 2).sum())

    if middle(k) > 0.5:
        return True
    if middle(np.fft.fftshift(k, axes=(-2, -1))) > 0.5:
        return False
    raise InputError(f"{where}: most of the energy is neither in the middle nor in the corners, so zero frequency "
                     "cannot be found; say centred=True or centred=False, or look whether this is k-space")


def fit(array: Array, size: int | None) -> Array:
    """(…, height, width) cropped about its centre or padded with zeros to (size, size); index n // 2 stays the centre.

    >>> fit(np.array([[1, 2, 3]]), 2).tolist()
    [[0, 0], [1, 2]]
    """
    if size is None:
        return array
    for axis in (-2, -1):
        n = array.shape[axis]
        start, before = max(n // 2 - size // 2, 0), max(size // 2 - n // 2, 0)
        array = array[..., start: start + size, :] if axis == -2 else array[..., start: start + size]
        pad = [(0, 0)] * array.ndim
        pad[axis] = (before, size - array.shape[axis] - before)
        array = np.pad(array, pad)
    return array


def _checked(array: Array, where: str, *, ndims: tuple[int, ...]) -> Array:
    check_dtype(array.dtype, where)
    if array.ndim not in ndims:
        raise InputError(f"{where}: {array.ndim} axes {array.shape}; expected {' or '.join(map(str, ndims))}")
    if array.dtype.kind in "fc":
        wide = np.ascontiguousarray(array, dtype=np.complex128 if array.dtype.kind == "c" else np.float64)
        check_finite(torch.from_numpy(wide), what=where)
    return array


def _same_shape(shape: tuple[int, ...], first: tuple[int, ...] | None, frames: Frames, i: int, *,
                remedy: str) -> tuple[int, ...]:
    if first is not None and shape != first:
        raise InputError(f"{frames.place(i)}: shape {shape}, and the samples before it have {first}; {remedy}")
    return shape
