"""Metrics whose values are kept elsewhere, or replaced all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class LostLines(Collector):
    """How many log lines were lost, asked for at each scrape."""

    def __init__(self, lost: Callable[[], int]) -> None:
        self._lost = lost

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it at a scrape."""
        yield CounterMetricFamily(
            "sidecar_policy_log_lines_lost",
            "Log lines dropped because stderr was not read in time, or at all.",
            value=self._lost(),
        )


class SwappedGauge(Collector):
    """A gauge whose values are replaced all at once: a scrape sees those before or those after, never none of them."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._values: Mapping[tuple[str, ...], float] = {}
        registry.register(self)

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Replace all values.

        Args:
            values: For each tuple of the labels' values the gauge's. It is not copied.
        """
        self._values = values

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it at a scrape."""
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        yield family
