"""Decide about one pod: the single entry point for the server, the command line and the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from webhook.core.budget import Budget, BudgetExceededError
from webhook.core.decision import NO_FINDINGS, Action, Decision, Findings, Mode, Reason
from webhook.core.facts import Facts, owners_of
from webhook.core.ruling import Ruling
from webhook.core.surroundings import Surroundings
from webhook.decision.other_namespaces import hide, only_own
from webhook.decision.policy import Policy
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect as detect_uncached
from webhook.kubernetes.pod import Pod
from webhook.mesh import MESH
from webhook.mesh.data_plane import Explicit

Detect = Callable[[Pod, str, Surroundings, Catalog, Budget], Findings]
"""The type of `webhook.detection.detect.detect`."""

_LEFT_OUT = (
    "does not exclude a port that only a Service in another namespace declares: set the port in the pod's "
    "configuration, "
    "list it in the rule's ports, or set spec.detection.otherNamespaces: show in the policy"
)
# The reasons that hold whatever the namespace's labels are.
_WHATEVER_NAMESPACE = frozenset({Reason.ALREADY_INJECTED, Reason.HOST_NETWORK, Reason.SYSTEM_NAMESPACE})


def decide(  # noqa: PLR0913 - all inputs of a decision
    pod: Pod,
    namespace: str,
    *,
    document: Callable[[], dict[str, Any]],
    surroundings: Surroundings,
    policy: Policy,
    always_detect: bool = False,
    detect: Detect = detect_uncached,
    budget: Budget | None = None,
    unread: str = "",
) -> Decision:
    """Decide about one pod.

    Args:
        pod: The pod as it is to be created.
        namespace: Where it is to be created.
        document: Returns the whole pod as a dict; called at most once per CEL expression that reads it.
        surroundings: The cluster, or the manifests that replace it.
        policy: The compiled policy, with the catalog of backends to look for.
        always_detect: Run detection even where it cannot change the decision, so that its findings can
            be shown.
        detect: The detection function; the server passes one that caches the findings of equal pods.
        budget: Units that detection may spend, and then the rules again; None is a full one. Where it is exceeded, the
            rest counts as unknown.
        unread: Why `pod` and `document` are only an outline, as a sentence; empty where they are complete.

    Returns:
        The decision. Never raises, whatever the pod contains.

    Raises:
        SurroundingsUnknownError: The cluster cache has not synced yet.

    Example:
        decide(pod, "shop", document=lambda: document, surroundings=manifests, policy=default_policy()).action
    """
    budget = budget or Budget()
    labels = surroundings.namespace_labels(namespace)

    def findings() -> Findings:
        if unread:
            return _cut(NO_FINDINGS, unread)
        return detect(pod, namespace, surroundings, policy.catalog, budget)

    outside = _outside(pod, namespace, namespace_labels=labels, policy=policy)
    reason = _settled(pod, namespace, namespace_labels=labels, policy=policy, outside=outside)
    if reason is not None and reason is not Reason.UNKNOWN:
        return _left_alone(reason, policy, findings() if always_detect else NO_FINDINGS)
    facts = Facts(
        pod=pod,
        namespace=namespace,
        namespace_labels=labels or {},
        owners=owners_of(pod),
        findings=findings() if always_detect or (policy.needs_findings and reason is None) else NO_FINDINGS,
        document=document,
        budget=budget,
        unread=unread,
    )
    if reason is Reason.UNKNOWN:
        unknown = replace(policy.unknown(), why=f"the namespace {namespace} could not be read")
        return _from_ruling(unknown, facts, policy.version, outside)
    budget.refill()
    try:
        decision = _by_rules(facts, policy, outside)
    except BudgetExceededError as error:
        facts = replace(facts, findings=_cut(NO_FINDINGS, str(error)))
        decision = _from_ruling(replace(policy.unknown(), why=str(error)), facts, policy.version, outside)
    if outside is not None and (not decision.action.sidecar or decision.reason is Reason.UNKNOWN):
        return _left_alone(outside, policy, facts.findings if always_detect else NO_FINDINGS)
    return decision


def _by_rules(facts: Facts, policy: Policy, outside: Reason | None) -> Decision:
    """Return what the rules decide, with the part of it that the pod's author may see."""
    ruling = policy.ruling(facts)
    if not ruling.known:
        facts = replace(facts, findings=_cut(facts.findings, ruling.why))
    if facts.findings.own is None or not policy.hides_other_namespaces:
        return _from_ruling(ruling, facts, policy.version, outside)
    own = replace(facts, findings=only_own(facts.findings))
    hiding = hide(ruling, own.findings.dependencies, policy.ruling(own))
    to_author = _from_ruling(hiding.to_author, own, policy.version, outside)
    return replace(_from_ruling(hiding.ruling, facts, policy.version, outside), to_author=to_author)


