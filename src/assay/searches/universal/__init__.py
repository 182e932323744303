"""Searches for one perturbation shared by many inputs."""
