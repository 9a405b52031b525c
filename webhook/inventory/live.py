"""The cluster context of pods from a live cluster: listed, watched, and reduced to the parsed shapes on receipt.

| resource                            | content of the cache                               |
|-------------------------------------|----------------------------------------------------|
| Namespaces                          | labels                                             |
| Services                            | ports, selector, external name                     |
| ConfigMaps, Secrets if permitted    | each key's parsed hosts, ports, kinds; no value    |
| Deployments, StatefulSets, DaemonSets | uid; the pod's labels, annotations, images, ports |
| Istio's objects, optional           | what decides about connections; see `IstioObjects` |

Of the ConfigMaps, that with the mesh's settings is also read as those.

While the API server is unavailable, the last known state stays in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

from msgspec import Raw
from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.errors import ClusterError
from webhook.cluster.reflector import Reflector, Resource, Sink, run_until
from webhook.cluster.turns import Turns
from webhook.core.recording import Missed
from webhook.core.surroundings import Reference, SurroundingsUnknownError
from webhook.inventory.allowance import Allowance
from webhook.inventory.istio_objects import IstioObjects
from webhook.inventory.objects import (
    DataObject,
    NamespaceObject,
    ServiceObject,
    TemplatedObject,
    created_by,
    labels_of,
    service_of,
)
from webhook.inventory.received import ConfigMap, packed, reader, with_settings
from webhook.inventory.store import Store
from webhook.kubernetes.names import LABEL, SUBDOMAIN
from webhook.mesh.config import KINDS, IstioConfiguration, plural
from webhook.mesh.settings import CONFIG_MAP, ROOT

# Neither contains configuration of pods, and a cluster has thousands of them.
_NO_CONFIGURATION = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"
_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/services",
    "ConfigMap": "/api/v1/configmaps",
    "Secret": "/api/v1/secrets",
    "Deployment": "/apis/apps/v1/deployments",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "DaemonSet": "/apis/apps/v1/daemonsets",
}
_ISTIO = {kind: f"{group}/{name}" for kind, group, name in KINDS if kind != "VirtualService"}
# A pod may contain any reference: an invalid name is not requested.
_NAME_OF = {"Service": LABEL, "Namespace": LABEL}

T = TypeVar("T")


class LiveInventory(Store):
    """Implements `webhook.core.surroundings.Surroundings` for the cluster that a client reaches.

    Attributes:
        reflectors: The reflector of each kind. That of Secrets always exists, but runs only while they may be read.
    """

    LOOK_UP_SECONDS: Final = 0.5
    """How long one pod may wait for direct reads of objects that the watches have not delivered yet."""
    MOST_LOOK_UPS: Final = 8
    """How many objects are read concurrently for one pod."""
    ABSENT_SECONDS: Final = 2.0
    """Seconds before the first retry of an absent object."""
    SECRETS_POLL_SECONDS: Final = 1.0

    def __init__(
        self,
        client: Client,
        *,
        read_secrets: Callable[[], bool],
        log: FilteringBoundLogger,
        on_look_up: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `watch` lists and watches.

        Args:
            client: The API client.
            read_secrets: Returns whether Secrets may be read; polled.
            log: Logs lists and watch failures.
            on_look_up: Called with the kind and the outcome ("found", "absent", "failed") of each direct read.
            clock: Monotonic, in seconds.
        """
        super().__init__()
        self._client = client
        self._read_secrets = read_secrets
        self._on_look_up = on_look_up
        self._log = log
        self._clock = clock
        self._allowance = Allowance(self.ABSENT_SECONDS, self._now)
        self._reading: dict[Reference, asyncio.Task[bool]] = {}
        self._istio = IstioObjects()
        self._synced = False
        turns = Turns(lambda: self._synced)
        self.reflectors: dict[str, Reflector[Any]] = {
            kind: Reflector(
                client,
                Resource(kind, path, _NO_CONFIGURATION if kind == "Secret" else ""),
                self._sink(kind),
                turns=turns,
                log=log,
                clock=clock,
                optional=kind in _ISTIO,
            )
            for kind, path in (_PATHS | _ISTIO).items()
        }

    @property
    def followed(self) -> Mapping[str, Reflector[Any]]:
        """The reflectors that should run now: all, except that of Secrets while they may not be read."""
        wanted = self._read_secrets()
        return {kind: reflector for kind, reflector in self.reflectors.items() if kind != "Secret" or wanted}

    @property
    def synced(self) -> bool:
        """Whether every first list is complete, of optional kinds if they can be read.

        Once True, it stays True even if watches fail.
        """
        if not self._synced:
            self._synced = all(reflector.settled for reflector in self.followed.values())
        return self._synced

    @property
    def istio(self) -> IstioConfiguration:
        """Istio's own configuration; kinds that exist and cannot be read are among what is missing."""
        kinds = ((kind, self.reflectors[kind]) for kind in _ISTIO)
        return self._istio.configuration([plural(kind) for kind, read in kinds if not (read.synced or read.is_absent)])

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """Return the namespace's labels, or None if the namespace does not exist.

        Raises:
            SurroundingsUnknownError: The cache is not synced yet.
        """
        if not self.synced:
            raise SurroundingsUnknownError("cluster cache not synced yet")
        return super().namespace_labels(namespace)

    async def watch(self, stop: asyncio.Event) -> None:
        """List and watch the cluster until `stop` is set."""
        always = [reflector.run() for kind, reflector in self.reflectors.items() if kind != "Secret"]
        try:
            await run_until(stop, *always, self._follow_secrets())
        finally:
            for reading in self._reading.values():
                reading.cancel()

    async def look_up(self, missed: Collection[Reference]) -> bool:
        """Read objects directly that may have been created too recently for the watches.

        Pods that miss the same object share one read of it. `Allowance` rate-limits the reads.

        Args:
            missed: The objects that a decision looked up and this inventory does not contain.

        Returns:
            Whether one of them was found, so that the decision should be made again.
        """
        asker = missed.asker if isinstance(missed, Missed) else next((reference.namespace for reference in missed), "")
        asker = asker if self.knows(asker) else ""
        readings: set[asyncio.Task[bool]] = set()
        for reference in missed:
            if len(readings) == self.MOST_LOOK_UPS:
                break
            reading = self._reading.get(reference)
            if reading is None and self._may_be_read(reference) and self._allowance.take(reference, asker):
                reading = self._reading[reference] = asyncio.create_task(self._read(reference, asker))
            if reading is not None:
                readings.add(reading)
        if not readings:
            return False
        done, _ = await asyncio.wait(readings, timeout=self.LOOK_UP_SECONDS)
        return any(reading.result() for reading in done if not reading.cancelled())

    def _now(self) -> float:
        return self._clock()

    def _may_be_read(self, reference: Reference) -> bool:
        if reference.kind not in _PATHS or (reference.kind == "Secret" and not self._read_secrets()):
            return False
        name = _NAME_OF.get(reference.kind, SUBDOMAIN)
        in_namespace = not reference.namespace or _NAME_OF["Namespace"].fullmatch(reference.namespace)
        return bool(name.fullmatch(reference.name) and in_namespace)

    async def _read(self, reference: Reference, asker: str) -> bool:
        """Read one object; a read that outlasts one pod's wait still benefits the next pod."""
        reflector = self.reflectors[reference.kind]
        outcome = "failed"
        try:
            # This leaves some time to reduce the object.
            async with asyncio.timeout(self.LOOK_UP_SECONDS * 0.8):
                path = reflector.resource.path_of(reference.namespace, reference.name)
                answer = await self._client.get(path, seconds=self.LOOK_UP_SECONDS)
            there, seconds = await reflector.adopt(Raw(answer))
            self._allowance.spend(asker, seconds)
            outcome = "found" if there else "absent"
        except TimeoutError:
            pass
        except ClusterError as error:
            outcome = "absent" if error.status == HTTPStatus.NOT_FOUND else "failed"
            self._allowance.pause(error.retry_after)
        finally:
            del self._reading[reference]
            self._on_look_up(reference.kind, outcome)
            (self._allowance.find if outcome == "found" else self._allowance.miss)(reference)
        return outcome == "found"

    async def _follow_secrets(self) -> None:
        """Run the reflector of Secrets while the policy permits reading them, which may change."""
        reflector = self.reflectors["Secret"]
        following: asyncio.Task[None] | None = None
        try:
            while True:
                if self._read_secrets() and (following is None or following.done()):
                    following = asyncio.create_task(reflector.run())
                elif following is not None and not self._read_secrets():
                    await _end(following)
                    following = None
                    reflector.forget()
                await asyncio.sleep(self.SECRETS_POLL_SECONDS)
        finally:
            if following is not None:
                await _end(following)

    def _put_config_map(self, namespace: str, name: str, read: ConfigMap) -> None:
        self.put_config_map(namespace, name, read.contents)
        if read.settings is None:
            return
        settings, unread = read.settings
        self._istio.put_settings(settings)
        for problem in unread:
            self._log.warning("mesh settings skipped", field=problem.field, problem=problem.message)

    def _drop_config_map(self, namespace: str, name: str) -> None:
        self.drop_config_map(namespace, name)
        if (name, namespace) == (CONFIG_MAP, ROOT):
            self._istio.put_settings(None)

    def _sink(self, kind: str) -> Sink[Any]:
        if kind == "Namespace":
            return Sink(
                reader(NamespaceObject, labels_of),
                lambda _, name, labels: self.put_namespace(name, labels),
                lambda _, name: self.drop_namespace(name),
            )
        if kind == "Service":
            return Sink(
                reader(ServiceObject, lambda read: service_of(read, read.metadata.namespace or "")),
                lambda _namespace, _name, service: self.put_service(service),
                self.drop_service,
            )
        if kind in _ISTIO:
            return self._istio.sink(kind)
        if kind == "ConfigMap":
            return Sink(reader(DataObject, with_settings), self._put_config_map, self._drop_config_map, costly=True)
        if kind == "Secret":
            read = reader(DataObject, partial(packed, secret=True))
            return Sink(read, self.put_secret, self.drop_secret, costly=True)
        return Sink(
            reader(TemplatedObject, partial(created_by, kind)),
            partial(self.put_template, kind),
            partial(self.drop_template, kind),
        )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
