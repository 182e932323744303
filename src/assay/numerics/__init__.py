"""Tensors in, tensors out: norms, projections, proximal maps, intervals. A source per formula, no state."""
