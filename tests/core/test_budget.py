"""A decision counts its work, stops at its budget, and says what it does not know then."""

from __future__ import annotations

import functools

import msgspec
import pytest
from pace import measured

from webhook.core.budget import Budget, BudgetExceededError
from webhook.core.decision import Action, Reason
from webhook.core.recording import RecordingView
from webhook.core.surroundings import Service, ServicePort
from webhook.decision.engine import decide
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.detection.parse.content import read_content
from webhook.inventory.manifests import read
from webhook.inventory.store import Store
from webhook.kubernetes.pod import Pod
from webhook.policy.files import Source
from webhook.policy.load import build

LINES = "".join(f"k{number}_host: s{number}:6379\n" for number in range(9000))
RULES = """
  - {name: labelled, match: {labels: {matchLabels: {app: labelled}}}, action: skip}
  - {name: clients, match: {namespaces: [shop], dependencies: [redis]}, action: skip}
  - {name: last, match: {}, action: inject}
"""


def _policy(rules=RULES, **spec):
    fields = "".join(f"  {name}: {value}\n" for name, value in spec.items())
    head = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n"
    return build([Source("policy.yaml", f"{head}{fields}  rules:{rules}".encode())])


def _store(**texts):
    store = Store()
    store.put_namespace("shop", {"istio-injection": "enabled"})
    store.put_config_map("shop", "c", {key: _content(key, text) for key, text in texts.items()})
    return store


@functools.cache
def _content(key, text):
    """Many tests put the same texts into a store, and to read 9,000 lines takes long."""
    return read_content(key, text)


def _pod(*, mounts=(), env=(), labels=None, **container):
    spec = {
        "containers": [{"name": "c", "image": "app", "volumeMounts": list(mounts), "env": list(env), **container}],
        "volumes": [{"name": "v", "configMap": {"name": "c"}}],
    }
    return msgspec.convert({"metadata": {"labels": labels}, "spec": spec}, Pod)


def _decide(pod, store, policy, namespace="shop", **how):
    return decide(pod, namespace, document=dict, surroundings=store, policy=policy, **how)


def _mounted(times):
    return [{"name": "v", "mountPath": f"/{number}"} for number in range(times)]


def _units(pod, store):
    """What detection spends, found by halving."""
    low, high = 0, Budget.FULL
    while low < high:
        middle = (low + high) // 2
        if detect(pod, "shop", store, Catalog.default(), Budget(middle)).cut:
            low = middle + 1
        else:
            high = middle
    return low


def test_work_stops_where_the_budget_is_exceeded_and_begins_again_at_another_stage():
    budget = Budget(10)
    budget.spend(10)
    with pytest.raises(BudgetExceededError, match="exceeds the limit of one decision"):
        budget.spend()
    budget.refill()
    budget.spend(10)

    assert (budget.exceeded, budget.cancelled, budget.is_conclusive) == (True, False, False)


def test_work_that_is_cancelled_stops_soon_and_is_not_conclusive():
    asked = []
    budget = Budget(cancelled=lambda: asked.append(True) or len(asked) > 1)
    budget.spend(100)
    with pytest.raises(BudgetExceededError, match="in time"):
        budget.spend(100)

    assert (budget.cancelled, budget.is_conclusive) == (True, False)


def test_only_a_full_budget_is_conclusive_where_it_is_exceeded():
    budget = Budget()
    with pytest.raises(BudgetExceededError):
        budget.spend(Budget.FULL + 1)

    assert budget.is_conclusive


def test_a_file_is_read_once_however_often_it_is_mounted():
    store = _store(**{"app.yaml": "cache:\n  host: redis:6379\n"})
    once, often = (detect(_pod(mounts=_mounted(times)), "shop", store, Catalog.default()) for times in (1, 40))

    assert often == once
    assert often.dependencies[0].evidence.startswith("file /0/app.yaml ←")
    few, many = (_units(_pod(mounts=_mounted(times)), _store(**{"app.yaml": LINES[:20_000]})) for times in (1, 40))
    assert many < few + 150


def test_a_value_is_read_under_each_name_that_it_is_mounted_as():
    store = _store(first="data", second="other")
    volume = {"name": "v", "configMap": {"name": "c", "items": [{"key": "first", "path": "redis-host"}]}}
    pod = msgspec.convert(
        {
            "metadata": {},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "volumeMounts": [{"name": "all", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}],
                    }
                ],
                "volumes": [{"name": "all", "configMap": {"name": "c"}}, volume],
            },
        },
        Pod,
    )

    assert [found.kind for found in detect(pod, "shop", store, Catalog.default()).dependencies] == ["redis"]


