"""Best-effort leader election with a Lease.

It avoids duplicate work and is not a lock: two replicas that both act as leader for a moment do the work twice,
without harm.

Source: coordination.k8s.io/v1 Lease, and the rules of client-go's leader election: a Lease is free if its holder has
released it, or has not renewed it for its duration, as measured by the observer's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError


class _LeaseMeta(Struct, rename="camel"):
    resource_version: str = ""


class _LeaseSpec(Struct, frozen=True, rename="camel"):
    holder_identity: str | None = None
    renew_time: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None


class _LeaseObject(Struct):
    metadata: _LeaseMeta
    spec: _LeaseSpec = _LeaseSpec()


class Lease:
    """One Lease, from the view of one candidate.

    Attributes:
        holder: The identity of the last known holder; empty if there is none.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        *,
        identity: str,
        seconds: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = partial(datetime.now, UTC),  # noqa: B008 - a function, called later
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            client: The API client. Required permissions: create leases, get and patch this one.
            namespace: The Lease's namespace.
            name: The Lease's name.
            identity: The candidate's identity, unique among replicas.
            seconds: The lease duration. The Lease must be renewed several times within it.
            clock: Monotonic, in seconds.
            now: Returns the wall-clock time.
        """
        self.holder = ""
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._now = now
        self._checked_at: float | None = None
        self._seen: tuple[str | None, str | None] | None = None
        self._seen_at = clock()

    @property
    def ours(self) -> bool:
        """Whether this candidate held the Lease at the last check."""
        return self.holder == self._identity

    @property
    def due(self) -> bool:
        """Whether a third of the lease duration has passed since the last check, so that it should be renewed."""
        return self._checked_at is None or self._clock() - self._checked_at > self._seconds / 3

    async def try_acquire_or_renew(self) -> bool:
        """Acquire the Lease if it is free, renew it if this candidate holds it.

        Returns:
            Whether this candidate is the leader now.

        Raises:
            ClusterError: A request to the API server failed.
        """
        self._checked_at = self._clock()
        stored = await self._read()
        if stored is None:
            taken = await self._create()
        elif stored.spec.holder_identity in {None, "", self._identity} or self._has_expired(stored.spec):
            taken = await self._take(stored)
        else:
            taken = False
        self.holder = self._identity if taken else self._other_holder(stored)
        return taken

    async def release(self) -> None:
        """Release the Lease if this candidate holds it, so that the next leader need not wait for it to expire.

        Raises:
            ClusterError: A request to the API server failed.
        """
        stored = await self._read() if self.ours else None
        if stored is not None and stored.spec.holder_identity == self._identity:
            self.holder = ""
            await self._change(stored, {"holderIdentity": ""})

    def _has_expired(self, spec: _LeaseSpec) -> bool:
        """Return whether the Lease was not renewed for its duration, since this candidate last observed a change."""
        seen = (spec.holder_identity, spec.renew_time)
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        return self._clock() - self._seen_at > (spec.lease_duration_seconds or self._seconds)

    def _other_holder(self, stored: _LeaseObject | None) -> str:
        holder = stored.spec.holder_identity if stored is not None else None
        # If acquiring it just failed, another candidate was faster; the next check reads which.
        return holder if holder and holder != self._identity else ""

    async def _read(self) -> _LeaseObject | None:
        try:
            answer = await self._client.get(f"{self._collection}/{self._name}", seconds=10.0)
            return msgspec.json.decode(answer, type=_LeaseObject)
        except ClusterError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        except UNREADABLE:
            raise ClusterError(f"Lease {self._name} is invalid: unexpected field type") from None

    async def _create(self) -> bool:
        document = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": self._taken(0),
        }
        try:
            await self._client.post(self._collection, document)
        except ClusterError as error:
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True

    async def _take(self, stored: _LeaseObject) -> bool:
        spec = {"renewTime": self._time()}
        if stored.spec.holder_identity != self._identity:
            spec = self._taken((stored.spec.lease_transitions or 0) + 1)
        return await self._change(stored, spec)

    async def _change(self, stored: _LeaseObject, spec: dict[str, Any]) -> bool:
        document = {"metadata": {"resourceVersion": stored.metadata.resource_version}, "spec": spec}
        try:
            await self._client.merge(f"{self._collection}/{self._name}", document)
        except ClusterError as error:
            if error.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                return False
            raise
        return True

    def _taken(self, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._seconds,
            "acquireTime": self._time(),
            "renewTime": self._time(),
            "leaseTransitions": transitions,
        }

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
