"""What a pod's author writes into annotations, labels and names of containers never decides about enforcement.

Every pod goes the way of a real one: `/mutate`, the patch, Istio's injector where its selectors take the pod, and
`/validate` of a strict server.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from itertools import product

import jsonpatch
import pytest
import yaml
from injected import NATIVE, SIDECAR

from webhook.core.drift import drifted
from webhook.core.pod import ObjectMeta, Pod, PodSpec
from webhook.core.sidecar import gets_sidecar, in_mesh
from webhook.inventory import manifests
from webhook.policy.source import PolicySource
from webhook.server.admission import Decider, admit, mutate, validate
from webhook.server.outcome import Admission

INJECT, STATUS = "sidecar.istio.io/inject", "sidecar.istio.io/status"
DECISION = "sidecar-policy.dev/decision"
OWN = {"name": "istio-proxy", "image": "registry.example/own:1"}
NAMESPACES = """\
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: plain}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: nobody, labels: {istio.io/rev: ""}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: disabled, labels: {istio-injection: disabled}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: ambient, labels: {istio.io/dataplane-mode: ambient}}}
"""


@pytest.fixture
def decider(tmp_path):
    """Make a strict server's decider by a policy."""

    def make(*rules, explicit="override", **spec):
        (tmp_path / "namespaces.yaml").write_text(NAMESPACES)
        policy = {
            "apiVersion": "sidecar-policy.dev/v1alpha1",
            "kind": "InjectionPolicy",
            "metadata": {"name": "p"},
            "spec": {"explicit": explicit, "rules": list(rules), **spec},
        }
        (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
        surroundings = manifests.read([str(tmp_path / "namespaces.yaml")])
        return Decider(policies=PolicySource([tmp_path / "policy.yaml"]), surroundings=surroundings, strict=True)

    return make


EVERYBODY = {"name": "everybody", "match": {"namespaces": ["*"]}, "action": "inject"}
CLIENTS = {"name": "clients", "match": {"dependencies": ["redis"]}, "action": "skip"}


def pod(labels=None, annotations=None, containers=(), **spec):
    metadata = {"name": "p", "labels": labels or {}, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "app"}, *containers], **spec}}


def asked(decider, document, namespace, judge):
    request = {
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": namespace,
        "object": document,
    }
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
    admission = Admission(judge.__name__)
    return json.loads(asyncio.run(admit(body, decider, admission, judge)))["response"], admission


def mutated(decider, document, namespace="shop"):
    response, admission = asked(decider, document, namespace, mutate)
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return jsonpatch.apply_patch(copy.deepcopy(document), patch), admission


def verdict(decider, document, namespace="shop"):
    """The contradiction that `/validate` finds; None for a pod that conforms."""
    response, admission = asked(decider, document, namespace, validate)
    assert response["allowed"] is (admission.contradiction is None)
    return admission.contradiction and admission.contradiction.code


def injected(document):
    document = copy.deepcopy(document)
    document["metadata"]["annotations"][STATUS] = "{}"
    document["spec"]["containers"].append(SIDECAR)
    return document


FORGED = {
    "plain": pod(),
    "label": pod({INJECT: "false"}),
    "annotation": pod(annotations={INJECT: "false"}),
    "status": pod({INJECT: "false"}, {STATUS: "{}"}),
    "an empty status": pod({INJECT: "false"}, {STATUS: ""}),
    "a whole status": pod({INJECT: "false"}, {STATUS: '{"containers":["istio-proxy"],"revision":"default"}'}),
    "our decision": pod({INJECT: "false"}, {DECISION: "inject"}),
    "our other decision": pod({INJECT: "false"}, {DECISION: "skip"}),
    "our remedy": pod({INJECT: "false"}, {DECISION: "bypass", "sidecar-policy.dev/rule": "everybody"}),
    "a container of that name": pod({INJECT: "false"}, containers=[OWN]),
    "that, and a status": pod({INJECT: "false"}, {STATUS: "{}"}, containers=[OWN]),
    "a customised sidecar": pod({INJECT: "false"}, containers=[{"name": "istio-proxy", "image": "auto"}]),
    "an init container of that name": pod({INJECT: "false"}, initContainers=[OWN]),
    "one that goes on": pod({INJECT: "false"}, initContainers=[OWN | {"restartPolicy": "Always"}]),
    "one of Istio's that ends": pod({INJECT: "false"}, initContainers=[SIDECAR]),
    "ambient": pod({INJECT: "false", "istio.io/dataplane-mode": "ambient"}),
    "a revision without a name": pod({INJECT: "false", "istio.io/rev": ""}),
    "a revision that is not there": pod({INJECT: "false", "istio.io/rev": "nobody"}),
    **{
        f"an imitated sidecar: {image}": pod(
            {INJECT: "false", "istio.io/rev": "nosuch"},
            containers=[{"name": "istio-proxy", "image": image, "args": args}],
        )
        for image, args in (
            ("evil/proxyv2-app", []),
            ("x/myproxyv2hack", []),
            ("evil/proxyv2", ["proxy", "sidecar"]),
            ("evil/own", ["proxy"]),
        )
    },
    "an owner": pod({INJECT: "false", "pod-template-hash": "x"}),
}


