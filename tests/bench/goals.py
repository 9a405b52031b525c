"""What has to be reached: one table, each row a ratio within a run, or a time, and its limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from figures import Figures, Side, Spread

CONNECTIONS = (1, 8, 32)
LARGE_CONNECTIONS = (1, 8)
OPEN = 500
"""Requests per second in open loop."""


def alone(size: str, load: object) -> str:
    """The name of a scenario of the server alone; `load` is a number of connections, or `open`."""
    return f"alone/{size}/{load}"


def created(clients: int) -> str:
    """The name of a scenario in which pods are created through the API server."""
    return f"apiserver/{clients}"


GROWTH = "growth"
START = "start"


@dataclass(frozen=True, slots=True)
class Goal:
    """One target.

    Attributes:
        name: What is compared, for people.
        measure: The measure that is compared.
        over: Ours.
        under: What it is held against; None where that is the limit alone, in seconds.
        limit: The most that the median may be.
    """

    name: str
    measure: str
    over: Side
    under: Side | None
    limit: float

    @property
    def unit(self) -> str:
        return "s" if self.under is None else "x"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A goal and what was measured, if it was."""

    goal: Goal
    measured: Spread | None

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured.median <= self.goal.limit


def _goals() -> Iterator[Goal]:
    # What detection takes counts in full only for pods whose like was never seen; most pods are replicas.
    for pods in ("new pods", "replicas"):
        for load in CONNECTIONS:
            for peer, limit in (("go typed", 1.0), ("go lean", 1.25)):
                yield from _alone("6 KB", "small", load, pods, peer, limit)
        for load in LARGE_CONNECTIONS:
            yield from _alone("220 KB", "large", load, pods, "go typed", 1.0)
    for pods, arm in (("new pods", "ours, skip"), ("replicas", "ours, skip, replicas")):
        for clients in CONNECTIONS:
            where = created(clients)
            for measure, limit in (("p50", 1.0), ("p99", 1.1)):
                name = f"API server, {pods}, {many(clients, 'client')}: added {measure} / go typed"
                yield Goal(name, measure, Side(where, arm, "none"), Side(where, "go typed", "none"), limit)
    for clients in CONNECTIONS:
        where = created(clients)
        name = f"skipped pod in the mesh, {many(clients, 'client')}: added p50 / Istio alone"
        yield Goal(name, "p50", Side(where, "ours + Istio, skipped", "none"), Side(where, "Istio", "none"), 0.5)
    yield Goal("10 → 1,000 rules: p50", "p50", Side(GROWTH, "1,000 rules"), Side(GROWTH, "10 rules"), 1.5)
    yield Goal("10 → 1,000 values: p50", "p50", Side(GROWTH, "1,000 values"), Side(GROWTH, "10 values"), 100.0)
    # What is fixed hides what grows; between large pods it no longer does. Twice as many values may take twice as long,
    # and a tenth more for the noise; of what grows with the square it would be four times.
    yield Goal("1,000 → 2,000 values: p50", "p50", Side(GROWTH, "2,000 values"), Side(GROWTH, "1,000 values"), 2.2)
    yield Goal("start to ready, without a cluster", "ready", Side(START, "ours"), None, 1.0)


def _alone(what: str, size: str, load: int, pods: str, peer: str, limit: float) -> Iterator[Goal]:
    where = alone(size, load)
    for measure in ("p50", "p99"):
        name = f"{what}, {pods}, {many(load, 'connection')}: {measure} / {peer}"
        yield Goal(name, measure, Side(where, f"ours, {pods}"), Side(where, peer), limit)


def many(count: int, what: str) -> str:
    """A count with what is counted: "1 client", "8 clients"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


GOALS: tuple[Goal, ...] = tuple(_goals())


def outcomes(figures: Figures, goals: Iterable[Goal] = GOALS) -> list[Outcome]:
    """Each goal with what was measured."""
    return [Outcome(goal, _measured(figures, goal)) for goal in goals]


def _measured(figures: Figures, goal: Goal) -> Spread | None:
    if goal.under is None:
        return figures.spread(goal.measure, goal.over)
    return figures.ratio(goal.measure, goal.over, goal.under)
