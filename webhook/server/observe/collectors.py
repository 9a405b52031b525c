"""Prometheus collectors for values that are stored elsewhere, or replaced atomically."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class LostLines(Collector):
    """A counter of lost log lines, read from a callback at each scrape."""

    def __init__(self, lost: Callable[[], int]) -> None:
        self._lost = lost

    def collect(self) -> Iterator[Metric]:
        """Yield the counter; called by prometheus_client at each scrape."""
        yield CounterMetricFamily(
            "sidecar_policy_log_lines_lost",
            "Log lines dropped because stderr was not read in time, or at all.",
            value=self._lost(),
        )


class SwappedGauge(Collector):
    """A gauge whose values are replaced atomically: a scrape sees either the old or the new values."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._values: Mapping[tuple[str, ...], float] = {}
        registry.register(self)

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Replace all values.

        Args:
            values: The gauge's value for each tuple of label values. The mapping is not copied.
        """
        self._values = values

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge; called by prometheus_client at each scrape."""
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        yield family
