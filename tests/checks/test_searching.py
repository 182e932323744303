"""Which search a check's words start, what checks it, and what each flag is raised for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import small_classifier as small
from assay.arrays import InputError
from assay.checks import searching
from assay.checks.check import Check
from assay.checks.searching import beats, blind, checked_by, flagged, objective_of, search
from assay.metrics import protocol
from assay.perturbations.balls import Ball, InputBall
from assay.perturbations.protocol import Examples, stream
from assay.records import Access, Stop
from assay.searches.result import Score, SearchResult
from assay.systems.function import FunctionSystem
from assay.systems.metered import Metered

ERROR_RATE = protocol.find("error-rate")
BOUNDED = {"kind": "bounded", "steps": 12, "restarts": 1, "climbs": ["log-odds", "margin"], "query": 30}
RIGHT = small.N - small.WRONG


class Counting:
    """The linear classifier; counts how many examples it saw."""

    access = Access.GRADIENT

    def __init__(self, access: Access = Access.GRADIENT) -> None:
        self.access, self.net, self.seen = access, small.Linear(), 0

    def __call__(self, inputs: Tensor) -> Tensor:
        self.seen += len(inputs)
        return self.net(inputs)


def masked(inputs: Tensor) -> Tensor:
    scores = small.Linear()(inputs)
    return scores.detach() + 0 * scores


def check(**spec) -> Check:
    return Check(id="c", title="", question="", method="worst-case", metric="error-rate", criterion={}, sources=(),
                 search=spec)


def run(system, spec, *, radius: float = 0.0, warm=()):
    x, target = small.examples(), Metered(system, name="net")
    within = InputBall(ball=Ball(norm="l2", radius=radius or small.radius(), relative=False, box=x.box))
    generators = [stream(0, sample) for sample in x.ids]
    return search(check(**spec), target, ERROR_RATE, within, x, target(x.inputs).detach(), generators, warm)


def with_queries(gradient, queries, metric):
    return checked_by(gradient, queries, metric, searching.BY_QUERIES)


def ids(flags) -> list[set[str]]:
    return [{flag.id for flag in mine} for mine in flags]


def near() -> Tensor:
    """Which samples the closed form says can be turned within the radius, or are wrong already."""
    return (small.distances() < small.radius()) | (torch.arange(small.N) >= RIGHT)


def fires_as_it_must(found: SearchResult) -> None:
    assert (found.value > 0).tolist() == near().tolist()
    sizes = found.parameters.flatten(1).norm(dim=1)
    assert bool((sizes <= small.radius() * (1 + 1e-5)).all())


def test_a_bounded_search_fires_exactly_within_the_distance():
    found, flags = run(Counting(), BOUNDED)
    fires_as_it_must(found)
    assert not any(ids(flags)) and found.forward > 0 and found.backward > 0
    assert 4 < int(near()[:RIGHT].sum()) < RIGHT - 4


@pytest.mark.parametrize("radius", [0.4, 1.4])
def test_a_wrong_radius_is_caught(radius):
    found, _ = run(Counting(), BOUNDED, radius=radius * small.radius())
    with pytest.raises(AssertionError):
        fires_as_it_must(found)


def test_each_climb_alone_reaches_the_same():
    for climb in ("log-odds", "margin", "dlr"):
        fires_as_it_must(run(Counting(), {**BOUNDED, "climbs": [climb], "query": 0})[0])
    with pytest.raises(InputError, match="at least one"):
        run(Counting(), {**BOUNDED, "climbs": []})
    with pytest.raises(InputError, match="'entropy'"):
        run(Counting(), {**BOUNDED, "climbs": ["entropy"]})


def test_examples_that_are_won_end_the_search():
    """In a ball that holds a flip for every sample neither the second climb nor the queries begin."""
    large = float(small.distances().max()) * 3
    few, many = Counting(), Counting()
    run(few, {**BOUNDED, "climbs": ["log-odds"], "query": 0}, radius=large)
    run(many, {**BOUNDED, "climbs": ["log-odds", "margin"], "query": 500}, radius=large)
    assert many.seen == few.seen


def test_queries_that_beat_a_masked_gradient_are_flagged():
    """The gradient is zero and queries flip what lies near: masking, said only where no start of the gradient search did."""
    found, flags = run(FunctionSystem(masked, access=Access.GRADIENT), {**BOUNDED, "query": 400}, radius=2 * small.radius())
    beaten = torch.tensor(["query-beats-gradient" in mine for mine in ids(flags)])
    assert int(beaten.sum()) >= 3 and bool((found.value > 0)[beaten].all()) and not bool(beaten[RIGHT:].any())
    assert all("zero-gradient" in mine for mine, lost in zip(ids(flags), beaten.tolist(), strict=True) if lost)


def test_without_gradients_a_search_is_by_queries_and_says_so():
    system = Counting(Access.SCORE)
    assert blind(check(**BOUNDED), Metered(system, name="net"))
    assert not blind(check(**BOUNDED), Metered(Counting(), name="net"))
    assert not blind(check(kind="random", draws=3), Metered(system, name="net"))
    found, flags = run(system, BOUNDED)
    assert all("query-only" in mine for mine in ids(flags)) and found.backward == 0
    assert flags[0][-1].detail == "30 queries"                                    # the query budget, at least two a step
    assert run(system, {**BOUNDED, "query": 0})[1][0][-1].detail == "24 queries"
    assert bool((found.value > 0).logical_and(~near()).logical_not().all())       # what is found is true


def test_a_query_only_search_starts_from_what_others_found():
    worst = run(Counting(), BOUNDED)[0].parameters
    found, _ = run(Counting(Access.SCORE), {**BOUNDED, "query": 2, "steps": 1}, warm=[worst])
    fires_as_it_must(found)


def test_random_draws_and_gradients_by_their_names():
    found, flags = run(Counting(), {"kind": "random", "draws": 5})
    assert found.forward == 5 and not any(ids(flags)) and bool((~(found.value > 0) | near()).all())
    found, _ = run(Counting(), {"kind": "gradient", "steps": 10, "restarts": 1, "query": 3, "climb": "margin"})
    fires_as_it_must(found)


def test_square_alone_is_a_search_by_queries():
    """An adversary who only asks: no gradient is used or missed, and what is found is true."""
    few, _ = run(Counting(Access.SCORE), {"kind": "square", "draws": 3, "climb": "margin"})
    many, flags = run(Counting(Access.SCORE), {"kind": "square", "draws": 200, "climb": "margin"})
    assert many.backward == 0 and not any(ids(flags)) and bool((~(many.value > 0) | near()).all())
    assert bool((many.value >= few.value).all()) and bool((many.value > few.value).any())


@pytest.mark.parametrize("kind", ["gradiant", ""])
def test_an_unknown_search_is_named(kind):
    with pytest.raises(InputError, match=f"check 'c': unknown search '{kind}'; known: bounded, choices, exhaustive"):
        run(Counting(), {"kind": kind})


def test_the_objective_is_the_harm_with_its_climb_beside():
    x, target = small.examples(), Metered(Counting(), name="net")
    within = InputBall(ball=Ball(norm="l2", radius=1.0, relative=False, box=x.box))
    p = 0.01 * torch.randn(x.inputs.shape, generator=torch.Generator().manual_seed(0))
    normal = target(x.inputs).detach()
    seen = objective_of(ERROR_RATE, target, within, x, normal, "log-odds")(p)
    scores = target(x.inputs + p)
    others = scores.scatter(1, x.truth[:, None], -math.inf)
    own = scores.gather(1, x.truth[:, None])[:, 0]
    assert isinstance(seen, Score)
    torch.testing.assert_close(seen.harm, others.amax(1) - own)
    torch.testing.assert_close(seen.climbed, others.logsumexp(1) - own)
    plain = objective_of(protocol.find("confidence"), target, within, x, normal)(p)
    torch.testing.assert_close(plain, scores.double().softmax(1).amax(1))


def result(*values: float, stop: Stop = Stop.BUDGET) -> SearchResult:
    value = torch.tensor(values, dtype=torch.float64)
    return SearchResult(parameters=value[:, None].clone(), value=value, stop=(stop,) * len(values), forward=3, backward=2,
                        history=value[None])


def union(join) -> None:
    """The truth table: per example the worse of two; flags of both; the gradient's own stop; a beaten gradient is named."""
    gradient = flagged(result(-1.0, -1.0, 0.5, -3.0, stop=Stop.ZERO_GRADIENT))
    queries = flagged(result(-2.0, 0.5, 0.9, -2.0))
    found, flags = join(gradient, queries, ERROR_RATE)
    assert found.value.tolist() == found.parameters[:, 0].tolist() == [-1.0, 0.5, 0.9, -2.0]
    assert found.stop == (Stop.ZERO_GRADIENT,) * 4 and (found.forward, found.backward) == (6, 4)
    assert ids(flags) == [{"zero-gradient"}, {"zero-gradient", "query-beats-gradient"}, {"zero-gradient"}, {"zero-gradient"}]


