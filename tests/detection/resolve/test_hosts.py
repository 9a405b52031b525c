"""A host name leads where the pod's resolver would take it: to Services behind aliases, links and search domains."""

from __future__ import annotations

import pytest

from webhook.detection.resolve.links import Links
from webhook.inventory import manifests
from webhook.kubernetes.pod import ObjectMeta, Pod, PodSpec


def _service(name, port=None, namespace="default", **spec):
    ports = {"ports": [port if isinstance(port, dict) else {"port": port}]} if port else {}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": ports | spec}


def _alias(name, target, port=None, namespace="default"):
    return _service(name, port, namespace, type="ExternalName", externalName=target)


def _pod(env, *, spec=None, **container):
    env = [{"name": name, "value": value} for name, value in env.items()]
    container = {"name": "app", "image": "shop/app", "env": env} | container
    metadata = {"name": "client", "labels": {"app": "client"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]} | (spec or {})}


def _said(findings):
    return sorted((found.kind, found.host, found.port) for found in findings.dependencies)


DATA = _service("store", 5432, "data")


@pytest.mark.parametrize(
    ("aliases", "expected"),
    [
        ([_alias("db", "store.data.svc.cluster.local")], ("postgresql", 5432)),
        ([_alias("db", "STORE.data.svc.cluster.local.")], ("postgresql", 5432)),
        ([_alias("db", "store.data.svc.example.internal")], ("postgresql", 5432)),
        ([_alias("db", "d2.default.svc"), _alias("d2", "store.data.svc.cluster.local")], ("postgresql", 5432)),
        ([_alias("db", "shop-mysql.rds.example.com")], ("mysql", 3306)),
        ([_alias("db", "x1.eu.rds.example.com", 3306)], ("mysql", 3306)),
        ([_alias("db", "x1.eu.rds.example.com")], None),
        ([_alias("db", "localhost")], None),
        ([_alias("db", "db.default.svc.cluster.local")], None),
        ([_alias("db", "d2.default.svc"), _alias("d2", "db.default.svc")], None),
        ([_alias("db", "gone.data.svc.cluster.local")], None),
        ([_service("db", externalName="store.data.svc.cluster.local")], None),
    ],
)
def test_an_alias_leads_to_what_is_behind_it(find, aliases, expected):
    findings = find(objects=[DATA, *aliases, _pod({"DB_HOST": "db"})])

    assert [(found.kind, found.port) for found in findings.dependencies] == ([expected] if expected else [])


def test_a_trail_names_the_alias_and_what_is_behind_it(find):
    findings = find(objects=[DATA, _alias("db", "store.data.svc.cluster.local"), _pod({"DB_HOST": "db"})])

    assert findings.dependencies[0].evidence == (
        "env DB_HOST → Service db → store.data.svc.cluster.local:5432 → postgresql"
    )


def test_an_alias_for_the_pod_itself_makes_no_client(find):
    own = _service("me", 5432, selector={"app": "client"})

    assert _said(find(objects=[own, _alias("db", "me.default.svc.cluster.local"), _pod({"DB_HOST": "db"})])) == []


def test_a_key_names_what_is_behind_an_alias_that_leads_in_a_circle(find):
    circle = [_alias("db", "d2.default.svc"), _alias("d2", "db.default.svc")]

    assert _said(find(objects=[*circle, _pod({"REDIS_HOST": "db"})])) == [("redis", "db", 6379)]


def test_a_chain_of_aliases_is_followed_so_far_and_no_farther(find):
    chain = [_alias(f"a{n}", f"a{n + 1}.default.svc") for n in range(1000)]

    assert _said(find(objects=[*chain, _service("a1000", 6379), _pod({"STORE_HOST": "a993"})])) == [
        ("redis", "a993", 6379)
    ]
    assert _said(find(objects=[*chain, _service("a1000", 6379), _pod({"STORE_HOST": "a0"})])) == []


STORE = _service("my-store", {"port": 6380, "name": "main-port"}, selector={"app": "store"})
REDIS = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "store"},
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "store"}},
            "spec": {"containers": [{"name": "c", "image": "redis:7"}]},
        }
    },
}
FOUND = [("redis", "my-store", 6380)]


@pytest.mark.parametrize(
    ("env", "container", "expected"),
    [
        ({"A_HOST": "$(MY_STORE_SERVICE_HOST)"}, {}, FOUND),
        ({"A_HOST": "$(MY_STORE_SERVICE_HOST)", "A_PORT": "$(MY_STORE_SERVICE_PORT)"}, {}, FOUND),
        ({"A": "$(MY_STORE_SERVICE_HOST):$(MY_STORE_SERVICE_PORT_MAIN_PORT)"}, {}, FOUND),
        ({"A": "$(MY_STORE_PORT)"}, {}, FOUND),
        ({"A": "$(MY_STORE_PORT_6380_TCP)"}, {}, FOUND),
        ({"A": "$(MY_STORE_PORT_6380_TCP_ADDR):$(MY_STORE_PORT_6380_TCP_PORT)"}, {}, FOUND),
        ({"A": "$(MY_STORE_PORT_6380_TCP_PROTO)://$(MY_STORE_SERVICE_HOST):6380"}, {}, FOUND),
        ({}, {"args": ["app", "--store=$(MY_STORE_SERVICE_HOST):$(MY_STORE_SERVICE_PORT)"]}, FOUND),
        ({}, {"args": ["sh", "-c", "nc -z $MY_STORE_SERVICE_HOST ${MY_STORE_SERVICE_PORT}"]}, FOUND),
        ({}, {"args": ["sh", "-c", "nc -z ${MY_STORE_SERVICE_HOST:-localhost} ${MY_STORE_SERVICE_PORT:-1}"]}, FOUND),
        ({"A_HOST": "$(OTHER_SERVICE_HOST)"}, {}, []),
        ({"A_HOST": "$(MY_STORE_SERVICE_PORT_GONE)"}, {}, []),
        ({"A": "$(MY_STORE_PORT_6381_TCP)"}, {}, []),
        ({"A": "$(MY_STORE_PORT_6380_UDP)"}, {}, []),
        ({"MY_STORE_SERVICE_HOST": "", "A_HOST": "$(MY_STORE_SERVICE_HOST)"}, {}, []),
        ({"MY_STORE_SERVICE_HOST": "mq", "A": "amqp://$(MY_STORE_SERVICE_HOST)"}, {}, [("rabbitmq", "mq", 5672)]),
    ],
)
def test_service_links_lead_to_the_service(find, env, container, expected):
    assert _said(find(objects=[STORE, REDIS, _pod(env, **container)])) == expected


