"""Find problems of sidecars that are regular containers: of when they start, and of when they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webhook.analysis.diagnose.finding import Code, Finding, Fix, Subject
from webhook.analysis.diagnose.fix import patch_template
from webhook.analysis.diagnose.picture import Member, Picture
from webhook.core.decision import Action, Decision, Reason
from webhook.core.verdict import Outcome
from webhook.mesh import eligibility
from webhook.mesh.eligibility import NATIVE
from webhook.mesh.party import Plane
from webhook.mesh.patch import HOLD, required_annotations

_DRAIN_SECONDS = 5
"""How long Istio's sidecar goes on when its pod is deleted: terminationDrainDuration."""
_USUAL_GRACE_SECONDS = 30
_EXITS_ON_ZERO = "EXIT_ON_ZERO_ACTIVE_CONNECTIONS"


def plain_sidecars(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the workloads whose sidecar is not a native one."""
    for member in picture.members:
        created = member.created  # a template that is fixed is, though its former pods may go on for a while
        if created.planes != (Plane.SIDECAR,) or created.native or member.namespace not in picture.namespaces:
            continue
        _, known_by = picture.rendering.is_native(member.namespace, member.pod)
        if created.batch:
            yield _never_finishes(member, picture, known_by)
            continue
        evidence = _waiting(member)
        if evidence and not created.held:
            yield _hold_missing(member, known_by, evidence)
        if evidence and (why := _ends_late(member)) is not None:
            yield _ends_first(member, known_by, why)


def _waiting(member: Member) -> tuple[str, ...]:
    """Return the evidence of the connections that the application itself makes through its sidecar."""
    through = (
        judged.evidence
        for judged in member.connections
        if not judged.init
        and (
            judged.verdict.code in {Code.HOLD_MISSING.code, Code.JOB_NEVER_FINISHES.code}
            or _may_flow(judged.verdict.outcome)
        )
        and (judged.port is None or member.created.intercepted.outbound(judged.port, None) is not False)
    )
    return tuple(dict.fromkeys(through))


def _may_flow(outcome: Outcome) -> bool:
    return outcome in {Outcome.FLOWS, Outcome.UNKNOWN}


def _never_finishes(member: Member, picture: Picture, known_by: str) -> Finding:
    pod = picture.outlived.get((member.namespace, member.kind, member.name))
    seen = (f"in pod {pod} the application has exited but the sidecar is still running",) if pod else ()
    note = "needs Kubernetes 1.29 or later; before that, skip the sidecar of Jobs (examples/policies/batch-jobs.yaml)"
    return Finding(
        code=Code.JOB_NEVER_FINISHES,
        subject=Subject(member.kind, member.namespace, member.name),
        message="its pods never complete: the sidecar is a regular container and keeps running after the "
        "application exits",
        evidence=(known_by, *seen),
        fix=patch_template(member.kind, member.namespace, member.name, {"annotations": {NATIVE: "true"}}, note),
        severity=Code.JOB_NEVER_FINISHES.severity,
    )


def _hold_missing(member: Member, known_by: str, evidence: tuple[str, ...]) -> Finding:
    held = Decision(action=Action.INHERIT, reason=Reason.RULE, hold=True)
    annotations = required_annotations(member.pod, held)
    note = f"or set hold: true in the policy's rule, or {HOLD} in the mesh's defaultConfig"
    if eligibility.sidecar_of(member.pod) is not None or not annotations:
        fix = Fix(
            note=f"set {HOLD} in the pod's {eligibility.PROXY_CONFIG}, and have its sidecar injected anew; {note}"
        )
    else:
        fix = patch_template(member.kind, member.namespace, member.name, {"annotations": annotations}, note)
    return Finding(
        code=Code.HOLD_MISSING,
        subject=Subject(member.kind, member.namespace, member.name),
        message="the application may start before its sidecar, and its first connections fail",
        evidence=(known_by, *evidence),
        fix=fix,
        severity=Code.HOLD_MISSING.severity,
    )


def _ends_late(member: Member) -> str | None:
    """Return why an application goes on for longer than its sidecar when its pod is deleted, or None."""
    if _EXITS_ON_ZERO in member.pod.annotations.get(eligibility.PROXY_CONFIG, ""):
        return None
    spec: dict[str, Any] = member.workload.document.get("spec") or {}
    for container in spec.get("containers") or ():
        lifecycle = container.get("lifecycle") if isinstance(container, dict) else None
        if isinstance(lifecycle, dict) and lifecycle.get("preStop") and container.get("name") != eligibility.PROXY:
            return f"container {container.get('name')} has a preStop hook"
    grace = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace > _USUAL_GRACE_SECONDS:
        return f"its terminationGracePeriodSeconds is {grace}"
    return None


def _ends_first(member: Member, known_by: str, why: str) -> Finding:
    note = f"needs Kubernetes 1.29 or later; before that, set proxyMetadata {_EXITS_ON_ZERO}: 'true' in the pod's "
    note += f"{eligibility.PROXY_CONFIG}"
    return Finding(
        code=Code.ENDS_FIRST,
        subject=Subject(member.kind, member.namespace, member.name),
        message="its sidecar ends before the application when a pod is deleted, and takes its connections along",
        evidence=(known_by, why, f"a sidecar that is a regular container ends {_DRAIN_SECONDS} s after the deletion"),
        fix=patch_template(member.kind, member.namespace, member.name, {"annotations": {NATIVE: "true"}}, note),
        severity=Code.ENDS_FIRST.severity,
    )
