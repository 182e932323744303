"""Several tests at once: p values made larger, so that any false alarm among them stays as rare as of one. No torch."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: what stays at or below α holds with at most α of any false alarm.

    With p₍₁₎ ≤ … ≤ p₍ₘ₎: p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎). Asks nothing about how the tests depend on each
    other. Raises `ValueError` for a value outside 0 to 1. Source: Holm, Scand. J. Stat. 6 (1979).

    >>> holm([0.5, 0.25, 0.125])
    [0.5, 0.5, 0.375]
    """
    if bad := [p for p in p_values if not 0 <= p <= 1]:
        raise ValueError(f"need values between 0 and 1, got {bad[0]}")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(order), 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - place) * p_values[i]))
        adjusted[i] = least
    return adjusted
