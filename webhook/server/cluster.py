"""The live cluster as the server uses it: followed, told about, and part of readiness."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Mapping
from functools import partial

from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.lease import Lease
from webhook.inventory.live import LiveInventory
from webhook.server.admission.deciding import Decider
from webhook.server.background.drift import DriftWatch
from webhook.server.background.webhook_order import WebhookOrder
from webhook.server.observe.event_series import EventOutcome
from webhook.server.observe.events import Events
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.readiness import Check, Health
from webhook.server.service import Watch

# A watch that is opened again after it ended in order is behind for some hundredths of a second.
_WORTH_SAYING = 5.0
# A replica that died without a word is followed by another within this and a minute.
_LEASE_SECONDS = 180


class LiveCluster:
    """What the server knows of the cluster that it runs for.

    Attributes:
        client: Reaches the cluster.
        inventory: The surroundings of pods.
        events: Tells decisions as Events on the pods' owners.
        watches: What has to run, by name.
        checks: What readiness asks, by name.
        close: To be awaited at the end.
    """

    def __init__(
        self, client: Client, *, read_secrets: Callable[[], bool], metrics: Metrics, log: FilteringBoundLogger
    ) -> None:
        """Prepare; the watches do the reading.

        Args:
            client: Reaches the cluster.
            read_secrets: Whether Secrets are to be read; asked again and again.
            metrics: Where objects, staleness, direct reads and wrong orders are counted.
            log: Is told of what happens to the watches.
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
        """Add a watch for drift.

        Args:
            decider: What pods are decided by.
            every: Seconds between two checks.
            lease: Namespace and name of the Lease that says which replica checks; None if each is to.
            metrics: Where drift is shown.
            log: Is told of each check.
        """
        held = None
        if lease is not None:
            # Processes may share a host's name: those of pods on the host's network do.
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
    """Ready once everything has been read; from then on the last known state is used, and said to be so."""
    followed = inventory.followed
    if not inventory.synced:
        missing = [f"{kind} ({one.problem or 'being read'})" for kind, one in followed.items() if not one.synced]
        return Health(ok=False, remark="not synced yet: " + ", ".join(missing))
    behind = {kind: one.behind for kind, one in followed.items() if one.behind > _WORTH_SAYING or one.problem}
    if not behind:
        return Health(ok=True)
    oldest = max(behind, key=behind.__getitem__)
    return Health(
        ok=True,
        remark=f"using the last known state of {', '.join(behind)}, {behind[oldest]:.0f} s old: "
        + (followed[oldest].problem or "the watch is being opened"),
    )


def order_health(order: WebhookOrder) -> Health:
    """A wrong order of webhooks does not make this server unready, for no restart mends it; it is remarked."""
    return Health(ok=True, remark="; ".join(order.problems))


def _staleness(inventory: LiveInventory, kind: str) -> float:
    return inventory.reflectors[kind].behind if kind in inventory.followed else 0.0


def _counting(metrics: Metrics) -> Callable[[str, str], None]:
    return lambda kind, outcome: metrics.look_ups.labels(kind, outcome).inc()
