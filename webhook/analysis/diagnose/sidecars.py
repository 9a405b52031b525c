"""Find problems of sidecars that are regular containers: Jobs that never complete, applications that start early."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.analysis.diagnose.finding import Code, Finding, Subject
from webhook.analysis.diagnose.fix import patch_template
from webhook.analysis.diagnose.picture import NATIVE, Member, Picture
from webhook.core.decision import Action, Decision, Reason
from webhook.mesh import eligibility
from webhook.mesh.patch import HOLD, required_annotations

_BATCH = frozenset({"Job", "CronJob"})


def plain_sidecars(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the workloads whose sidecar is not a native one."""
    for member in picture.members:
        if not member.gets_sidecar:
            continue
        native, known_by = picture.sidecars.is_native(member)
        if native:
            continue
        if member.kind in _BATCH:
            yield _never_finishes(member, picture, known_by)
        elif not picture.sidecars.held and not _is_held(member):
            dependencies = member.decision.findings.dependencies
            trails = [found.evidence for found in dependencies if found.confidence.rank >= picture.least.rank]
            if trails:
                yield _hold_missing(member, known_by, tuple(trails))


def _never_finishes(member: Member, picture: Picture, known_by: str) -> Finding:
    pod = picture.sidecars.outlived.get((member.namespace, member.kind, member.name))
    seen = (f"in pod {pod} the application has exited but the sidecar is still running",) if pod else ()
    note = "needs Kubernetes 1.29 or later; before that, skip the sidecar of Jobs (examples/policies/batch-jobs.yaml)"
    return Finding(
        code=Code.JOB_NEVER_FINISHES,
        subject=Subject(member.kind, member.namespace, member.name),
        message="its pods never complete: the sidecar is a regular container and keeps running after the "
        "application exits",
        evidence=(known_by, *seen),
        mend=patch_template(member.kind, member.namespace, member.name, {"annotations": {NATIVE: "true"}}, note),
        severity=Code.JOB_NEVER_FINISHES.severity,
    )


def _is_held(member: Member) -> bool:
    config = eligibility.proxy_config(member.pod.annotations)
    # A configuration that sets hold, or cannot be read, is the author's choice; an injected sidecar is not changed.
    return (
        eligibility.sidecar_of(member.pod) is not None
        or config is None
        or HOLD in config
        or (member.decision.hold and member.decision.is_enforced)
    )


def _hold_missing(member: Member, known_by: str, trails: tuple[str, ...]) -> Finding:
    held = Decision(action=Action.INHERIT, reason=Reason.RULE, hold=True)
    annotations = required_annotations(member.pod, held)
    note = f"or set hold: true in the policy's rule, or {HOLD} in the mesh's defaultConfig"
    return Finding(
        code=Code.HOLD_MISSING,
        subject=Subject(member.kind, member.namespace, member.name),
        message="the application may start before its sidecar, and its first connections fail",
        evidence=(known_by, *trails),
        mend=patch_template(member.kind, member.namespace, member.name, {"annotations": annotations}, note),
        severity=Code.HOLD_MISSING.severity,
    )
