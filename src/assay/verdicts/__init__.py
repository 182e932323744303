"""Verdicts: pure functions of records, so a threshold can change without a new search. No torch.

`criteria` says which row is harm, `proofs` what was proved, `judging` puts the rows of a check together.
"""

from assay.verdicts.criteria import DISCREDITING, SERIOUS, apart, harm, harmed
from assay.verdicts.judging import by_sample, judge, judge_all, pair_of, raised_before, rows_by_pair
from assay.verdicts.proofs import WITHIN, contradictions, flips_found

__all__ = ["DISCREDITING", "SERIOUS", "WITHIN", "apart", "by_sample", "contradictions", "flips_found", "harm", "harmed",
           "judge", "judge_all", "pair_of", "raised_before", "rows_by_pair"]
