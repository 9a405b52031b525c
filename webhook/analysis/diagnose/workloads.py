"""Find problems of workloads: sidecars that are regular containers, or missing where mutual TLS is required."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.analysis.diagnose.finding import Code, Finding, Fix, Subject
from webhook.analysis.diagnose.fix import patch_template
from webhook.analysis.diagnose.picture import Member, Picture
from webhook.analysis.diagnose.ports import Place
from webhook.analysis.plan.impact import Consequences, Party
from webhook.core.decision import Action, Decision, Reason
from webhook.mesh import eligibility
from webhook.mesh.eligibility import NATIVE
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
            evidence = [found.evidence for found in dependencies if found.confidence.rank >= picture.least.rank]
            if evidence:
                yield _hold_missing(member, known_by, tuple(evidence))


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
        fix=patch_template(member.kind, member.namespace, member.name, {"annotations": {NATIVE: "true"}}, note),
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


def _hold_missing(member: Member, known_by: str, evidence: tuple[str, ...]) -> Finding:
    held = Decision(action=Action.INHERIT, reason=Reason.RULE, hold=True)
    annotations = required_annotations(member.pod, held)
    note = f"or set hold: true in the policy's rule, or {HOLD} in the mesh's defaultConfig"
    return Finding(
        code=Code.HOLD_MISSING,
        subject=Subject(member.kind, member.namespace, member.name),
        message="the application may start before its sidecar, and its first connections fail",
        evidence=(known_by, *evidence),
        fix=patch_template(member.kind, member.namespace, member.name, {"annotations": annotations}, note),
        severity=Code.HOLD_MISSING.severity,
    )


_BY_DEPENDENCY = "dependency "


def skipped_for_a_service(picture: Picture, wrong: Mapping[Place, Finding]) -> Iterator[Finding]:
    """Yield pods that the policy skips for dependencies whose Services are all known, and at least one is wrong."""
    for member in picture.members:
        if member.decision.action.sidecar is False and (finding := _about(member, picture, wrong)) is not None:
            yield finding


def _about(member: Member, picture: Picture, wrong: Mapping[Place, Finding]) -> Finding | None:
    matched = member.decision.matched
    kinds = {phrase.removeprefix(_BY_DEPENDENCY) for phrase in matched if phrase.startswith(_BY_DEPENDENCY)}
    if not kinds:
        return None
    reached: dict[str, None] = {}
    fixable: dict[Place, Finding] = {}
    for dependency, service, port in picture.called(member):
        if dependency.kind in kinds:
            reached[dependency.kind] = None
            if found := wrong.get((service.namespace, service.name, port.number)):
                fixable[service.namespace, service.name, port.number] = found
    # A dependency outside the cluster, or without a known Service, may need to be skipped all the same.
    if kinds - reached.keys() or not fixable:
        return None
    names = ", ".join(f"{name}:{number}" for _, name, number in fixable)
    return Finding(
        code=Code.SKIPPED_FOR_A_SERVICE,
        subject=Subject(member.kind, member.namespace, member.name),
        message=f"rule {member.decision.rule} skips the sidecar; fixing Service {names} would make that unnecessary",
        evidence=tuple(dependency.evidence for dependency, _, _ in picture.called(member) if dependency.kind in kinds),
        fix=Fix(
            " && ".join(found.fix.command for found in fixable.values() if found.fix.command),
            None,
            "then remove the kind from the rule and restart the pods",
        ),
        severity=Code.SKIPPED_FOR_A_SERVICE.severity,
    )


def strict_refuses(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the workloads without a sidecar that call servers which accept mutual TLS only."""
    if not picture.istio.peers:
        return
    parties = [_party(member) for member in picture.members]
    consequences = Consequences(parties, picture.surroundings, picture.istio)
    for party in parties:
        for refused in () if party.has_sidecar else consequences.refusals(party):
            yield Finding(
                code=Code.STRICT_REFUSES,
                subject=Subject(party.kind, party.namespace, party.name),
                message=f"it has no sidecar, and {refused.message}",
                evidence=refused.evidence,
                fix=Fix(note="keep its sidecar, or let the server accept plaintext: mtls mode PERMISSIVE"),
                severity=Code.STRICT_REFUSES.severity,
            )


def _party(member: Member) -> Party:
    calls = {} if member.gets_sidecar else member.decision.findings.called
    return Party(member.kind, member.namespace, member.name, member.pod, member.gets_sidecar, calls)
