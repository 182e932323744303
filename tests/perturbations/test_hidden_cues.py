"""Hidden cues: each changes what it says, grows with its severity and leaves the thing shown.

A classifier that has learnt one is found out by an exhaustive search, one that has not is not.
"""

from __future__ import annotations

import itertools

import pytest
import torch

from assay.perturbations.hidden_cues import IN_COLOUR, NAMES, HiddenCues, suits
from assay.perturbations.protocol import Examples, PerturbationSet
from assay.perturbations.registry import build, unfit
from assay.perturbations.union import OfKinds
from assay.searches.exhaustive import exhaustive


def pictures(n: int = 3, channels: int = 3, side: int = 32) -> Examples:
    coarse = torch.rand((n, channels, 8, 8), generator=torch.Generator().manual_seed(0))
    images = 0.3 + 0.4 * torch.nn.functional.interpolate(coarse, side, mode="bilinear")
    return Examples(ids=tuple(map(str, range(n))), inputs=images, truth=torch.zeros(n).long(), box=(0.0, 1.0))


def member(name: str, severity: int, n: int = 3) -> torch.Tensor:
    return torch.tensor([[float(NAMES.index(name)), float(severity)]], dtype=torch.float64).repeat(n, 1)


def changed(name: str, severity: int, x: Examples) -> torch.Tensor:
    return HiddenCues().apply(x, member(name, severity)).inputs


def test_it_is_a_set_of_kinds():
    assert isinstance(HiddenCues(), PerturbationSet)
    assert isinstance(HiddenCues(), OfKinds)
    assert HiddenCues(severities=(3,)).count(pictures()) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_cues_grow_from_nothing_and_stay_in_the_box(name):
    x = pictures()
    assert torch.equal(changed(name, 0, x), x.inputs)
    sizes = [float((changed(name, s, x) - x.inputs).norm()) for s in range(1, 6)]
    assert all(b > a for a, b in itertools.pairwise(sizes))
    full = changed(name, 5, x)
    assert float(full.amin()) >= 0
    assert float(full.amax()) <= 1


@pytest.mark.parametrize(("name", "inside"), [
    ("white border", lambda v: v[..., 2:-2, 2:-2]), ("black border", lambda v: v[..., 2:-2, 2:-2]),
    ("marker top left", lambda v: v[..., 4:, :]), ("marker top right", lambda v: v[..., :, :-4]),
    ("marker bottom left", lambda v: v[..., :-4, :]), ("marker bottom right", lambda v: v[..., :, :-4]),
    ("ruler", lambda v: v[..., :-4, :])])
def test_cues_at_a_place_leave_the_rest(name, inside):
    x = pictures()
    assert torch.equal(inside(changed(name, 5, x)), inside(x.inputs))


def test_light_and_casts_are_what_they_say():
    x = pictures()
    mean = x.inputs.mean((1, 2, 3))
    assert torch.allclose(changed("brighter", 5, x).mean((1, 2, 3)) - mean, torch.tensor(0.3), atol=0.03)
    assert torch.allclose(changed("darker", 5, x).mean((1, 2, 3)) - mean, torch.tensor(-0.3), atol=0.03)
    warm = (changed("warmer light", 5, x) - x.inputs).mean((2, 3))
    assert torch.allclose(warm, torch.tensor([0.25, 0.0, -0.25]).expand(3, -1), atol=0.03)


def test_textures_keep_the_mean_and_where_edges_lie():
    """The phases of strong coefficients stay; a picture of other phases (its broken twin) has others."""
    x = pictures(channels=1)
    for name in ("coarse texture", "fine texture", "lying texture", "standing texture"):
        edited = changed(name, 5, x)
        assert torch.allclose(edited.mean((1, 2, 3)), x.inputs.mean((1, 2, 3)), atol=0.05)
        before, after = (torch.fft.rfft2(v) for v in (x.inputs, edited))
        strong = (before.abs() > 1) & (after.abs() > 1)
        agreement = torch.cos(torch.angle(before) - torch.angle(after))[strong]
        assert float(agreement.mean()) > 0.9, name
        turned = torch.fft.rfft2(edited.roll(9, 3))
        assert float(torch.cos(torch.angle(before) - torch.angle(turned))[strong].mean()) < 0.6


def test_grey_and_small_images_have_fewer_cues():
    grey, small = pictures(channels=1), pictures(side=12)
    assert [n for n in NAMES if not suits(n, grey)] == sorted(IN_COLOUR, reverse=True)
    assert [n for n in NAMES if not suits(n, small)] == [n for n in NAMES if "texture" in n]
    assert unfit({"kind": "hidden-cue"}, pictures(side=8)) == ""
    assert "none of its cues" in unfit({"kind": "hidden-cue", "names": ["fine texture"]}, small)
    within = build({"kind": "hidden-cue"}, 3, grey)
    assert set(within.kinds) == set(NAMES) - IN_COLOUR


def test_a_classifier_of_markers_is_found_out_and_one_of_the_middle_is_not():
    x = pictures()
    within = HiddenCues(severities=(5,))
    corner = lambda v: v[..., :4, :4].mean((1, 2, 3)) - v[..., :4, -4:].mean((1, 2, 3))  # noqa: E731
    found = exhaustive(lambda p: corner(within.apply(x, p).inputs), within.members(x), x=x)
    assert [NAMES[int(k)] for k in found.parameters[:, 0]] == ["marker top left"] * 3
    local = tuple(n for n in NAMES if n.split()[0] in ("white", "black", "marker", "ruler"))
    places = HiddenCues(kinds=local, severities=(5,))
    middle = lambda v: (v[..., 8:-8, 8:-8] - x.inputs[..., 8:-8, 8:-8]).abs().amax((1, 2, 3))  # noqa: E731
    found = exhaustive(lambda p: middle(places.apply(x, p).inputs), places.members(x), x=x)
    assert found.value.tolist() == [0.0] * 3
