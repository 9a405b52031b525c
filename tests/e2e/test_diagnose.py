"""What diagnose says of eShop, what istiod makes of it before and after the fix, and what istioctl says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ads import listeners, outbound
from api import eventually

EXAMPLE = Path(__file__).parents[2] / "examples" / "eshop"
PARSED, PASSED_ON = "http_connection_manager", "tcp_proxy"


@pytest.fixture(scope="module")
def eshop(mesh_namespace):
    """eShop in a namespace of its own, in the mesh."""
    documents = [one for path in sorted(EXAMPLE.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    order = ("ConfigMap", "Secret", "Service", "Deployment")
    for kind in order:
        mesh_namespace.apply(*(one for one in documents if one["kind"] == kind))
    return mesh_namespace


@pytest.fixture(scope="module")
def diagnose(run, eshop):
    """The findings about eShop, live."""

    def diagnose():
        ended = run(f"sidecar-policy diagnose --live -n {eshop.name} -o json")
        assert ended.returncode in {0, 1}, ended.stderr
        return json.loads(ended.stdout)

    return diagnose


@pytest.fixture(scope="module")
def ask_istiod(istio, eshop):
    """The filters that a connection of a pod of eShop to a Service's port goes through."""
    command = istio.programs.last("istiod").command
    port = int(next(word for word in map(str, command) if word.startswith("--grpcAddr=")).rpartition(":")[2])

    def ask(service, number):
        address = istio.api.get("Service", service, eshop.name)["spec"]["clusterIP"]
        found = listeners(port, pod="webmvc-0", namespace=eshop.name)
        return outbound(found, address, number).filters

    return ask


@pytest.fixture(scope="module")
def before(diagnose, ask_istiod):
    """The findings about Services, with what istiod says of each port, before anything is fixed."""
    wrong = [one for one in diagnose() if one["code"] == "http-declared"]
    return [(one, ask_istiod(one["object"]["name"], one["object"]["port"])) for one in wrong]


def test_the_brokers_and_stores_of_eshop_are_named(before):
    assert {(one["object"]["name"], one["object"]["port"], one["severity"]) for one, _ in before} == {
        ("rabbitmq", 5672, "error"),
        ("sql-data", 1433, "error"),
        ("basket-data", 6379, "error"),
        ("keystore-data", 6379, "error"),
        ("nosql-data", 27017, "error"),
    }


def test_istiod_has_a_sidecar_parse_each_of_them_as_http(before):
    assert {one["object"]["name"]: PARSED in filters for one, filters in before} == {
        "rabbitmq": True,
        "sql-data": True,
        "basket-data": True,
        "keystore-data": True,
        "nosql-data": True,
    }


def test_istioctl_finds_nothing_wrong_with_them(run, eshop):
    ended = run(f"istioctl analyze -n {eshop.name}")

    assert not [word for word in ("rabbitmq", "sql-data", "basket-data") if word in ended.stdout + ended.stderr]


@pytest.fixture(scope="module")
def fixed(before, run, diagnose):
    """The same with the first half fixed by diagnose's commands, the other by its patches as YAML."""
    for number, (one, _) in enumerate(before):
        place, fix = one["object"], one["fix"]
        by_patch = f"kubectl -n {place['namespace']} patch service {place['name']} --patch-file /dev/stdin"
        ended = run(by_patch, stdin=fix["patch"]) if number % 2 else run(fix["command"])
        assert ended.returncode == 0, ended.stderr
    return diagnose()


def test_after_the_fix_istiod_has_a_sidecar_pass_the_bytes_on(before, fixed, ask_istiod):
    for one, _ in before:
        service, port = one["object"]["name"], one["object"]["port"]
        eventually(lambda s=service, p=port: ask_istiod(s, p) == {PASSED_ON}, what=f"tcp_proxy alone for {service}")


def test_after_the_fix_nothing_is_found(fixed):
    assert fixed == []
