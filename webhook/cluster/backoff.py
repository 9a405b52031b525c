"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import random
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 30.0


def delay(failures: int, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> float:
    """Return seconds that double with each failure, half of it left to chance: replicas do not come back together."""
    most = min(longest, first * 2 ** min(failures, 16))
    return random.uniform(most / 2, most)  # noqa: S311 - spreads load, hides nothing
