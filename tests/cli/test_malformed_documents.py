"""Whatever stands in a document, a command ends with one of its codes, and says what is wrong and where."""

from __future__ import annotations

import copy
import re
import textwrap
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: store, namespace: shop}
spec: {ports: [{name: http, port: 6379, targetPort: 6379, protocol: TCP}], selector: {app: store}, type: ClusterIP}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "defaultConfig: {holdApplicationUntilProxyStarts: false}"}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}
data: {a: YQ==}
stringData: {b: c}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p, namespace: shop}
spec: {selector: {matchLabels: {app: store}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec:
  host: store
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, portLevelSettings: [{tls: {mode: DISABLE}}]}
  subsets: [{name: a, labels: {a: b}, trafficPolicy: {}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec: {hosts: [store], gateways: [mesh]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio}
webhooks:
- name: a.sidecar-injector.istio.io
  namespaceSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: In, values: [b]}]}
  objectSelector: {}
---
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, namespace: shop, labels: {a: b}}
  spec:
    template:
      metadata: {labels: {app: web}, annotations: {proxy.istio.io/config: "{}"}}
      spec:
        containers:
        - name: c
          image: web
          command: [sh]
          args: [-c, x]
          env: [{name: REDIS_URL, value: "redis://store"}, {name: B, valueFrom: {configMapKeyRef: {name: c, key: k}}}]
          envFrom: [{prefix: A, configMapRef: {name: cfg}}]
          ports: [{containerPort: 80, name: http}]
          volumeMounts: [{name: v, mountPath: /a, subPath: b}]
          livenessProbe: {exec: {command: [x]}}
        volumes: [{name: v, projected: {sources: [{configMap: {name: cfg, items: [{key: a, path: b}]}}]}}]
        dnsConfig: {searches: [a.svc]}
- apiVersion: batch/v1
  kind: CronJob
  metadata: {name: report, namespace: shop}
  spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: x}]}}}}}
- apiVersion: v1
  kind: Pod
  metadata: {name: p, namespace: shop, ownerReferences: [{kind: Job, name: x, apiVersion: batch/v1}]}
  spec: {containers: [{name: c, image: x}]}
"""
POLICY = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: shop}
spec:
  mode: enforce
  explicit: respect
  detection: {secrets: false}
  exempt: {namespaces: [kube-*]}
  rules:
  - name: q
    match: {dependencies: [redis], labels: {matchLabels: {a: b}}, owners: [Job], images: ["x*"], when: "true"}
    except: {namespaces: [payments-*]}
    action: bypass
    ports: [6379]
    hold: true
  default: inherit
"""
TESTS = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: PolicyTest
policy: policy.yaml
manifests: [manifests.yaml]
namespaceLabels: {a: b}
tests:
- name: one
  workload: Deployment/web
  expect: {action: skip, rule: r, dependencies: [redis], ports: [1]}
- name: other
  namespace: shop
  pod: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x, env: [{name: A, value: b}]}]}}
  expect: {action: skip, reason: rule}
