"""A pod on which an expression exceeds a limit: it is not known whether the rule matches, and that is said."""

from __future__ import annotations

import json

import msgspec
import pytest

from webhook.core.budget import Budget
from webhook.core.conformance import contradiction
from webhook.core.drift import drifted
from webhook.core.engine import decide
from webhook.core.patch import patch
from webhook.core.pod import Pod
from webhook.core.sidecar import in_mesh
from webhook.core.surroundings import Service, ServicePort
from webhook.inventory.store import Store
from webhook.policy.files import Source
from webhook.policy.load import build
from webhook.server.loop_share import INLINE

HEAD = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n"
WHEN = "pod.spec.containers.all(a, a.env.all(e, e.name != 'NO_MESH'))"
RULE = {"name": "meshed", "match": {"when": WHEN}, "action": "inject"}
SECRET = "h-u-n-t-e-r-2"


def _policy(*rules, **spec):
    fields = "".join(f"  {name}: {value}\n" for name, value in spec.items())
    return build([Source("policy.yaml", f"{HEAD}{fields}  rules: {json.dumps(rules)}\n".encode())])


def _store():
    store = Store()
    store.put_namespace("shop", {"istio-injection": "enabled"})
    store.put_namespace("data", {})
    store.put_service(Service("data", "cache", (ServicePort(6379, "redis"),)))
    return store


def _document(count, **more):
    env = [{"name": f"E{number}", "value": SECRET} for number in range(count)]
    env.append({"name": "CACHE", "value": "redis://cache.data:6379"})
    return {"metadata": {"name": "p"} | more, "spec": {"containers": [{"name": "c", "image": "c", "env": env}]}}


def _decide(policy, document):
    pod = msgspec.convert(document, Pod)
    return pod, decide(pod, "shop", document=lambda: document, surroundings=_store(), policy=policy)


@pytest.mark.parametrize("action", ["inherit", "skip", "inject"])
@pytest.mark.parametrize("more", [{}, {"name": "b", "match": {"dependencies": ["redis"]}, "action": "bypass"}])
def test_what_is_not_known_decides_with_a_warning_and_is_not_matched_by_later_rules(action, more):
    rules = [RULE, more or {"name": "b", "match": {}, "action": "bypass", "ports": [1]}]
    pod, decision = _decide(_policy(*rules, onUnknown=action), _document(16_000))

    assert (decision.action, decision.rule, decision.reason.code) == (action, None, "unknown")
    assert decision.shown.warnings == decision.warnings
    (warning,) = decision.warnings
    assert warning.startswith("rule meshed: its CEL expression is not evaluated: ")
    assert warning.endswith(f": the policy's onUnknown decides, {action}")
    assert decision.findings.cut
    assert in_mesh(decision)
    assert SECRET not in str(decision) + str(patch(pod, decision))


def test_an_ordinary_pod_is_matched_as_ever():
    _, decision = _decide(_policy(RULE, onUnknown="skip"), _document(300))

    assert (decision.action, decision.rule, decision.warnings) == ("inject", "meshed", ())


def test_what_an_expression_may_cost_counts_as_work_of_the_decision():
    """So the event loop leaves costly ones to a thread, and a cancelled decision evaluates no more of them."""
    nested = "pod.spec.containers[0].env.all(a, !('x' in pod.spec.containers[0].env.map(b, b.name)))"
    policy = _policy(
        *({"name": f"r{n}", "match": {"when": f"{nested} && {n} < 0"}, "action": "skip"} for n in range(3))
    )
    document = _document(90)
    pod = msgspec.convert(document, Pod)

    def exceeded(units, document=document, pod=pod):
        budget = Budget(units)
        decide(pod, "shop", document=lambda: document, surroundings=_store(), policy=policy, budget=budget)
        return budget.exceeded

    assert exceeded(INLINE)
    assert not exceeded(Budget.FULL)
    small = _document(2)
    assert not exceeded(INLINE, small, msgspec.convert(small, Pod))


def test_a_pod_that_runs_drifts_from_what_is_decided_where_it_is_not_known():
    document = _document(16_000)
    found = drifted(document, "shop", surroundings=_store(), policy=_policy(RULE, onUnknown="inject"))

    assert found.drift.code == "sidecar-missing"
    decision = _decide(_policy(RULE, onUnknown="inject"), document)[1]
    assert contradiction(msgspec.convert(document, Pod), decision).code == "no-sidecar-despite-inject"
