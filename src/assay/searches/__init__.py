"""Finding the worst member of a set. A search sees an objective (parameters) -> (batch,) and a set, nothing else."""
