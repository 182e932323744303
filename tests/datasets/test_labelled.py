"""Labelled images: the bundled digits, .npz files and folders of pictures, and everything that is refused."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from written import refused

from assay.arrays import InputError
from assay.datasets.labelled import bundled_digits, load_labelled, one_batch
from assay.datasets.measured import Dataset, Part
from assay.records import DataRecord, from_data, to_data

LABELS = np.array([0, 1, 2, 0, 1, 2])


def images(*shape: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, shape or (6, 8, 10)).astype(np.uint8)
    values.flat[:1] = 255
    return values


def npz(folder, **arrays):
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz"


def folder_of(path, *, colour=False, suffix="png", size=(10, 8), classes=("cat", "dog"), each=2):
    for number, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for i in range(each):
            shape = (size[1], size[0], 3) if colour else (size[1], size[0])
            Image.fromarray(images(*shape, seed=10 * number + i)).save(path / name / f"{i}.{suffix}")
    return path


def test_the_digits_are_split_once_and_cover_all():
    parts = {name: bundled_digits(name) for name in ("train", "tuning", "audited")}
    assert {name: part.record.n for name, part in parts.items()} == {"train": 1097, "tuning": 200, "audited": 500}
    assert len({sample for part in parts.values() for sample in part.ids}) == 1797
    for part in parts.values():
        inputs, labels = one_batch(part)
        assert isinstance(part, Dataset) and part.record.task == "classification" and len(part.record.classes) == 10
        assert inputs.dtype == torch.float32 and float(inputs.max()) == 1 and float(inputs.min()) == 0
        assert labels.dtype == torch.int64 and set(labels.tolist()) == set(range(10))
        assert float(inputs[:, 0, 4, 0].max()) < float(inputs[:, 0, 4, 4].max()), "digits stand in the middle"
    assert "CC BY 4.0" in parts["train"].record.licence


def test_the_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    theirs, ours = datasets.load_digits(), bundled_digits("audited")
    where = [int(sample.removeprefix("digit-")) for sample in ours.ids]
    inputs, labels = one_batch(ours)
    assert np.array_equal(inputs[:, 0].numpy() * 16, theirs.images[where].astype(np.float32))
    assert np.array_equal(labels.numpy(), theirs.target[where])


def test_a_part_of_a_labelled_set_and_its_record_survive_json():
    part = Part(bundled_digits(), (3, 1))
    assert part.fetch([1]).ids == (bundled_digits().ids[1],)
    assert from_data(DataRecord, to_data(part.record)) == part.record


def test_unknown_part():
    with pytest.raises(InputError, match="no part 'test'; known: train, tuning, audited"):
        bundled_digits("test")


@pytest.mark.parametrize(("shape", "channels"), [((6, 8, 10), 1), ((6, 8, 10, 3), 3), ((6, 3, 8, 10), 3),
                                                 ((6, 1, 8, 10), 1), ((6, 8, 10, 1), 1)])
def test_every_layout_gives_channels_first(shape, channels, tmp_path):
    stored = images(*shape)
    data = load_labelled(npz(tmp_path, images=stored, labels=LABELS))
    inputs, labels = one_batch(data)
    expected = stored[:, None] if stored.ndim == 3 else stored.transpose(0, 3, 1, 2) if shape[3] in (1, 3) else stored
    assert data.shape == (channels, 8, 10) and labels.tolist() == LABELS.tolist()
    assert np.array_equal(inputs.numpy(), (expected / 255).astype(np.float32))


@pytest.mark.parametrize("keys", [("x_test", "y_test"), ("test_images", "test_labels"), ("X", "y"), ("data", "target")])
def test_obvious_keys_are_guessed_and_reported(keys, tmp_path):
    data = load_labelled(npz(tmp_path, **{keys[0]: images(), keys[1]: LABELS[:, None]}))
    assert f"{keys[0]!r} and {keys[1]!r} (guessed)" in data.record.description
    data = load_labelled(npz(tmp_path, a=images(), b=LABELS, images=images()), image_key="a", label_key="b")
    assert "guessed" not in data.record.description


def test_floats_in_the_unit_interval_stay_and_a_declared_range_is_mapped(tmp_path):
    values = images().astype(np.float64) / 255
    assert torch.equal(one_batch(load_labelled(npz(tmp_path, images=values, labels=LABELS)))[0][:, 0],
                       torch.from_numpy(values.astype(np.float32)))
    path = npz(tmp_path, images=values * 2 - 1, labels=LABELS)
    inputs, _ = one_batch(load_labelled(path, value_range=(-1, 1)))
    assert np.allclose(inputs[:, 0].numpy(), values, atol=1e-7)
    path = npz(tmp_path, images=images().astype(np.uint16), labels=LABELS)
    assert "0 to 255 mapped" in load_labelled(path, value_range=(0, 255)).record.description


def test_dark_bytes_are_reported(tmp_path):
    path = npz(tmp_path, images=images() // 16, labels=LABELS)
    assert "no value is above 15: if none can be, say so" in load_labelled(path).record.description
    assert "no value is above" not in load_labelled(path, value_range=(0, 16)).record.description


def test_class_names_come_from_a_text_file(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\nfish\nbird\n", encoding="utf-8")
    data = load_labelled(npz(tmp_path, images=images(), labels=LABELS), classes=tmp_path / "names.txt")
    assert data.classes == ("cat", "dog", "fish", "bird") == data.record.classes
    assert "no sample of 1 classes" in data.record.description


@pytest.mark.parametrize(("colour", "suffix"), [(False, "png"), (True, "png"), (True, "jpg"), (False, "jpeg")])
def test_a_folder_of_classes(colour, suffix, tmp_path):
    data = load_labelled(folder_of(tmp_path, colour=colour, suffix=suffix))
    inputs, labels = one_batch(data)
    assert data.ids == tuple(f"{c}/{i}.{suffix}" for c in ("cat", "dog") for i in range(2))
    assert inputs.shape == (4, 3 if colour else 1, 8, 10) and labels.tolist() == [0, 0, 1, 1]
    assert data.classes == ("cat", "dog") and ("lossy JPEG" in data.record.description) == (suffix != "png")
    if suffix == "png":
        expected = images(8, 10, 3).transpose(2, 0, 1) if colour else images(8, 10)[None]
        assert np.array_equal(inputs[0].numpy(), (expected / 255).astype(np.float32))


def test_numbered_folders_stand_in_order_of_number_and_notes_are_passed_over(tmp_path):
    folder_of(tmp_path, classes=("10", "9", "1"), each=1)
    (tmp_path / "9" / "list.csv").write_text("x")
    data = load_labelled(tmp_path)
    assert data.classes == ("1", "9", "10") and "1 other files passed over" in data.record.description


def test_a_limit_takes_samples_through_all_of_the_data(tmp_path):
    data = load_labelled(folder_of(tmp_path, each=5), limit=4)
    assert data.ids == ("cat/0.png", "cat/2.png", "dog/0.png", "dog/2.png") and data.record.n == 4


def test_digests_name_pixels_type_shape_and_label(tmp_path):
    def digests(stored, labels):
        data = load_labelled(npz(tmp_path, images=stored, labels=labels), value_range=(0, 255))
        return data.record.samples["0"], data.record.digest

    first = digests(images(), LABELS)
    other = images()
    other[0, 3, 3] ^= 1
    changed = [digests(other, LABELS), digests(images(), np.roll(LABELS, 1)), digests(images().astype(np.float32), LABELS),
               digests(images()[:, :5], LABELS)]
    assert first == digests(images(), LABELS) and len({first, *changed}) == 5
    assert len({sample for sample, _ in (first, *changed)}) == 5


def test_a_picture_that_changes_after_loading_is_refused(tmp_path):
    data = load_labelled(folder_of(tmp_path))
    Image.fromarray(images(8, 10, seed=99)).save(tmp_path / "dog" / "0.png")
    data.fetch([0, 1, 3])
    with pytest.raises(InputError, match=r"dog/0\.png: changed since it was loaded"):
        data.fetch([2])


def test_fetching_does_not_depend_on_the_batch():
    data = bundled_digits("tuning")
    together = data.fetch([5, 0, 7])
    assert torch.equal(together.inputs, torch.cat([data.fetch([i]).inputs for i in (5, 0, 7)]))
    assert len(data.fetch([])) == 0


BAD_ARRAYS = {
    "label beyond the names": ({"labels": LABELS + 1}, {"classes": ["a", "b", "c"]}, "label 3 of sample 2 is out of range"),
    "label below zero": ({"labels": LABELS - 1}, {}, "label -1 of sample 0 is out of range"),
    "huge label": ({"labels": LABELS * 10**9}, {}, "label 1000000000 of sample 1 is out of range"),
    "labels as floats": ({"labels": LABELS + 0.5}, {}, "labels of type float64 are not whole numbers"),
    "labels as words": ({"labels": LABELS.astype(str)}, {}, "are not numbers"),
    "one-hot labels": ({"labels": np.eye(6, dtype=int)}, {}, "look one-hot; save .argmax(1)"),
    "too few labels": ({"labels": LABELS[:5]}, {}, "6 images, and 5 labels in 'labels'"),
    "one class": ({"labels": LABELS * 0}, {}, "all samples are of class '0'"),
    "NaN pixel": ({"images": np.full((6, 2, 2), np.nan)}, {}, "image 0: 4 of 4 values are NaN or infinite"),
    "floats up to 255": ({"images": images() * 1.0}, {}, "leave the range 0 to 1; say value_range="),
    "outside the declared range": ({}, {"value_range": (0, 16)}, "leave the range 0 to 16"),
    "integers of unknown range": ({"images": images().astype(np.int16)}, {}, "whose range cannot be told; say value_range="),
    "complex": ({"images": images() * 1j}, {}, "complex values"),
    "booleans": ({"images": images() > 9}, {}, "boolean values"),
    "objects": ({"images": images().astype(object)}, {}, "pickles are never loaded"),
    "objects as labels": ({"labels": LABELS.astype(object)}, {}, "pickles are never loaded"),
    "flat images": ({"images": images(6, 64)}, {}, "2 axes (6, 64); expected (n, height, width)"),
    "four channels": ({"images": images(6, 8, 8, 4)}, {}, "no axis of 1 or 3 channels"),
    "channels on both sides": ({"images": images(6, 3, 8, 3)}, {}, "could be the second or the last axis"),
    "no samples": ({"images": images(0, 8, 8)}, {}, "the array is empty"),
    "unknown key": ({}, {"label_key": "classes"}, "it holds: images, labels; say which with image_key="),
    "two pairs": ({"x": images(), "y": LABELS}, {}, "more than one array could be meant; it holds: images, labels, x, y"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_refuses_arrays(case, tmp_path):
    arrays, options, words = case
    refused(load_labelled, npz(tmp_path, **({"images": images(), "labels": LABELS} | arrays)), words, **options)


@pytest.mark.parametrize(("options", "words"), [
    ({"value_range": (1, 0)}, "value_range=(1, 0); expected the least and the greatest"),
    ({"value_range": (0, float("inf"))}, "value_range=(0, inf); expected"),
    ({"limit": 0}, "limit=0; expected a whole number of at least 1"),
    ({"classes": ["a", "b", "a"]}, "classes: two classes are both named 'a'"),
    ({"classes": ["a", "", "c"]}, "classes: an empty class name"),
    ({"classes": "nowhere.txt"}, "nowhere.txt: does not exist")])
def test_refuses_arguments(options, words, tmp_path):
    with pytest.raises(InputError) as caught:
        load_labelled(npz(tmp_path, images=images(), labels=LABELS), **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.95])
def test_refuses_a_truncated_archive(share, tmp_path):
    path = npz(tmp_path, images=images(6, 64, 64), labels=LABELS)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert any(words in refused(load_labelled, path) for words in ("truncated", "0 bytes"))


def test_refuses_a_truncated_member_and_a_pickle(tmp_path):
    path = npz(tmp_path, images=images(), labels=LABELS)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", members["images.npy"][:-20])
        archive.writestr("labels.npy", members["labels.npy"])
    refused(load_labelled, path, "array 'images': truncated, 20 of 480 bytes are missing")
    path.write_bytes(pickle.dumps({"images": images(), "labels": LABELS}))
    refused(load_labelled, path, "truncated or not a .npz archive")
    refused(load_labelled, path.rename(tmp_path / "set.pkl"), "not labelled images that can be read; give an .npz")


def spoil(folder, what):
    if what == "loose":
        (folder / "cat" / "0.png").rename(folder / "0.png")
    elif what == "empty class":
        (folder / "emu").mkdir()
    elif what == "deeper":
        (folder / "cat" / "more").mkdir()
    elif what == "sizes":
        Image.fromarray(images(9, 10)).save(folder / "dog" / "1.png")
    elif what == "colour among grey":
        Image.fromarray(images(8, 10, 3)).save(folder / "dog" / "1.png")
    elif what == "transparent":
        Image.fromarray(images(8, 10, 4)).save(folder / "dog" / "1.png")
    elif what == "palette":
        Image.fromarray(images(8, 10)).convert("P").save(folder / "dog" / "1.png")
    elif what == "sixteen bits":
        Image.fromarray(images(8, 10).astype(np.uint16)).save(folder / "cat" / "0.png")
    elif what == "sixteen bits among eight":
        Image.fromarray(images(8, 10).astype(np.uint16)).save(folder / "dog" / "1.png")
    elif what == "truncated":
        whole = (folder / "dog" / "1.png").read_bytes()
        (folder / "dog" / "1.png").write_bytes(whole[: len(whole) // 2])
    elif what == "no picture":
        (folder / "dog" / "1.png").write_text("no picture")
    else:
        raise AssertionError(what)


@pytest.mark.parametrize(("what", "words"), [
    ("loose", "0.png: lies in no class"), ("empty class", "emu: holds no PNG or JPEG file"),
    ("deeper", "more: a folder within a class"), ("sizes", "(1, 9, 10), and the samples before it have (1, 8, 10)"),
    ("colour among grey", "(3, 8, 10), and the samples before it have (1, 8, 10)"),
    ("transparent", "neither grey nor RGB (mode RGBA)"), ("palette", "neither grey nor RGB (mode P)"),
    ("sixteen bits", "cat/0.png: values of type uint16, whose range cannot be told"),
    ("sixteen bits among eight", "dog/1.png: values of type uint16"),
    ("truncated", "dog/1.png: truncated or not a PNG"), ("no picture", "dog/1.png: truncated or not a PNG")])
def test_refuses_folders(what, words, tmp_path):
    folder_of(tmp_path)
    load_labelled(tmp_path)
    spoil(tmp_path, what)
    refused(load_labelled, tmp_path, words)


def test_refuses_folders_without_classes(tmp_path):
    refused(load_labelled, tmp_path, "holds no sub-folders; make one per class")
    folder_of(tmp_path, classes=("cat",))
    refused(load_labelled, tmp_path, "all samples are of class 'cat'")
    refused(load_labelled, tmp_path, "2 class names; name each class", classes=["a", "b"])
    refused(load_labelled, tmp_path, "image_key= has no meaning for a folder", image_key="images")
    refused(load_labelled, tmp_path / "nowhere", "does not exist")
