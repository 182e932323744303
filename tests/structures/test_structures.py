"""Laws of structures: an edit to one's own content changes nothing, an edit is what it says, and nothing else moves."""

from __future__ import annotations

import pytest
import torch

from assay.numerics.texts import decode, encode
from assay.structures import images, library, rows
from assay.structures.protocol import Editable, OfFunction, Structure, neutral


def pictures(n: int = 6, channels: int = 3, side: int = 32) -> torch.Tensor:
    """Smooth images away from the ends of the box, so that no edit is cut off."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((n, channels, 8, 8), generator=generator, dtype=torch.float64)
    return 0.4 + 0.2 * torch.nn.functional.interpolate(coarse, side, mode="bilinear")


EDITABLE = [g for g in library.of_images() if isinstance(g, Editable)]


@pytest.mark.parametrize("g", EDITABLE, ids=lambda g: g.id)
def test_ones_own_content_changes_nothing(g):
    x = pictures()
    assert torch.allclose(g.given(x, g.content(x)), x, atol=1e-9)


@pytest.mark.parametrize("g", EDITABLE, ids=lambda g: g.id)
def test_an_edit_is_what_it_says(g):
    x = pictures()
    other = x.roll(1, 0)
    edited = g.given(x, g.content(other))
    # at frequency 0 amplitude keeps an image's own brightness, and is not among the features either
    assert torch.allclose(g.features(edited), g.features(other), atol=2e-2 if g.id in ("amplitude", "bands") else 1e-6)
    assert not torch.allclose(edited, x, atol=1e-3)
    assert float(edited.amin()) >= 0.0
    assert float(edited.amax()) <= 1.0


@pytest.mark.parametrize("g", EDITABLE, ids=lambda g: g.id)
def test_neutral_inputs_are_alike_in_the_structure(g):
    x = pictures()
    found = g.features(neutral(g, x, x))
    if g.id in ("border", "corner", "amplitude"):           # the mean of pictures has the mean of no logarithm or spread
        assert float(found.std(0).amax()) < 0.1 * float(g.features(x).std(0).amax()) + 1e-2
    else:
        assert torch.allclose(found, found[:1].expand_as(found), atol=1e-6)


def test_edits_of_a_part_leave_the_rest():
    x = pictures()
    for g, inside in ((images.Border(), lambda v: v[..., 2:-2, 2:-2]), (images.Corner(), lambda v: v[..., 4:-4, :])):
        assert torch.equal(inside(g.given(x, g.content(x.roll(1, 0)))), inside(x))


def test_exchanged_amplitudes_keep_phases():
    x = pictures(channels=1)
    edited = images.Amplitude().given(x, images.Amplitude().content(x.roll(1, 0)))
    before, after = torch.fft.rfft2(x), torch.fft.rfft2(edited)
    strong = (before.abs() > 1e-2) & (after.abs() > 1e-2)
    turned = (torch.angle(before) - torch.angle(after)).abs()[strong]
    assert float(torch.minimum(turned, 2 * torch.pi - turned).max()) < 1e-5


def test_directions_of_edges_follow_a_quarter_turn():
    """Stripes that lie have their energy half a circle of directions (4 of 8 bins) from stripes that stand."""
    line = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    line[..., 6:9, :] = 1.0
    lying, standing = (images.Orientation().features(v)[0] for v in (line, line.transpose(2, 3)))
    assert int((lying.argmax() - standing.argmax()) % 8) == 4
    assert torch.allclose(lying.roll(4), standing, atol=1e-5)


def test_small_patches_do_not_know_places():
    g, x = images.PatchBag(), torch.rand(1, 1, 16, 16, dtype=torch.float64)
    tiled = torch.cat((x, x), 3)
    assert torch.allclose(g.features(tiled.roll(5, 3)), g.features(tiled), atol=0.05)
    assert not torch.allclose(g.features(torch.zeros_like(x)), g.features(x), atol=0.05)


def test_unfitting_inputs_are_refused_with_the_reason():
    grey = torch.zeros(2, 1, 6, 6)
    kept, why = library.fitting(library.of_images(), grey)
    assert {g.id for g in kept} == {"intensity", "bands", "orientation", "patches", "thumbnail"} - {"bands"}
    assert why["channels"] == "the images have one channel"
    assert "smaller than 8" in why["border"]
    assert "about texts" in rows.TextLength().unfit(grey)
    assert "about tables" in rows.Column(index=0, name="a").unfit(grey)


def test_columns_and_missing_values():
    x = torch.tensor([[1.0, float("nan")], [2.0, 5.0]])
    g = rows.Column(index=0, name="age", keeps_truth=True)
    assert g.given(x, torch.tensor([[7.0], [8.0]]))[:, 0].tolist() == [7.0, 8.0]
    assert g.features(x).tolist() == [[1.0], [2.0]]
    assert rows.Missingness().features(x).tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert rows.Missingness(missing=(5.0,)).features(x).tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert "no value is missing" in rows.Missingness().unfit(x[1:].repeat(2, 1))


def test_texts_are_lengthened_and_words_put_in_and_out():
    x = torch.from_numpy(encode(["chest pain", "no pain at all today"]))
    g = rows.TextLength()
    longer = decode(g.given(x, torch.tensor([[4.0], [2.0]])).numpy())
    assert list(longer) == ["chest pain please note", "no pain at all today"]
    word = rows.Keyword(word="pain")
    assert list(decode(word.given(x, torch.tensor([[0.0], [1.0]])).numpy())) == ["chest", "no pain at all today"]
    back = torch.from_numpy(encode(["chest"]))
    assert list(decode(word.given(back, torch.tensor([[1.0]])).numpy())) == ["chest pain"]
    assert word.features(torch.from_numpy(encode(["painful", "Pain."]))).flatten().tolist() == [0.0, 1.0]


def test_a_users_function_is_a_structure():
    g = OfFunction(id="mean", title="mean", function=lambda x: x.flatten(1).mean(1))
    assert isinstance(g, Structure)
    assert not isinstance(g, Editable)
    assert g.features(torch.ones(2, 1, 2, 2)).tolist() == [[1.0], [1.0]]
