"""How far a change has come on its way from the API server to the sidecars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import network
from api import Api, Object
from istio import Istiod


def endpoints_made(api: Api, pods: Iterable[Object]) -> bool:
    """Whether each Service with a selector has the addresses of the pods that it selects, and no other.

    Args:
        api: The API server.
        pods: The pods' metadata, each with its `address`.
    """
    made = network.ready_endpoints(api)
    every = list(pods)
    for service in api.list("Service"):
        meta, selector = service["metadata"], service["spec"].get("selector")
        if not selector:
            continue
        here = [pod for pod in every if pod["namespace"] == meta["namespace"]]
        wanted = {pod["address"] for pod in here if selector.items() <= pod["labels"].items()}
        found = made.get((meta["namespace"], meta["name"]), {})
        if any({to for to, _ in places} != wanted for places in found.values()) or (wanted and not found):
            return False
    return True


def known(istiod: Istiod, api: Api, applied: Mapping[tuple[str, str, str], str]) -> bool:
    """Whether istiod has Istio's objects, and all endpoints, as the API server has them.

    Args:
        istiod: The istiod.
        api: The API server.
        applied: The resource version of each object, by its kind, namespace and name; empty if it was deleted.
    """
    versions = {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one["metadata"]["resourceVersion"]
        for one in istiod.debug("configz")
        if "resourceVersion" in one["metadata"]
    }
    if any(versions.get(key, "") != version for key, version in applied.items()):
        return False
    shards = istiod.debug("endpointShardz")
    for (namespace, name), ports in network.ready_endpoints(api).items():
        shard = shards.get(f"{name}.{namespace}.svc.cluster.local", {}).get(namespace, {"Shards": {}})
        endpoints = [one for several in shard["Shards"].values() for one in several]
        found = {(one["ServicePortName"], one["Addresses"][0], one["EndpointPort"]) for one in endpoints}
        if found != {(port, *place) for port, places in ports.items() for place in places}:
            return False
    return True


def mark(api: Api, namespace: str, number: int) -> tuple[str, int]:
    """Make a Service that nobody calls, whose listener comes with the next push; return its cluster IP and its port."""
    port = 1000 + number
    made = api.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": namespace, "name": f"marker-{number}"},
            "spec": {"ports": [{"name": "tcp", "port": port}]},
        }
    )
    return made["spec"]["clusterIP"], port
