"""eShop on the node: what is applied, and what becomes of its pods."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import eshop_images
from api import Answer, Api, ApiError, Object, eventually
from controlplane import ControlPlane
from helm import Helm
from installed import is_ready

NAMESPACE = "eshop"
BACKENDS = {"basket-data", "keystore-data", "nosql-data", "rabbitmq", "sql-data"}
CLIENTS = set(
    "basket-api catalog-api identity-api ordering-api ordering-backgroundtasks ordering-signalrhub payment-api "
    "webhooks-api webmvc webspa".split()
)
"""By what a person who knows eShop says: the clients of RabbitMQ, Redis and SQL Server."""
WORKLOADS = 21
ROUTING = ("Gateway", "VirtualService")
PROXY = "istio-proxy"
PATIENCE = 400.0
"""Seconds for any step of two dozen pods, on a busy machine; on a quiet one most take less than a tenth."""
LOOP = 2
"""The restarts from which on a container is said to crash-loop: the kubelet waits longer before each."""


@dataclass(frozen=True)
class Eshop:
    """The example, applied as it stands, but for the pull policy: the node has the images, and there is no registry."""

    plane: ControlPlane
    helm: Helm

    def apply(self, apps: set[str] | None = None, kinds: Iterable[str] = ("Namespace", "ConfigMap", "Service")) -> None:
        """Apply objects of these kinds, and the Deployments of these workloads."""
        for one in eshop_images.objects():
            if one["kind"] in kinds or (one["kind"] == "Deployment" and one["metadata"]["name"] in (apps or ())):
                self.plane.api.apply(never_pulled(one))

    def apps(self) -> set[str]:
        """The workloads of the example."""
        return {one["metadata"]["name"] for one in eshop_images.objects() if one["kind"] == "Deployment"}

    def newest(self) -> dict[str, Object]:
        """The newest pod of each workload."""
        pods = sorted(self.plane.api.list("Pod", NAMESPACE), key=lambda pod: pod["metadata"]["creationTimestamp"])
        return {pod["metadata"]["labels"]["app"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    def restart(self, apps: set[str]) -> None:
        """Replace pods as an operator does; wait until each workload has a new one."""
        before = {app: pod["metadata"]["uid"] for app, pod in self.newest().items()}
        self.helm.kubectl(
            "rollout", "restart", "--namespace", NAMESPACE, *(f"deployment/{app}" for app in sorted(apps))
        )

        def replaced() -> bool:
            now = self.newest()
            return all(app in now and now[app]["metadata"]["uid"] != before[app] for app in apps)

        self._eventually(replaced, PATIENCE, "each of them has a new pod")

    def until_ready(self, apps: set[str], *, seconds: float = PATIENCE) -> dict[str, Object]:
        """The newest pods, as soon as those of these workloads are ready."""

        def ready() -> dict[str, Object]:
            pods = self.newest()
            return pods if {app for app, pod in pods.items() if is_ready(pod)} >= apps else {}

        return self._eventually(ready, seconds, f"{len(apps)} workloads are ready")

    def until_crash_looping(self, apps: set[str]) -> None:
        """Wait until the newest pods of these workloads have ended again and again."""

        def looping() -> bool:
            pods = self.newest()
            return all(app in pods and restarts(pods[app]) >= LOOP for app in apps)

        self._eventually(looping, PATIENCE, f"{len(apps)} workloads crash-loop")

    def until_says(self, app: str, text: str) -> None:
        """Wait until a workload's newest pod says so."""
        self._eventually(lambda: text in said(self.plane.api, self.newest()[app]), PATIENCE, f"{app} says {text!r}")

    def page(self, app: str, path: str) -> str:
        """What a workload's newest pod answers to the API server.

        Raises:
            ApiError: Its status is not a success.
        """
        name = self.newest()[app]["metadata"]["name"]
        return str(self.plane.api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:80/proxy{path}"))

    def _eventually(self, ask: Callable[[], Answer], seconds: float, what: str) -> Answer:
        def seldom() -> Answer:
            time.sleep(1)  # two dozen injected pods are some work to list
            return ask()

        try:
            return eventually(seldom, seconds=seconds, what=what)
        except AssertionError as error:
            states = [
                f"{app}: {summary(pod)}\n{said(self.plane.api, pod)[-800:]}"
                for app, pod in sorted(self.newest().items())
            ]
            raise AssertionError("\n".join([str(error), *states])) from None


def never_pulled(document: Object) -> Object:
    """A Deployment whose images are on the node already; anything else as it is."""
    for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        container["imagePullPolicy"] = "Never"
    return document


def said(api: Api, pod: Object) -> str:
    """The log of the application's container, of its last run and of this one."""
    container = next(one["name"] for one in pod["spec"]["containers"] if one["name"] != PROXY)
    return log(api, pod, container)


def log(api: Api, pod: Object, container: str) -> str:
    """The log of a container, of its last run and of this one; empty where the node has none (any more)."""
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log?container={container}"
    told = []
    for which in ("&previous=true", ""):
        with contextlib.suppress(ApiError):
            told.append(str(api.request("GET", path + which)))
    return "".join(told)


def restarts(pod: Object) -> int:
    """How often the kubelet started a container of it again."""
    return sum(state["restartCount"] for state in _states(pod))


def summary(pod: Object) -> str:
    """The state of each of its containers, in a line."""
    told = []
    for state in _states(pod):
        ((word, more),) = state["state"].items()
        told.append(f"{state['name']} {word} {more.get('reason', '')} restarts={state['restartCount']}")
    return f"{pod['status']['phase']}: {', '.join(told)}"


def _states(pod: Object) -> list[Object]:
    status = pod["status"]
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
