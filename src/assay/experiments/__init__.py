"""Live experiments on what training learns: each repeats a published one, beside its figures."""
