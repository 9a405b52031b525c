"""Which of the replicas does what only one need do: the one that holds a Lease.

It saves work and protects nothing. Two that believe for a moment to hold it do the work twice, and no harm.

Source: coordination.k8s.io/v1 Lease, and the rules of client-go's leader election: a Lease is free when its holder has
let go, or when it was not renewed for its duration as measured by the clock of whoever looks.
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


class _Meta(Struct, rename="camel"):
    resource_version: str = ""


class _Spec(Struct, frozen=True, rename="camel"):
    holder_identity: str | None = None
    renew_time: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None


class _Object(Struct):
    metadata: _Meta
    spec: _Spec = _Spec()


class Lease:
    """One Lease, and whether it is ours.

    Attributes:
        holder: Who holds it, as far as is known; empty for nobody.
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
            client: Reaches the cluster. The rights that are needed: create leases, get and patch this one.
            namespace: Where it is.
            name: Its name.
            identity: Who we are; no other replica may say the same.
            seconds: How long it lasts. It has to be renewed several times as often.
            clock: Monotonic, in seconds.
            now: The time of day.
        """
        self.holder = ""
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._now = now
        self._looked_at: float | None = None
        self._seen: tuple[str | None, str | None] | None = None
        self._seen_at = clock()

    @property
    def ours(self) -> bool:
        """Whether we held it when we last looked."""
        return self.holder == self._identity

    @property
    def due(self) -> bool:
        """Whether a third of its time has passed since we looked, so that it should be renewed."""
        return self._looked_at is None or self._clock() - self._looked_at > self._seconds / 3

    async def hold(self) -> bool:
        """Take it if it is free, renew it if it is ours.

        Returns:
            Whether it is ours now.

        Raises:
            ClusterError: The API server refuses, or does not answer.
        """
        self._looked_at = self._clock()
        there = await self._read()
        if there is None:
            taken = await self._create()
        elif there.spec.holder_identity in {None, "", self._identity} or self._lapsed(there.spec):
            taken = await self._take(there)
        else:
            taken = False
        self.holder = self._identity if taken else self._others(there)
        return taken

    async def release(self) -> None:
        """Let go, so that another need not wait for it to lapse.

        Raises:
            ClusterError: The API server refuses, or does not answer.
        """
        there = await self._read() if self.ours else None
        if there is not None and there.spec.holder_identity == self._identity:
            self.holder = ""
            await self._change(there, {"holderIdentity": ""})

    def _lapsed(self, spec: _Spec) -> bool:
        """Whether it was not renewed for as long as it lasts, since we saw it change."""
        seen = (spec.holder_identity, spec.renew_time)
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        return self._clock() - self._seen_at > (spec.lease_duration_seconds or self._seconds)

    def _others(self, there: _Object | None) -> str:
        holder = there.spec.holder_identity if there is not None else None
        # Where we just failed to take it, another was quicker, and the next look says who.
        return holder if holder and holder != self._identity else ""

    async def _read(self) -> _Object | None:
        try:
            answer = await self._client.get(f"{self._collection}/{self._name}", seconds=10.0)
            return msgspec.json.decode(answer, type=_Object)
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

    async def _take(self, there: _Object) -> bool:
        spec = {"renewTime": self._time()}
        if there.spec.holder_identity != self._identity:
            spec = self._taken((there.spec.lease_transitions or 0) + 1)
        return await self._change(there, spec)

    async def _change(self, there: _Object, spec: dict[str, Any]) -> bool:
        document = {"metadata": {"resourceVersion": there.metadata.resource_version}, "spec": spec}
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
