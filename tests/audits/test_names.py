"""Names whose letters deceive are refused before an audit runs: a label with such a name could never be written."""

from __future__ import annotations

import pytest

import small_classifier
from assay.api import session_for
from assay.arrays import InputError
from assay.letters import deceptive
from assay.systems.torch import TorchSystem

MIXED = "Ex\u0430mple"              # the third letter is Cyrillic


def session(folder, *, name: str = "net", classes: str = "a\nb\nc\n", data: str = "data.npz"):
    small_classifier.data(folder)
    (folder / "data.npz").rename(folder / data)
    (folder / "classes.txt").write_text(classes, encoding="utf-8")
    return session_for(TorchSystem(small_classifier.Linear(), name=name), folder / data, established=("none",), seed=0,
                       profile=small_classifier.profile(folder), budget="standard", classes=str(folder / "classes.txt"))


@pytest.mark.parametrize(("named", "what"), [({"name": MIXED}, "system"), ({"classes": f"a\nb\n{MIXED}\n"}, "class"),
                                             ({"data": f"{MIXED}.npz"}, "data")])
def test_a_deceptive_name_is_refused_at_the_start(tmp_path, named, what):
    with pytest.raises(InputError, match=rf"{what} '.*mixes letters that look alike \(U\+0430\).*rename it"):
        session(tmp_path, **named)


@pytest.mark.parametrize("name", ["Πρότυπο", "Модель", "réseau β", "net\u202e"])
def test_names_that_a_label_takes_are_taken(tmp_path, name):
    """Another script throughout, symbols beside Latin letters; hidden characters stand on the label written out."""
    assert session(tmp_path, name=name).systems[0].record.name == name
    assert deceptive(MIXED)