def test_the_union_of_gradient_and_queries():
    union(with_queries)


@pytest.mark.parametrize("broken", [
    lambda g, q, m: g, lambda g, q, m: q, lambda g, q, m: with_queries(q, g, m),
    lambda g, q, m: with_queries(g, q, protocol.find("confidence")),          # a metric without a goal flags any gain
], ids=["gradient alone", "queries alone", "swapped", "no goal"])
def test_broken_unions_are_caught(broken):
    with pytest.raises(AssertionError):
        union(broken)


def test_what_beats_what():
    one, two = torch.tensor([1.0, 1.0, -0.5, 1.001]), torch.tensor([0.5, -0.5, -1.0, 1.0])
    assert beats(one, two, ERROR_RATE).tolist() == [False, True, False, False]       # only across the boundary
    gain = protocol.find("gain")
    assert beats(one, two, gain).tolist() == [True, True, True, True]
    assert beats(one, two, gain, slack=0.01).tolist() == [True, True, True, False]


def test_stops_raise_their_flags():
    for stop in Stop:
        expected = {Stop.ZERO_GRADIENT: "zero-gradient", Stop.NON_FINITE: "non-finite"}.get(stop)
        assert ids(flagged(result(1.0, stop=stop))[1]) == [{expected} if expected else set()]


def test_every_search_of_a_profile_is_known():
    from assay.profiles import load as profiles

    for check_ in profiles.load("research", task="classification")["checks"]:
        if check_["method"] == "worst-case":
            assert check_["search"]["kind"] in searching.KNOWN


def test_results_do_not_depend_on_the_batch():
    whole, _ = run(Counting(), BOUNDED)
    x = small.examples()
    for i in (0, 9):
        one = Examples(ids=(x.ids[i],), inputs=x.inputs[i: i + 1], truth=x.truth[i: i + 1], box=x.box)
        target = Metered(Counting(), name="net")
        within = InputBall(ball=Ball(norm="l2", radius=small.radius(), relative=False, box=x.box))
        normal = target(one.inputs).detach()
        alone, _ = search(check(**BOUNDED), target, ERROR_RATE, within, one, normal, [stream(0, x.ids[i])], ())
        assert float(alone.value) == pytest.approx(float(whole.value[i]), abs=1e-3)


def test_a_two_stage_search_is_one_of_masked_sounds_alone():
    with pytest.raises(InputError, match="of the set \"masked-sound\" alone"):
        run(FunctionSystem(masked, access=Access.GRADIENT), {"kind": "two-stage", "steps": 4}, radius=2 * small.radius())
