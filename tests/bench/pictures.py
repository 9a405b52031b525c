"""Which results are drawn, and how they are called there."""

from __future__ import annotations

from collections.abc import Sequence

from bars import Panel, Row, chart
from figures import Figures, Side
from goals import CONNECTIONS, OPEN, alone, created, many
from tables import ORDER

NOTE = "Milliseconds, less is better. Bar: median; thin bar: 99th percentile. Medians of {rounds} interleaved rounds."


def server(figures: Figures) -> str:
    """The server alone, under each load with small pods."""
    loads = {alone("small", one): many(one, "connection") for one in CONNECTIONS}
    loads[alone("small", "open")] = f"{OPEN} requests a second, open loop"
    panels = [Panel(heading, _rows(figures, scenario, ORDER)) for scenario, heading in loads.items()]
    return chart("Time to answer an AdmissionReview of 6 KB", _note(figures, alone("small", 1)), panels)


def api_server(figures: Figures, arms: Sequence[str]) -> str:
    """What each webhook adds to the creation of a pod."""
    panels = [
        Panel(
            many(clients, "client"),
            _rows(figures, created(clients), [arm for arm in arms if arm != "none"], beyond="none"),
        )
        for clients in CONNECTIONS
    ]
    return chart("What a webhook adds to the creation of a pod", _note(figures, created(1)), panels)


def _rows(figures: Figures, scenario: str, arms: Sequence[str], beyond: str | None = None) -> list[Row]:
    rows = []
    for arm in arms:
        p50, p99 = (figures.median(Side(scenario, arm, beyond), measure) for measure in ("p50", "p99"))
        if p50 is not None and p99 is not None:
            rows.append(Row(arm, p50, p99, "ours" in arm))
    return rows


def _note(figures: Figures, scenario: str) -> str:
    return NOTE.format(rounds=figures.count(scenario))