@pytest.mark.parametrize("namespace", ["shop", "plain"])
@pytest.mark.parametrize("document", FORGED.values(), ids=FORGED.keys())
def test_nothing_that_an_author_writes_escapes_a_sidecar(decider, document, namespace):
    server = decider(EVERYBODY)

    after, admission = mutated(server, document, namespace)

    assert admission.decision.reason.code == "rule"
    assert after["metadata"]["labels"][INJECT] == "true"
    assert verdict(server, after, namespace) == "no-sidecar-despite-inject"
    assert verdict(server, document, namespace) == "no-sidecar-despite-inject"
    assert verdict(server, injected(after), namespace) is None


@pytest.mark.parametrize("document", [pod({INJECT: "true"}), pod({INJECT: "true"}, {STATUS: "{}", DECISION: "skip"})])
def test_a_sidecar_that_a_policy_takes_away_is_found_wherever_the_pod_is(decider, document):
    server = decider({"name": "nobody", "match": {"namespaces": ["*"]}, "action": "skip"})
    for namespace in ("shop", "plain"):
        after, _ = mutated(server, document, namespace)
        lost = copy.deepcopy(after)
        lost["metadata"]["labels"][INJECT] = "true"
        without = copy.deepcopy(after)
        del without["metadata"]["labels"][INJECT]

        assert after["metadata"]["labels"][INJECT] == "false"
        assert verdict(server, after, namespace) is None
        assert verdict(server, injected(lost), namespace) == "label-lost"
        assert verdict(server, injected(without), namespace) == "label-lost"
        assert verdict(server, injected(after), namespace) == "injected-undecided"


def test_a_sidecar_is_believed_without_its_annotation(decider):
    server = decider(CLIENTS, explicit="respect")
    client = pod(containers=[{"name": "c", "image": "c", "env": [{"name": "REDIS_URL", "value": "redis://cache"}]}])

    native = copy.deepcopy(client)
    native["spec"]["initContainers"] = [NATIVE]
    plain = copy.deepcopy(client)
    plain["spec"]["containers"].append(SIDECAR)

    assert verdict(server, native) == "injected-undecided"
    assert verdict(server, plain) == "injected-undecided"
    client["metadata"]["annotations"] = {STATUS: "{}"}
    assert verdict(server, client) is None


@pytest.mark.parametrize("name", ["istio-proxy", "istio-init", "istio-validation", "enable-core-dump"])
def test_a_container_with_a_name_of_istios_and_an_image_of_its_own_hides_nothing(decider, name):
    server = decider(CLIENTS)
    environment = [{"name": "REDIS_URL", "value": "redis://cache"}]
    for imitated in ({"image": "own"}, {"image": "x/proxyv2"}, {"image": "own", "args": ["proxy", "istio-iptables"]}):
        after, admission = mutated(server, pod(containers=[{"name": name, "env": environment} | imitated]))

        assert admission.decision.rule == "clients"
        assert after["metadata"]["labels"][INJECT] == "false"
        assert verdict(server, after) is None


def test_what_customises_or_is_istios_sidecar_says_nothing_of_the_application(decider):
    environment = [{"name": "REDIS_URL", "value": "redis://cache"}]
    server = decider(CLIENTS)
    for container in ({"name": "istio-proxy", "image": "auto"}, SIDECAR, SIDECAR | {"image": "mirror.example/mesh:1"}):
        variables = [*container.get("env", ()), *environment]
        _, admission = mutated(server, pod(containers=[container | {"env": variables}]))

        assert admission.decision.rule is None


def test_a_sidecar_that_the_author_brings_along_is_the_authors_choice(decider):
    brought = pod(containers=[SIDECAR])
    skip = {"name": "nobody", "match": {"namespaces": ["*"]}, "action": "skip"}

    respected, overridden = decider(skip, explicit="respect"), None
    assert mutated(respected, brought)[1].decision.reason.code == "already-injected"
    overridden = decider(skip)
    after, admission = mutated(overridden, brought)
    assert admission.decision.reason.code == "rule"
    assert verdict(overridden, after) == "injected-undecided"


@pytest.mark.parametrize(
    ("namespace", "document", "reason"),
    [
        ("plain", pod(), "rule"),
        ("plain", pod({"istio.io/dataplane-mode": "ambient"}), "rule"),
        ("plain", pod({"istio.io/rev": ""}), "rule"),
        ("plain", pod({"istio.io/rev": "canary"}), "rule"),
        ("nobody", pod(), "not-in-mesh"),
        ("nobody", pod({INJECT: "true"}), "not-in-mesh"),
        ("disabled", pod(), "namespace-disabled"),
        ("ambient", pod(), "ambient"),
        ("plain", pod(hostNetwork=True), "host-network"),
        ("kube-system", pod(), "system-namespace"),
    ],
)
def test_inject_is_tried_where_the_label_would_bring_the_pod_in(decider, namespace, document, reason):
    after, admission = mutated(decider(EVERYBODY), document, namespace)

    assert admission.decision.reason.code == reason
    labels = document["metadata"]["labels"]
    assert after["metadata"]["labels"] == (labels | {INJECT: "true"} if reason == "rule" else labels)


