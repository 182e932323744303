"""The check of sounds played in rooms: counted rooms, controls, held-out seeds, batches, replay; blind search is caught."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from assay.checks.catalogue import METHODS
from assay.checks.check import Bench, Check, UnitResult, run_check
from assay.checks.over_the_air import judge_in_rooms, replayed
from assay.metrics import protocol as metrics
from assay.metrics.protocol import Response
from assay.metrics.sound import HEARD_IN_ROOMS, hidden_word
from assay.numerics.intervals import clopper_pearson
from assay.perturbations.protocol import Examples, stream
from assay.perturbations.rooms import PlayedSound, Rooms, RoomSampler, listen
from assay.records import Access
from assay.systems.metered import Metered
from assay.verdicts import harmed

RATE, SAMPLES = 1000, 256
LOUD, SOFT = -20.0, -26.0
NEAR = {"gain": [-6.0, 6.0], "delay": 0.0004, "reverberation": [0.05, 0.05], "direct": [6.0, 12.0], "noise": [-30.0, -20.0],
        "band": [10.0, 450.0]}
HELD_OUT = {"reverberations": [0.03, 0.06], "noises": [-30.0, -15.0], "draws": 5}
CHECK = Check(
    id="air", title="", question="", method="over-the-air", metric="heard-in-rooms", sources=(), unit="dB",
    perturbation={"kind": "added-sound", "norm": "linf", "rooms": NEAR, "held_out": HELD_OUT},
    search={"kind": "expectation", "steps": 15, "draws": 2, "query": 40}, levels=(SOFT, LOUD), controls=3,
    criterion={"kind": "grows", "level": LOUD, "absolute": 0.5, "over_control": 2.0, "sentence": "…"})


def tones(rate: int = RATE) -> Tensor:
    """Three words: tones of 62.5, 125 and 187.5 Hz."""
    t = torch.arange(SAMPLES) / rate
    return torch.stack([torch.sin(2 * math.pi * f * t) for f in (62.5, 125.0, 187.5)])


class Spotter:
    """Three words by ⟨w_k, x⟩, the last two heard far better than the first: a soft tone hides a word."""

    def __init__(self, access: Access = Access.GRADIENT, scale: float = 1.0, rate: int = RATE) -> None:
        self.access, self.w = access, tones(rate) * torch.tensor([[1.0], [15.0 * scale], [15.0 * scale]])

    def __call__(self, waves: Tensor) -> Tensor:
        return waves @ self.w.to(waves.dtype).T


def examples(batch: int = 3, rate: int = RATE) -> Examples:
    """The first word and a little noise, as 16 bits hold it."""
    waves = 0.3 * tones(rate)[:1] + 0.01 * torch.randn(batch, SAMPLES, generator=torch.Generator().manual_seed(0))
    return Examples(ids=tuple(f"s{i}" for i in range(batch)), inputs=(waves * 2**15).round() / 2**15,
                    truth=torch.zeros(batch, dtype=torch.long), box=(-1.0, 1.0), rate=rate)


def bench(*systems: Spotter, seed: int = 0, keep: int = 4) -> Bench:
    named = {name: Metered(system, name=name) for name, system in zip(("net", "other"), systems, strict=False)}
    return Bench(systems=named, roles={"net": "audited", "other": "established"}, seed=seed, families=named,
                 fetch=lambda positions: examples(), keep=keep)


@pytest.fixture(scope="module")
def found() -> UnitResult:
    return run_check(CHECK, "net", bench(Spotter(), Spotter(scale=0.5)), examples())


def hides_the_word(check: Check) -> None:
    rows = [row for row in run_check(check, "net", bench(Spotter()), examples()).findings if row.level == LOUD]
    assert len(rows) == 3
    for row in rows:
        assert row.worst >= 0.8 and row.normal == 0.0 and row.average == 0.0 and harmed(row, check.criterion)


def test_the_word_is_heard_in_rooms_held_out():
    hides_the_word(CHECK)


def test_a_search_that_does_not_move_is_caught(monkeypatch):
    from assay.checks import over_the_air

    def blind(objective, within, *, x, **options):
        return over_the_air.random_search(lambda p: torch.zeros(len(x)), within, x=x, draws=1,
                                          generators=[stream("blind", i) for i in x.ids])
    monkeypatch.setattr(over_the_air, "expectation_ascent", blind)
    with pytest.raises(AssertionError):
        hides_the_word(CHECK)


# counted again

def rooms_of(sample: str, level: float, *, purpose: str = "held-out") -> Rooms:
    """Reverberation and noise of each cell in turn, the rest as the search draws its rooms, from the sample's own stream."""
    generator = stream(0, "air", level, sample, purpose)
    tables = []
    for reverberation in HELD_OUT["reverberations"]:
        for noise in HELD_OUT["noises"]:
            share = torch.rand(5, 6, dtype=torch.float64, generator=generator)
            tables.append(torch.stack([
                -6 + 12 * share[:, 0], 0.0004 * share[:, 1], reverberation + 0 * share[:, 2], 6 + 6 * share[:, 3],
                noise + 0 * share[:, 4], (share[:, 5] * 2**31).floor()], dim=1))
    return Rooms(table=torch.cat(tables), band=(10.0, 450.0), longest=0.0604)


