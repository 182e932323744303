"""Tensors in, tensors out; intervals and numbers of tests load no torch. A source per formula, no state."""
