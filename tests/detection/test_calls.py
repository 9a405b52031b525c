"""The Services that are no backends, the ports that are called, and what only init containers name."""

from __future__ import annotations

import pytest

from webhook.core.verdict import Wire

SERVICES = {
    "api": {"port": 8080, "image": "shop/api:1"},
    "idp.auth": {"ports": {"http": 8080, "https": 8443}},
    "catalog": {"port": 50051},
    "otel": {"ports": {"grpc": 4317, "http": 4318}},
}


def _calls(findings):
    return [(call.namespace, call.service, call.port, call.wire, call.elsewhere) for call in findings.calls]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"API_URL": "http://api"}, [("default", "api", 80, Wire.HTTP1, False)]),
        ({"API_URL": "http://api:8080/v1"}, [("default", "api", 8080, Wire.HTTP1, False)]),
        ({"API_URL": "https://api"}, [("default", "api", 443, Wire.TLS, False)]),
        ({"API_HOST": "api"}, [("default", "api", 8080, None, False)]),
        ({"IDP": "https://idp.auth.svc:8443/auth"}, [("auth", "idp", 8443, Wire.TLS, True)]),
        ({"IDP_HOST": "idp.auth"}, [("auth", "idp", None, None, True)]),
        ({"GRPC_ADDR": "catalog:50051"}, [("default", "catalog", 50051, Wire.HTTP2, False)]),
        ({"CATALOG_ADDR": "catalog:50051"}, [("default", "catalog", 50051, None, False)]),
        ({"CATALOG": "grpc://catalog:50051"}, [("default", "catalog", 50051, Wire.HTTP2, False)]),
        ({"CATALOG_ADDR": "catalog:50051", "CATALOG_TLS": "true"}, [("default", "catalog", 50051, Wire.TLS, False)]),
        ({"A": "http://api:8080", "API_ADDR": "api:8080"}, [("default", "api", 8080, Wire.HTTP1, False)]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317"}, [("default", "otel", 4317, Wire.HTTP2, False)]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"}, [("default", "otel", 4318, Wire.HTTP1, False)]),
        ({"A": "http://elsewhere.example.com"}, []),
        ({"NAME": "api"}, []),
    ],
)
def test_a_service_that_is_no_backend_is_a_call(env, expected, find):
    found = find({"env": env, "services": SERVICES})

    assert _calls(found) == expected
    assert found.dependencies == ()


def test_clients_of_what_is_reported_as_a_server_only_are_calls(find):
    found = find({"env": {"S3": "http://minio:9000"}, "services": {"minio": {"port": 9000, "image": "minio/minio"}}})

    assert _calls(found) == [("default", "minio", 9000, Wire.HTTP1, False)]


def _pod(*, init, main, restart=None):
    named = [
        {"name": name, "env": [{"name": key, "value": value} for key, value in env.items()]}
        for name, env in (("before", init), ("app", main))
    ]
    if restart:
        named[0]["restartPolicy"] = restart
    spec = {"initContainers": named[:1], "containers": named[1:]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"}, "spec": {"ports": [{"port": 80}]}}
    return [service, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}]


def test_what_only_an_init_container_names_is_marked(find):
    database, api = {"DB": "mysql://db.example.com"}, {"API": "http://api"}

    only = find(objects=_pod(init=database | api, main={}))
    assert [(found.init, found.wire) for found in only.dependencies] == [(True, Wire.SERVER_FIRST)]
    assert [call.init for call in only.calls] == [True]

    both = find(objects=_pod(init=database | api, main=database | api))
    assert [found.init for found in (*both.dependencies, *both.calls)] == [False, False]

    back = {"type": "ExternalName", "externalName": "api.default.svc.cluster.local"}
    alias = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias", "namespace": "other"}, "spec": back}
    through = find(objects=[alias, *_pod(init={"A": "http://alias.other"}, main={"B": "http://api"})])
    assert [(call.service, call.init, call.elsewhere) for call in through.calls] == [("api", False, False)]
    through = find(objects=[alias, *_pod(init={"B": "http://api"}, main={"A": "http://alias.other"})])
    assert [(call.service, call.init, call.elsewhere) for call in through.calls] == [("api", False, False)]

    sidecar = find(objects=_pod(init=database | api, main={}, restart="Always"))
    assert [found.init for found in (*sidecar.dependencies, *sidecar.calls)] == [False, False]
