"""A pod that `/mutate` is called about again: nothing that we wrote into it changes what is decided."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from dataclasses import replace
from typing import Any

import jsonpatch
import pytest
from injected import SIDECAR

from webhook.decision.conformance import Contradiction
from webhook.inventory.store import Store
from webhook.mesh import eligibility as mesh
from webhook.policy.files import Source
from webhook.policy.load import build
from webhook.server.admission.outcome import Admission
from webhook.server.admission.pods import Decider, admit, mutate, validate

HEAD = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n"
OURS = "!has(pod.metadata.annotations) || !pod.metadata.annotations.exists(a, a.startsWith('sidecar-policy.dev/'))"
UNLABELLED = "!has(pod.metadata.labels) || !('sidecar.istio.io/inject' in pod.metadata.labels)"
CREATED: dict[str, Any] = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}}


class _Policies:
    def __init__(self, policy):
        self.current, self.recent = policy, (policy,)


def _decider(rule, explicit, default="inherit"):
    rules = json.dumps(
        [{"name": "other", "match": {"annotations": {"matchLabels": {"x": "y"}}}, "action": "skip"}, rule]
    )
    policy = build(
        [Source("policy.yaml", f"{HEAD}  explicit: {explicit}\n  default: {default}\n  rules: {rules}\n".encode())]
    )
    store = Store()
    store.put_namespace("shop", {"istio-injection": "enabled"})
    store.put_namespace("plain", {})
    return Decider(_Policies(policy), store)


def _asked(decider, kit, pod, judge, namespace):
    admission = Admission(judge.__name__)
    body = json.dumps(kit.make_review(pod, namespace=namespace)).encode()
    return admission, json.loads(asyncio.run(admit(body, decider, admission, judge)))["response"]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("explicit", ["respect", "override"])
@pytest.mark.parametrize("when", [OURS, UNLABELLED, f"({OURS}) && ({UNLABELLED})"])
@pytest.mark.parametrize(
    ("action", "namespace"),
    [
        ({"action": "skip"}, "shop"),
        ({"action": "inject"}, "shop"),
        ({"action": "inject"}, "plain"),
        ({"action": "bypass", "ports": [6379]}, "shop"),
    ],
)
def test_a_second_call_decides_as_the_first_and_patches_nothing(kit, action, namespace, when, explicit, large):
    decider = _decider({"name": "r", "match": {"when": when}, **action}, explicit)
    created = copy.deepcopy(CREATED)
    if large:
        created["metadata"]["annotations"] = {"long": "x" * 100_000}
    first, response = _asked(decider, kit, created, mutate, namespace)
    patch = json.loads(base64.b64decode(response["patch"]))
    patched = jsonpatch.apply_patch(copy.deepcopy(created), patch)
    second, again = _asked(decider, kit, patched, mutate, namespace)

    assert first.decision.rule == second.decision.rule == "r"
    assert "patch" not in again
    assert _asked(decider, kit, patched, validate, namespace)[0].decision.rule == "r"


@pytest.mark.parametrize("forged", [None, "true", "false", ""])
@pytest.mark.parametrize("said", [None, "true", "false", "default", ""])
@pytest.mark.parametrize("action", [{"action": "skip"}, {"action": "inject"}, {"action": "bypass", "ports": [6379]}])
@pytest.mark.parametrize(
    "expression",
    [
        {"operator": "Exists"},
        {"operator": "DoesNotExist"},
        {"operator": "In", "values": ["false"]},
        {"operator": "In", "values": ["true"]},
        {"operator": "NotIn", "values": ["default", "false"]},
    ],
    ids=lambda expression: "".join(map(str, expression.values())),
)
def test_a_rule_about_the_label_matches_what_the_author_wrote(kit, expression, action, said, forged):
    labels = {"matchExpressions": [{"key": "sidecar.istio.io/inject", **expression}]}
    decider = _decider({"name": "r", "match": {"labels": labels}, **action}, "override", default="skip")
    created = copy.deepcopy(CREATED)
    if said is not None:
        created["metadata"]["labels"]["sidecar.istio.io/inject"] = said
    if forged is not None:
        created["metadata"]["annotations"] = {"sidecar-policy.dev/authors-label": forged}
    first, response = _asked(decider, kit, created, mutate, "shop")
    patched = created
    if "patch" in response:
        patched = jsonpatch.apply_patch(copy.deepcopy(created), json.loads(base64.b64decode(response["patch"])))
    second, again = _asked(decider, kit, patched, mutate, "shop")

    assert "patch" not in again
    assert first.decision.rule == second.decision.rule
    assert _asked(decider, kit, patched, validate, "shop")[0].decision.rule == first.decision.rule


@pytest.mark.parametrize("kept", [None, "true", "(none)"])
@pytest.mark.parametrize("said", [None, "true", "false", "other"])
@pytest.mark.parametrize("decided", ["skip", "inject", "bypass", "other", ""])
@pytest.mark.parametrize("default", ["inherit", "skip", "inject"])
@pytest.mark.parametrize("operator", ["Exists", "DoesNotExist"])
@pytest.mark.parametrize("namespace", ["shop", "plain"])
def test_annotations_of_ours_by_an_author_make_no_second_decision(
    kit, namespace, operator, default, decided, said, kept
):
    match = {"labels": {"matchExpressions": [{"key": "sidecar.istio.io/inject", "operator": operator}]}}
    rule = {"name": "r", "match": match, "action": "bypass", "ports": [6379]}
    decider = _decider(rule, "override", default=default)
    forged = copy.deepcopy(CREATED)
    forged["metadata"]["labels"] |= {} if said is None else {"sidecar.istio.io/inject": said}
    forged["metadata"]["annotations"] = {"sidecar-policy.dev/decision": decided}
    forged["metadata"]["annotations"] |= {} if kept is None else {"sidecar-policy.dev/authors-label": kept}
    first, response = _asked(decider, kit, forged, mutate, namespace)
    patched = forged
    if "patch" in response:
        patched = jsonpatch.apply_patch(copy.deepcopy(forged), json.loads(base64.b64decode(response["patch"])))
    second, again = _asked(decider, kit, patched, mutate, namespace)

    assert "patch" not in again
    assert first.decision == second.decision
    assert _asked(decider, kit, patched, validate, namespace)[0].decision == first.decision


def test_an_annotation_of_ours_that_the_author_wrote_changes_nothing(kit):
    decider = _decider({"name": "r", "match": {"when": OURS}, "action": "skip"}, "respect")
    forged = copy.deepcopy(CREATED)
    forged["metadata"]["annotations"] = {"sidecar-policy.dev/rule": "mine"}
    admission, _ = _asked(decider, kit, forged, mutate, "shop")

    assert admission.decision.rule == "r"


def test_a_selector_of_annotations_sees_none_of_ours_either(kit):
    match = {"annotations": {"matchExpressions": [{"key": "sidecar-policy.dev/rule", "operator": "DoesNotExist"}]}}
    decider = _decider({"name": "r", "match": match, "action": "bypass", "ports": [6379]}, "respect")
    patched = copy.deepcopy(CREATED)
    patched["metadata"]["annotations"] = {"sidecar-policy.dev/decision": "bypass", "sidecar-policy.dev/rule": "r"}
    for pod in (patched, patched | {"spec": {"containers": [{"name": "c"}], "other": [0] * 120_000}}):
        admission, _ = _asked(decider, kit, pod, mutate, "shop")

        assert admission.decision.rule == "r"


@pytest.mark.parametrize("large", [False, True])
def test_a_lost_label_is_noticed_in_a_namespace_that_no_watch_has_delivered_yet(kit, large):
    rule = {"name": "r", "match": {"labels": {"matchLabels": {"app": "a"}}}, "action": "skip"}
    decider = _decider(rule, "override")
    created = copy.deepcopy(CREATED)
    created["metadata"]["labels"][mesh.INJECT] = "true"
    if large:
        created["metadata"]["annotations"] = {"long": "x" * 100_000}
    _, response = _asked(decider, kit, created, mutate, "plain")
    patched = jsonpatch.apply_patch(copy.deepcopy(created), json.loads(base64.b64decode(response["patch"])))
    patched["metadata"]["labels"][mesh.INJECT] = "true"
    patched["spec"]["containers"].append(SIDECAR)

    # Another replica, which reads the namespace only when it is asked about a pod in it.
    other = _decider(rule, "override")
    other.surroundings.drop_namespace("plain")

    async def look_up(_):
        other.surroundings.put_namespace("plain", {})
        return True

    admission, _ = _asked(replace(other, look_up=look_up), kit, patched, validate, "plain")

    assert admission.contradiction is Contradiction.LABEL_LOST


def test_a_second_call_in_a_namespace_that_no_watch_has_delivered_yet_patches_nothing(kit):
    rule = {"name": "r", "match": {"labels": {"matchLabels": {"app": "a"}}}, "action": "skip"}
    created = copy.deepcopy(CREATED)
    created["metadata"]["labels"][mesh.INJECT] = "true"
    _, response = _asked(_decider(rule, "override"), kit, created, mutate, "plain")
    patched = jsonpatch.apply_patch(copy.deepcopy(created), json.loads(base64.b64decode(response["patch"])))
    other = _decider(rule, "override")
    other.surroundings.drop_namespace("plain")

    async def look_up(_):
        other.surroundings.put_namespace("plain", {})
        return True

    admission, again = _asked(replace(other, look_up=look_up), kit, patched, mutate, "plain")

    assert (admission.decision.rule, "patch" in again) == ("r", False)
