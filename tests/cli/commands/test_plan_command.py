import json

import pytest
import yaml

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---"
NONE = "{apiVersion: sidecar-policy.dev/v1alpha1, kind: InjectionPolicy, metadata: {name: none}, spec: {rules: []}}"
SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}
---"""
API = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: shop/api}]}
---"""


@pytest.fixture
def shop(deployment):
    """A client of redis that calls an API, too."""
    web = deployment("web").replace("env: [", "env: [{name: API_URL, value: 'http://api'}, ")
    return NAMESPACE + SERVICES + API + web + "---"


@pytest.fixture
def planned(run, tmp_path, shop):
    """The plan from no rules to the default policy, for a shop and more; the exit code."""
    (tmp_path / "none.yaml").write_text(NONE)
    (tmp_path / "skip.yaml").write_text(SKIP)

    def planned(more="", new="skip.yaml", now="none.yaml", code=2, api=API):
        arguments = ("plan", new, "--policy", now, "-o", "json", "-f", "-")
        ended = run(*arguments, stdin=shop.replace(API, api) + more)
        assert ended.returncode == code, ended.stderr
        return json.loads(ended.stdout)

    return planned


SKIP = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: skip}
spec: {rules: [{name: redis-clients, match: {dependencies: [redis]}, action: skip}]}
"""


def test_the_current_and_the_proposed_policy_are_also_shown_under_their_former_names(planned):
    plan = planned()

    for pair in (plan["policy"], plan["restarts"], *plan["changes"]):
        assert (pair["now"], pair["then"]) == (pair["current"], pair["proposed"])


def test_a_change_says_from_what_to_what_by_which_rule_and_evidence(planned):
    (change,) = planned()["changes"]

    assert (change["kind"], change["namespace"], change["name"]) == ("Deployment", "shop", "web")
    assert (change["current"]["action"], change["current"]["rule"]) == ("inherit", None)
    assert (change["proposed"]["action"], change["proposed"]["rule"]) == ("skip", "redis-clients")
    assert change["sidecar"] == "lost"
    assert change["evidence"][0] == "dependency redis"
    assert "env REDIS_URL" in change["evidence"][1]


def test_nothing_that_changes_is_exit_code_0(planned):
    assert planned(new="none.yaml", code=0)["changes"] == []


def test_another_rule_that_says_the_same_is_no_change(planned, tmp_path):
    (tmp_path / "other.yaml").write_text(SKIP.replace("redis-clients", "others"))

    assert planned(new="other.yaml", now="skip.yaml", code=0)["changes"] == []


def test_from_audit_to_enforce_is_a_change_that_loses_the_sidecar(planned, tmp_path):
    (tmp_path / "audit.yaml").write_text(SKIP.replace("spec: {", "spec: {mode: audit, "))

    (change,) = planned(now="audit.yaml")["changes"]

    assert (change["current"]["mode"], change["proposed"]["mode"], change["sidecar"]) == ("audit", "enforce", "lost")


def test_the_packaged_policy_is_the_one_in_force_unless_another_is_named(run, shop, tmp_path):
    (tmp_path / "none.yaml").write_text(NONE)

    ended = run("plan", "none.yaml", "-f", "-", stdin=shop)

    assert ended.returncode == 2
    assert ended.stdout.splitlines()[1].split()[:6] == [
        "shop", "Deployment/web", "skip", "datastore-clients", "inherit", "(default)",
    ]  # fmt: skip
    assert ended.stdout.splitlines()[-1].endswith("1 would change, 0 would lose the sidecar, 1 would gain it")


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
def test_a_lost_sidecar_has_the_consequences_that_istios_configuration_gives_it(planned, configuration, expected):
    consequences = planned(configuration)["consequences"]

    assert [one["code"] for one in consequences] == expected
    assert {one["name"] for one in consequences} <= {"web"}


def test_a_refusal_is_told_with_the_way_to_the_server(planned):
    refused, *_ = planned(peer())["consequences"]

    assert refused["message"] == "PeerAuthentication shop/peers makes api reject its plaintext traffic"
    assert refused["evidence"] == ["env API_URL → Service api"]
    assert refused["breaks"] is True


def test_a_server_that_has_no_sidecar_either_refuses_nobody(planned):
    alone = API.replace(
        "labels: {app: api}}\n    spec", 'labels: {app: api, sidecar.istio.io/inject: "false"}}\n    spec'
    )

    assert [one["code"] for one in planned(peer(), api=alone)["consequences"]] == ["strict-given-up"]


def test_routes_say_where_they_would_still_apply(planned):
    assert "only at the gateway edge" in planned(routes())["consequences"][0]["message"]


def test_a_gained_sidecar_has_no_consequences(planned):
    assert planned(peer() + rule() + routes(), new="none.yaml", now="skip.yaml")["consequences"] == []


def test_configuration_that_is_not_understood_is_told(run, tmp_path, shop):
    (tmp_path / "skip.yaml").write_text(SKIP)

    ended = run("plan", "skip.yaml", "-f", "-", stdin=shop + rule().replace("host: web", "host: [web]"))

    assert "DestinationRule shop/rule skipped: " in ended.stderr


def test_yaml_says_what_json_says(run, tmp_path, shop):
    (tmp_path / "none.yaml").write_text(NONE)
    said = [run("plan", "none.yaml", "-o", output, "-f", "-", stdin=shop).stdout for output in ("json", "yaml")]

    assert json.loads(said[0]) == yaml.safe_load(said[1])


@pytest.mark.parametrize("arguments", [[], ["new.yaml"], ["new.yaml", "--bogus"], ["new.yaml", "-f"], ["--live", "-n"]])
def test_wrong_usage_is_no_difference(run, arguments):
    assert run("plan", *arguments).returncode == 1


def test_a_broken_policy_is_unreadable(run, tmp_path, shop):
    (tmp_path / "bad.yaml").write_text(SKIP.replace("action", "acton"))

    ended = run("plan", "bad.yaml", "-f", "-", stdin=shop)

    assert ended.returncode == 3
    assert "did you mean 'action'?" in ended.stderr
