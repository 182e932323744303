"""Hostile names become safe file names, and memory does not grow with the samples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from written import stack, write_hdf5, write_npy, write_npz, write_packed_nifti, write_packed_npz

from assay.datasets.sources import load_images, slug

HOSTILE = ["../../etc/passwd", "<script>alert(1)</script>", "a\nb\x00c\x1b[31m", "CON", "..", "", "ж" * 300, "a/b",
           "a\\b", "\udcff", "-rf", "x" * 5000]


@pytest.mark.parametrize("name", HOSTILE)
def test_slug_of_hostile_names(name):
    _is_safe(slug(name))


@given(st.text())
def test_slug_of_any_name(name):
    _is_safe(slug(name))


def _is_safe(made: str) -> None:
    stem, _, mark = made.rpartition("-")
    assert stem and len(made) <= 57 and made[0] != "-" and len(mark) == 8
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_slugs_of_names_that_look_alike_differ():
    names = ["a/b", "a\\b", "a-b", "a b", "A-b", "../a-b"]
    assert len({slug(name).lower() for name in names}) == len(names)


def test_hostile_file_names_stay_as_ids(tmp_path):
    for name, image in zip(("<b>&.png", "a\x1b[31m\n.png"), stack(), strict=False):
        Image.fromarray(image).save(tmp_path / name)
    source = load_images(tmp_path)
    assert source.ids == ("<b>&.png", "a\x1b[31m\n.png") and len(source.digests) == 2
    json.dumps(source.ids)


def test_file_name_that_is_not_utf8(tmp_path):
    Image.fromarray(stack()[0]).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x\udcff.png")
    source = load_images(tmp_path)
    assert source.ids == ("x\\xff.png",)
    "".join(source.ids).encode()


PEAK = """
import sys
from pathlib import Path
import numpy as np
from assay.datasets.sources import load_images

def peak():   # VmHWM and not ru_maxrss, which a child process inherits from its parent
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

load_images(sys.argv[2])[0]                       # imports and first buffers are not what is measured
before, kept, keep = peak(), [], sys.argv[3] == "keep"
source = load_images(sys.argv[1])
for i in range(len(source)):
    sample = source[i]
    if keep:
        kept.append(sample)
print(peak() - before)
"""


def growth(write, folder, *, keep: bool) -> float:
    """MiB by which the peak of memory rises while 50 MiB of samples are read one by one."""
    images = np.random.default_rng(0).random((200, 256, 256)).astype(np.float32)
    (folder / "few").mkdir()
    few, many = write(folder / "few", images[:2]), write(folder, images)
    done = subprocess.run([sys.executable, "-c", PEAK, many, few, "keep" if keep else "drop"], capture_output=True,
                          text=True, check=True)
    return float(done.stdout)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("write", [write_npy, write_npz, write_packed_npz, write_hdf5, write_packed_nifti],
                         ids=lambda w: w.__name__)
def test_memory_does_not_grow_with_the_number_of_samples(write, tmp_path):
    assert growth(write, tmp_path, keep=False) < 15


@needs_proc
@pytest.mark.slow
def test_the_memory_measurement_sees_samples_that_are_kept(tmp_path):
    assert growth(write_npy, tmp_path, keep=True) > 40


def test_suffix_in_capitals(tmp_path):
    path = write_packed_nifti(tmp_path, stack())
    path.rename(tmp_path / "HEAD.NII.GZ")
    assert len(load_images(tmp_path / "HEAD.NII.GZ")) == 3
