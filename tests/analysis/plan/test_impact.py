import pytest
from analysed import NONE, SKIP, planned


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


GIVEN_UP = ["strict-given-up"]
ONLY_API = ", selector: {matchLabels: {app: api}}"
SUBSET = ", subsets: [{name: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]"
PERMISSIVE_PORT = ", portLevelMtls: {8080: {mode: PERMISSIVE}}"


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ("", []),
        (peer(), GIVEN_UP),
        (peer("istio-system"), GIVEN_UP),
        (peer("elsewhere"), []),
        (peer(mode="PERMISSIVE"), []),
        (peer("istio-system") + peer(mode="PERMISSIVE"), []),
        (peer("istio-system") + peer(mode="UNSET"), GIVEN_UP),
        (peer(more=ONLY_API), []),
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


def test_routes_say_where_they_would_still_apply():
    assert "only at the gateway edge" in planned(routes()).consequences[0].message


def test_a_gained_sidecar_has_no_consequences():
    assert planned(peer() + rule() + routes(), now=SKIP, then=NONE).consequences == []
