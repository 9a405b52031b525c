"""What detection has to reach, and what of it it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from report import Measured
from score import Pair, Score

PRECISION = 0.99
RECALL = 0.97
# The application that the project was begun for: nothing missed there, nothing invented.
WITHOUT_FAULT = "eshoponcontainers"


def shortfalls(measured: Measured) -> Iterator[str]:
    """Each target that is not met, as a sentence."""
    for name, pairs in (("clients", measured.clients), ("serves", measured.servers)):
        yield from _shortfalls(name, pairs)
        own = [pair for pair in pairs if pair.case.application == WITHOUT_FAULT]
        faults = sum(pair.wrong or pair.missed for pair in own)
        if faults:
            yield f"{name}: {faults} faults in {WITHOUT_FAULT}, where there may be none"


def _shortfalls(name: str, pairs: Sequence[Pair]) -> Iterator[str]:
    score = Score.of(pairs)
    for what, share, least in (
        ("precision", score.total.precision, PRECISION),
        ("recall", score.total.recall, RECALL),
        ("mean precision over applications", score.mean_precision, PRECISION),
        ("mean recall over applications", score.mean_recall, RECALL),
    ):
        if share is None:
            yield f"{name}: no {what}, since there is nothing to count"
        elif share < least:
            yield f"{name}: {what} is {share:.4f}, below {least}"