def test_what_exceeds_the_budget_is_not_known_and_said_to_be():
    findings = detect(_pod(mounts=_mounted(1)), "shop", _store(**{"a.yaml": LINES, "b.yaml": LINES}), Catalog.default())

    assert (findings.cut, findings.dependencies) == (True, ())
    assert f"exceeds the limit of one decision ({Budget.FULL} settings)" in findings.unknown[0]


KEYS = {"envFrom": [{"configMapRef": {"name": "c"}, "prefix": f"P{number}_"} for number in range(400)]}
NAMES = [f"host{number}" for number in range(3000)]
WORST = {
    "lines of files": lambda: (_pod(mounts=_mounted(40)), _store(**{f"{n}.yaml": LINES for n in range(3)})),
    "lists of hosts": lambda: (
        _pod(mounts=_mounted(1)),
        _store(
            a="".join(f"k{n}_hosts: " + ",".join(f"a{i}.b:{n + 1000}" for i in range(60)) + "\n" for n in range(2000))
        ),
    ),
    "long hosts": lambda: (
        _pod(env=[{"name": f"A{n}_HOST", "value": "-".join(["redis-type"] * 20) + f".{n}:9999"} for n in range(9000)]),
        _store(),
    ),
    "prefixes of one ConfigMap": lambda: (_pod(**KEYS), _store(**dict.fromkeys(NAMES, "redis:6379"))),
    "environment": lambda: (
        _pod(env=[{"name": f"K{n}_HOST", "value": f"s{n}:6379"} for n in range(9900)]),
        _store(),
    ),
    "long names": lambda: (
        _pod(env=[{"name": "A_" * 100_000 + str(n), "value": "redis:1"} for n in range(10)]),
        _store(),
    ),
    "one long value": lambda: (_pod(env=[{"name": "A_URL", "value": "redis://a " * 120_000}]), _store()),
    "arguments": lambda: (_pod(args=["--redis-host=r:6379"] * 14_000), _store()),
    "references": lambda: (
        _pod(env=[{"name": f"A{n}", "value": f"$(A{n - 1})$(A{n - 1}):6379"} for n in range(9000)]),
        _store(),
    ),
    "objects that are not there": lambda: (
        _pod(
            env=[
                {"name": f"A{n}", "valueFrom": {"configMapKeyRef": {"name": f"c{n}", "key": "k"}}}
                for n in range(19_000)
            ]
        ),
        _store(),
    ),
    "mounts of nothing": lambda: (_pod(mounts=_mounted(100_000)), _store(**{f"k{n}": "v" for n in range(3000)})),
    "ports of a Service": lambda: (
        _pod(env=[{"name": f"A{n}_HOST", "value": "wide"} for n in range(9000)]),
        _wide(),
    ),
}


def _wide():
    store = _store()
    store.put_service(Service("shop", "wide", tuple(ServicePort(1 + number % 60_000) for number in range(20_000))))
    return store


@pytest.mark.parametrize("made", WORST.values(), ids=WORST)
def test_no_pod_takes_more_than_a_bounded_time(made):
    pod, store = made()
    with measured() as work:
        detect(pod, "shop", store, Catalog.default())

    assert work.seconds < 2.5


def test_rules_over_images_are_bounded_too():
    images = "\n".join(f"  - {{name: r{n}, match: {{images: ['*x{n}*y*']}}, action: skip}}" for n in range(200))
    spec = {"containers": [{"name": str(n), "image": f"registry/{n}/app:{n}"} for n in range(50_000)]}
    pod = msgspec.convert({"metadata": {}, "spec": spec}, Pod)
    policy = _policy("\n" + images)
    with measured() as work:
        decision = _decide(pod, _store(), policy)

    assert work.seconds < 2.5
    assert (decision.reason, decision.action) == (Reason.UNKNOWN, Action.INHERIT)
    assert decision.warnings[0].startswith("the pod's configuration exceeds")


