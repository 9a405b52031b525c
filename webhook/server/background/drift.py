"""Pods that run and contradict today's decisions: looked for now and then by one replica, told, and left as they are.

The replica that holds the Lease reads the pods page by page. Without a Lease each replica does it for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw
from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.lease import Lease
from webhook.cluster.pods import live_pods
from webhook.cluster.reflector import run_until
from webhook.core.budget import Budget
from webhook.decision.drift import Drift, drifted, restart_command
from webhook.decision.policy import Policy
from webhook.kubernetes.pod import Pod
from webhook.server.admission.deciding import Decider
from webhook.server.observe.metrics import Metrics

# The kubelet's copies of static pods are created from a file, and not by what is decided.
_MIRROR = "kubernetes.io/config.mirror"
# To decide about one pod. Nothing is said of one that takes longer.
_LONGEST_SECONDS = 4.0


class Workload(NamedTuple):
    """Pods of one owner that drift alike."""

    namespace: str
    kind: str
    name: str
    drift: Drift
    action: str
    rule: str | None
    restart: str | None


@dataclass(slots=True)
class Check:
    """One look at all pods.

    Attributes:
        policy: Name and generation of the policy that was in force when it ended.
        pods: How many pods were looked at.
        unreadable: How many of them have fields that cannot be read.
        drifted: How many pods of each workload drift.
        ended: When it ended.
    """

    policy: str = ""
    pods: int = 0
    unreadable: int = 0
    drifted: Counter[Workload] = field(default_factory=Counter)
    ended: datetime | None = None


class DriftWatch:
    """Looks for drift from time to time."""

    LOOK_SECONDS: Final = 60.0
    """How often the Lease is looked at and renewed."""
    MOST_WORKLOADS: Final = 500
    """How many workloads are listed; the rest is counted."""
    MOST_NAMESPACES: Final = 100
    """How many namespaces the metric names; the others share one name that no namespace can have."""
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
        """Prepare; `watch` does the rest.

        Args:
            client: Reaches the cluster.
            every: Seconds from the start of one check to that of the next.
            lease: Says which replica checks; None if each is to.
            decider: What pods are decided by.
            synced: Whether the surroundings have been read.
            metrics: Where drift is shown.
            log: Is told of each check.
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
        """Check until `stop` is set, and let go of the Lease then."""
        await run_until(stop, self._go_on())
        if self._lease is not None:
            with contextlib.suppress(ClusterError, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._lease.release()

    def document(self) -> dict[str, Any]:
        """What GET /drift shows: names and codes, and how to restart what can be restarted."""
        last = self._last
        shown = [] if last is None else sorted(last.drifted.items(), key=lambda one: (*one[0][:3], one[0].drift.code))
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
        }

    async def _go_on(self) -> None:
        while True:
            try:
                if self._synced() and await self._is_ours() and time.monotonic() >= self._due:
                    self._due = time.monotonic() + self._every
                    await self._check()
            except ClusterError as error:
                self._metrics.drift_checks.labels("failed").inc()
                self._tell(str(error))
            await asyncio.sleep(min(self.LOOK_SECONDS, self._every) if self._synced() else 1.0)

    async def _is_ours(self) -> bool:
        if self._lease is None:
            return True
        before, ours = self._lease.ours, await self._lease.hold()
        if before and not ours:
            # Another replica tells now; what is shown here would be counted twice.
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
        self._log.info("drift", **found, policy=check.policy, seconds=seconds)

    async def _renewed(self) -> bool:
        """Keep the Lease also through a check that takes long."""
        if self._lease is None or not self._lease.due:
            return True
        return await self._is_ours()

    async def _count(self, page: list[Raw], policy: Policy, check: Check) -> None:
        for item in page:
            check.pods += 1
            # A small pod, too, may refer to much.
            try:
                workload = await asyncio.to_thread(judge, item, self._decider, policy)
            except UNREADABLE:
                check.unreadable += 1
                workload = None
            if workload is not None:
                check.drifted[workload] += 1
            # Requests come first: they share the event loop.
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

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            self._log.warning("drift check failed", problem=problem)
        self._problem = problem


def judge(item: Raw, decider: Decider, policy: Policy) -> Workload | None:
    """The workload of a pod that drifts, or None.

    Args:
        item: The pod's JSON.
        decider: What it is decided by.
        policy: The policy in force.

    Raises:
        msgspec.DecodeError, RecursionError, UnicodeDecodeError: The pod cannot be read.
    """
    document = msgspec.json.decode(item, type=dict)
    msgspec.convert(document, Pod)
    metadata = document["metadata"]
    namespace = metadata.get("namespace", "")
    if metadata.get("deletionTimestamp") or _MIRROR in (metadata.get("annotations") or {}):
        return None
    deadline = time.monotonic() + _LONGEST_SECONDS
    found = drifted(
        document,
        namespace,
        surroundings=decider.surroundings,
        policy=policy,
        detect=decider.memory.detect,
        budget=Budget(cancelled=lambda: time.monotonic() > deadline),
    )
    if found is None:
        return None
    kind, name = (found.owner.kind, found.owner.name) if found.owner is not None else ("Pod", found.name)
    restart = restart_command(namespace, found.owner)
    return Workload(namespace, kind, name, found.drift, found.decision.action.value, found.decision.rule, restart)


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
