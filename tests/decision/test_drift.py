import injected
import msgspec
import pytest
from msgspec.structs import replace

from webhook.core.decision import Action, Decision, Mode, Reason
from webhook.decision.drift import Drift, drift, restart_command
from webhook.kubernetes.pod import Container, ObjectMeta, OwnerReference, Pod, PodSpec
from webhook.mesh.eligibility import EXCLUDE_OUTBOUND_PORTS, INJECT, PROXY_CONFIG
from webhook.mesh.patch import DECISION, HOLD


def pod(*, labels=None, sidecar=False, **annotations):
    containers = [msgspec.convert(injected.SIDECAR, Container)] if sidecar else []
    return Pod(ObjectMeta(name="basket", labels=labels, annotations=annotations), PodSpec(containers=containers))


def decision(action, **how):
    return Decision(action, how.pop("reason", Reason.RULE), rule="r", **how)


SIDECAR = {"sidecar": True}
BYPASSED = {**SIDECAR, EXCLUDE_OUTBOUND_PORTS: "6379", DECISION: "bypass"}
HELD = {**SIDECAR, PROXY_CONFIG: f"{HOLD}: true"}
BYPASS = decision(Action.BYPASS, ports=(6379,))


@pytest.mark.parametrize(
    ("annotations", "decided", "expected"),
    [
        (SIDECAR, decision(Action.SKIP), Drift.SIDECAR_UNWANTED),
        ({}, decision(Action.SKIP), None),
        ({}, decision(Action.INJECT), Drift.SIDECAR_MISSING),
        (SIDECAR, decision(Action.INJECT), None),
        ({}, decision(Action.INHERIT), Drift.SIDECAR_MISSING),
        (SIDECAR, decision(Action.INHERIT), None),
        ({}, BYPASS, Drift.SIDECAR_MISSING),
        (SIDECAR, BYPASS, Drift.REMEDY_MISSING),
        (BYPASSED, BYPASS, None),
        (BYPASSED, decision(Action.BYPASS, ports=(5672,)), Drift.REMEDY_MISSING),
        (BYPASSED, decision(Action.INHERIT), Drift.REMEDY_UNWANTED),
        (BYPASSED, decision(Action.SKIP), Drift.SIDECAR_UNWANTED),
        (SIDECAR, decision(Action.INHERIT, hold=True), Drift.REMEDY_MISSING),
        (HELD, decision(Action.INHERIT, hold=True), None),
    ],
)
def test_a_pod_drifts_when_a_restart_would_change_its_sidecar(annotations, decided, expected):
    running = pod(**annotations)

    assert drift(running, pod(), decided) is expected


@pytest.mark.parametrize("reason", [Reason.EXEMPT_NAMESPACE, Reason.NOT_IN_MESH, Reason.NAMESPACE_DISABLED])
@pytest.mark.parametrize("annotations", [{}, SIDECAR])
def test_where_nothing_is_decided_nothing_drifts(reason, annotations):
    assert drift(pod(**annotations), pod(), decision(Action.INHERIT, reason=reason)) is None


BROUGHT_IN = {**SIDECAR, DECISION: "inject"}


@pytest.mark.parametrize(
    ("annotations", "reason", "mode", "expected"),
    [
        (BROUGHT_IN, Reason.NOT_IN_MESH, Mode.ENFORCE, Drift.SIDECAR_UNWANTED),
        (BROUGHT_IN, Reason.AMBIENT, Mode.ENFORCE, Drift.SIDECAR_UNWANTED),
        (BROUGHT_IN, Reason.NAMESPACE_DISABLED, Mode.ENFORCE, Drift.SIDECAR_UNWANTED),
        (BROUGHT_IN, Reason.RULE, Mode.AUDIT, Drift.SIDECAR_UNWANTED),
        (BROUGHT_IN, Reason.RULE, Mode.ENFORCE, None),
        (BROUGHT_IN, Reason.EXEMPT_NAMESPACE, Mode.ENFORCE, None),
        (BROUGHT_IN, Reason.UNKNOWN, Mode.ENFORCE, None),
        ({DECISION: "inject"}, Reason.NOT_IN_MESH, Mode.ENFORCE, None),
        ({**SIDECAR, DECISION: "bypass"}, Reason.NOT_IN_MESH, Mode.ENFORCE, None),
        (SIDECAR, Reason.NOT_IN_MESH, Mode.ENFORCE, None),
    ],
)
def test_a_sidecar_that_a_decision_brought_in_from_outside_of_the_mesh_is_unwanted_once_nobody_would(
    annotations, reason, mode, expected
):
    now = decision(Action.INJECT if reason is Reason.RULE else Action.INHERIT, reason=reason, mode=mode)
    outside = None if reason in {Reason.EXEMPT_NAMESPACE, Reason.UNKNOWN} else Reason.NOT_IN_MESH

    assert drift(pod(**annotations), pod(), replace(now, outside=outside)) is expected


@pytest.mark.parametrize(("annotations", "expected"), [({}, Drift.SIDECAR_MISSING), (SIDECAR, None)])
def test_what_is_audited_is_as_istio_has_it(annotations, expected):
    assert drift(pod(**annotations), pod(), decision(Action.SKIP, mode=Mode.AUDIT)) is expected


def test_a_pod_that_asked_for_a_sidecar_and_has_none_drifts():
    asked = pod(labels={INJECT: "true"})

    assert drift(asked, asked, decision(Action.INHERIT, reason=Reason.EXPLICIT_POD)) is Drift.SIDECAR_MISSING


def test_an_author_who_wants_no_sidecar_misses_none():
    running = pod(labels={INJECT: "false"})

    assert drift(running, running, decision(Action.INHERIT)) is None


@pytest.mark.parametrize(
    ("owner", "command"),
    [
        (OwnerReference("Deployment", "web", "apps/v1"), "kubectl -n shop rollout restart deployment/web"),
        (
            OwnerReference("DaemonSet", "node.agent-2", "apps/v1"),
            "kubectl -n shop rollout restart daemonset/node.agent-2",
        ),
        (OwnerReference("Deployment", "web", "evil.example/v1"), None),
        (OwnerReference("Rollout", "web", "argoproj.io/v1alpha1"), None),
        (OwnerReference("Deployment", "x; touch /tmp/owned #", "apps/v1"), None),
        (OwnerReference("Deployment", "x$(id)", "apps/v1"), None),
        (OwnerReference("Deployment", "x\nkubectl delete namespace prod", "apps/v1"), None),
        (OwnerReference("Deployment", "x -n kube-system daemonset/kube-proxy", "apps/v1"), None),
        (OwnerReference("Deployment", "web\n", "apps/v1"), None),
        (OwnerReference("Deployment", "-web", "apps/v1"), None),
        (OwnerReference("Deployment", "", "apps/v1"), None),
        (None, None),
    ],
)
def test_a_command_is_only_given_for_what_can_be_an_object(owner, command):
    """The author of a pod writes its owner, and somebody with more permissions pastes the command."""
    assert restart_command("shop", owner) == command
