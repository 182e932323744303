"""Which checks, radii and criteria one community runs: TOML files, each threshold with its source."""
