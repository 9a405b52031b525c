"""Read a live cluster once, for commands: its cluster context, and its complete workloads and pods.

Every list is paged and read with the user's permissions. Values of ConfigMaps and Secrets are reduced on receipt and
not stored; pods are stored as JSON without managedFields and status.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any

import msgspec

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.objects import UnreadableError, named, problem_of, salvaged
from webhook.cluster.pages import pages
from webhook.inventory.objects import POD_PATHS
from webhook.inventory.outlines import template_of
from webhook.inventory.resources import (
    CLUSTER_WIDE,
    CONFIGURATION,
    ISTIO,
    NAMESPACES,
    PODS,
    SECRETS,
    SURROUNDINGS,
    WORKLOADS,
    Listed,
)
from webhook.inventory.store import Store
from webhook.inventory.take import take
from webhook.inventory.workloads import RunningPod, Workload, workload_of
from webhook.kubernetes.pod import Pod
from webhook.mesh import MESH
from webhook.mesh.config import SETTINGS, IstioConfiguration, plural
from webhook.mesh.settings import CONFIG_MAP, ROOT
from webhook.problem import Problem

_SOURCE = "cluster"
_PAGE = 500


class _Owner(msgspec.Struct):
    controller: bool | None = None


class _ContainerStatus(msgspec.Struct):
    name: str
    state: dict[str, Any] | None = None
    ready: bool | None = None


class _Status(msgspec.Struct, rename="camel"):
    container_statuses: list[_ContainerStatus] | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)

    @property
    def ready(self) -> bool:
        return bool(self.container_statuses) and all(one.ready for one in self.container_statuses or ())


class Snapshot(Store):
    """The cluster at the time of reading.

    Attributes:
        workloads: Top-level workloads: Deployments, …, and ReplicaSets, Jobs and Pods without a controller.
        running: The pods that have not terminated.
        documents: Istio's configuration and the MutatingWebhookConfigurations.
        missing: What of Istio's configuration was not read, as phrases.
        problems: Diagnostics of the objects that could not be decoded and were skipped.
        notes: What was skipped for missing permissions, as sentences.
    """

    def __init__(self) -> None:
        super().__init__()
        self.workloads: list[Workload] = []
        self.running: list[RunningPod] = []
        self.documents: list[dict[str, Any]] = []
        self.missing: list[str] = [*map(plural, ISTIO), SETTINGS]
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    @cached_property
    def istio(self) -> IstioConfiguration:
        """Istio's own configuration, as far as it was read."""
        return IstioConfiguration.of(self.documents, missing=tuple(self.missing))

    def problem(self, _document: object, field: str, message: str) -> Problem:
        """Return a diagnostic for a field of one of the documents."""
        return Problem("error", _SOURCE, None, field, message)


async def read(client: Client, *, namespace: str | None, secrets: bool, whole: bool) -> Snapshot:
    """Read the cluster, and close the client.

    Args:
        client: The API client.
        namespace: The namespace whose workloads are read; None for all namespaces.
        secrets: Whether to read the values of Secrets, too; like all values they are reduced to parsed shapes.
        whole: Whether to read Istio's configuration, too.

    Returns:
        The snapshot.

    Raises:
        ClusterError: The API server does not respond, or rejects a required request.

    Example:
        snapshot = await read(connect(kubeconfig), namespace="shop", secrets=False, whole=False)
        names = [workload.name for workload in snapshot.workloads]
    """
    try:
        return await _Reading(client, namespace).read(secrets=secrets, whole=whole)
    finally:
        await client.close()


