"""`webhook.mesh.eligibility` beside the selectors of Istio's own MutatingWebhookConfiguration, label by label."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from webhook.kubernetes.labels import LabelSelector
from webhook.kubernetes.pod import ObjectMeta, Pod, PodSpec
from webhook.mesh import eligibility
from webhook.mesh.data_plane import Explicit

INJECT, REV, INJECTION = "sidecar.istio.io/inject", "istio.io/rev", "istio-injection"
MODE = "istio.io/dataplane-mode"


def expression(key, operator, *values):
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def revision(name):
    """The webhooks of one revision, as Istio's chart renders them; those of the default one have no revision's name."""
    not_false = expression(INJECT, "NotIn", "false")
    free = [expression(REV, "DoesNotExist"), expression(INJECTION, "DoesNotExist")]
    yield [expression(REV, "In", name), expression(INJECTION, "DoesNotExist")], [not_false]
    yield free, [not_false, expression(REV, "In", name)]
    if name == "default":
        yield [expression(INJECTION, "In", "enabled")], [not_false]
        yield free, [expression(INJECT, "In", "true"), expression(REV, "DoesNotExist")]


WEBHOOKS = [
    tuple(msgspec.convert({"matchExpressions": one}, LabelSelector) for one in selectors)
    for name in ("default", "canary")
    for selectors in revision(name)
]


def is_taken(namespace_labels, labels):
    """Whether Istio's selectors take a pod, and istiod then injects."""
    return any(namespace.holds(namespace_labels) and pod.holds(labels) for namespace, pod in WEBHOOKS)


def choices(**values):
    for combination in itertools.product(*values.values()):
        yield {key: value for key, value in zip(values, combination, strict=True) if value is not None}


REVISIONS = [None, "", "default", "canary"]
NAMESPACES = list(choices(**{INJECTION: [None, "", "enabled", "disabled"], REV: REVISIONS, MODE: [None, "ambient"]}))
PODS = list(choices(**{INJECT: [None, "", "true", "false", "yes"], REV: REVISIONS, MODE: [None, "ambient"]}))


@pytest.mark.parametrize("namespace_labels", NAMESPACES, ids=str)
def test_a_pod_is_in_the_mesh_exactly_where_istios_selectors_take_it_or_would_but_for_its_own_no(namespace_labels):
    for labels in PODS:
        pod = Pod(ObjectMeta(labels=labels), PodSpec())
        inside = eligibility.ineligibility("shop", namespace_labels, pod) is None
        says_no = eligibility.explicit_choice(pod) is Explicit.SKIP

        without_no = {key: value for key, value in labels.items() if (key, value) != (INJECT, "false")}
        assert inside is is_taken(namespace_labels, without_no), labels
        assert (inside and not says_no) is is_taken(namespace_labels, labels), labels


@pytest.mark.parametrize("namespace_labels", NAMESPACES, ids=str)
def test_inject_is_tried_wherever_the_label_alone_brings_a_pod_in_that_is_outside(namespace_labels):
    for labels in PODS:
        reason = eligibility.ineligibility("shop", namespace_labels, Pod(ObjectMeta(labels=labels), PodSpec()))
        if reason is None:
            continue
        tried = eligibility.is_selectable(reason, namespace_labels)
        brought_in = is_taken(namespace_labels, labels | {INJECT: "true"})

        if MODE in namespace_labels:
            assert not tried
        else:
            # A pod's label for a revision without a name keeps it out, and is the author's.
            assert tried is (brought_in or is_taken(namespace_labels, {INJECT: "true"})), labels
        if brought_in:
            assert eligibility.is_by_label_only(namespace_labels, labels)
