"""The chart as text: what it renders to is what the API server takes, and what its pages say is what it does."""

import json
import re

import helm as helm_
import pytest
import yaml
from helm import CASES, CHART, HelmError, only
from prometheus_client import CollectorRegistry

from webhook.policy.files import Source
from webhook.policy.load import build, default_policy
from webhook.server.observe.metrics import Metrics

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
FOREIGN = {
    "cert-manager.io/v1": {"Issuer": "issuers", "Certificate": "certificates"},
    "monitoring.coreos.com/v1": {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"},
}
"""The kinds of others that the chart can make."""


@pytest.fixture(scope="module")
def helm(plane):
    return helm_.Helm(plane)


@pytest.fixture(scope="module", autouse=True)
def foreign_kinds(plane, helm):
    """Stand in for the definitions of other projects: their names are theirs, their fields are not checked."""
    for api_version, kinds in FOREIGN.items():
        group, _, version = api_version.partition("/")
        for kind, plural in kinds.items():
            schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            names = {"kind": kind, "plural": plural, "singular": kind.lower()}
            plane.api.apply(
                {
                    "apiVersion": "apiextensions.k8s.io/v1",
                    "kind": "CustomResourceDefinition",
                    "metadata": {"name": f"{plural}.{group}"},
                    "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [served]},
                }
            )
            helm.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}")


def paths(values, schema, prefix=""):
    """The dotted names of all values that the schema does not take apart any further."""
    for name, value in values.items():
        known = schema["properties"][name]
        if value and "properties" in known:
            yield from paths(value, known, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, known


def test_lint_finds_nothing(helm):
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name.removesuffix("-values.yaml"))
def test_the_api_server_takes_what_is_rendered(helm, case):
    documents = helm.render("--values", case)

    applied = helm.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(documents)
    )

    assert applied.count("created (server dry run)") == len(documents)


def test_every_value_is_in_the_schema_with_what_it_means():
    assert [path for path, _, known in paths(VALUES, SCHEMA) if not known.get("description")] == []


def test_the_schema_knows_no_value_that_there_is_not():
    def unset(schema, values, prefix=""):
        for name, one in schema["properties"].items():
            if name not in values:
                yield prefix + name
            elif values[name] and "properties" in one:
                yield from unset(one, values[name], f"{prefix}{name}.")

    assert list(unset(SCHEMA, VALUES)) == ["global"]


def test_the_table_of_values_has_each_with_its_default():
    table = (CHART / "README.md").read_text().partition("## Values")[2]
    rows = re.findall(r"^\| `(\S+)` \| (.+?) \| ", table, re.MULTILINE)
    in_words = {"policy.spec", "resources"}

    assert [path for path, _ in rows] == [path for path, _, _ in paths(VALUES, SCHEMA)]
    for (path, said), (_, default, _) in zip(rows, paths(VALUES, SCHEMA), strict=True):
        assert path in in_words or said == f"`{json.dumps(default)}`", path


def test_the_plain_port_lets_in_only_those_that_are_named(helm):
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    closed = only("NetworkPolicy", helm.render())["spec"]["ingress"]
    named = only("NetworkPolicy", helm.render(values={"networkPolicy": {"metricsFrom": monitoring}}))["spec"]["ingress"]

    https, http = ([{"port": port, "protocol": "TCP"}] for port in ("https", "http"))
    assert closed == [{"ports": https}]
    assert named == [{"ports": https}, {"ports": http, "from": monitoring}]


