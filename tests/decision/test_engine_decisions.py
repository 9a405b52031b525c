"""The engine with the real policy and detection: by example where order matters, by property for any pod."""

from __future__ import annotations

import asyncio
import base64
import copy
import json

import jsonpatch
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.decision import Action, Reason
from webhook.decision.engine import decide
from webhook.inventory.manifests import Manifests
from webhook.kubernetes.admission import parse
from webhook.kubernetes.pod import Pod
from webhook.kubernetes.response import answer
from webhook.policy.files import Source
from webhook.policy.load import build, default_policy
from webhook.server.admission.outcome import Admission
from webhook.server.admission.pods import Decider, admit, mutate, validate

IN_MESH = Manifests((), ())
OVERRIDE = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: p}
spec:
  explicit: override
  rules:
  - {name: held, match: {dependencies: [kafka]}, action: bypass, hold: true}
  - {name: skipped, match: {dependencies: [redis]}, action: skip}
  - {name: injected, match: {serves: [redis]}, action: inject}
"""


def _overriding():
    return build([Source("policy.yaml", OVERRIDE.encode())])


def _pod(*, env=None, image="shop/app", **metadata):
    variables = [{"name": name, "value": value} for name, value in (env or {}).items()]
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": image, "env": variables}]}}


def _decide(document, policy, surroundings=IN_MESH):
    pod = msgspec.convert(document, Pod)
    return decide(pod, "shop", document=lambda: document, surroundings=surroundings, policy=policy)


def test_the_first_rule_that_matches_decides():
    decision = _decide(_pod(env={"A": "kafka://k:9092", "B": "redis://r"}), _overriding())

    assert (decision.action, decision.rule, decision.ports, decision.hold) == (Action.BYPASS, "held", (9092,), True)


def test_a_pods_own_word_is_respected_by_default_and_overruled_on_demand_with_a_warning():
    document = _pod(env={"B": "redis://r"}, labels={"sidecar.istio.io/inject": "true"})

    assert _decide(document, default_policy()).reason is Reason.EXPLICIT_POD
    overruled = _decide(document, _overriding())
    assert overruled.action is Action.SKIP
    assert overruled.warnings == ("rule skipped overrides the pod's own sidecar.istio.io/inject",)


def test_a_choice_that_istio_ignores_is_told():
    decision = _decide(_pod(labels={"sidecar.istio.io/inject": "False"}), default_policy())

    assert decision.warnings == ('label sidecar.istio.io/inject is neither "true" nor "false", so Istio ignores it',)


def test_an_annotation_that_cannot_be_merged_is_told():
    document = _pod(env={"A": "kafka://k"}, annotations={"proxy.istio.io/config": "- a list"})

    assert "is not a YAML mapping" in _decide(document, _overriding()).warnings[0]


def test_outside_the_mesh_nothing_is_looked_at():
    decision = _decide(_pod(env={"B": "redis://r"}), default_policy(), Manifests((), (), namespace_labels={}))

    assert (decision.action, decision.reason, decision.findings.dependencies) == (
        Action.INHERIT,
        Reason.NOT_IN_MESH,
        (),
    )


_text = st.text(max_size=30)
_name = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
_value = _text | st.sampled_from(
    [
        "redis://r:6379",
        "amqp://u:p@mq/v",
        "Server=db;Initial Catalog=a",
        "kafka:9092",
        "$(X)",
        "${A:-b}",
        "true",
        "false",
    ]
)
_key = (
    st.sampled_from(["REDIS_URL", "DB_HOST", "DB_PORT", "DB_TYPE", "QUEUE_ENABLED", "BOOTSTRAP_SERVERS", "X"]) | _text
)
_meta_key = _text | st.sampled_from(
    [
        "sidecar.istio.io/inject",
        "istio.io/rev",
        "proxy.istio.io/config",
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        "sidecar-policy.dev/decision",
    ]
)
_labels = st.none() | st.dictionaries(_meta_key, _text | st.sampled_from(["true", "false"]), max_size=4)


def _optional(strategy):
    return st.none() | strategy


_env = st.fixed_dictionaries({"name": _key}, optional={"value": _optional(_value), "valueFrom": _optional(st.just({}))})
_container = st.fixed_dictionaries(
    {"name": _name},
    optional={
        "image": _optional(_text | st.sampled_from(["redis:7", "kafka", "istio/proxyv2"])),
        "command": _optional(st.lists(_value, max_size=3)),
        "args": _optional(st.lists(_value, max_size=3)),
        "env": _optional(st.lists(_env, max_size=4)),
        "envFrom": _optional(st.lists(st.just({"configMapRef": {"name": "c"}}), max_size=1)),
        "ports": _optional(st.lists(st.fixed_dictionaries({"containerPort": st.integers(0, 70000)}), max_size=2)),
    },
)
_pods = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": _labels, "annotations": _labels, "name": _optional(_text)}
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": _optional(st.lists(_container, max_size=3)),
                "initContainers": _optional(st.lists(_container, max_size=2)),
                "volumes": _optional(st.lists(st.fixed_dictionaries({"name": _name}), max_size=2)),
                "hostNetwork": _optional(st.booleans()),
            },
        ),
    }
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text | _key, inner, max_size=4),
    max_leaves=12,
)


class _Fixed:
    def __init__(self, policy):
        self.current = policy
        self.recent = (policy,)


def _review(document, policy, judge=mutate):
    request = {
        "uid": "u-1",
        "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "shop",
        "object": document,
    }
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
    decider = Decider(_Fixed(policy), IN_MESH)
    response = json.loads(asyncio.run(admit(body, decider, Admission("test"), judge)))["response"]
    assert response["uid"] == "u-1"
    assert response["allowed"] is True
    return json.loads(base64.b64decode(response["patch"])) if "patch" in response else []


@pytest.mark.parametrize("policy", [default_policy(), _overriding()], ids=["default", "override"])
@given(document=_pods)
def test_any_pod_gets_a_well_formed_answer_whose_patch_applies_and_is_final(policy, document):
    patched = jsonpatch.apply_patch(copy.deepcopy(document), _review(document, policy))

    assert _review(patched, policy) == []
    assert patched["spec"] == document["spec"]


@pytest.mark.parametrize("policy", [default_policy(), _overriding()], ids=["default", "override"])
@given(document=_pods)
def test_any_pod_can_be_validated(policy, document):
    _review(document, policy, validate)


@given(document=_json)
def test_any_json_at_all_in_place_of_a_pod_is_allowed(document):
    _review(document, default_policy())


def test_an_answer_can_be_read_back():
    assert json.loads(answer("u"))["response"] == {"uid": "u", "allowed": True}
    with pytest.raises(ValueError, match="no request"):
        parse(b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}')
