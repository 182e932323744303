"""Candidate structures: cheap numbers of an input that a system may have learnt instead of the truth, and their editors."""
