"""A small application: Redis behind a Service whose port is declared as HTTP, a client of it, and one that is none."""

from __future__ import annotations

from api import Object

OBJECTS: list[Object] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "basket-data"},
        "spec": {"selector": {"app": "basket-data"}, "ports": [{"name": "http", "port": 6379}]},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "rabbitmq"},
        "spec": {"selector": {"app": "rabbitmq"}, "ports": [{"name": "http", "port": 5672}]},
    },
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cfg-basket"},
        "data": {"ConnectionString": "basket-data", "EventBusConnection": "rabbitmq"},
    },
]


def plain_spec(**fields: object) -> Object:
    """The spec of a pod that talks to nobody."""
    return {"containers": [{"name": "web", "image": "shop/web:1"}], **fields}


def client_spec(**fields: object) -> Object:
    """The spec of a client of Redis and RabbitMQ, by a ConfigMap that holds bare names of Services."""
    environment = [
        {"name": key, "valueFrom": {"configMapKeyRef": {"name": "cfg-basket", "key": key}}}
        for key in ("ConnectionString", "EventBusConnection")
    ]
    return {"containers": [{"name": "basket", "image": "shop/basket:1", "env": environment}], **fields}


def pod(name: str, spec: Object, *, labels: dict | None = None, annotations: dict | None = None) -> Object:
    """A bare pod; with a name that ends in "-", the API server completes it."""
    metadata: Object = {"generateName" if name.endswith("-") else "name": name}
    metadata |= {"labels": labels or {}, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def policy(*rules: Object, name: str = "e2e") -> Object:
    """An InjectionPolicy of these rules."""
    return {
        "apiVersion": "sidecar-policy.dev/v1alpha1",
        "kind": "InjectionPolicy",
        "metadata": {"name": name},
        "spec": {"rules": list(rules), "default": "inherit"},
    }


SKIP_CLIENTS = {"name": "clients", "match": {"dependencies": ["redis", "rabbitmq"]}, "action": "skip"}
BYPASS_CLIENTS = SKIP_CLIENTS | {"action": "bypass", "ports": "detected"}
