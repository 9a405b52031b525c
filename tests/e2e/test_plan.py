"""What plan says of a live cluster: who would change, who runs otherwise, and what Istio's own objects make of it."""

from __future__ import annotations

import json

import pytest
import yaml
from api import has_sidecar
from shop import SKIP_CLIENTS, policy

MESH = "networking.istio.io/v1"


def deployment(name, env=()):
    container = {"name": name, "image": f"shop/{name}", "env": [{"name": key, "value": value} for key, value in env]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def service(name, port, port_name="http"):
    spec = {"selector": {"app": name}, "ports": [{"name": port_name, "port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def istios(version, kind, **spec):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "rule"}, "spec": spec}


@pytest.fixture(scope="module")
def shop(mesh_namespace):
    """A client of Redis that is a server, too, and calls an API; all of them are injected."""
    mesh_namespace.apply(
        service("cache", 6379, "tcp"),
        service("api", 80),
        service("web", 80),
        istios("security.istio.io/v1", "PeerAuthentication", mtls={"mode": "STRICT"}),
        istios(MESH, "DestinationRule", host="web", trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}),
        istios(
            MESH,
            "VirtualService",
            hosts=["api"],
            gateways=["mesh", "edge"],
            http=[{"route": [{"destination": {"host": "api"}}]}],
        ),
        deployment("api"),
        deployment("web", [("CACHE", "redis://cache:6379"), ("API_URL", "http://api/")]),
    )
    assert all(has_sidecar(pod) for pod in mesh_namespace.pods(2))
    return mesh_namespace


@pytest.fixture(scope="module")
def planned(run, shop, tmp_path_factory):
    """The plan from no rules to one that skips clients of Redis."""
    directory = tmp_path_factory.mktemp("plan")
    (directory / "now.yaml").write_text(yaml.safe_dump(policy()))
    (directory / "then.yaml").write_text(yaml.safe_dump(policy(SKIP_CLIENTS)))
    ended = run(f"sidecar-policy plan then.yaml --policy now.yaml --live -n {shop.name} -o json", cwd=directory)
    assert ended.returncode == 2, ended.stderr
    return json.loads(ended.stdout)


def test_the_client_alone_would_change(planned):
    assert [(one["name"], one["sidecar"]) for one in planned["changes"]] == [("web", "lost")]


def test_its_pod_alone_would_have_to_be_restarted(planned, shop):
    assert planned["restarts"]["current"]["pods"] == []
    assert planned["restarts"]["proposed"]["commands"] == [f"kubectl -n {shop.name} rollout restart deployment/web"]


def test_what_istios_own_objects_make_of_it_is_said(planned):
    assert {one["code"] for one in planned["consequences"]} == {
        "strict-given-up",
        "mutual-fails",
        "routes-not-followed",
    }
    assert "strict-refuses" in {one["code"] for one in planned["connections"]["broken"]}


def test_a_user_with_rights_in_one_namespace_needs_no_others(istio, run, shop):
    rules = [{"apiGroups": ["", "apps", "batch"], "resources": ["*"], "verbs": ["get", "list"]}]
    name = {"name": "reader"}
    subject = {"kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    shop.apply(
        rbac | {"kind": "Role", "metadata": name, "rules": rules},
        rbac | {"kind": "RoleBinding", "metadata": name, "roleRef": reference, "subjects": [subject]},
    )
    config = istio.kubeconfig_for("reader", "reader")

    ended = run(f"sidecar-policy explain --live --kubeconfig {config} -n {shop.name} -o json")
    refused = run(f"sidecar-policy explain --live --kubeconfig {config}")

    assert {one["name"]: one["action"] for one in json.loads(ended.stdout)} == {"api": "inherit", "web": "skip"}
    assert "no permission to list services in all namespaces" in ended.stderr
    assert (refused.returncode, "-n NAMESPACE" in refused.stderr) == (3, True)
