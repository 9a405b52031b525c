"""What was measured, and what follows from it: medians over rounds, and ratios within them.

Every round measures each arm once, one after the other, so that whatever else the machine does falls on all of them.
A ratio is therefore taken within a round, and what is told is the median of the rounds, with the quartiles: half of
them lie in between. What one arm adds to another is a difference that may be next to nothing in a single round: of
that, what is told is the ratio of the medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement that each round repeats.

    Attributes:
        scenario: What is asked, and how, as `alone/small/8`. Arms of one scenario are measured side by side.
        arm: Who is asked.
        measure: Measures once. Times are milliseconds, but for `cpu` (microseconds of the server's for a request)
            and `ready` (seconds); `rss` is megabytes.
    """

    scenario: str
    arm: str
    measure: Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement gave."""

    scenario: str
    arm: str
    round: int
    figures: Mapping[str, float]


class Side(NamedTuple):
    """One side of a ratio: an arm, or what it adds to another arm of its scenario."""

    scenario: str
    arm: str
    beyond: str | None = None


class Spread(NamedTuple):
    """A figure over several rounds: in the middle, and between what half of the rounds lie."""

    median: float
    low: float
    high: float


class Figures:
    """The samples of one run."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = tuple(samples)
        self._found = {(one.scenario, one.arm, one.round): one.figures for one in self.samples}
        self._rounds = sorted({one.round for one in self.samples})

    def arms(self, scenario: str) -> list[str]:
        """The arms of a scenario, in the order of the alphabet."""
        return sorted({one.arm for one in self.samples if one.scenario == scenario})

    def count(self, scenario: str) -> int:
        """In how many rounds a scenario was measured."""
        return len({one.round for one in self.samples if one.scenario == scenario})

    def values(self, side: Side, measure: str) -> dict[int, float]:
        """A measure of one side, by round; rounds that do not have it are left out."""
        values = {}
        for number in self._rounds:
            value = self._found.get((side.scenario, side.arm, number), {}).get(measure)
            base = 0.0
            if side.beyond is not None:
                base = self._found.get((side.scenario, side.beyond, number), {}).get(measure)
            if value is not None and base is not None:
                values[number] = value - base
        return values

    def median(self, side: Side, measure: str) -> float | None:
        """The median over the rounds; None where nothing was measured."""
        values = self.values(side, measure)
        return statistics.median(values.values()) if values else None

    def spread(self, measure: str, side: Side) -> Spread | None:
        """A measure of one side; None where nothing was measured."""
        values = self.values(side, measure)
        return _spread(list(values.values())) if values else None

    def ratio(self, measure: str, over: Side, under: Side) -> Spread | None:
        """How many times one side is the other.

        For the quartiles, rounds are left out in which the divisor is not positive: something added nothing, within
        the noise.

        Returns:
            None where it cannot be taken.
        """
        values, divisors = self.values(over, measure), self.values(under, measure)
        both = values.keys() & divisors.keys()
        ratios = [values[number] / divisors[number] for number in both if divisors[number] > 0.0]
        if not ratios:
            return None
        spread = _spread(ratios)
        if over.beyond is None:
            return spread
        divisor = statistics.median(divisors[number] for number in both)
        if divisor <= 0.0:
            return None
        return spread._replace(median=statistics.median(values[number] for number in both) / divisor)

    def as_data(self) -> list[dict[str, Any]]:
        """All samples as what JSON can hold; `from_data` reads it."""
        return [asdict(one) for one in self.samples]

    @classmethod
    def from_data(cls, data: Iterable[Mapping[str, Any]]) -> Figures:
        """The figures of an earlier run."""
        return cls(Sample(**one) for one in data)


def _spread(values: Sequence[float]) -> Spread:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return Spread(middle, low, high)


def interleaved(cells: Sequence[Cell], rounds: int) -> Iterator[Sample]:
    """Measure every cell once in each round, scenario by scenario; who of a scenario begins changes with the round."""
    scenarios: dict[str, list[Cell]] = {}
    for cell in cells:
        scenarios.setdefault(cell.scenario, []).append(cell)
    for number in range(rounds):
        for scenario, arms in scenarios.items():
            first = number % len(arms)
            for cell in arms[first:] + arms[:first]:
                yield Sample(scenario, cell.arm, number, cell.measure())
