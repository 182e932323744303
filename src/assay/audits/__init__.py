"""The act: prepare systems and data, plan, run, verify."""
