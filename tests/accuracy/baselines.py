"""What a user would otherwise write, in a few honest lines each, as a measure for detection."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labels import Case
from predictions import Claim, Prediction

KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "rabbitmq": ("rabbitmq", "amqp"),
    "redis": ("redis", "valkey"),
    "mssql": ("mssql", "sqlserver", "initial catalog"),
    "postgresql": ("postgres", "pgsql"),
    "mysql": ("mysql", "mariadb"),
    "mongodb": ("mongo",),
    "kafka": ("kafka",),
    "nats": ("nats",),
    "memcached": ("memcache",),
    "elasticsearch": ("elasticsearch",),
    "cassandra": ("cassandra",),
    "zookeeper": ("zookeeper",),
    "mqtt": ("mqtt",),
    "smtp": ("smtp",),
    "ldap": ("ldap",),
    "clickhouse": ("clickhouse",),
}
# The first eight are those that Linkerd takes for opaque without being told (its proxy.opaquePorts; 4444 is Galera's).
PORTS: Mapping[int, str] = {
    25: "smtp",
    587: "smtp",
    3306: "mysql",
    4444: "mysql",
    5432: "postgresql",
    6379: "redis",
    9300: "elasticsearch",
    11211: "memcached",
    5672: "rabbitmq",
    1433: "mssql",
    27017: "mongodb",
    9092: "kafka",
}
_NUMBER = re.compile(r"(?<![\w.])\d{2,5}(?![\w.])")
_HOST = re.compile(r"[a-z0-9][a-z0-9-]*")


def keywords_in_env(case: Case) -> Prediction:
    """Keywords in the names and values of the pod's own env."""
    return _keywords(
        f"{variable.get('name')}={variable.get('value')}"
        for container in _containers(case)
        for variable in container.get("env") or ()
    )


def ports(case: Case) -> Prediction:
    """Well-known ports in env values and arguments, or of the Services whose names stand there."""
    claims: dict[str, Claim] = {}
    for text in _texts(case):
        numbers = {int(number) for number in _NUMBER.findall(text)}
        for host in set(_HOST.findall(text)):
            service = case.manifests.service(case.workload.namespace, host)
            numbers |= {port.number for port in service.ports} if service is not None else set()
        claims |= {PORTS[port]: Claim(None, f"port {port}") for port in sorted(numbers & PORTS.keys())}
    return claims


def keywords_anywhere(case: Case) -> Prediction:
    """Keywords anywhere in the pod and in every ConfigMap that it refers to."""
    return _keywords([json.dumps(case.workload.document["spec"]), *_config_maps(case)])


def _config_maps(case: Case) -> Iterator[str]:
    """All that stands in the ConfigMaps that the pod refers to, whichever of their keys it uses."""
    names = set(_referenced(case.workload.document))
    for item in case.manifests.objects:
        metadata = item.document.get("metadata") or {}
        if (
            item.document.get("kind") == "ConfigMap"
            and metadata.get("name") in names
            and metadata.get("namespace", "default") == case.workload.namespace
        ):
            yield json.dumps(item.document.get("data"))


def _keywords(texts: Iterable[str]) -> Prediction:
    text = "\n".join(texts).lower()
    return {kind: Claim(None, f"the word {word}") for kind, words in KEYWORDS.items() for word in words if word in text}


def _texts(case: Case) -> Iterator[str]:
    for container in _containers(case):
        yield from (str(variable["value"]) for variable in container.get("env") or () if variable.get("value"))
        yield from map(str, [*(container.get("command") or ()), *(container.get("args") or ())])


def _containers(case: Case) -> Iterator[dict[str, Any]]:
    spec = case.workload.document["spec"]
    yield from [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _referenced(node: object) -> Iterator[str]:
    """The names in every configMap, configMapRef and configMapKeyRef below a node."""
    if isinstance(node, dict):
        for key, child in node.items():
            if key.startswith("configMap") and isinstance(child, dict) and "name" in child:
                yield str(child["name"])
            yield from _referenced(child)
    elif isinstance(node, list):
        for child in node:
            yield from _referenced(child)
