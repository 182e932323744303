"""Pickles never run, and bombs are refused before anything is unpacked."""

from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from written import one_packed_mat, refused, stack, write_packed_nifti, write_packed_npz

from assay.datasets import formats_array, frames
from assay.datasets.sources import load_images, load_kspace


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def poisoned(target) -> np.ndarray:
    array = np.empty((2, 2), object)
    array[:] = [[Payload(target)] * 2] * 2
    return array


def test_the_payload_would_run(tmp_path):
    np.save(tmp_path / "a.npy", poisoned(tmp_path / "ran"), allow_pickle=True)
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("load", [load_images, load_kspace])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_pickle_payload_is_refused_and_does_not_run(suffix, load, tmp_path):
    path = tmp_path / f"a{suffix}"
    np.save(path, poisoned(tmp_path / "ran")) if suffix == ".npy" else np.savez(path, images=poisoned(tmp_path / "ran"))
    refused(load, path, "Python objects", "plain numeric array")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".mat"])
def test_a_bare_pickle_under_another_name_does_not_run(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    refused(load_kspace, path, "truncated or not")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_beside_good_images_is_never_opened(tmp_path):
    np.savez(tmp_path / "a.npz", images=stack(), other=poisoned(tmp_path / "ran"))
    assert len(load_images(tmp_path / "a.npz")) == 3
    refused(load_images, tmp_path / "a.npz", "'other'", "Python objects", key="other")
    assert not (tmp_path / "ran").exists()


def _header_of(shape, dtype="<f8") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


def test_an_archive_that_declares_too_much_is_refused_before_anything_is_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", _header_of((40_000, 512, 512)) + b"\0" * 1000)
    monkeypatch.setattr(formats_array, "spill", lambda *_: pytest.fail("was unpacked"))
    refused(load_images, tmp_path / "a.npz", "'images'", "78.1 GiB", "8 GiB allowed", "split it")


def test_an_archive_longer_than_its_header_is_not_unpacked_further(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", _header_of((2, 2)) + b"\0" * 10_000_000)
    refused(load_images, tmp_path / "a.npz", "longer than its header declares")


def test_a_packed_volume_that_declares_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "LIMIT_BYTES", 100)
    refused(load_images, write_packed_nifti(tmp_path, stack()), "GiB once unpacked")


def test_a_matlab_file_that_declares_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "LIMIT_BYTES", 100)
    refused(load_kspace, one_packed_mat(tmp_path), "GiB once unpacked")


class FullDisk(io.BytesIO):
    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("write", [write_packed_npz, write_packed_nifti], ids=lambda w: w.__name__)
def test_a_full_disk_is_told_from_a_damaged_file(write, tmp_path, monkeypatch):
    path = write(tmp_path, stack())
    monkeypatch.setattr(frames.tempfile, "TemporaryFile", FullDisk)
    assert "truncated" not in refused(load_images, path, "No space left", "make room there", "TMPDIR")


def test_names_in_an_archive_never_become_paths(tmp_path):
    out = io.BytesIO()
    np.save(out, stack())
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("../../evil.npy", out.getvalue())
    assert len(load_images(tmp_path / "a.npz")) == 3 and not list(tmp_path.parent.rglob("evil*"))
