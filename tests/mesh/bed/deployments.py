"""Manifests as a cluster runs them: controllers make the pods, the injector changes them, and the bed runs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import kubelet
from api import ApiError, Object, eventually, has_sidecar
from bed import NODE, Bed, Pod
from sidecar import Sidecar

Pods = Mapping[str, Pod]
"""The pod of each Deployment, by the Deployment's NAMESPACE/NAME."""
ANNOTATION = "traffic.sidecar.istio.io/exclude{}Ports"


@contextmanager
def running(bed: Bed, documents: Iterable[Object]) -> Iterator[Pods]:
    """Apply manifests, and run the pods that come of them until the context ends.

    Args:
        bed: The mesh.
        documents: Namespaces, Deployments of one replica, and whatever else `Bed.apply` takes.
    """
    every = list(documents)
    for document in every:
        if document["kind"] == "Namespace":
            bed.namespace(document["metadata"]["name"], **document["metadata"].get("labels", {}))
        else:
            bed.apply(document)
    deployments = [one for one in every if one["kind"] == "Deployment"]
    try:
        pods = {_key(one): _run(bed, one) for one in deployments}
        bed.ready()
        yield pods
    finally:
        _delete(bed, every)


def _run(bed: Bed, deployment: Object) -> Pod:
    namespace, selector = deployment["metadata"]["namespace"], deployment["spec"]["selector"]["matchLabels"]
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    what = f"a pod of {_key(deployment)}"
    made = eventually(lambda: bed.plane.api.list("Pod", namespace, labels=labels), what=what)[0]
    kubelet.bind(bed.plane.api, made, NODE)
    return bed.start(made, _sidecar(made))


def _sidecar(pod: Object) -> Sidecar | None:
    """The sidecar that the injector gave to a pod, set up by the pod's annotations."""
    if not has_sidecar(pod):
        return None
    annotations = pod["metadata"].get("annotations", {})

    def excluded(direction: str) -> tuple[int, ...]:
        return tuple(int(port) for port in annotations.get(ANNOTATION.format(direction), "").split(",") if port)

    return Sidecar(exclude_inbound=excluded("Inbound"), exclude_outbound=excluded("Outbound"))


def _delete(bed: Bed, documents: list[Object]) -> None:
    """Delete all but the namespaces; owners first, so that no pod is made again."""
    namespaces = {one["metadata"]["name"] for one in documents if one["kind"] == "Namespace"}
    for document in documents:
        if document["kind"] != "Namespace":
            meta = document["metadata"]
            bed.delete(f"{document['apiVersion']}/{document['kind']}", meta["name"], meta["namespace"])
    for namespace in namespaces:
        for owner in bed.plane.api.list("apps/v1/ReplicaSet", namespace):
            with suppress(ApiError):  # the garbage collector may have been faster
                bed.plane.api.delete("apps/v1/ReplicaSet", owner["metadata"]["name"], namespace)
    for name, pod in list(bed.pods.items()):
        if pod.document["metadata"]["namespace"] in namespaces:
            bed.delete_pod(name)


def _key(document: Object) -> str:
    return f"{document['metadata']['namespace']}/{document['metadata']['name']}"