"""
SKIP = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: s}\nspec: {default: skip}\n"
WRONG = [None, 5, 1.5, 10**30, True, "x", "", "\x7f", [], [1], [None], {}, {"a": 1}, {1: 2}]
COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "manifests.yaml": [
        ("explain", "-f", "manifests.yaml", "--secrets"),
        ("explain", "-f", "manifests.yaml", "--why-not", "redis"),
        ("diagnose", "-f", "manifests.yaml", "--policy", "skip.yaml"),
        ("inject", "-f", "manifests.yaml", "--policy", "skip.yaml"),
        ("plan", "skip.yaml", "-f", "manifests.yaml"),
    ],
    "policy.yaml": [("validate", "policy.yaml"), ("explain", "-f", "manifests.yaml", "--policy", "policy.yaml")],
    "tests.yaml": [("test", "tests.yaml")],
}
CODES = {0, 1, 2, 3}
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _places(value, above=()):
    """The path of every node."""
    yield above
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _places(child, (*above, key))


def _with(value, path, other):
    if not path:
        return other
    value = copy.deepcopy(value)
    inside = value
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = other
    return value


DOCUMENTS: dict[str, list[Any]] = {
    "manifests.yaml": list(yaml.safe_load_all(MANIFESTS)),
    "policy.yaml": [yaml.safe_load(POLICY)],
    "tests.yaml": [yaml.safe_load(TESTS)],
}
CASES = [
    (name, path, command)
    for name, documents in DOCUMENTS.items()
    for path in _places(documents)
    if path
    for command in COMMANDS[name]
]


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(CASES), st.sampled_from(WRONG))
def test_a_node_of_a_wrong_type_never_ends_in_a_traceback(run, tmp_path, case, wrong):
    name, path, command = case
    (tmp_path / "skip.yaml").write_text(SKIP)
    for file, documents in (DOCUMENTS | {name: _with(DOCUMENTS[name], path, wrong)}).items():
        (tmp_path / file).write_text(yaml.dump_all(documents, Dumper=DUMPER))

    ended = run(*command)

    assert ended.returncode in CODES
    said = ended.stderr + ended.stdout
    assert ended.returncode == 0 or said.strip()
    if " error: " in ended.stderr and "the file is empty" not in ended.stderr:
        assert re.search(rf"^{name}:\d+: error: ", ended.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        ("kind: List\nitems: 5", "-:3: error: items: a List must have a list of objects here"),
        ("kind: DeploymentList\nitems: x", "-:3: error: items: a DeploymentList must have a list of objects here"),
        ("kind: List\nitems: [5]", "-:3: error: items[0]: not a Kubernetes object"),
        ("kind: List\nitems:\n- apiVersion: v1", "-:4: error: items[0]: not a Kubernetes object"),
        (
            "kind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items: [x]",
            "-:6: error: items[0].items[0]: not a Kubernetes object",
        ),
        ("kind: ConfigMap\nmetadata: [1]", "-:1: error: metadata: expected `object`, got `array`"),
        ("kind: Pod\nmetadata: {labels: [1]}", "-:3: error: metadata.labels: expected `object"),
        ("kind: Pod\nmetadata: [1]", "-:3: error: metadata: expected `object`, got `array`"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "diagnose", "inject"])
def test_what_is_wrong_in_a_list_or_its_metadata_is_said_with_its_line(run, command, manifest, problem):
    ended = run(command, "-f", "-", stdin=f"apiVersion: v1\n{manifest}\n")

    assert ended.returncode == 3
    assert problem in ended.stderr


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("spec: [1]", "spec"),
        ("spec: {template: 5}", "spec.template"),
        ("spec: {template: {metadata: x}}", "spec.template.metadata"),
        ("metadata: {name: [1]}", "metadata.name"),
    ],
)
def test_a_workload_that_cannot_be_read_is_said_with_its_field(run, template, field):
    ended = run("inject", "-f", "-", stdin=f"apiVersion: apps/v1\nkind: Deployment\n{template}\n")

    assert f"-:3: error: {field}: expected `" in ended.stderr
    assert ended.returncode == 3


def test_items_of_lists_in_lists_and_of_typed_lists_are_read(run):
    listed = """
    apiVersion: v1
    kind: List
    items:
    - apiVersion: apps/v1
      kind: DeploymentList
      items:
      - metadata: {name: web}
        spec: {template: {spec: {containers: [{name: c, image: x, env: [{name: REDIS_HOST, value: store}]}]}}}
    """

    assert "redis" in run("explain", "-f", "-", stdin=textwrap.dedent(listed)).stdout


def test_a_kind_of_another_api_group_is_not_taken_for_kubernetes_own(run):
    knative = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: x}\n"
    volcano = "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nmetadata: {name: j}\nspec: {template: x}\n"

    ended = run("explain", "-f", "-", stdin=f"{knative}---\n{volcano}")

    assert (ended.returncode, ended.stdout) == (0, "")
    assert "error" not in ended.stderr


def test_keys_are_text_as_kubectl_makes_them(run):
    labels = "{2: a, true: b, 1.5: c, 0: d}"
    config = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, labels: {labels}}}\ndata: {{8080: x}}\n"

    ended = run("inject", "-f", "-", stdin=config)

    assert ended.returncode == 0
    assert yaml.safe_load(ended.stdout)["metadata"]["labels"] == {"2": "a", "true": "b", "1.5": "c", "0": "d"}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("security.istio.io/v1 PeerAuthentication {portLevelMtls: {http: {mode: STRICT}}}", "spec.portLevelMtls: Peer"),
        ("security.istio.io/v1 PeerAuthentication {mtls: STRICT}", "spec.mtls: PeerAuthentication shop/x skipped: "),
        ("networking.istio.io/v1 DestinationRule {host: [web]}", "spec.host: DestinationRule shop/x skipped: "),
        ("networking.istio.io/v1 VirtualService {hosts: web}", "spec.hosts: VirtualService shop/x skipped: "),
    ],
)
@pytest.mark.parametrize("command", [("diagnose", "-f", "-"), ("plan", "skip.yaml", "-f", "-")])
def test_istio_configuration_that_cannot_be_read_is_said(run, tmp_path, command, document, problem):
    api, kind, spec = document.split(" ", 2)
    (tmp_path / "skip.yaml").write_text(SKIP)
    manifest = f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\nspec: {spec}\n"

    ended = run(*command, stdin=manifest)

    assert f"-:1: error: {problem}" in ended.stderr
    assert ended.returncode == 3


def test_a_webhook_configuration_that_cannot_be_read_is_said(run):
    manifest = "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: x}\n"

    ended = run("diagnose", "-f", "-", stdin=manifest + "webhooks: [{namespaceSelector: x}]\n")

    assert "-:1: error: webhooks[0].namespaceSelector: MutatingWebhookConfiguration" in ended.stderr
    assert ended.returncode == 3


@pytest.mark.parametrize(
    ("mesh", "field"),
    [("enableAutoMtls: 7", "data.mesh.enableAutoMtls: "), ("{", "data.mesh: "), (7, "data.mesh: Config")],
)
@pytest.mark.parametrize("command", [("diagnose", "-f", "-"), ("plan", "skip.yaml", "-f", "-")])
def test_settings_of_the_mesh_that_cannot_be_read_are_said_with_what_is_assumed(run, tmp_path, command, mesh, field):
    (tmp_path / "skip.yaml").write_text(SKIP)
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}}

    ended = run(*command, stdin=yaml.safe_dump(document | {"data": {"mesh": mesh}}))

    assert f"-:1: error: {field}" in ended.stderr
    assert "Istio's default" in ended.stderr
    assert ended.returncode == 3
