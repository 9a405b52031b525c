import pytest
from analysed import API, NONE, SKIP, planned


def peer(namespace="shop", mode="STRICT", more=""):
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: peers, namespace: {namespace}}}
spec: {{mtls: {{mode: {mode}}}{more}}}
---"""


def rule(host="web", mode="ISTIO_MUTUAL", more=""):
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: rule, namespace: shop}}
spec: {{host: {host}, trafficPolicy: {{tls: {{mode: {mode}}}}}{more}}}
---"""


def routes(host="api", gateways="[mesh, edge]"):
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: routes, namespace: shop}}
spec: {{hosts: [{host}], gateways: {gateways}, http: []}}
---"""


BOTH = ["strict-refuses", "strict-given-up"]
ONLY_API = ", selector: {matchLabels: {app: api}}"
SUBSET = ", subsets: [{name: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]"
PERMISSIVE_PORT = ", portLevelMtls: {8080: {mode: PERMISSIVE}}"


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ("", []),
        (peer(), BOTH),
        (peer("istio-system"), BOTH),
        (peer("elsewhere"), []),
        (peer(mode="PERMISSIVE"), []),
        (peer("istio-system") + peer(mode="PERMISSIVE"), []),
        (peer("istio-system") + peer(mode="UNSET"), BOTH),
        (peer(more=ONLY_API), ["strict-refuses"]),
        (peer(more=ONLY_API + PERMISSIVE_PORT), []),
        (rule(), ["mutual-fails"]),
        (rule("web.shop.svc.cluster.local"), ["mutual-fails"]),
        (rule("'*.shop.svc.cluster.local'"), ["mutual-fails"]),
        (rule("api"), []),
        (rule(mode="DISABLE"), []),
        (rule(mode="DISABLE", more=SUBSET), ["mutual-fails"]),
        (rule(mode="DISABLE", more=SUBSET.replace("name: a", "labels: {v: b}")), []),
        (routes(), ["routes-not-followed"]),
        (routes(gateways="[]"), ["routes-not-followed"]),
        (routes(gateways="[edge]"), []),
        (routes("web"), []),
    ],
)  # fmt: skip
def test_a_lost_sidecar_has_the_consequences_that_istios_configuration_gives_it(configuration, expected):
    consequences = planned(configuration).consequences

    assert [one.consequence.code for one in consequences] == expected
    assert {one.name for one in consequences} <= {"web"}


def test_a_refusal_is_told_with_the_way_to_the_server():
    refused, *_ = planned(peer()).consequences

    assert refused.message == "PeerAuthentication shop/peers makes api reject its plaintext traffic"
    assert refused.evidence == ("env API_URL → Service api",)
    assert refused.consequence.breaks


def test_a_server_that_has_no_sidecar_either_refuses_nobody():
    alone = API.replace(
        "labels: {app: api}}\n    spec", 'labels: {app: api, sidecar.istio.io/inject: "false"}}\n    spec'
    )

    assert [one.consequence.code for one in planned(peer(), api=alone).consequences] == ["strict-given-up"]


def test_routes_say_where_they_would_still_apply():
    assert "only at the gateway edge" in planned(routes()).consequences[0].message


def test_a_gained_sidecar_has_no_consequences():
    assert planned(peer() + rule() + routes(), now=SKIP, then=NONE).consequences == []