def test_the_policy_by_default_is_the_packaged_one(helm):
    text = only("ConfigMap", helm.render())["data"]["policy.yaml"]

    assert build([Source("policy.yaml", text.encode())]).document == default_policy().document


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 3}, "replica"),
        ({"webhooks": {"failurePolicy": "ignore"}}, "failurePolicy"),
        ({"webhooks": {"name": "sidecar-policy"}}, "does not sort before istio-"),
        ({"policy": {"spec": {"rules": [{"name": "x", "action": "drop"}]}}}, "action"),
        ({"policy": {"spec": {"exemptions": {}}}}, "exemptions"),
        ({"tls": {"mode": "provided"}}, "needs the name of your Secret"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(helm, values, said):
    with pytest.raises(HelmError, match=said):
        helm.render(values=values)


def test_secrets_may_be_read_only_where_the_policy_or_the_values_want_it(helm):
    def readable(values):
        rules = only("ClusterRole", helm.render(values=values))["rules"]
        return [rule["verbs"] for rule in rules if "secrets" in rule["resources"]]

    assert readable({}) == []
    assert readable({"rbac": {"secrets": True}}) == [["get", "list", "watch"]]
    assert readable({"policy": {"spec": {"detection": {"secrets": True}}}}) == [["get", "list", "watch"]]


def test_istios_objects_may_be_read_unless_the_values_say_otherwise(helm):
    def readable(values):
        rules = only("ClusterRole", helm.render(values=values))["rules"]
        return [
            (resource, rule["verbs"])
            for rule in rules
            for resource in rule["resources"]
            if any(group.endswith("istio.io") for group in rule["apiGroups"])
        ]

    kinds = ["peerauthentications", "destinationrules", "sidecars", "serviceentries"]
    assert readable({}) == [(kind, ["list", "watch"]) for kind in kinds]
    assert readable({"rbac": {"istio": False}}) == []


def test_without_looking_for_drift_no_pods_are_read(helm):
    documents = helm.render(values={"drift": {"enabled": False}})

    assert [one for one in only("ClusterRole", documents)["rules"] if "pods" in one["resources"]] == []
    assert [one["metadata"]["name"] for one in documents if one["kind"] == "Role"] == ["sidecar-policy"]
    assert "--drift=0" in only("Deployment", documents)["spec"]["template"]["spec"]["containers"][0]["args"]


def test_alerts_are_those_of_the_file_narrowed_to_the_release(helm):
    shipped = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    rendered = only("PrometheusRule", helm.render("--values", CHART / "ci" / "observed-values.yaml"))["spec"]
    text = yaml.safe_dump(rendered, width=10_000)

    selectors = re.findall(r"sidecar_policy_\w+\{([^}]*)", text)
    assert len(selectors) == len(re.findall(r"sidecar_policy_\w+", yaml.safe_dump(shipped)))
    ours = 'namespace="default",service="sidecar-policy-metrics",'
    assert all(one.startswith(ours) for one in selectors)
    assert yaml.safe_load(text.replace(ours, "")) == shipped


@pytest.mark.parametrize(
    "values", [{"rbac": {"secrets": True}}, {"policy": {"spec": {"detection": {"secrets": True}}}}]
)
def test_secrets_may_be_read_where_the_policy_wants_it(helm, values):
    rules = only("ClusterRole", helm.render(values=values))["rules"]

    assert {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]} in rules


@pytest.mark.parametrize(
    ("values", "leaves_out"),
    [
        ({}, True),
        ({"policy": {"spec": {"explicit": "override"}}}, False),
        ({"policy": {"existingConfigMap": "ours"}}, False),
        ({"webhooks": {"matchConditions": {"skipExplicitlySkippedPods": False}}}, False),
    ],
)
def test_pods_that_say_no_are_left_out_only_where_the_policy_is_known_to_respect_it(helm, values, leaves_out):
    configuration = only("MutatingWebhookConfiguration", helm.render(values=values))

    conditions = {one["name"] for one in configuration["webhooks"][0]["matchConditions"]}

    assert ("is-not-skipped-by-its-author" in conditions) is leaves_out


def test_pods_fit_into_a_namespace_that_enforces_restricted(plane, helm):
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "chart-restricted", "labels": labels}}
    plane.api.apply(namespace)
    documents = helm.render(namespace="chart-restricted")
    helm.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(only("ServiceAccount", documents)))
    template = only("Deployment", documents)["spec"]["template"]
    served = {"apiVersion": "v1", "kind": "Pod"} | template
    served["metadata"] = template["metadata"] | {"name": "served", "namespace": "chart-restricted"}

    for pod in (served, only("Pod", documents)):
        plane.api.create(pod, dry_run=True)

        assert plane.api.warnings == ()


def test_every_metric_in_alerts_and_dashboard_is_one_of_the_servers(helm):
    metrics = Metrics(CollectorRegistry())
    metrics.count_lost_lines(lambda: 0)
    known = {one.name + end for one in metrics.registry.collect() for end in ("", "_total", "_bucket")}
    documents = helm.render("--values", CHART / "ci" / "observed-values.yaml")

    used = set(re.findall(r"sidecar_policy_\w+", yaml.safe_dump_all(documents)))

    assert len(used) >= 8
    assert used - known == set()


def test_the_dashboard_is_json(helm):
    maps = helm.render("--values", CHART / "ci" / "observed-values.yaml")
    (dashboard,) = (one for one in maps if one["metadata"]["name"] == "sidecar-policy-dashboard")

    shipped = json.loads((CHART / "files" / "dashboard.json").read_text())
    assert json.loads(dashboard["data"]["sidecar-policy.json"]) == shipped
