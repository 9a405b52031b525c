"""Exponential back-off with jitter."""

from __future__ import annotations

import random
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 30.0


def delay(failures: int, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> float:
    """Return the seconds to wait before the next attempt: exponential, with jitter so that replicas do not synchronise.

    Args:
        failures: Failed attempts in a row.
        first: Upper bound before any failure, in seconds.
        longest: Upper bound after many, in seconds.

    Returns:
        A random time between half of the bound and the bound, which doubles with each failure.
    """
    most = min(longest, first * 2 ** min(failures, 16))
    return random.uniform(most / 2, most)  # noqa: S311 - spreads load, hides nothing
