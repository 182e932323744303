"""Live experiments on what training learns: each repeats a published one, beside its figures."""

MODULES = {             # by name; imported when one is run, so that naming them loads no torch
    "stripes": "assay.experiments.stripes", "second-coordinate": "assay.experiments.second_coordinate",
    "existence": "assay.experiments.existence", "before-after": "assay.experiments.before_after",
    "hallucination": "assay.experiments.hallucination",
}
SIZES = ("quick", "full")