@pytest.mark.parametrize(
    "line",
    [
        "store.host=${MY_STORE_SERVICE_HOST}\nstore.port=${MY_STORE_SERVICE_PORT}\n",
        "store.host=${MY_STORE_SERVICE_HOST:localhost}\nx=y\n",
        "store.address=${MY_STORE_PORT}\nx=y\n",
        "store.host=my-store\nstore.port=${MY_STORE_PORT:6379}\n",
    ],
)
def test_service_links_in_files_lead_to_the_service(find, line):
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": {"app.properties": line}}
    spec = {"volumes": [{"name": "v", "configMap": {"name": "cfg"}}]}

    pod = _pod({}, spec=spec, volumeMounts=[{"name": "v", "mountPath": "/etc/app"}])

    assert _said(find(objects=[STORE, REDIS, config, pod])) == FOUND


@pytest.mark.parametrize(
    "service",
    [
        STORE | {"spec": STORE["spec"] | {"clusterIP": "None"}},
        STORE | {"metadata": {"name": "my-store", "namespace": "x"}},
    ],
    ids=["headless", "elsewhere"],
)
def test_services_without_an_address_or_in_another_namespace_have_no_links(find, service):
    assert _said(find(objects=[service, REDIS, _pod({"A_HOST": "$(MY_STORE_SERVICE_HOST)"})])) == []


def test_a_pod_without_service_links_has_only_those_of_the_api_server(find):
    spec = {"enableServiceLinks": False}
    links = Links(Pod(ObjectMeta(), PodSpec(enable_service_links=False)), "default", manifests.Manifests((), ()))

    assert _said(find(objects=[STORE, REDIS, _pod({"A_HOST": "$(MY_STORE_SERVICE_HOST)"}, spec=spec)])) == []
    assert links.value("KUBERNETES_SERVICE_HOST") == "kubernetes"
    assert links.value("KUBERNETES_SERVICE_PORT_HTTPS") == "443"
    assert links.value("KUBERNETES_PORT") == "kubernetes:443"


def test_a_name_in_the_pods_own_hosts_file_is_no_service(find):
    service = _service("store", 6379)
    env = {"STORE_HOST": "store"}

    assert _said(find(objects=[service, _pod(env)])) == [("redis", "store", 6379)]
    for ip in ("127.0.0.1", "10.0.0.9"):
        aliases = {"hostAliases": [{"ip": ip, "hostnames": ["Store"]}]}
        assert _said(find(objects=[service, _pod(env, spec=aliases)])) == []
    for ip, expected in (("127.0.0.1", []), ("10.0.0.9", [("redis", "store", 6379)])):
        aliases = {"hostAliases": [{"ip": ip, "hostnames": ["store"]}]}
        assert _said(find(objects=[_pod({"URL": "redis://store"}, spec=aliases)])) == expected


@pytest.mark.parametrize(
    ("host", "spec"),
    [
        ("store", {"dnsConfig": {"searches": ["data.svc.cluster.local"]}}),
        ("store.data", {"dnsConfig": {"searches": ["svc.cluster.local."]}}),
        ("STORE.DATA.SVC.cluster.local.", {}),
        ("_main._tcp.store.data.svc.cluster.local", {}),
        ("store-0.store.data.svc.example.internal", {}),
    ],
)
def test_every_way_to_write_a_services_name_leads_to_it(find, host, spec):
    found = find(objects=[DATA, _pod({"DB_HOST": host}, spec=spec)])

    assert [(one.kind, one.port) for one in found.dependencies] == [("postgresql", 5432)]


@pytest.mark.parametrize(
    ("searches", "is_found"),
    [
        (["data.svc.cluster.local"] + ["x.svc"] * 31, True),
        (["data.svc.cluster.local"] + ["x.svc"] * 32, False),
        (["data.svc.cluster.local", "x" * 2025], True),
        (["data.svc.cluster.local", "x" * 2026], False),
        (["x" * 1_000_000 + ".svc", "data.svc.cluster.local"], False),
    ],
)
def test_search_domains_that_the_api_server_rejects_complete_no_host(find, searches, is_found):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "store", "namespace": "data"},
        "spec": {"ports": [{"port": 5432}]},
    }
    container = {"name": "c", "image": "x", "env": [{"name": "A_HOST", "value": "store"}]}
    spec = {"containers": [container], "dnsConfig": {"searches": searches}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}

    assert bool(find(objects=[service, pod]).dependencies) is is_found
