"""The API server as a client sees it: JSON over HTTPS with a client certificate, and nothing in between."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

Object = dict[str, Any]
Answer = TypeVar("Answer")

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """The API server said no.

    Attributes:
        status: The HTTP status.
        warnings: What it warned about besides.
    """

    def __init__(self, status: int, message: str, warnings: tuple[str, ...] = ()) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.warnings = warnings


class Api:
    """One client of the API server.

    Attributes:
        url: The API server's.
        warnings: What the API server warned about in its last answer.
    """

    def __init__(self, port: int, *, authority: Path, client: tuple[Path, Path] | None) -> None:
        """Say whom to talk to; without a client certificate it is anonymous."""
        self.url = f"https://127.0.0.1:{port}"
        self.warnings: tuple[str, ...] = ()
        self._port = port
        self._context = ssl.create_default_context(cafile=str(authority))
        if client is not None:
            self._context.load_cert_chain(*client)
        self._resources: dict[str, dict[str, Object]] = {}

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        timeout: float = 60,
    ) -> Any:
        """Send one request.

        Returns:
            The answer's JSON, or its text when it is none.

        Raises:
            ApiError: The answer's status is no success.
            OSError: There is no answer.
        """
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=timeout)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": content_type, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        self.warnings = tuple(answer.headers.get_all("Warning") or ())
        json_answer = answer.headers.get_content_type() == "application/json"
        content = json.loads(text) if json_answer and text else text
        if answer.status >= 300:
            message = content.get("message", "") if isinstance(content, dict) else text
            raise ApiError(answer.status, message, self.warnings)
        return content

    def ready(self) -> bool:
        """Whether /readyz says yes."""
        try:
            return self.request("GET", "/readyz", timeout=5) == "ok"
        except (OSError, ApiError):
            return False

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """One object; `kind` as "Pod" or "apps/v1/Deployment"."""
        return self.request("GET", f"{self._collection(*_group(kind), namespace)}/{name}")

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """The objects of a kind, in a namespace or everywhere."""
        query = f"?labelSelector={urllib.parse.quote(labels)}" if labels else ""
        return self.request("GET", self._collection(*_group(kind), namespace) + query)["items"]

    def create(self, document: Object, *, dry_run: bool = False) -> Object:
        """Create an object, and return it as it was stored."""
        query = "?dryRun=All" if dry_run else ""
        return self.request("POST", self._collection_of(document) + query, document)

    def apply(self, *documents: Object) -> None:
        """Server-side apply, one after the other."""
        for document in documents:
            path = f"{self._collection_of(document)}/{document['metadata']['name']}"
            self.request("PATCH", f"{path}?fieldManager=e2e&force=true", document, content_type=APPLY)

    def merge(self, kind: str, name: str, patch: Object, namespace: str | None = None) -> Object:
        """Change the given fields of an object."""
        path = f"{self._collection(*_group(kind), namespace)}/{name}"
        return self.request("PATCH", path, patch, content_type=MERGE)

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete an object without waiting for what it owns."""
        self.request("DELETE", f"{self._collection(*_group(kind), namespace)}/{name}", {"gracePeriodSeconds": 0})

    def _collection_of(self, document: Object) -> str:
        namespace = document["metadata"].get("namespace")
        return self._collection(document["apiVersion"], document["kind"], namespace)

    def _collection(self, version: str, kind: str, namespace: str | None) -> str:
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if kind not in self._resources.get(version, {}):
            served = self.request("GET", prefix)["resources"]
            self._resources[version] = {one["kind"]: one for one in served if "/" not in one["name"]}
        resource = self._resources[version][kind]
        place = f"/namespaces/{namespace}" if resource["namespaced"] and namespace else ""
        return f"{prefix}{place}/{resource['name']}"


def _group(kind: str) -> tuple[str, str]:
    version, _, name = kind.rpartition("/")
    return version or "v1", name


def eventually(ask: Callable[[], Answer], *, seconds: float = 30.0, what: str) -> Answer:
    """Ask again until the answer is true, and return it.

    Raises:
        AssertionError: It was not in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return answer


def containers(pod: Object) -> Iterable[Object]:
    """All containers of a pod; the init containers come first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def has_sidecar(pod: Object) -> bool:
    """Whether Istio's proxy is in the pod, as a native sidecar (an init container) or as a plain container."""
    return any(container["name"] == "istio-proxy" for container in containers(pod))