def test_real_pods_stay_below_a_tenth_of_the_budget():
    manifests = read(["examples/eshop"])
    for workload in manifests.workloads:
        asked = Budget(Budget.FULL // 10)
        assert not detect(workload.pod, workload.namespace, RecordingView(manifests), Catalog.default(), asked).cut


CUT = {"mounts": _mounted(1)}


def _too_much():
    return _store(**{"a.yaml": LINES, "b.yaml": LINES})


@pytest.mark.parametrize("action", [Action.INHERIT, Action.SKIP, Action.INJECT])
def test_the_first_rule_that_has_to_look_at_what_was_cut_leaves_it_to_on_unknown(action):
    decision = _decide(_pod(**CUT), _too_much(), _policy(onUnknown=action.value))

    assert (decision.action, decision.reason, decision.rule) == (action, Reason.UNKNOWN, None)
    assert decision.findings.cut
    assert decision.warnings[0].endswith(f"the policy's onUnknown applies, {action.value}")


def test_a_rule_that_does_not_look_at_findings_decides_as_ever():
    decision = _decide(_pod(**CUT, labels={"app": "labelled"}), _too_much(), _policy())

    assert (decision.rule, decision.action, decision.warnings) == ("labelled", Action.SKIP, ())


def test_a_rule_whose_other_criteria_do_not_hold_is_passed_over():
    rules = """
  - {name: clients, match: {namespaces: [other], dependencies: [redis]}, action: skip}
  - {name: clients-by-cel, match: {namespaces: [other], when: "'redis' in dependencies"}, action: skip}
  - {name: last, match: {}, action: inject}
"""
    assert _decide(_pod(**CUT), _too_much(), _policy(rules)).rule == "last"


EXCEPTIONS = {
    "match: {}, except: {dependencies: [redis]}, action: skip": None,
    "match: {}, except: {namespaces: [other], dependencies: [redis]}, action: skip": "r",
    "match: {dependencies: [redis]}, except: {namespaces: [shop]}, action: skip": "last",
    "match: {}, action: bypass": None,
    "match: {}, action: bypass, ports: [6379]": "r",
    "match: {serves: [redis]}, action: skip": None,
    "match: {when: \"'redis' in serves\"}, action: skip": None,
}


@pytest.mark.parametrize(("rule", "decides"), EXCEPTIONS.items(), ids=EXCEPTIONS)
def test_what_a_rule_excepts_and_does_counts_as_what_it_matches(rule, decides):
    rules = f"\n  - {{name: r, {rule}}}\n  - {{name: last, match: {{}}, action: inject}}\n"
    decision = _decide(_pod(**CUT), _too_much(), _policy(rules))

    assert decision.rule == decides
    assert decision.reason is (Reason.UNKNOWN if decides is None else Reason.RULE)


def test_a_namespace_that_could_not_be_read_is_not_taken_to_be_outside_of_the_mesh():
    decision = _decide(_pod(env=[{"name": "A", "value": "redis://r"}]), Store(), _policy(onUnknown="inject"))

    assert (decision.action, decision.reason, decision.findings.cut) == (Action.INJECT, Reason.UNKNOWN, False)
    assert decision.warnings == ("the namespace shop could not be read: the policy's onUnknown applies, inject",)


KNOWABLE = [
    ({"labels": {"sidecar.istio.io/inject": "false"}}, {}, "shop", Reason.EXPLICIT_POD),
    ({"labels": {"sidecar.istio.io/inject": "true"}}, {}, "shop", Reason.EXPLICIT_POD),
    ({}, {"hostNetwork": True}, "shop", Reason.HOST_NETWORK),
    ({}, {}, "kube-system", Reason.SYSTEM_NAMESPACE),
    ({}, {}, "exempt", Reason.EXEMPT_NAMESPACE),
    ({"labels": {"istio.io/dataplane-mode": "ambient"}}, {}, "shop", Reason.UNKNOWN),
]


@pytest.mark.parametrize(("metadata", "spec", "namespace", "reason"), KNOWABLE)
def test_what_is_known_without_the_namespace_is_decided_as_ever(metadata, spec, namespace, reason):
    pod = msgspec.convert({"metadata": metadata, "spec": spec}, Pod)
    policy = _policy(exempt="{namespaces: [exempt]}", onUnknown="inject")

    assert _decide(pod, Store(), policy, namespace).reason is reason


def test_in_audit_mode_nothing_is_patched_that_is_not_known():
    decision = _decide(_pod(**CUT), _too_much(), _policy(mode="audit", onUnknown="skip"))

    assert (decision.action, decision.mode.value) == (Action.SKIP, "audit")
