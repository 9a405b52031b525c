"""What another policy makes of connections: of those whose pods it changes, and of those that call such pods."""

from pathlib import Path

import pytest
from analysed import API, NONE, SHOP, SKIP, compiled, inventory, planned, service, workload

from webhook.analysis.plan.plan import plan_of
from webhook.cli.render.plan import as_object
from webhook.mesh.config import IstioConfiguration

FIELD = Path(__file__).parents[1] / "diagnose" / "field"
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: peers, namespace: shop}
spec: {mtls: {mode: STRICT}}
---"""
BYPASS = SKIP.replace("action: skip", "action: bypass")
SKIP_API = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: skip-api}
spec: {rules: [{name: api, match: {images: ["shop/api"]}, action: skip}]}
"""


def made(flows):
    return [(flow.name, flow.judged.place, flow.at_fault.code) for flow in flows]


def of_field(name, now, then):
    found = inventory((FIELD / f"{name}.yaml").read_text())
    return plan_of(compiled(now), compiled(then), found, IstioConfiguration.of(found.documents))


def mysql(action):
    return SKIP.replace("[redis]", "[mysql]").replace("action: skip", f"action: {action}")


@pytest.mark.parametrize("action", ["skip", "bypass"])
def test_a_policy_that_takes_a_client_of_mysql_out_of_the_mesh_breaks_it(action):
    flows = of_field("mysql-permissive-plain-client", NONE, mysql(action)).flows

    assert made(flows.broken) == [("cart", "data/mysql:3306", "permissive-waits")]
    assert (flows.healed, flows.plaintext) == ([], [])


def test_a_policy_that_gives_the_sidecar_back_heals_what_was_refused():
    rabbitmq = SKIP.replace("[redis]", "[rabbitmq]")

    assert made(of_field("strict-and-default-skip", rabbitmq, NONE).flows.healed) == [
        ("settle", "pay/queue:5672", "strict-refuses")
    ]
    assert made(of_field("strict-and-default-skip", NONE, rabbitmq).flows.broken) == [
        ("settle", "pay/queue:5672", "strict-refuses")
    ]


def test_a_refusal_is_told_with_the_end_and_what_happens_there():
    (broken,) = as_object(planned(STRICT))["connections"]["broken"]

    assert (broken["name"], broken["service"], broken["port"]) == ("web", "shop/api", 80)
    assert (broken["current"], broken["proposed"]) == ("flows", "refused")
    assert (broken["code"], broken["end"]) == ("strict-refuses", "server")
    assert (
        broken["evidence"][-1]
        == "the sidecar of Deployment/api refuses plaintext: PeerAuthentication shop/peers is STRICT"
    )


def test_a_server_that_has_no_sidecar_either_refuses_nobody():
    alone = API.replace(
        "labels: {app: api}}\n    spec", 'labels: {app: api, sidecar.istio.io/inject: "false"}}\n    spec'
    )

    assert planned(STRICT, api=alone).flows.broken == []


def test_clients_whose_server_loses_its_sidecar_lose_mutual_tls():
    flows = planned(now=NONE, then=SKIP_API).flows

    assert [(flow.name, flow.judged.place) for flow in flows.plaintext] == [("web", "shop/api:80")]
    assert (flows.broken, flows.healed) == ([], [])
    assert planned(now=SKIP_API, then=NONE).flows.plaintext == []


def test_a_server_without_a_sidecar_heals_a_port_that_is_declared_wrongly():
    cache = service("store", 6379, ", name: http") + workload("store", "redis:7")
    skip = SKIP_API.replace("shop/api", "redis:*")

    assert made(planned(cache, now=NONE, then=skip).flows.healed) == [("web", "shop/store:6379", "http-declared")]


def test_connections_without_a_verdict_are_counted_and_not_compared():
    flows = planned().flows

    assert flows.unknown == 1  # the Service that "store" names is not among the manifests
    assert "store" in SHOP