class _Reading:
    def __init__(self, client: Client, namespace: str | None) -> None:
        self._client = client
        self._namespace = namespace
        self._into = Snapshot()
        self._only_here: set[Listed] = set()

    async def read(self, *, secrets: bool, whole: bool) -> Snapshot:
        await self._each(NAMESPACES, lambda document: take(self._into, document, secrets=False))
        if self._namespace is not None and not self._into.knows(self._namespace):
            raise ClusterError(f"namespace {self._namespace} not found")
        for resource in (*SURROUNDINGS, *((SECRETS,) if secrets else ())):
            await self._each(resource, lambda document: take(self._into, document, secrets=True))
        for resource in WORKLOADS:
            await self._each(resource, self._workload)
        await self._each(PODS, self._pod)
        if whole:
            for resource in CONFIGURATION:
                await self._each(resource, self._into.documents.append)
            await self._mesh_configuration()
        return self._into

    async def _each(self, resource: Listed, put: Callable[[dict[str, Any]], object]) -> None:
        """Pass every object of a kind to `put`; skip and report undecodable objects and missing optional kinds."""
        try:
            async for document in self._objects(resource):
                try:
                    put(document)
                except UNREADABLE:
                    metadata = document["metadata"]
                    self._skip(resource, metadata.get("namespace", ""), metadata["name"])
            self._found(resource)
        except ClusterError as error:
            if error.status == HTTPStatus.NOT_FOUND and resource.optional:
                self._found(resource)  # there is no such kind, so there is nothing to be read
                return
            if error.status == HTTPStatus.FORBIDDEN and resource.optional:
                self._into.notes.append(f"no permission to list {resource.plural}: skipped")
                return
            if error.status == HTTPStatus.FORBIDDEN and self._namespace is None:
                hint = "-n NAMESPACE needs permissions in one namespace only"
                raise ClusterError(f"{error}; {hint}", error.status) from None
            raise

    def _found(self, resource: Listed) -> None:
        """Take note that a kind has been read: in all namespaces, or in this one only."""
        if resource.kind in ISTIO:
            kind = plural(resource.kind)
            self._into.missing.remove(kind)
            if resource in self._only_here:
                self._into.missing.append(f"{kind} of other namespaces")

    def _skip(self, resource: Listed, namespace: str, name: str) -> None:
        place = f"{namespace}/{name or '(without a name that can be read)'}".removeprefix("/")
        said = f"{resource.kind} {place} skipped: unexpected field type"
        self._into.problems.append(Problem("error", _SOURCE, None, "", said))

    async def _objects(self, resource: Listed) -> AsyncIterator[dict[str, Any]]:
        if resource is NAMESPACES and self._namespace is not None:
            answer = await self._client.get(f"{resource.group}/{resource.plural}/{self._namespace}")
            yield _typed(_decoded(answer), resource)
            return
        paths = [f"{resource.group}/{resource.plural}"]
        if self._namespace is not None and resource.kind not in CLUSTER_WIDE:
            here = f"{resource.group}/namespaces/{self._namespace}/{resource.plural}"
            paths = [*paths, here] if resource.everywhere else [here]
        for path in paths:
            try:
                async for item in self._listed(path, resource):
                    yield _typed(item, resource)
            except ClusterError as error:
                if error.status != HTTPStatus.FORBIDDEN or path == paths[-1]:
                    raise
                self._only_here.add(resource)
                self._into.notes.append(
                    f"no permission to list {resource.plural} in all namespaces: only those of this one are considered"
                )
            else:
                return

    async def _listed(self, path: str, resource: Listed) -> AsyncIterator[dict[str, Any]]:
        """Yield the items of a list, page by page, so that at most one page of complete objects is in memory."""
        async for page in pages(self._client, path, fields=resource.fields, limit=_PAGE, consistent=False):
            for item in page.items:
                try:
                    document = _decoded(item)
                except UnreadableError:
                    self._skip(resource, *salvaged(item).key)
                else:
                    yield document

    async def _mesh_configuration(self) -> None:
        path = f"/api/v1/namespaces/{ROOT}/configmaps/{CONFIG_MAP}"
        try:
            answer = await self._client.get(path)
        except ClusterError as error:
            if error.status == HTTPStatus.FORBIDDEN:
                self._into.notes.append(
                    f"no permission to read ConfigMap {CONFIG_MAP} in {ROOT}: its defaults are assumed"
                )
            elif error.status != HTTPStatus.NOT_FOUND:
                raise
            return
        self._into.documents.append({"kind": "ConfigMap"} | _decoded(answer))
        self._into.missing.remove(SETTINGS)

    def _workload(self, document: dict[str, Any]) -> None:
        if _is_owned(document):
            return
        document.pop("status", None)
        workload = workload_of(document, POD_PATHS[document["kind"]], _SOURCE)
        self._into.workloads.append(workload)
        self._into.put_template(workload.kind, workload.namespace, workload.name, template_of(workload.pod))

    def _pod(self, document: dict[str, Any]) -> None:
        metadata = document["metadata"]
        if metadata.get("deletionTimestamp"):
            return
        status = msgspec.convert(document.pop("status", None) or {}, _Status)
        msgspec.convert(document, Pod)
        text = msgspec.json.encode(document)
        namespace = metadata.get("namespace", "")
        running = RunningPod(
            namespace, metadata["name"], text, _outlived(status), ip=status.pod_ip or "", ready=status.ready
        )
        self._into.running.append(running)
        self._workload(document)


def _decoded(item: bytes | msgspec.Raw) -> dict[str, Any]:
    """Decode an object as plain values.

    Raises:
        UnreadableError: It is not an object with a name, or a part of it cannot be decoded.
    """
    item = msgspec.Raw(item)
    named(item)
    try:
        return msgspec.json.decode(item, type=dict[str, Any])
    except UNREADABLE as error:
        raise UnreadableError(problem_of(error, item)) from None


def _typed(item: dict[str, Any], resource: Listed) -> dict[str, Any]:
    """Return the object with its type, which the items of a list do not contain, and without managedFields."""
    item["metadata"].pop("managedFields", None)
    return {"apiVersion": resource.group.removeprefix("/apis/").removeprefix("/api/"), "kind": resource.kind} | item


def _is_owned(document: dict[str, Any]) -> bool:
    owners = msgspec.convert(document["metadata"].get("ownerReferences") or (), tuple[_Owner, ...])
    return any(owner.controller for owner in owners)


def _outlived(status: _Status) -> bool:
    """Return whether all containers of the application have terminated while Istio's are still running."""
    containers = {container.name: container.state or {} for container in status.container_statuses or ()}
    ended = ["terminated" in state for name, state in containers.items() if not MESH.is_injected_name(name)]
    going_on = any("running" in state for name, state in containers.items() if MESH.is_injected_name(name))
    return bool(ended) and all(ended) and going_on