def recount(system: Spotter, wave: Tensor, added: Tensor, rooms: Rooms, word: int) -> tuple[float, int, list[float]]:
    """One room after another: heard rightly without what was added it counts, and as the word with it it is won."""
    both = [[row.index(max(row)) for row in system(listen(w.expand(len(rooms), -1), rooms, rate=RATE)).tolist()]
            for w in (wave, wave + torch.trunc(added * 2**15) / 2**15)]
    cells = []
    for start in range(0, len(rooms), 5):
        cells.append([heard == word for clean, heard in zip(*(b[start:start + 5] for b in both), strict=True) if clean == 0])
    counted = sum(map(len, cells))
    return sum(map(sum, cells)) / counted, counted, [sum(cell) / len(cell) for cell in cells if cell]


def rates_are_those_counted(result: UnitResult, purpose: str = "held-out", shift: int = 0) -> None:
    x = examples()
    words = hidden_word(x, 3).tolist()
    partly = 0
    for row in result.findings:
        i = x.ids.index(row.sample)
        system = Spotter(scale=1.0 if row.system == "net" else 0.5)
        rate, counted, cells = recount(system, x.inputs[i], result.witnesses[f"net|{row.sample}|{row.level:g}"],
                                       rooms_of(row.sample, row.level, purpose=purpose), (words[i] + shift) % 3)
        assert row.worst == pytest.approx(rate) and row.extra["views.counted"] == counted
        assert (row.extra["success.low"], row.extra["success.high"]) == clopper_pearson(round(rate * counted), counted)
        partly += 0 < rate < 1
        if row.origin == row.system:
            pairs = [(r, n) for r in HELD_OUT["reverberations"] for n in HELD_OUT["noises"]]
            named = [f"success.reverberation-{r:g}.noise-{n:g}" for r, n in pairs]
            assert [row.extra[name] for name in named] == pytest.approx(cells)
        else:
            assert not any(name.startswith("success.reverberation") for name in row.extra)
    assert len(result.findings) == 12 and partly >= 6


def test_a_rate_is_the_share_of_held_out_rooms_in_which_the_word_is_heard(found):
    rates_are_those_counted(found)


@pytest.mark.parametrize("broken", [{"purpose": "search"}, {"shift": 1}])
def test_rooms_of_the_search_and_another_word_are_caught(found, broken):
    with pytest.raises(AssertionError):
        rates_are_those_counted(found, **broken)


def test_rates_of_any_other_word_are_caught(found):
    wrong = [replace(row, worst=min(1.0, row.worst + 1 / row.extra["views.counted"])) for row in found.findings]
    with pytest.raises(AssertionError):
        rates_are_those_counted(UnitResult(findings=tuple(wrong), witnesses=found.witnesses))


def test_controls_are_noise_as_loud_in_the_same_rooms(found):
    """Drawn again from their seeds, with every value of the greatest modulus that the level allows."""
    x, words = examples(), hidden_word(examples(), 3).tolist()
    for row in found.findings:
        if row.origin != row.system:
            assert row.average is row.control_size is None and row.controls == 0
            continue
        i = x.ids.index(row.sample)
        generator, wave, rates = stream(0, "air", row.level, row.sample, "control"), x.inputs[i], []
        radius = 10 ** (row.level / 20) * float(wave.abs().max())
        for _ in range(3):
            noise = PlayedSound.at(row.level, x.only(i)).sample(x.only(i), [generator])[0]
            assert torch.equal(noise.abs() * 2**15, torch.full_like(noise, math.floor(radius * 2**15 + 1e-3)))
            rates.append(recount(Spotter(), wave, noise, rooms_of(row.sample, row.level), words[i])[0])
        assert row.controls == 3 and row.control_size == pytest.approx(float(PlayedSound.at(row.level, x.only(i)).size(
            x.only(i), noise[None])), abs=1e-4) and row.level - 0.05 < row.size <= row.level + 1e-6
        assert (row.average, row.average_low, row.average_high) == pytest.approx((sum(rates) / 3, min(rates), max(rates)))


