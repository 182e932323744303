"""Per-example numbers from a system's response: each declares unit, range and which direction is worse."""
