from __future__ import annotations

import copy

import jsonpatch
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.decision import Action, Decision, Mode, Reason
from webhook.kubernetes.pod import Pod
from webhook.mesh.patch import patch

EXCLUDE = "traffic.sidecar.istio.io/excludeOutboundPorts"
CONFIG = "proxy.istio.io/config"
INJECT = "sidecar.istio.io/inject"


def _decision(action, **fields):
    return Decision(action, Reason.RULE, **({"rule": "r", "matched": ("dependency redis",)} | fields))


def _patched(document, decision):
    operations = patch(msgspec.convert(document, Pod), decision)
    return jsonpatch.apply_patch(copy.deepcopy(document), operations), operations


def _pod(labels=None, annotations=None):
    metadata = {"name": "p"}
    metadata |= {"labels": labels} if labels is not None else {}
    metadata |= {"annotations": annotations} if annotations is not None else {}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c"}]}}


def test_skip_sets_the_label_and_says_why():
    after, _ = _patched(_pod(), _decision(Action.SKIP))

    assert after["metadata"]["labels"] == {INJECT: "false"}
    assert after["metadata"]["annotations"] == {
        "sidecar-policy.dev/decision": "skip",
        "sidecar-policy.dev/rule": "r",
        "sidecar-policy.dev/reason": "dependency redis",
    }


def test_missing_maps_are_made_in_one_operation_and_present_ones_get_single_keys():
    _, made = _patched(_pod(), _decision(Action.INJECT))
    _, added = _patched(_pod({"a": "b"}, {"c": "d"}), _decision(Action.INJECT))

    assert [operation["path"] for operation in made] == ["/metadata/labels", "/metadata/annotations"]
    assert [operation["path"] for operation in added] == [
        "/metadata/labels/sidecar.istio.io~1inject",
        "/metadata/annotations/sidecar-policy.dev~1decision",
        "/metadata/annotations/sidecar-policy.dev~1reason",
        "/metadata/annotations/sidecar-policy.dev~1rule",
    ]


def test_null_maps_are_replaced():
    after, _ = _patched({"metadata": {"labels": None, "annotations": None}, "spec": {}}, _decision(Action.SKIP))

    assert after["metadata"]["labels"] == {INJECT: "false"}


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (None, "5672,6379"),
        ("", "5672,6379"),
        ("15020", "15020,5672,6379"),
        ("6379", "6379,5672"),
        ("6379, 5672", "6379, 5672"),
        ("*", "*"),
    ],
)
def test_bypass_adds_its_ports_to_the_authors_and_drops_none(present, expected):
    annotations = None if present is None else {EXCLUDE: present}

    after, _ = _patched(_pod(annotations=annotations), _decision(Action.BYPASS, ports=(5672, 6379)))

    assert after["metadata"]["annotations"][EXCLUDE] == expected


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (None, "holdApplicationUntilProxyStarts: true"),
        ("concurrency: 2 # cores", "concurrency: 2 # cores\nholdApplicationUntilProxyStarts: true"),
        ('{"concurrency": 2}', "concurrency: 2\nholdApplicationUntilProxyStarts: true"),
        ("  concurrency: 2", "concurrency: 2\nholdApplicationUntilProxyStarts: true"),
        ("holdApplicationUntilProxyStarts: false", "holdApplicationUntilProxyStarts: false"),
        ("- not a mapping", "- not a mapping"),
        ("a: [", "a: ["),
        ("a: 2026-13-40", "a: 2026-13-40\nholdApplicationUntilProxyStarts: true"),
        ("a: !!timestamp x", "a: !!timestamp x"),
    ],
)
def test_hold_is_merged_into_the_authors_proxy_configuration(present, expected):
    annotations = None if present is None else {CONFIG: present}

    after, _ = _patched(_pod(annotations=annotations), _decision(Action.INHERIT, hold=True))

    assert after["metadata"]["annotations"][CONFIG] == expected


def test_audit_and_reasons_outside_the_policy_change_nothing():
    document = _pod()

    assert _patched(document, _decision(Action.SKIP, mode=Mode.AUDIT))[1] == []
    assert _patched(document, Decision(Action.INHERIT, Reason.EXPLICIT_POD))[1] == []
    assert _patched(document, Decision(Action.INHERIT, Reason.DEFAULT))[1] == []


def test_a_default_that_is_not_inherit_says_why_without_a_rule():
    after, _ = _patched(_pod(), Decision(Action.SKIP, Reason.DEFAULT))

    assert after["metadata"]["annotations"] == {
        "sidecar-policy.dev/decision": "skip",
        "sidecar-policy.dev/reason": Reason.DEFAULT.sentence,
    }


_texts = st.text(max_size=12)
_maps = st.none() | st.dictionaries(_texts | st.sampled_from([EXCLUDE, CONFIG, INJECT, "a/b~c"]), _texts, max_size=5)
_decisions = st.builds(
    Decision,
    action=st.sampled_from(Action),
    reason=st.sampled_from(Reason),
    rule=st.none() | st.just("r"),
    mode=st.sampled_from(Mode),
    ports=st.lists(st.integers(1, 65535), max_size=3, unique=True).map(lambda ports: tuple(sorted(ports))),
    hold=st.booleans(),
    matched=st.lists(_texts, max_size=2).map(tuple),
)


@given(_maps, _maps, _decisions)
def test_a_patch_applies_touches_only_what_it_means_and_is_silent_the_second_time(labels, annotations, decision):
    document = _pod(labels, annotations)

    after, operations = _patched(document, decision)

    assert _patched(after, decision)[1] == []
    changed = {
        key
        for key, value in (after["metadata"].get("annotations") or {}).items()
        if (annotations or {}).get(key) != value
    }
    assert all(key in {EXCLUDE, CONFIG} or key.startswith("sidecar-policy.dev/") for key in changed)
    assert {**after, "metadata": None} == {**document, "metadata": None}
    assert len(operations) == len({operation["path"] for operation in operations})
