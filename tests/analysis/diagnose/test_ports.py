import json
import shlex

import pytest
from analysed import CLIENT, REDIS, codes, diagnosed, service, workload


@pytest.mark.parametrize("declared", [", name: tcp-redis", ", name: redis", ", appProtocol: tcp", ", name: cache", ""])
def test_a_backend_declared_rightly_or_sniffed_is_no_finding(declared):
    findings = diagnosed(service("cache", 6379, declared), REDIS)

    assert findings == []


@pytest.mark.parametrize(
    ("image", "port", "declared", "expected"),
    [
        ("rabbitmq:3-management", 15672, ", name: http", []),
        ("elasticsearch:8", 9200, ", name: http", []),
        ("neo4j:5", 7474, ", name: http", []),
        ("neo4j:5", 7687, ", name: http", ["http-declared"]),
        ("shop/api", 8080, ", name: http", []),
        ("nginx", 80, ", name: http", []),
        ("rabbitmq:3", 5672, ", name: grpc-amqp", ["http-declared"]),
        ("mysql:8", 3306, "", ["permissive-waits"]),
        ("mysql:8", 3307, "", ["server-first-sniffed"]),
        ("mysql:8", 3306, ", appProtocol: database", ["permissive-waits"]),
        ("nats:2", 4222, ", name: client", ["server-first-sniffed"]),
        ("nats:2", 4222, ", name: tcp-client", ["permissive-waits"]),
        ("redis:7", 6379, ", name: mysql-cache", ["wrong-database-declared"]),
        ("redis:7", 6379, ", name: udp", ["udp-declared"]),
        ("redis:7", 6379, ", name: http, protocol: UDP", []),
        ("postgres:16", 5432, ", name: https", []),
    ],
)
def test_a_port_is_judged_by_what_stands_behind_it(image, port, declared, expected):
    findings = diagnosed(service("x", port, declared), workload("x", image))

    assert [found.code.code for found in findings] == expected


def test_a_named_target_port_leads_to_the_containers_own():
    ports = ", ports: [{name: db, containerPort: 5432}]"
    findings = diagnosed(service("db", 80, ", name: http", ", targetPort: db"), workload("db", "postgres:16", ports))

    assert codes(findings) == [("http-declared", "error", "db")]


def test_of_several_containers_the_one_with_the_port_counts():
    beside = REDIS.replace(
        "containers: [", "containers: [{name: api, image: shop/api, ports: [{containerPort: 8080}]}, "
    )
    findings = diagnosed(service("cache", 8080, ", name: http"), beside)

    assert findings == []


def test_of_two_ports_with_one_number_the_wrong_one_is_mended():
    both = ", name: dns, protocol: UDP}, {port: 6379, name: http"
    (found,) = diagnosed(service("cache", 6379, both), REDIS)

    *kubectl, patch = shlex.split(found.fix.command)
    assert kubectl[-2:] == ["--type=json", "-p"]
    assert [one["path"] for one in json.loads(patch)] == ["/spec/ports/1/port", "/spec/ports/1/appProtocol"]


def test_a_port_number_alone_is_a_warning():
    findings = diagnosed(service("queue", 5672, ", name: http"))

    assert codes(findings) == [("http-declared", "warning", "queue")]


@pytest.mark.parametrize(("name", "port"), [("http", 3306), ("http-admin", 5672), ("grpc", 1433)])
def test_a_port_number_alone_says_less_than_a_declaration_that_fits_the_image(name, port):
    declared = f", name: {name}"

    assert diagnosed(service("ui", port, declared), workload("ui", "example/search-ui")) == []
    assert diagnosed(service("ui", port, declared)) != []


def test_clients_are_evidence_where_the_image_says_nothing():
    findings = diagnosed(service("cache", 7000, ", name: http"), CLIENT.replace("6379", "7000"))

    assert ("http-declared", "error", "cache") in codes(findings)
    assert any(said.startswith("client Deployment/web: env REDIS_URL") for said in findings[0].evidence)
