"""Reconstruction by optimisation: functions that return the image, why they stopped, the residual, the iterations."""
