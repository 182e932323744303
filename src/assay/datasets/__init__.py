"""Samples to audit on, and where they came from."""
