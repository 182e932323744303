"""What an audit must say of each planted system, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.records import Outcome, Verdict
from attacks import planted

ANY_BUT_NONE_FOUND = frozenset({Outcome.UNSTABLE, Outcome.INCONCLUSIVE})
NO_WORD = frozenset({Outcome.INCONCLUSIVE})


@dataclass(frozen=True, kw_only=True)
class Case:
    """A planted system; the outcomes that are right; the flags of which at least one must be raised; and why."""

    system: type[planted.Wrapper]
    flags: frozenset[str]
    why: str
    outcomes: frozenset[Outcome] = ANY_BUT_NONE_FOUND
    inner: str = "lenet"
    surrogates: tuple[str | type[planted.Wrapper], ...] = ()        # on which changes are found that are carried over

    @property
    def name(self) -> str:
        return self.system.__name__ if self.flags else self.inner

    @property
    def honest(self) -> bool:
        return not self.flags


def _case(system: type[planted.Wrapper], flags: str, why: str, outcomes: frozenset[Outcome] = ANY_BUT_NONE_FOUND,
          surrogates: tuple[str | type[planted.Wrapper], ...] = ()) -> Case:
    return Case(system=system, flags=frozenset(flags.split()), why=why, outcomes=outcomes, surrogates=surrogates)


CASES = (
    _case(planted.ShatteredGradients, "gradient-mismatch", "slopes by gradient are not those by differences"),
    _case(planted.QuantisedInput, "zero-gradient", "no gradient, while the scores do change"),
    _case(planted.Thermometer, "zero-gradient", "no gradient, while the scores do change"),
    _case(planted.SaturatedSoftmax, "probabilities zero-gradient", "probabilities were given for scores"),
    _case(planted.Underflow, "zero-gradient", "the scores do not move where the system is sure"),
    _case(planted.DecisionOnly, "transfer-beats-gradient", "only a change found on another network turns it",
          surrogates=("mlp",)),
    _case(planted.RandomNoise, "not-deterministic", "two calls differ; a witness would be an accident", NO_WORD),
    _case(planted.DropoutLeftOn, "training-mode", "dropout runs, in the layer named", NO_WORD),
    _case(planted.WrongSign, "gradient-mismatch", "the gradient points the other way"),
    _case(planted.ZeroGradient, "zero-gradient", "no gradient, while the scores do change"),
    _case(planted.KnownInputs, "jumps", "the scores jump beside every audited image"),
    _case(planted.LabelLeak, "jumps", "the scores jump half-way between audited images", NO_WORD),
    _case(planted.StepDetector, "changes-with-use", "the same question got another answer after the search", NO_WORD),
    _case(planted.Constant, "constant-decision", "one decision for all classes", NO_WORD),
    _case(planted.AlreadyWrong, "mostly-wrong", "most decisions are wrong without any change"),
    _case(planted.BatchNormalised, "training-mode batch-dependent", "an image's scores depend on its neighbours"),
    _case(planted.NaNWhenChanged, "non-finite", "not a number beside every image", NO_WORD),
    _case(planted.HashedNoise, "gradient-mismatch jumps", "the same noise for the same image is no function to climb"),
    _case(planted.GradientWatcher, "gradient-mismatch", "other scores where a gradient is asked for"),
    _case(planted.HonestNearData, "gradient-mismatch", "the gradient is judged beside the images, too"),
    _case(planted.CreepingGradient, "gradient-mismatch still-rising", "a few values of the gradient at a time"),
    _case(planted.Memory, "jumps", "the scores jump where the memory of the image ends", NO_WORD),
    _case(planted.NamesAClass, "surrogate-unmoved", "the model it offers to find changes on is turned by none", NO_WORD,
          surrogates=(planted.Album,)),
    _case(planted.ReversedShell, "gradient-mismatch query-beats-gradient transfer-beats-gradient",
          "the gradient is wrong where a search spends its steps", surrogates=("mlp",)),
    *(Case(system=planted.Wrapper, inner=name, flags=frozenset(), why="honest: nothing to flag",
           outcomes=frozenset(Outcome)) for name in ("lenet", "mlp", "multinomial")),
)


def misjudged(case: Case, verdicts: Sequence[Verdict]) -> str:
    """What is wrong with the verdicts on the system, or "": every check must judge it rightly, and the cause be named."""
    raised = {flag.id for verdict in verdicts for flag in verdict.flags}
    if not verdicts:
        return "nothing was judged"
    if case.honest:
        return f"an honest system was flagged: {', '.join(sorted(raised))}" if raised else ""
    for verdict in verdicts:
        if verdict.outcome not in case.outcomes:
            return f"{verdict.check}: {verdict.outcome}"
        if verdict.outcome is Outcome.INCONCLUSIVE and not verdict.flags:
            return f"{verdict.check}: inconclusive, and no flag says why"
    return "" if raised & case.flags else f"none of {', '.join(sorted(case.flags))} was raised"
