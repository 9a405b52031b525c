"""Compose what the server does with a live cluster: informers, Events, drift checks and readiness."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.lease import Lease
from webhook.cluster.reflector import Reflector
from webhook.inventory.live import LiveInventory
from webhook.server.admission.deciding import Decider
from webhook.server.background.drift import DriftWatch
from webhook.server.background.webhook_order import WebhookOrder
from webhook.server.observe.event_series import EventOutcome
from webhook.server.observe.events import Events
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.readiness import Check, Health
from webhook.server.service import Watch

# Seconds. A watch that is reopened after a regular end is stale for some hundredths of a second.
_WORTH_REPORTING = 5.0
# After a crash of the leader another replica takes over within this time and a minute.
_LEASE_SECONDS = 180


class LiveCluster:
    """The parts of the server that need a live cluster.

    Attributes:
        client: The API client.
        inventory: The cluster context of pods.
        events: Records decisions as Events on the pods' owners.
        watches: Background tasks by name, for `Service`.
        checks: Readiness checks by name.
        close: Closes the client; awaited at the end.
    """

    def __init__(
        self, client: Client, *, read_secrets: Callable[[], bool], metrics: Metrics, log: FilteringBoundLogger
    ) -> None:
        """Prepare; the watches read the cluster.

        Args:
            client: The API client.
            read_secrets: Returns whether Secrets may be read; polled.
            metrics: Counts objects, staleness, direct reads and wrong webhook orders.
            log: Logs lists and watch failures.
        """
        self.client = client
        self.inventory = LiveInventory(client, read_secrets=read_secrets, log=log, on_look_up=_counting(metrics))
        self._order = WebhookOrder(client, log, metrics.order_violations.inc)
        metrics.order_problems.set_function(lambda: len(self._order.problems))
        for outcome in EventOutcome:
            metrics.events.labels(outcome.value)
        self.events = Events(
            client,
            instance=socket.gethostname(),
            resolve=self._uid,
            count=lambda outcome, count: metrics.events.labels(outcome.value).inc(count),
            log=log,
        )
        for kind, reflector in self.inventory.reflectors.items():
            metrics.objects.labels(kind).set_function(partial(len, reflector))
            metrics.skipped.labels(kind).set_function(partial(len, reflector.skipped))
            if reflector.optional:
                metrics.absent.labels(kind).set_function(partial(_is_absent, reflector))
            metrics.staleness.labels(kind).set_function(partial(_staleness, self.inventory, kind))
        self.watches: dict[str, Watch] = {
            "inventory": self.inventory.watch,
            "webhook order": self._order.watch,
            "events": self.events.run,
        }
        self.checks: Mapping[str, Check] = {
            "inventory": partial(inventory_health, self.inventory),
            "webhook-order": partial(order_health, self._order),
        }
        self.close = client.close

    def look_for_drift(
        self,
        decider: Decider,
        *,
        every: float,
        lease: tuple[str, str] | None,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> DriftWatch:
        """Add a watch that checks for drift.

        Args:
            decider: Decides about the running pods.
            every: Seconds between two checks.
            lease: Namespace and name of the Lease that elects the replica that checks; None if all check.
            metrics: Exposes the drift.
            log: Logs each check.

        Returns:
            The watch, for its report.
        """
        held = None
        if lease is not None:
            # The host name is not unique: pods with hostNetwork share that of their node.
            identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
            held = Lease(self.client, *lease, identity=identity, seconds=_LEASE_SECONDS)
        drift = DriftWatch(
            self.client,
            every=every,
            lease=held,
            decider=decider,
            synced=lambda: self.inventory.synced,
            metrics=metrics,
            log=log,
        )
        self.watches["drift"] = drift.watch
        return drift

    def _uid(self, namespace: str, kind: str, name: str) -> str | None:
        template = self.inventory.template(kind, namespace, name)
        return template.owner_uid if template is not None else None


def inventory_health(inventory: LiveInventory) -> Health:
    """Return ready once the cache is synced; a stale cache adds a notice, but stays ready."""
    followed = inventory.followed
    if not inventory.synced:
        missing = [
            f"{kind} ({reflector.problem or 'being read'})"
            for kind, reflector in followed.items()
            if not reflector.settled
        ]
        return Health(ok=False, notice="not synced yet: " + ", ".join(missing))
    behind = {
        kind: reflector.behind
        for kind, reflector in followed.items()
        if reflector.behind > _WORTH_REPORTING or (reflector.problem and reflector.synced)
    }
    if not behind:
        return Health(ok=True, notice="; ".join(_done_without(inventory)))
    oldest = max(behind, key=behind.__getitem__)
    return Health(
        ok=True,
        notice=f"using the last known state of {', '.join(behind)}, {behind[oldest]:.0f} s old: "
        + (followed[oldest].problem or "the watch is being opened"),
    )


def _done_without(inventory: LiveInventory) -> Iterator[str]:
    for kind, reflector in inventory.followed.items():
        if reflector.optional and not (reflector.synced or reflector.is_absent):
            yield f"{kind} not read: {reflector.problem or 'being read'}"


def order_health(order: WebhookOrder) -> Health:
    """Return ready with a notice for a wrong webhook order: no restart would fix it."""
    return Health(ok=True, notice="; ".join(order.problems))


def _is_absent(reflector: Reflector[Any]) -> float:
    return float(not reflector.synced)


def _staleness(inventory: LiveInventory, kind: str) -> float:
    return inventory.reflectors[kind].behind if kind in inventory.followed else 0.0


def _counting(metrics: Metrics) -> Callable[[str, str], None]:
    return lambda kind, outcome: metrics.look_ups.labels(kind, outcome).inc()
