from __future__ import annotations

import pytest


def _pod(container, **metadata):
    metadata = {"name": "client", "labels": {"app": "client"}} | metadata
    spec = {"containers": [{"name": "c", **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _service(port, target=None, name="main"):
    ports = [{"name": name, "port": port, "targetPort": target or port}]
    metadata = {"name": "front"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": "client"}, "ports": ports},
    }


@pytest.mark.parametrize(
    ("container", "service", "expected"),
    [
        ({"image": "redis:7-alpine"}, None, ("redis",)),
        ({"image": "registry.example.com:5000/mirror/bitnami/postgresql@sha256:0a"}, None, ("postgresql",)),
        ({"image": "mcr.microsoft.com/mssql/server:2022-latest"}, None, ("mssql",)),
        ({"image": "example.com/web/server:1"}, None, ()),
        ({"image": "oliver006/redis_exporter"}, None, ()),
        ({"image": "rediscommander/redis-commander"}, None, ()),
        ({"image": "confluentinc/cp-kafka-connect:7"}, None, ()),
        ({"image": "ghcr.io/cloudnative-pg/cloudnative-pg:1"}, None, ()),
        ({"image": "shop/model-server"}, _service(8500, name="grpc"), ()),
        ({"image": "shop/users"}, _service(8086), ()),
        ({"image": "shop/home"}, _service(8123), ()),
        ({"image": "kafka", "command": ["sleep", "infinity"]}, None, ()),
        ({"image": "kafka", "args": ["-c", "tail -f /dev/null"], "command": ["sh"]}, None, ()),
        ({"image": "acme/shop-mysql-db"}, None, ("mysql",)),
        ({"image": "acme/shop-mysql-backup"}, None, ()),
        ({"image": "apachepulsar/pulsar", "ports": [{"containerPort": 2181}]}, _service(2181), ("zookeeper",)),
        ({"image": "haproxy:3"}, _service(6379), ("redis",)),
        ({"image": "alpine", "command": ["redis-server", "/etc/redis.conf"]}, None, ("redis",)),
        ({"image": "alpine", "command": ["sh", "-c", "exec mongod --bind_ip_all"]}, None, ("mongodb",)),
        ({"image": "postgres:16", "command": ["psql", "-h", "store"]}, None, ()),
        ({"image": "shop/store", "ports": [{"name": "mongo", "containerPort": 27017}]}, None, ("mongodb",)),
        ({"image": "shop/store", "ports": [{"name": "tcp", "containerPort": 27017}]}, None, ()),
        ({"image": "shop/store"}, _service(3306), ("mysql",)),
        ({"image": "shop/store"}, _service(6379, 7000), ("redis",)),
        ({"image": "shop/web"}, _service(80, 8080), ()),
    ],
)
def test_a_server_is_known_by_its_image_its_program_or_its_port(find, container, service, expected):
    objects = [_pod(container), *([service] if service else [])]

    assert find(objects=objects).serves == expected


def test_a_job_with_a_server_image_runs_its_tools(find):
    owners = [{"kind": "Job", "name": "dump"}]

    assert find(objects=[_pod({"image": "postgres:16"}, ownerReferences=owners)]).serves == ()


def test_a_server_is_no_client_of_its_own_kind_but_may_be_of_another(find):
    env = [{"name": "KAFKA_ZOOKEEPER_CONNECT", "value": "zk:2181"}, {"name": "PEER", "value": "kafka://peer:9092"}]

    findings = find(objects=[_pod({"image": "apache/kafka:4", "env": env})])

    assert findings.serves == ("kafka",)
    assert [dependency.kind for dependency in findings.dependencies] == ["zookeeper"]
