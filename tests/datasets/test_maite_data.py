"""MAITE data sets and labelled images, both ways; a round trip changes no pixel and no label."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch

from assay.arrays import InputError
from assay.datasets.labelled import bundled_digits, one_batch
from assay.datasets.maite import as_maite_dataset, from_maite


class Dataset:
    """A MAITE data set of four 2×3 colour images, uint8."""

    metadata = types.MappingProxyType({"id": "four", "index2label": {0: "cat", 1: "dog", 2: "eel"}})

    def __init__(self, **changes) -> None:
        self.images = np.arange(4 * 18, dtype=np.uint8).reshape(4, 3, 2, 3)
        self.targets = np.eye(3, dtype=np.float32)[[0, 1, 0, 1]]
        self.ids = ["a", "b", "c", "d"]
        self.__dict__.update(changes)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], self.targets[i], {"id": self.ids[i]}


def test_pixels_labels_names_and_ids_are_those_of_the_data_set():
    data = from_maite(Dataset())
    images, labels = one_batch(data)
    torch.testing.assert_close(images, torch.from_numpy(Dataset().images) / 255)
    assert labels.tolist() == [0, 1, 0, 1] and data.classes == ("cat", "dog", "eel") and data.ids == ("a", "b", "c", "d")
    assert data.record.task == "classification" and data.record.id == "maite:four"


def test_a_round_trip_changes_nothing():
    digits = bundled_digits("tuning")
    there = as_maite_dataset(digits)
    back = from_maite(there, limit=10)
    images, labels = one_batch(back)
    positions = [digits.ids.index(i) for i in back.ids]
    assert torch.equal(images, digits.fetch(positions).inputs) and labels.tolist() == [digits.labels[i] for i in positions]
    assert len(list(there)) == len(there) == 200


def test_a_changed_pixel_changes_the_digest():
    changed = Dataset()
    changed.images[3, 0, 0, 0] += 1
    assert from_maite(changed).record.digest != from_maite(Dataset()).record.digest == from_maite(Dataset()).record.digest


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Dataset(targets=np.full((4, 3), 1 / 3)), "datum 0: its target has 3 greatest entries"),
        (Dataset(targets=np.arange(4)), r"datum 0: its target has shape \(\); expected \(classes,\), one-hot"),
        (Dataset(images=np.zeros((4, 2, 3, 3), np.uint8)), r"datum 0: an image of shape \(2, 3, 3\)"),
        (Dataset(images=np.zeros((0, 3, 2, 2))), "it is empty"),
        (Dataset(metadata={}), "no metadata with an id"),
        (Dataset(targets=np.eye(3)[[1, 1, 1, 1]]), "all samples are of class 'dog'"),
        (Dataset(ids=["a", "a", "b", "c"]), "both named 'a'"),
    ],
)
def test_what_is_no_labelled_image_is_refused(dataset, words):
    with pytest.raises(InputError, match=words):
        from_maite(dataset)


def test_they_satisfy_maites_own_protocol():
    protocol = pytest.importorskip(
        "maite.protocols.image_classification", reason="maite is not installed: pip install 'assay[maite]'"
    )
    assert isinstance(as_maite_dataset(bundled_digits("tuning")), protocol.Dataset) and isinstance(
        Dataset(), protocol.Dataset
    )
