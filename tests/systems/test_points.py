"""Rule bases, and the talk's two examples reproduced on rule bases made for them: fewest changes, proved by trying all."""

from __future__ import annotations

import pytest
import torch

from assay.arrays import InputError
from assay.datasets.claims import claims
from assay.datasets.notes import SLIDE
from assay.numerics.texts import encode
from assay.perturbations.codes import CodeRewrites, load_codes, read_claim
from assay.perturbations.phrases import load_table
from assay.perturbations.protocol import ChoiceSet, Examples
from assay.perturbations.substitutions import Substitutions
from assay.perturbations.written import texts_of
from assay.records import Stop
from assay.searches.substitution import exhaustive_choice
from assay.systems.points import points_score
from assay.systems.texts import TextSystem

RISK = points_score({"back pain": 2, "alcohol abuse": 3, "depression": 1}, threshold=3, name="risk")
CLAIM = points_score({"401.0": 1, "272.0": 1, "272.2": 1, "277.7": 1, "429.9": 1, "278.00": 1}, threshold=4, name="payer")


def fewest(system: TextSystem, text: str, within_of) -> tuple[int, str]:
    """The fewest changes that alter the decision, and the text they make: every member of the smaller sets was tried."""
    x = Examples(ids=("slide",), inputs=torch.from_numpy(encode([text])))
    usual = int(system(x.inputs).argmax(1))
    for most in range(6):
        within: ChoiceSet = within_of(most)

        def ask(members: torch.Tensor, within: ChoiceSet = within) -> torch.Tensor:
            scores = system(within.apply(x.repeated(len(members)), members).inputs)
            return scores[:, 1 - usual] - scores[:, usual]

        found = exhaustive_choice(ask, within.choices(x)[0], most=most)
        assert found.stop is Stop.EXHAUSTED
        if found.value > 0:
            return most, texts_of(within.apply(x, found.choice[None]))[0]
    raise AssertionError("no change of at most five alters the decision")


def test_the_slides_note_falls_from_high_to_low_by_its_two_phrases_and_by_no_fewer():
    table = load_table("clinical")
    changes, text = fewest(RISK, SLIDE, lambda most: Substitutions(table=table, most=most, grades=("same", "disputed")))
    assert changes == 2 and "lumbago" in text and "alcohol dependence" in text
    with pytest.raises(AssertionError, match="no change"):      # the second swap is disputed: without it the score holds
        fewest(RISK, SLIDE, lambda most: Substitutions(table=table, most=most, grades=("same",)))


def test_the_slides_claim_turns_from_denied_to_approved_by_one_rewrite():
    text = claims("audited")[0].text
    changes, made = fewest(CLAIM, text, lambda most: CodeRewrites(table=load_codes("icd9"), most=most))
    assert changes == 1 and set(read_claim(made).codes) == {"401.0", "272.0", "272.2", "429.9", "278.00"}


def test_points_count_once_as_whole_words_and_not_where_they_are_denied():
    system = points_score({"pain": 1, "back pain": 1}, threshold=1.5)
    texts = ["Pain, pain, pain.", "Back pain.", "Denies back pain.", "painful", "PAIN and BACK  PAIN"]
    assert system(torch.from_numpy(encode(texts))).argmax(1).tolist() == [0, 1, 0, 0, 1]
    with pytest.raises(InputError, match="at least one"):
        points_score({}, threshold=1)
