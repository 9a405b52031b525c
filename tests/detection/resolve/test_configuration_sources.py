"""Where configuration is read from, and what is left out."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from injected import SIDECAR


def _pod(spec, **metadata):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"} | metadata, "spec": spec}


def _config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _secret(name, **values):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def _container(**fields):
    return {"containers": [{"name": "app", "image": "shop/app", **fields}]}


def _kinds(findings):
    return {dependency.kind for dependency in findings.dependencies}


def test_only_the_key_that_env_refers_to_counts(find):
    env = [{"name": "URL", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "used"}}}]
    config = _config_map("cfg", used="redis://cache", unused="amqp://mq")

    findings = find(objects=[config, _pod(_container(env=env))])

    assert _kinds(findings) == {"redis"}
    assert findings.dependencies[0].evidence == "env URL ← ConfigMap cfg/used → cache → redis"


def test_env_from_takes_every_key_with_its_prefix(find):
    config = _config_map("cfg", HOST="store", PORT="5432")
    env_from = [{"prefix": "DB_", "configMapRef": {"name": "cfg"}}]

    findings = find(objects=[config, _pod(_container(envFrom=env_from))])

    assert _kinds(findings) == {"postgresql"}
    assert "env DB_HOST ← ConfigMap cfg/HOST" in findings.dependencies[0].evidence


def test_env_wins_over_env_from(find):
    env = [{"name": "URL", "value": "http://nothing"}]
    config = _config_map("cfg", URL="redis://cache")

    assert not _kinds(find(objects=[config, _pod(_container(env=env, envFrom=[{"configMapRef": {"name": "cfg"}}]))]))


@pytest.mark.parametrize("optional", [True, False])
def test_a_config_map_that_is_not_there_is_unknown_unless_it_is_optional(find, optional):
    findings = find(objects=[_pod(_container(envFrom=[{"configMapRef": {"name": "gone", "optional": optional}}]))])

    assert not findings.dependencies
    assert bool(findings.unknown) is not optional


@pytest.mark.parametrize(
    ("source", "mount", "expected"),
    [
        ({"configMap": {"name": "cfg"}}, {}, {"redis", "rabbitmq"}),
        ({"configMap": {"name": "cfg", "items": [{"key": "a", "path": "app.conf"}]}}, {}, {"redis"}),
        ({"configMap": {"name": "cfg"}}, {"subPath": "b"}, {"rabbitmq"}),
        ({"configMap": {"name": "cfg", "items": [{"key": "a", "path": "d/a"}]}}, {"subPath": "d"}, {"redis"}),
        ({"projected": {"sources": [{"configMap": {"name": "cfg"}}]}}, {}, {"redis", "rabbitmq"}),
        ({"projected": {"sources": [{"secret": {"name": "hidden"}}]}}, {}, {"nats"}),
        ({"secret": {"secretName": "hidden"}}, {}, {"nats"}),
        ({"emptyDir": {}}, {}, set()),
    ],
)
def test_mounted_files_count_as_far_as_they_are_mounted(find, source, mount, expected):
    config = _config_map("cfg", a="url=redis://cache\n#\n", b="url: amqp://mq\nx: y\n")
    hidden = _secret("hidden", c="url: nats://bus\nx: y\n")
    spec = _container(volumeMounts=[{"name": "v", "mountPath": "/etc/app", **mount}])
    spec["volumes"] = [{"name": "v", **source}]

    assert _kinds(find(objects=[config, hidden, _pod(spec)])) == expected


def test_a_volume_that_nobody_mounts_says_nothing(find):
    spec = _container()
    spec["volumes"] = [{"name": "v", "configMap": {"name": "cfg"}}]

    assert not _kinds(find(objects=[_config_map("cfg", a="url=redis://cache\n\n"), _pod(spec)]))


def test_secrets_are_read_only_when_they_may_be(find):
    env = [{"name": "QUEUE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "url"}}}]
    objects = [_secret("s", url="amqp://u:p@mq"), _pod(_container(env=env))]

    assert _kinds(find(objects=objects)) == {"rabbitmq"}
    assert find(objects=objects, secrets=False).unknown == (
        "env QUEUE ← Secret s/url: Secret s cannot be read, or does not exist",
    )


def test_a_key_that_names_a_backend_and_a_place_counts_when_its_secret_may_not_be_read(find):
    keys = ["REDIS_URL", "REDIS_PASSWORD", "RABBITMQ_MANAGEMENT_URL"]
    env = [{"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": name}}} for name in keys]

    findings = find(objects=[_pod(_container(env=env))], secrets=False)

    assert [(found.kind, str(found.confidence)) for found in findings.dependencies] == [("redis", "probable")]


@pytest.mark.parametrize("field", ["initContainers", "containers"])
def test_init_containers_and_native_sidecars_count_and_istios_own_never_do(find, field):
    env = [{"name": "URL", "value": "redis://cache"}]
    ours = {
        "name": "helper",
        "image": "x",
        "env": env,
        "restartPolicy": "Always" if field == "initContainers" else None,
    }
    istios: dict[str, Any] = SIDECAR | {"env": [*SIDECAR["env"], {"name": "URL", "value": "amqp://mq"}]}
    spec: dict[str, Any] = {"containers": [{"name": "app", "image": "x"}]}
    spec[field] = [*spec.get(field, []), ours, istios]

    assert _kinds(find(objects=[_pod(spec)])) == {"redis"}


def test_a_reference_to_the_pod_itself_makes_no_client(find):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ledger"},
        "spec": {"selector": {"app": "ledger"}, "ports": [{"port": 9000}]},
    }
    env = [{"name": "DATABASE_URL", "value": "postgres://u:p@ledger/app"}]

    assert not _kinds(find(objects=[service, _pod(_container(env=env), labels={"app": "ledger"})]))
    assert _kinds(find(objects=[service, _pod(_container(env=env), labels={"app": "other"})])) == {"postgresql"}


def test_one_backend_named_twice_is_one_dependency_with_the_surest_evidence(find):
    env = [{"name": "REDIS_HOST", "value": "cache"}, {"name": "REDIS_URL", "value": "redis://cache:6379"}]

    findings = find(objects=[_pod(_container(env=env))])

    assert [(found.host, found.port, str(found.confidence)) for found in findings.dependencies] == [
        ("cache", 6379, "certain")
    ]


def test_a_job_is_a_client_of_a_service_that_happens_to_select_it(find):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db"},
        "spec": {"selector": {"app": "db"}, "ports": [{"port": 3306}]},
    }
    env = [{"name": "MYSQL_HOSTNAME", "value": "db"}]
    owners = [{"kind": "Job", "name": "schema"}]

    assert _kinds(find(objects=[service, _pod(_container(env=env), labels={"app": "db"}, ownerReferences=owners)])) == {
        "mysql"
    }


def _projected(name, *sources):
    mounts = [{"name": name, "mountPath": "/etc/app"}]
    return _container(volumeMounts=mounts) | {"volumes": [{"name": name, "projected": {"sources": list(sources)}}]}


def test_the_way_to_the_api_server_that_kubernetes_gives_every_pod_is_not_looked_at(find):
    token = {"serviceAccountToken": {"path": "token"}}

    findings = find(
        objects=[_pod(_projected("kube-api-access-x7k2p", token, {"configMap": {"name": "kube-root-ca.crt"}}))]
    )

    assert findings.unknown == ()


@pytest.mark.parametrize("source", [{"configMap": {"name": "cfg"}}, {"secret": {"name": "cfg"}}])
def test_a_volume_that_is_only_called_like_it_is_looked_at(find, source):
    findings = find(objects=[_pod(_projected("kube-api-access-x7k2p", source))])

    assert len(findings.unknown) == 1


def test_a_file_that_was_not_read_to_its_end_is_told_once_however_often_it_is_mounted(find):
    config = _config_map("cfg", **{"app.conf": "redis.host=cache\n" + "a =\n" * 5_001})
    mounts = [{"name": "files", "mountPath": path} for path in ("/etc/app", "/etc/other")]
    spec = _container(volumeMounts=mounts) | {"volumes": [{"name": "files", "configMap": {"name": "cfg"}}]}

    findings = find(objects=[config, _pod(spec)])

    assert _kinds(findings) == {"redis"}
    assert findings.unknown == ("file /etc/app/app.conf ← ConfigMap cfg/app.conf: only its beginning was read",)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"env": [{"name": "HOSTS", "value": "cache:6379," * 2_000}]}, "env HOSTS: only its beginning was read"),
        ({"args": ["sh", "-c", "sleep 1\n" * 10_000]}, "args: only its beginning was read"),
        (
            {"lifecycle": {"preStop": {"exec": {"command": ["app"] * 6_000}}}},
            "preStop command: only its beginning was read",
        ),
    ],
    ids=["a variable", "arguments", "a hook"],
)
def test_what_a_container_has_beyond_the_limits_is_reported(find, fields, expected):
    assert find(objects=[_pod(_container(**fields))]).unknown == (expected,)
