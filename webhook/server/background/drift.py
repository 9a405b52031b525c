"""Check periodically for drift: running pods that contradict the current decision. They are reported, not changed.

The leader, elected with a Lease, lists the pods page by page. Without a Lease every replica does.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Raw
from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.lease import Lease
from webhook.cluster.pods import live_pods
from webhook.cluster.reflector import run_until
from webhook.core.verdict import Outcome
from webhook.decision.policy import Policy
from webhook.server.admission.deciding import Decider
from webhook.server.background.running import NOTHING, Workload, judge
from webhook.server.observe.logs import describe
from webhook.server.observe.metrics import Metrics


@dataclass(slots=True)
class Check:
    """The result of one drift check.

    Attributes:
        policy: Name and generation of the active policy at its end.
        pods: Number of pods inspected.
        unreadable: Number of pods that could not be decoded.
        drifted: Number of drifted pods by workload.
        connections: Number of the pods' connections, as they run, by outcome, code and end.
        ended: When it ended; None while it runs.
    """

    policy: str = ""
    pods: int = 0
    unreadable: int = 0
    drifted: Counter[Workload] = field(default_factory=Counter)
    connections: Counter[tuple[str, ...]] = field(default_factory=Counter)
    ended: datetime | None = None


class DriftWatch:
    """Checks for drift periodically."""

    LOOK_SECONDS: Final = 60.0
    """Seconds between two attempts to acquire or renew the Lease."""
    MOST_WORKLOADS: Final = 500
    """Maximum number of workloads in the report; the rest is counted."""
    MOST_NAMESPACES: Final = 100
    """Maximum number of namespaces in the metric; the others share a label value that no namespace can have."""
    OTHERS: Final = "(others)"

    def __init__(
        self,
        client: Client,
        *,
        every: float,
        lease: Lease | None,
        decider: Decider,
        synced: Callable[[], bool],
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        """Prepare; `watch` runs the checks.

        Args:
            client: The API client.
            every: Seconds from the start of one check to that of the next.
            lease: Elects the replica that checks; None if all check.
            decider: Decides about the running pods.
            synced: Returns whether the cluster cache is synced.
            metrics: Exposes the drift.
            log: Logs each check.
        """
        self._client = client
        self._every = every
        self._lease = lease
        self._decider = decider
        self._synced = synced
        self._metrics = metrics
        self._log = log
        self._last: Check | None = None
        self._problem = ""
        self._due = 0.0
        for outcome in ("completed", "failed"):
            metrics.drift_checks.labels(outcome)

    async def watch(self, stop: asyncio.Event) -> None:
        """Check until `stop` is set, then release the Lease."""
        await run_until(stop, self._check_periodically())
        if self._lease is not None:
            with contextlib.suppress(ClusterError, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._lease.release()

    def document(self) -> dict[str, Any]:
        """Return the response of GET /drift: the drifted workloads, and commands to restart them."""
        last = self._last
        shown = (
            [] if last is None else sorted(last.drifted.items(), key=lambda item: (*item[0][:3], item[0].drift.code))
        )
        return {
            "enabled": True,
            "holder": None if self._lease is None else self._lease.holder,
            "problem": self._problem or None,
            "checkedAt": None if last is None else last.ended,
            "policy": None if last is None else last.policy,
            "pods": None if last is None else last.pods,
            "drifted": None if last is None else last.drifted.total(),
            "workloads": [_described(workload, pods) for workload, pods in shown[: self.MOST_WORKLOADS]],
            "notListed": max(0, len(shown) - self.MOST_WORKLOADS),
            "brokenConnections": None if last is None else _broken(last),
        }

    async def _check_periodically(self) -> None:
        while True:
            try:
                if self._synced() and await self._is_ours() and time.monotonic() >= self._due:
                    self._due = time.monotonic() + self._every
                    await self._check()
            except ClusterError as error:
                self._metrics.drift_checks.labels("failed").inc()
                self._log_failure(str(error))
            await asyncio.sleep(min(self.LOOK_SECONDS, self._every) if self._synced() else 1.0)

    async def _is_ours(self) -> bool:
        if self._lease is None:
            return True
        before, ours = self._lease.ours, await self._lease.try_acquire_or_renew()
        if before and not ours:
            # Another replica reports now; what is exposed here would be counted twice.
            self._last = None
            self._show(Check())
        return ours

    async def _check(self) -> None:
        started = time.monotonic()
        check = Check()
        async for page in live_pods(self._client):
            policy = self._decider.policies.current
            await self._count(page, policy, check)
            if not await self._renewed():
                return
        check.policy, check.ended = self._decider.policies.current.version, datetime.now(UTC)
        self._last = check
        self._show(check)
        self._metrics.drift_checked.set(check.ended.timestamp())
        self._metrics.drift_checks.labels("completed").inc()
        self._problem = ""
        seconds = round(time.monotonic() - started, 3)
        found = {"pods": check.pods, "unreadable": check.unreadable, "drifted": check.drifted.total()}
        self._log.info("drift", **found, broken_connections=_broken(check), policy=check.policy, seconds=seconds)

    async def _renewed(self) -> bool:
        """Renew the Lease if it is due during a long check; return whether this replica is still the leader."""
        if self._lease is None or not self._lease.due:
            return True
        return await self._is_ours()

    async def _count(self, page: list[Raw], policy: Policy, check: Check) -> None:
        for item in page:
            check.pods += 1
            # Even a small pod may refer to large ConfigMaps.
            try:
                judged = await asyncio.to_thread(judge, item, self._decider, policy)
            except UNREADABLE:
                check.unreadable += 1
                judged = NOTHING
            if judged.workload is not None:
                check.drifted[judged.workload] += 1
            check.connections.update(dict(judged.connections.counts))
            if judged.connections.error is not None:
                self._metrics.connection_faults.inc()
                self._log.error("judging connections failed", **describe(judged.connections.error))
            # Yield to requests, which share the event loop.
            await asyncio.sleep(0)

    def _show(self, check: Check) -> None:
        by_namespace: Counter[str] = Counter()
        for workload, pods in check.drifted.items():
            by_namespace[workload.namespace] += pods
        named = {namespace for namespace, _ in by_namespace.most_common(self.MOST_NAMESPACES)}
        shown: Counter[tuple[str, ...]] = Counter()
        for workload, pods in check.drifted.items():
            namespace = workload.namespace if workload.namespace in named else self.OTHERS
            shown[namespace, workload.drift.code] += pods
        self._metrics.drifted.show(shown)
        self._metrics.drift_pods.set(check.pods)
        self._metrics.running_connections.show(check.connections)

    def _log_failure(self, problem: str) -> None:
        if problem != self._problem:
            self._log.warning("drift check failed", problem=problem)
        self._problem = problem


def _broken(check: Check) -> dict[str, int]:
    """Return the number of broken connections by code."""
    broken: Counter[str] = Counter()
    for (outcome, code, _), number in check.connections.items():
        if Outcome(outcome).breaks:
            broken[code] += number
    return dict(sorted(broken.items()))


def _described(workload: Workload, pods: int) -> dict[str, Any]:
    return {
        "namespace": workload.namespace,
        "kind": workload.kind,
        "name": workload.name,
        "pods": pods,
        "reason": workload.drift.code,
        "explanation": workload.drift.sentence,
        "action": workload.action,
        "rule": workload.rule,
        "restart": workload.restart,
    }
