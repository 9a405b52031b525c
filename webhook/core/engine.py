"""The one entry point to a decision, for the server, the command line and the tests alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webhook.core import mesh
from webhook.core.decision import Action, Decision, Findings, Mode, Reason
from webhook.core.facts import Facts, owners_of
from webhook.core.pod import Pod
from webhook.core.surroundings import Surroundings
from webhook.core.verdict import Policy, Verdict
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect as detect_anew

Detect = Callable[[Pod, str, Surroundings, Catalog], Findings]
"""What `webhook.detection.detect.detect` does."""


def decide(
    pod: Pod,
    namespace: str,
    *,
    document: Callable[[], dict[str, Any]],
    surroundings: Surroundings,
    policy: Policy,
    investigate: bool = False,
    detect: Detect = detect_anew,
) -> Decision:
    """Decide about one pod.

    Args:
        pod: The pod as it is to be created.
        namespace: Where it is to be created.
        document: Gives the whole pod as a dict; called at most once per CEL expression that wants it.
        surroundings: The cluster, or the manifests that stand for it.
        policy: The compiled policy, which also says what backends there are to find.
        investigate: Look at what the pod talks to even where that cannot change the decision, so that it can
            be shown.
        detect: Finds what the pod talks to; another one may remember what it found of pods that are alike.

    Returns:
        The decision. It never raises for anything a pod may contain.
    """
    namespace_labels = surroundings.namespace_labels(namespace) or {}

    def findings() -> Findings:
        return detect(pod, namespace, surroundings, policy.catalog)

    def left_alone(reason: Reason) -> Decision:
        return Decision(
            action=Action.INHERIT,
            reason=reason,
            findings=findings() if investigate else Findings(),
            policy=policy.version,
        )

    outside = _outside(pod, namespace, namespace_labels=namespace_labels, policy=policy)
    tried = outside is not None and policy.injects and mesh.is_selectable(outside, namespace_labels)
    if outside is not None and not tried:
        return left_alone(outside)
    if policy.exempts(namespace):
        return left_alone(outside or Reason.EXEMPT_NAMESPACE)
    if mesh.explicit_choice(pod) is not None and not policy.overrides_explicit:
        return left_alone(outside or Reason.EXPLICIT_POD)
    facts = Facts(
        pod=pod,
        namespace=namespace,
        namespace_labels=namespace_labels,
        owners=owners_of(pod),
        findings=findings() if investigate or policy.needs_findings else Findings(),
        document=document,
    )
    verdict = policy.verdict(facts)
    if outside is not None and verdict.action is not Action.INJECT:
        return left_alone(outside)
    return _from_verdict(verdict, facts, policy.version, outside)


def _outside(pod: Pod, namespace: str, *, namespace_labels: Mapping[str, str], policy: Policy) -> Reason | None:
    """Why Istio would not inject, or None.

    A sidecar that the pod brings along is its author's own choice, which a policy may override like the label.
    """
    ask = mesh.unselected if policy.overrides_explicit else mesh.outside
    return ask(namespace, namespace_labels, pod)


def _overruled(action: Action, explicit: mesh.Explicit | None) -> bool:
    wanted = {mesh.Explicit.INJECT: Action.SKIP, mesh.Explicit.SKIP: Action.INJECT}
    return explicit is not None and action is wanted[explicit]


def _from_verdict(verdict: Verdict, facts: Facts, version: str, outside: Reason | None) -> Decision:
    ports: tuple[int, ...] = ()
    warnings = list(verdict.warnings)
    if verdict.action is Action.BYPASS:
        found = {dependency.port for dependency in verdict.dependencies if dependency.port is not None}
        ports = tuple(sorted(found)) if verdict.ports is None else verdict.ports
        if not ports:
            warnings.append(f"rule {verdict.rule} bypasses the detected ports, but no port is known")
    if (invalid := mesh.invalid_choice(facts.pod)) is not None:
        warnings.append(invalid)
    if _overruled(verdict.action, mesh.explicit_choice(facts.pod)) and verdict.mode is Mode.ENFORCE:
        warnings.append(f"rule {verdict.rule or '(default)'} overrules the pod's own {mesh.INJECT}")
    if verdict.hold and mesh.proxy_config(facts.pod.annotations) is None:
        warnings.append(
            f"annotation {mesh.PROXY_CONFIG} is not a YAML mapping within the limits, so hold is not added to it"
        )
    return Decision(
        action=verdict.action,
        reason=Reason.DEFAULT if verdict.rule is None else Reason.RULE,
        rule=verdict.rule,
        mode=verdict.mode,
        findings=facts.findings,
        ports=ports,
        hold=verdict.hold,
        matched=verdict.matched,
        policy=version,
        outside=outside,
        warnings=tuple(warnings),
    )