def test_what_is_told_beside_a_rate(found):
    x, words = examples(), hidden_word(examples(), 3).tolist()
    for row in (r for r in found.findings if r.origin == r.system):
        i = x.ids.index(row.sample)
        p = torch.trunc(found.witnesses[f"net|{row.sample}|{row.level:g}"] * 2**15) / 2**15
        assert row.extra["decision.worst"] == float(Spotter()(x.inputs[i:i + 1] + p).argmax())
        assert row.extra["decision.normal"] == row.extra["label"] == row.extra["already-wrong"] == 0.0
        assert 0 <= row.extra["still.worst"] <= 1 and row.extra["still.worst"] * 20 == round(row.extra["still.worst"] * 20)
        assert words[i] != 0 and not row.flags and row.unit == "dB" and row.metric == "heard-in-rooms"
        assert row.backward == 2 * 15 and row.forward == 2 * (15 + 4 + 12) + (2 + 3) * 20


class Rumbling(Spotter):
    """Hears the last two words best at 8 Hz, which the loudspeakers of `SMALL` do not play."""

    def __init__(self) -> None:
        super().__init__()
        t = torch.arange(SAMPLES) / RATE
        deep = torch.stack([torch.sin(2 * math.pi * 7.8125 * t), torch.cos(2 * math.pi * 7.8125 * t)])
        self.w = self.w + 60 * torch.cat((torch.zeros(1, SAMPLES), deep))


SMALL = replace(CHECK, levels=(LOUD,), perturbation={
    **CHECK.perturbation, "rooms": {**NEAR, "band": [40.0, 450.0], "noise": [-40.0, -40.0]},
    "held_out": {**HELD_OUT, "noises": [-40.0], "draws": 10}})


def rooms_matter(system: Spotter) -> None:
    """Searched for without rooms, it aims at what no room plays and is heard in few; in them, it is heard in most."""
    for row in run_check(SMALL, "net", bench(system), examples()).findings:
        assert row.worst >= 0.8 and row.extra["still.worst"] <= 0.5, (row.worst, row.extra["still.worst"])


def test_a_sound_searched_without_rooms_is_judged_in_the_same_rooms():
    rooms_matter(Rumbling())
    with pytest.raises(AssertionError):
        rooms_matter(Spotter())


# seeds, batches, replay

def differ(first: object, second: object) -> None:
    x = examples()
    tables = [RoomSampler(**NEAR).draw(x.inputs, [stream(0, "air", LOUD, s, name) for s in x.ids], 200).table
              for name in (first, second)]
    assert not set(tables[0][:, 5].tolist()) & set(tables[1][:, 5].tolist())


def test_held_out_rooms_are_none_of_the_searchs():
    x = examples()
    judged = judge_in_rooms(CHECK, bench(Spotter()).systems["net"], bench(Spotter()), x, LOUD, PlayedSound.at(LOUD, x))
    seeds = judged.held.views.column("seed").tolist()
    searched = RoomSampler(**NEAR).draw(x.inputs, [stream(0, "air", LOUD, s, "search") for s in x.ids], 200).column("seed")
    assert len(set(seeds)) == len(x) * judged.held.count == 60 and not set(seeds) & set(searched.tolist())
    mine = torch.cat([rooms_of(s, LOUD).table for s in x.ids])
    assert torch.equal(judged.held.views.table, mine)
    differ("search", "held-out")
    with pytest.raises(AssertionError):
        differ("search", "search")


def do_not_depend_on_the_batch(check: Check, rate: int = RATE) -> None:
    x, of = examples(rate=rate), bench(Spotter(rate=rate))
    whole = run_check(check, "net", of, x).findings
    for i, sample in enumerate(x.ids):
        alone = run_check(check, "net", of, x.only(i)).findings
        assert [(r.worst, r.average, r.extra) for r in alone] == [(r.worst, r.average, r.extra) for r in whole
                                                                   if r.sample == sample]


def late() -> Check:
    """Loud noise, and rooms whose delays are different numbers of samples at 8 kHz."""
    rooms = {**NEAR, "reverberation": [0.03, 0.06], "delay": 0.001, "band": [10.0, 3500.0], "noise": [-10.0, -10.0]}
    held_out = {**HELD_OUT, "noises": [-10.0], "draws": 15}
    return replace(CHECK, perturbation={**CHECK.perturbation, "rooms": rooms, "held_out": held_out})


def test_results_do_not_depend_on_the_batch():
    do_not_depend_on_the_batch(CHECK)
    do_not_depend_on_the_batch(late(), rate=8000)


