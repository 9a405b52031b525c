"""Pods of so many values that no more than an outline of them is read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pace import measured

from webhook.inventory.store import Store
from webhook.kubernetes.admission import parse as parse_whole
from webhook.kubernetes.outline import MOST_VALUES, parse
from webhook.policy.files import Source
from webhook.policy.load import build, default_policy
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.admission.pods import Decider, admit, mutate, validate
from webhook.server.admission.workers import Caller

HEAD = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n"
MANY: dict[str, dict[str, Any]] = {
    "empty containers": {"spec": {"containers": [{}] * 300_000}},
    "variables": {"spec": {"containers": [{"env": [{"name": "a", "value": "b"}] * 150_000}]}},
    "arguments": {"spec": {"containers": [{"args": ["a"] * 700_000}]}},
    "fields that nobody reads": {"spec": {"other": [[]] * 900_000}},
    "lists within each other": {"spec": {"other": [json.loads("[" * 400 + "]" * 400)] * 2_000}},
    "texts of commas and quotes": {"spec": {"containers": [{"args": [',"{\\'] * 120_000}]}},
}
MANY_ANYWHERE = {"spec": {"containers": [{"name": "c"}], "other": [0] * 120_000}}


class _Policies:
    def __init__(self, policy):
        self.current, self.recent = policy, (policy,)


def _decider(*rules, strict=False, **spec):
    policy = default_policy()
    if rules or spec:
        fields = "".join(f"  {name}: {value}\n" for name, value in spec.items())
        text = "".join(f"  - {json.dumps(rule)}\n" for rule in rules)
        policy = build([Source("policy.yaml", f"{HEAD}{fields}  rules:\n{text}".encode())])
    store = Store()
    store.put_namespace("shop", {"istio-injection": "enabled"})
    store.put_namespace("plain", {"team": "a"})
    return Decider(_Policies(policy), store, strict=strict)


def _body(kit, pod, namespace="shop"):
    return json.dumps(kit.make_review(pod, namespace=namespace)).encode()


def _answered(decider, body, judge=mutate):
    admission = Admission(judge.__name__)
    return admission, json.loads(asyncio.run(admit(body, decider, admission, judge, Caller())))["response"]


@pytest.mark.parametrize("made", MANY.values(), ids=MANY)
@pytest.mark.parametrize("judge", [mutate, validate])
def test_a_pod_of_very_many_values_is_read_in_outline_and_not_known(kit, made, judge):
    """To decode it all would hold the interpreter for a third of a second."""
    body = _body(kit, {"metadata": {"labels": {"app": "a"}}} | made)
    with measured() as work:
        admission, response = _answered(_decider(), body, judge)

    assert work.seconds < 0.2
    assert response["allowed"]
    assert "more than 100000 values" in response["warnings"][0]
    assert admission.outcome is (Outcome.UNCHANGED if judge is mutate else Outcome.UNREADABLE_POD)


METADATA = {
    "name": "p",
    "labels": {"app": "a"},
    "annotations": {"team": "a"},
    "ownerReferences": [{"kind": "Job", "name": "load", "apiVersion": "batch/v1", "uid": "u"}],
}


@pytest.mark.parametrize(
    "match",
    [
        {},
        {"namespaces": ["sh*"]},
        {"namespaceLabels": {"matchLabels": {"istio-injection": "enabled"}}},
        {"labels": {"matchLabels": {"app": "a"}}},
        {"annotations": {"matchLabels": {"team": "a"}}},
        {"owners": ["Job/load"]},
        {"serviceAccounts": ["loader"]},
        {"when": "pod.metadata.annotations['team'] == 'a' && pod.metadata.labels.app == 'a'"},
        {"when": "has(pod.metadata.name) && !has(pod.metadata.generateName)"},
        {"when": "namespace.name == 'shop' && owner.kind == 'Job'"},
    ],
)
@pytest.mark.parametrize("made", MANY.values(), ids=MANY)
def test_a_rule_that_needs_no_more_than_the_outline_decides(kit, match, made):
    pod = {"metadata": METADATA, "spec": made["spec"] | {"serviceAccountName": "loader"}}
    earlier = {"name": "earlier", "match": match | {"images": ["redis"], "labels": {"matchLabels": {"app": "b"}}}}
    rule = {"name": "r", "match": match, "action": "skip"}
    admission, response = _answered(_decider(earlier | {"action": "inject"}, rule, onUnknown="inject"), _body(kit, pod))

    assert (admission.decision.rule, admission.outcome) == ("r", Outcome.PATCHED)
    assert "warnings" not in response


@pytest.mark.parametrize(
    "match",
    [
        {"images": ["redis*"]},
        {"dependencies": ["redis"]},
        {"serves": ["redis"]},
        {"when": "pod.spec.containers.size() > 3"},
        {"when": "pod.metadata.labels.app == 'a' && pod.spec.hostNetwork"},
        {"when": "pod['metadata']['labels']['app'] == 'a'"},
        {"when": "'redis' in dependencies"},
    ],
)
def test_the_first_rule_that_needs_more_leaves_it_to_what_is_not_known(kit, match):
    rules = [
        {"name": "other", "match": {"labels": {"matchLabels": {"app": "b"}}}, "action": "inject"},
        {"name": "first", "match": match | {"namespaces": ["shop"]}, "action": "inject"},
        {"name": "later", "match": {}, "action": "inject"},
    ]
    body = _body(kit, {"metadata": METADATA} | MANY_ANYWHERE)
    admission, response = _answered(_decider(*rules, onUnknown="skip"), body)

    assert (admission.decision.action, admission.decision.rule) == ("skip", None)
    assert admission.decision.reason.code == "unknown"
    assert "more than 100000 values" in response["warnings"][0]


@pytest.mark.parametrize("criteria", [{"images": ["redis*"]}, {"when": "pod.spec.hostNetwork"}])
def test_an_exception_that_needs_more_is_not_known_either(kit, criteria):
    rule = {"name": "r", "match": {}, "except": criteria, "action": "inject"}
    admission, _ = _answered(_decider(rule, onUnknown="skip"), _body(kit, {"metadata": METADATA} | MANY_ANYWHERE))

    assert (admission.decision.action, admission.decision.reason.code) == ("skip", "unknown")


def test_the_default_decides_where_no_rule_needs_more(kit):
    rule = {"name": "r", "match": {"labels": {"matchLabels": {"app": "b"}}}, "action": "skip"}
    body = _body(kit, {"metadata": METADATA} | MANY_ANYWHERE)
    admission, _ = _answered(_decider(rule, default="inject"), body)

    assert (admission.decision.action, admission.decision.reason.code) == ("inject", "default")


@pytest.mark.parametrize(("namespace", "reason"), [("plain", "rule"), ("nowhere", "unknown")])
def test_what_a_namespace_says_of_a_pod_in_outline_is_decided_as_ever(kit, namespace, reason):
    rule = {"name": "r", "match": {"namespaces": [namespace]}, "action": "inject"}
    body = _body(kit, {"metadata": METADATA} | MANY_ANYWHERE, namespace)
    admission, _ = _answered(_decider(rule), body)

    assert admission.decision.reason.code == reason


def test_what_the_outline_of_a_pod_says_is_decided_as_ever(kit):
    pod = {"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}} | MANY["variables"]
    admission, response = _answered(_decider(), _body(kit, pod))

    assert (admission.decision.reason.code, "warnings" in response) == ("explicit-pod", False)


def test_a_pod_in_outline_is_not_taken_for_a_small_one_that_is_alike(kit):
    decider = _decider()
    small = {"metadata": METADATA, "spec": {}}

    assert _answered(decider, _body(kit, {"metadata": METADATA} | MANY_ANYWHERE))[0].decision.reason.code == "unknown"
    assert _answered(decider, _body(kit, small))[0].decision.reason.code == "default"


def test_a_pod_that_is_too_large_to_check_is_refused_where_pods_have_to_conform(kit):
    admission, response = _answered(_decider(strict=True), _body(kit, {"metadata": {}} | MANY_ANYWHERE), validate)

    assert (admission.outcome, response["allowed"]) == (Outcome.UNREADABLE_POD, False)


@pytest.mark.parametrize(
    "text",
    ["," * 120_000, '\\"' * 120_000, "{" * 120_000, ("\\" * 65_537 + ",{") * 30, '",' * 120_000, "\\," * 120_000]
    + ["x" * shift + '\\",' * 120_000 for shift in range(3)],
)
def test_a_text_is_one_value_however_many_commas_are_in_it(kit, text):
    pod = {"metadata": {}, "spec": {"containers": [{"name": "c", "env": [{"name": "LIST", "value": text}]}]}}
    review = parse(_body(kit, pod))

    assert not review.unread
    assert review.pod.spec.containers[0].env[0].value == text


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("text", ["", "a", ",", '"', "\\", '\\",{', "é,", "x" * 500])
@pytest.mark.parametrize("more", [0, 1])
def test_values_are_counted_to_the_one(kit, text, more, spaced):
    """The list has a comma less than elements; the review around it has some of its own."""
    separators = (", ", ": ") if spaced else (",", ":")
    review = kit.make_review({"metadata": {}, "spec": {"other": [text]}})
    around = json.dumps(review | {"request": review["request"] | {"object": {"metadata": {}, "spec": {"other": []}}}})
    fixed = sum(map(around.count, ",{["))
    review["request"]["object"]["spec"]["other"] = [text] * (MOST_VALUES - fixed + 1 + more)
    body = json.dumps(review, separators=separators, ensure_ascii=False).encode()

    assert bool(parse(body).unread) is bool(more)


@pytest.mark.parametrize(
    "unit",
    [b",", b"a,", b"{},", b'\\"', b"\\\\", b'\\\\\\",', b'"', b'","', b'":"', b"[", b'"x":{', b'"\\",'],
    ids=repr,
)
@pytest.mark.parametrize("around", [(b'{"a": "', b'"}'), (b'{"a": [', b"]}")])
def test_eight_megabytes_of_anything_are_counted_and_read_in_time(unit, around):
    """What is counted as a text must not be decoded as values: both are bounded together."""
    body = bytearray(around[0] + unit * (8_000_000 // len(unit)) + around[1])
    with measured() as work, pytest.raises(ValueError, match=r"."):
        parse(body)

    assert work.seconds < 0.4


def test_an_outline_has_what_the_whole_has(kit):
    body = _body(kit, {"metadata": METADATA, "spec": MANY["variables"]["spec"] | {"serviceAccountName": "loader"}})
    whole, outline = parse_whole(body), parse(body)

    assert outline.unread
    assert outline.pod.metadata == whole.pod.metadata
    assert outline.pod.spec.service_account_name == "loader"
    read = {field: outline.document()["metadata"].get(field) for field in ("name", "generateName", "labels")}
    assert read == {"name": "p", "generateName": None, "labels": {"app": "a"}}
    assert "generateName" not in outline.document()["metadata"]


def test_owners_that_are_too_long_make_a_pod_unreadable(kit):
    owners = [{"kind": "Job", "name": "j" * 100_000, "apiVersion": "batch/v1", "uid": "u"}]
    admission, response = _answered(_decider(), _body(kit, {"metadata": {"ownerReferences": owners}} | MANY_ANYWHERE))

    assert (admission.outcome, response["allowed"]) == (Outcome.UNREADABLE_POD, True)
