"""A container's environment is what the kubelet makes it."""

from __future__ import annotations

import base64

import pytest

CONFIG = {"REDIS_HOST": "cache"}


def _config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": data}


def _pod(*env, spec=None, metadata=None, **container):
    container = {"name": "app", "image": "shop/app", "env": list(env)} | container
    metadata = {"name": "client", "labels": {"store": "cache"}} | (metadata or {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container]} | (spec or {}),
    }


def _said(findings):
    return sorted((found.kind, found.host, found.port) for found in findings.dependencies)


FROM_CONFIG = [{"configMapRef": {"name": "cfg"}}]
ABSENT = {"name": "gone", "key": "k"}
OTHER_KEY = {"name": "cfg", "key": "gone"}


@pytest.mark.parametrize(
    ("override", "is_overridden"),
    [
        ({"value": ""}, True),
        ({"value": None}, True),
        ({}, True),
        ({"value": "", "valueFrom": None}, True),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, True),
        ({"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, True),
        ({"valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}, True),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}, True),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['gone']"}}}, True),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['store']"}}}, False),
        ({"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}, True),
        ({"valueFrom": {"configMapKeyRef": OTHER_KEY | {"optional": True}}}, False),
        ({"valueFrom": {"configMapKeyRef": ABSENT | {"optional": True}}}, False),
        ({"valueFrom": {"secretKeyRef": ABSENT | {"optional": True}}}, False),
        ({"valueFrom": {"configMapKeyRef": OTHER_KEY}}, True),
        ({"value": "", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "REDIS_HOST"}}}, False),
    ],
)
def test_an_entry_of_env_overrides_env_from_unless_it_is_an_optional_reference_to_nothing(
    find, override, is_overridden
):
    pod = _pod({"name": "REDIS_HOST"} | override, envFrom=FROM_CONFIG)

    assert _said(find(objects=[_config_map(**CONFIG), pod])) == ([] if is_overridden else [("redis", "cache", 6379)])


@pytest.mark.parametrize(
    "source",
    [
        {"fileKeyRef": {"volumeName": "v", "path": "env", "key": "k"}},
        {"fieldRef": {"fieldPath": "metadata.annotations['store']"}},
        {"fromTheFuture": {"name": "x"}},
    ],
)
def test_a_value_that_is_only_known_when_the_pod_runs_is_unknown(find, source):
    pod = _pod({"name": "SETTINGS", "valueFrom": source}, {"name": "PASSWORD", "valueFrom": source})

    findings = find(objects=[pod])

    assert findings.dependencies == ()
    assert len(findings.unknown) == 1


def test_a_switch_without_a_value_switches_off(find):
    pod = _pod({"name": "CACHE_REDIS_ENABLED"}, {"name": "CACHE_REDIS_HOST", "value": "cache"})

    assert _said(find(objects=[pod])) == []


def test_the_last_of_several_entries_of_one_name_counts(find):
    pod = _pod({"name": "REDIS_HOST", "value": "cache"}, {"name": "REDIS_HOST"})

    assert _said(find(objects=[pod])) == []


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ([("H", "cache"), ("URL", "redis://$(H):7000")], [("redis", "cache", 7000)]),
        ([("URL", "redis://$(H):7000"), ("H", "cache")], []),
        ([("H", "a"), ("URL", "redis://$(H)"), ("H", "b")], [("redis", "a", 6379)]),
        ([("URL", "redis://$(FROM_CONFIG)")], [("redis", "cache", 6379)]),
        ([("URL", "redis://$(FROM_CONFIG)"), ("FROM_CONFIG", "other")], [("redis", "cache", 6379)]),
        ([("H", "cache"), ("H", "$(H).data"), ("URL", "redis://$(H)")], [("redis", "cache.data", 6379)]),
        ([("H", "cache"), ("URL", "redis://$$(H)")], []),
        ([("H", "cache"), ("URL", "redis://:p$$x@$(H)")], [("redis", "cache", 6379)]),
        ([("S", "redis"), ("H", "cache"), ("URL", "$(S)://$(H)")], [("redis", "cache", 6379)]),
        ([("QUEUE", "amqp://mq"), ("BROKER_URL", "$(QUEUE)")], [("rabbitmq", "mq", 5672)]),
        ([("URL", "redis://$(MISSING)")], []),
    ],
)
def test_a_reference_sees_what_was_set_before_it(find, env, expected):
    pod = _pod(*({"name": name, "value": value} for name, value in env), envFrom=FROM_CONFIG)

    assert _said(find(objects=[_config_map(FROM_CONFIG="cache"), pod])) == expected