def replays(check: Check, result: UnitResult, of: Bench, x: Examples) -> None:
    for row in result.findings:
        witness = result.witnesses[f"net|{row.sample}|{row.level:g}"][None]
        numbers = replayed(check, row, of, x.only(x.ids.index(row.sample)), witness)
        assert numbers["worst"] == row.worst and numbers["size"] == pytest.approx(row.size, abs=1e-9)
        told = {name for name in row.extra if name.startswith(("success", "views"))}
        assert told and {name: numbers[name] for name in told} == {name: row.extra[name] for name in told}
        assert numbers.get("average") == row.average


def test_a_stored_sound_gives_its_numbers_again(found):
    replays(CHECK, found, bench(Spotter(), Spotter(scale=0.5)), examples())


def test_a_stored_sound_gives_its_numbers_again_where_rooms_are_of_different_length():
    x, of = examples(rate=8000), bench(Spotter(rate=8000))
    found = run_check(late(), "net", of, x)
    assert all(row.worst is not None for row in found.findings) and len({row.worst for row in found.findings}) > 2
    replays(late(), found, of, x)


@pytest.mark.parametrize("change", [lambda p: -p, lambda p: 0.5 * p, lambda p: p.roll(7, -1)])
def test_a_changed_sound_does_not(found, change: Callable[[Tensor], Tensor]):
    changed = UnitResult(findings=found.findings, witnesses={name: change(p) for name, p in found.witnesses.items()})
    with pytest.raises(AssertionError):
        replays(CHECK, changed, bench(Spotter(), Spotter(scale=0.5)), examples())


def test_the_sounds_that_work_best_are_kept():
    result = run_check(CHECK, "net", bench(Spotter(), keep=1), examples())
    for level in CHECK.levels:
        rates = {row.sample: row.worst for row in result.findings if row.level == level}
        (kept,) = [name.split("|")[1] for name in result.witnesses if name.endswith(f"|{level:g}")]
        assert rates[kept] == max(rates.values())
    assert {name.rsplit("|", 1)[1] for name in result.exhibits} == {"original", "changed"}


# who and what can be asked

def test_a_system_without_gradients_is_asked_and_told_so():
    rows = run_check(CHECK, "net", bench(Spotter(Access.SCORE)), examples()).findings
    assert len(rows) == 6 and all({flag.id for flag in row.flags} == {"query-only"} for row in rows)
    assert all("still.worst" not in row.extra and row.backward == 0 and row.worst is not None for row in rows)


def test_a_sound_that_is_seldom_heard_rightly_is_not_judged():
    x = replace(examples(), truth=torch.full((3,), 2))
    rows = run_check(CHECK, "net", bench(Spotter()), x).findings
    for row in rows:
        assert row.worst is row.average is row.normal is None and row.extra["already-wrong"] == 1
        assert row.notes == "only 0 of 20 held-out views are decided rightly without a change; 10 are needed"


@pytest.mark.parametrize(("change", "words"), [
    ({"rate": 0}, "check 'air' plays sounds in rooms, and the inputs are no sounds with a rate"),
    ({"truth": None}, "the right classes are not known"), ({"inputs": torch.zeros(1, SAMPLES)}, "silent throughout")])
def test_what_cannot_be_asked_is_a_failed_row_with_the_reason(change, words):
    (row,) = run_check(CHECK, "net", bench(Spotter()), replace(examples(1), **change)).findings
    assert row.worst is None and words in row.notes and {flag.id for flag in row.flags} == {"raised"}


def test_one_silent_sound_does_not_stop_the_others():
    x = examples()
    waves = x.inputs.clone()
    waves[1] = 0.0
    rows = run_check(CHECK, "net", bench(Spotter()), replace(x, inputs=waves)).findings
    assert {row.sample for row in rows if row.worst is None} == {"s1"} and len({row.sample for row in rows}) == 3


def test_impossible_rooms_are_told():
    check = replace(CHECK, perturbation={**CHECK.perturbation, "rooms": {**NEAR, "reverberation": [0.0, 3.0]}})
    (row,) = run_check(check, "net", bench(Spotter()), examples(1)).findings
    assert "reverberation in (0, 2]" in row.notes and METHODS["over-the-air"] is not None


def test_the_metric_is_registered_and_counts_one_room():
    x = examples()
    word = hidden_word(x, 3)
    scores = torch.eye(3)[[int(word[0]), 0, int(3 - word[2])]]
    assert metrics.find("heard-in-rooms") is HEARD_IN_ROOMS and HEARD_IN_ROOMS.unit == "share of the rooms"
    response = Response(output=scores, changed=x, normal=torch.eye(3)[:1].expand(3, 3), original=x)
    assert HEARD_IN_ROOMS.compute(response).tolist() == [1.0, 0.0, 0.0]