def _cut(findings: Findings, why: str) -> Findings:
    """Return findings that record that a rule depended on something unknown."""
    return findings if findings.cut else replace(findings, unknown=(*findings.unknown, why), cut=True)


def _left_alone(reason: Reason, policy: Policy, findings: Findings) -> Decision:
    return Decision(action=Action.INHERIT, reason=reason, findings=findings, policy=policy.version)


def _outside(pod: Pod, namespace: str, *, namespace_labels: Mapping[str, str] | None, policy: Policy) -> Reason | None:
    """Return why Istio would not inject; None where it would, or where that depends on labels that are unknown.

    A sidecar that the pod brings along is its author's own choice, which a policy may override like the label.
    """
    ask = MESH.unselected if policy.overrides_explicit else MESH.ineligibility
    reason = ask(namespace, namespace_labels or {}, pod)
    return reason if namespace_labels is not None or reason in _WHATEVER_NAMESPACE else None


def _settled(
    pod: Pod,
    namespace: str,
    *,
    namespace_labels: Mapping[str, str] | None,
    policy: Policy,
    outside: Reason | None,
) -> Reason | None:
    """Return why no rule is evaluated, or None."""
    if outside is not None and not (policy.injects and MESH.is_selectable(outside, namespace_labels or {})):
        return outside
    if policy.exempts(namespace):
        return outside or Reason.EXEMPT_NAMESPACE
    if MESH.explicit_choice(pod) is not None and not policy.overrides_explicit:
        return outside or Reason.EXPLICIT_POD
    return None if namespace_labels is not None else Reason.UNKNOWN


def _overruled(action: Action, explicit: Explicit | None) -> bool:
    """Return whether an action does the opposite of what the pod's author chose."""
    return explicit is not None and action.sidecar is (explicit is Explicit.SKIP)


def _reason(ruling: Ruling) -> Reason:
    if not ruling.known:
        return Reason.UNKNOWN
    return Reason.DEFAULT if ruling.rule is None else Reason.RULE


def _from_ruling(ruling: Ruling, facts: Facts, version: str, outside: Reason | None) -> Decision:
    ports: tuple[int, ...] = ()
    warnings = list(ruling.warnings)
    if not ruling.known:
        warnings.append(f"{ruling.why}: the policy's onUnknown applies, {ruling.action.value}")
    if ruling.action is Action.BYPASS:
        found = {dependency.port for dependency in ruling.dependencies if dependency.port is not None}
        ports = tuple(sorted(found)) if ruling.ports is None else ruling.ports
        if ruling.left_out:
            warnings.append(f"rule {ruling.rule} {_LEFT_OUT}")
        elif not ports:
            warnings.append(f"rule {ruling.rule} bypasses the detected ports, but no port was detected")
    if (invalid := MESH.invalid_choice(facts.pod)) is not None:
        warnings.append(invalid)
    if _overruled(ruling.action, MESH.explicit_choice(facts.pod)) and ruling.mode is Mode.ENFORCE:
        warnings.append(f"rule {ruling.rule or '(default)'} overrides the pod's own {MESH.CHOICE}")
    if ruling.hold and (problem := MESH.cannot_hold(facts.pod)) is not None:
        warnings.append(problem)
    return Decision(
        action=ruling.action,
        reason=_reason(ruling),
        rule=ruling.rule,
        mode=ruling.mode,
        findings=facts.findings,
        ports=ports,
        hold=ruling.hold,
        matched=ruling.matched,
        policy=version,
        outside=outside,
        warnings=tuple(warnings),
    )