@pytest.mark.parametrize("field", ["command", "args"])
def test_arguments_are_expanded_unless_they_are_escaped(find, field):
    env = {"name": "HOST_OF_IT", "value": "cache"}

    assert _said(find(objects=[_pod(env, **{field: ["app", "--redis-url=redis://$(HOST_OF_IT)"]})])) == [
        ("redis", "cache", 6379)
    ]
    assert _said(find(objects=[_pod(env, **{field: ["app", "--redis-url=redis://$$(HOST_OF_IT)"]})])) == []


def test_the_namespace_of_the_pod_completes_a_host(find):
    env = [
        {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "STORE_HOST", "value": "store.$(NS).svc.cluster.local"},
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "store"},
        "spec": {"ports": [{"port": 5432}]},
    }

    assert _said(find(objects=[service, _pod(*env)])) == [("postgresql", "store.default.svc.cluster.local", 5432)]


def test_a_credential_does_not_come_out_by_a_reference_to_it(find):
    secret = base64.b64encode(b"canary").decode()
    env = [
        {"name": "DB_PASSWORD", "value": "canary"},
        {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "API_TOKEN"}}},
        {"name": "REDIS_HOST", "value": "$(DB_PASSWORD)"},
        {"name": "KAFKA_BROKERS", "value": "$(API_TOKEN):9092"},
        {"name": "MONGO_URL", "value": "mongodb://u:$(DB_PASSWORD)@docs"},
    ]
    hidden = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"API_TOKEN": secret}}

    findings = find(objects=[hidden, _pod(*env)])

    assert ("mongodb", "docs", 27017) in _said(findings)
    assert "canary" not in repr(findings)


def test_references_that_multiply_are_cut_and_said(find):
    long = "a" * 250
    env = [{"name": "A", "value": long}, *({"name": f"V{n}", "value": "$(A)" * 100} for n in range(60))]

    assert any("expand to more than a megabyte" in sentence for sentence in find(objects=[_pod(*env)]).unknown)


def _mounted(mount, *env):
    volumes = [{"name": "v", "configMap": {"name": "cfg", "items": [{"key": k, "path": p} for k, p in PATHS.items()]}}]
    mounts = [{"name": "v", "mountPath": "/etc/app"} | mount]
    return _pod(*env, volumeMounts=mounts, spec={"volumes": volumes})


PATHS = {"a": "blue/app.conf", "b": "green/app.conf", "c": "green/other.conf"}
FILES = {"a": "url=redis://cache\n#\n", "b": "url=amqp://mq\n#\n", "c": "url=nats://bus\n#\n"}
POD_NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ({"subPathExpr": "$(COLOUR)/app.conf"}, {"rabbitmq"}),
        ({"subPathExpr": "$(COLOUR)"}, {"rabbitmq", "nats"}),
        ({"subPathExpr": "blue/app.conf"}, {"redis"}),
        ({"subPathExpr": "$$(COLOUR)/app.conf"}, set()),
        ({"subPathExpr": "$(POD_NAME)/app.conf"}, {"redis", "rabbitmq"}),
        ({"subPathExpr": "$(COLOUR)/$(POD_NAME).conf"}, {"rabbitmq", "nats"}),
        ({"subPathExpr": "$(POD_NAME)"}, {"redis", "rabbitmq", "nats"}),
        ({"subPathExpr": "red-$(POD_NAME)/app.conf"}, set()),
        ({"subPath": "./green/"}, {"rabbitmq", "nats"}),
        ({"subPath": "gree"}, set()),
    ],
)
def test_a_sub_path_with_references_takes_what_it_can_mean(find, mount, expected):
    pod = _mounted(mount, {"name": "COLOUR", "value": "green"}, POD_NAME)

    assert {kind for kind, _, _ in _said(find(objects=[_config_map(**FILES), pod]))} == expected
