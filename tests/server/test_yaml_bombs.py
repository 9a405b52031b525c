"""A small annotation or file of YAML that unfolds to millions of values costs nobody anything."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from injected import SIDECAR
from pace import measured

from webhook.inventory import manifests
from webhook.mesh.patch import HOLD
from webhook.policy.source import PolicySource
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.admission.pods import Decider, admit, mutate, validate
from webhook.server.background.running import judge

CONFIG = "proxy.istio.io/config"
NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}\n"
POLICY = """\
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: held}
spec:
  rules:
  - {name: everybody, match: {namespaces: ["*"]}, action: bypass, ports: [6379], hold: true}
"""
LISTS = "a0: &a0 [1,2,3,4,5,6,7,8]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 16))
MERGES = "a0: &a0 {k0: v, k1: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}], z{n}: v}}\n" for n in range(1, 9)
)
BOMBS = {
    "lists": LISTS,
    "merge keys": MERGES,
    "within itself": "a: &a [*a]",
    "nested": "[" * 8_000,
    "a tag that does not fit": "a: !!timestamp x",
    "a number without an end": "{a: 0x" + "f" * 6_000 + "}",
    "a sexagesimal number": "a: 1" + ":59" * 2_500 + ".5",
    "too long": "a: " + "x" * 200_000,
    "much JSON": json.dumps({"a": [1] * 2_500}),
}


@pytest.fixture
def decider(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "namespace.yaml").write_text(NAMESPACE)
    surroundings = manifests.read([str(tmp_path / "namespace.yaml")])
    return Decider(policies=PolicySource([tmp_path / "policy.yaml"]), surroundings=surroundings)


def pod(text, *containers):
    metadata = {"name": "p", "namespace": "shop", "annotations": {CONFIG: text}}
    spec = {"containers": [{"name": "app", "image": "app"}, *containers]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("judged", [mutate, validate], ids=["mutate", "validate"])
def test_a_proxy_configuration_takes_little_time_to_decide(decider, text, judged):
    request = {
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": "shop",
        "object": pod(text, *([SIDECAR] if judged is validate else [])),
    }
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
    admission = Admission("a")
    with measured() as work:
        response = json.loads(asyncio.run(admit(body, decider, admission, judged)))["response"]

    assert work.seconds < 0.5
    assert response["allowed"]
    assert admission.outcome in {Outcome.PATCHED, Outcome.CONTRADICTS}


@pytest.mark.parametrize("text", [LISTS, MERGES], ids=["lists", "merge keys"])
def test_a_proxy_configuration_beyond_the_limits_is_left_as_it_is_with_a_warning(decider, text):
    body = {"uid": "u", "kind": {"version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": "shop"}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": body | {"object": pod(text)}}
    response = json.loads(asyncio.run(admit(json.dumps(review).encode(), decider, Admission("a"), mutate)))["response"]

    assert any(CONFIG in warning for warning in response["warnings"])
    assert HOLD.encode() not in msgspec.json.encode(response["patch"])


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_a_running_pod_with_such_a_configuration_takes_little_time_to_check(decider, text):
    running = msgspec.Raw(json.dumps(pod(text, SIDECAR)).encode())
    with measured() as work:
        found = judge(running, decider, decider.policies.current)

    assert work.seconds < 0.5
    assert found is not None