@pytest.mark.parametrize("rule", [CLIENTS, {"name": "b", "action": "bypass", "ports": [6379]}])
def test_outside_of_the_mesh_no_other_action_decides(decider, rule):
    client = pod(containers=[{"name": "c", "image": "c", "env": [{"name": "REDIS_URL", "value": "redis://cache"}]}])
    for server in (decider(rule), decider(rule, EVERYBODY)):
        after, admission = mutated(server, client, "plain")

        assert admission.decision.reason.code == "not-in-mesh"
        assert after == client


def test_outside_of_the_mesh_an_authors_no_and_an_exempt_namespace_are_respected(decider):
    no = pod({INJECT: "false"})

    assert mutated(decider(EVERYBODY, explicit="respect"), no, "plain")[1].decision.reason.code == "not-in-mesh"
    exempt = decider(EVERYBODY, exempt={"namespaces": ["plain"]})
    assert mutated(exempt, pod(), "plain")[1].decision.reason.code == "not-in-mesh"


def test_what_would_be_injected_in_audit_mode_is_told_and_not_taken_for_a_part_of_the_mesh(decider):
    after, admission = mutated(decider(EVERYBODY, mode="audit"), pod(), "plain")

    assert (admission.decision.action, admission.decision.reason.code) == ("inject", "rule")
    assert after == pod()
    assert not in_mesh(admission.decision)
    assert not gets_sidecar(Pod(ObjectMeta(), PodSpec()), admission.decision)


def test_the_default_too_says_inject_outside_of_the_mesh(decider):
    assert mutated(decider(default="inject"), pod(), "plain")[0]["metadata"]["labels"][INJECT] == "true"


AUTHORS = "sidecar-policy.dev/authors-label"
FORGED_DECISIONS = [
    {DECISION: decided} | said | chosen
    for decided in ("skip", "inject", "bypass", "inherit", "x")
    for said in ({}, {AUTHORS: "(none)"}, {AUTHORS: "true"}, {AUTHORS: "false"}, {AUTHORS: "x"})
    for chosen in ({}, {INJECT: "false"}, {INJECT: "true"})
]
FORGED_LABELS = [{}, {INJECT: "true"}, {INJECT: ""}, {INJECT: "true", "istio.io/rev": "x"}]
EXCLUDED = "traffic.sidecar.istio.io/excludeOutboundPorts"


@pytest.mark.parametrize("namespace", ["shop", "plain"])
@pytest.mark.parametrize("explicit", ["override", "respect"])
@pytest.mark.parametrize("rule", ["skip", "bypass", "inject"])
def test_no_forged_decision_has_a_pod_left_alone_that_the_policy_is_about(decider, namespace, explicit, rule):
    server = decider({"name": "all", "match": {"namespaces": ["*"]}, "action": rule}, explicit=explicit)
    for labels, forged in product(FORGED_LABELS, FORGED_DECISIONS):
        chosen = labels.get(INJECT, forged.get(INJECT))
        if explicit == "respect" and chosen in {"true", "false"}:
            continue  # the author's choice, whatever else the pod says
        if namespace == "plain" and rule != "inject" and labels.get(INJECT) != "true":
            continue  # not in the mesh, and nobody brings it in
        document = pod(labels, forged)
        after, admission = mutated(server, document, namespace)

        assert admission.decision.rule == "all", (labels, forged)
        wanted = {"skip": "false", "inject": "true"}.get(rule, labels.get(INJECT))
        assert after["metadata"]["labels"].get(INJECT) == wanted
        assert mutated(server, after, namespace)[0] == after


def test_a_sidecar_that_a_forged_decision_brings_in_is_refused(decider):
    skip = {"name": "nobody", "match": {"namespaces": ["*"]}, "action": "skip"}
    document = pod({INJECT: "true"}, {DECISION: "inject", AUTHORS: "(none)"})

    for server in (decider(skip), decider(CLIENTS | {"match": {"namespaces": ["*"]}}, EVERYBODY)):
        assert verdict(server, injected(document), "plain") == "label-lost"


def test_a_forged_decision_hides_no_drift(decider):
    server = decider({"name": "nobody", "match": {"namespaces": ["*"]}, "action": "skip"})
    for forged in ({DECISION: "inject", AUTHORS: "(none)"}, {DECISION: "skip", AUTHORS: "(none)"}, {}):
        running = injected(pod({INJECT: "true"}, forged))
        found = drifted(running, "plain", surroundings=server.surroundings, policy=server.policies.current)

        assert found is not None
        assert found.drift.code == "sidecar-unwanted"
