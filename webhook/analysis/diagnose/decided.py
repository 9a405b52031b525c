"""Find decisions of the policy that do not do what they are meant to: skips that heal nothing, ports not bypassed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from webhook.analysis.diagnose.causes import OF_PORTS, cause
from webhook.analysis.diagnose.finding import Code, Finding, Fix, Severity, Subject
from webhook.analysis.diagnose.picture import Call, Member, Picture, Place
from webhook.core.decision import Action
from webhook.core.verdict import Outcome
from webhook.mesh.party import ALL, Plane
from webhook.verdicts.compose import Judged

_BY_DEPENDENCY = "dependency "
_AT_OTHER_PORTS = (
    "list those ports in the rule; or exclude the server's addresses (annotation excludeOutboundIPRanges), "
    "since the annotation for ports takes no range; or declare the Service's port tcp, and do not bypass it"
)
_THEN = "then remove the kind from the rule and restart the pods: with a sidecar they have mutual TLS and telemetry"


def skipped_for_a_service(picture: Picture, wrong: Mapping[Place, Finding]) -> Iterator[Finding]:
    """Yield pods that the policy skips or bypasses for dependencies of which a Service is declared wrongly."""
    for member in picture.members:
        decision = member.decision
        acts = decision.is_enforced and decision.action in {Action.SKIP, Action.BYPASS}
        if acts and member.namespace in picture.namespaces and (finding := _about(member, picture, wrong)) is not None:
            yield finding


def _about(member: Member, picture: Picture, wrong: Mapping[Place, Finding]) -> Finding | None:
    matched = member.decision.matched
    kinds = {phrase.removeprefix(_BY_DEPENDENCY) for phrase in matched if phrase.startswith(_BY_DEPENDENCY)}
    calls = [Call(member, member.party, judged) for judged in member.connections if judged.kind in kinds]
    at_fault = {call.judged.place: found for call in calls if (found := _fault(call.judged, wrong)) is not None}
    reached = {call.judged.kind or "" for call in calls if call.judged.service is not None}
    outside = kinds - reached
    if not at_fault:
        return None
    rule, verb = f"rule {member.decision.rule}", "skips" if member.decision.action is Action.SKIP else "bypasses"
    names = ", ".join(at_fault)
    broken = [call for call in calls if call.judged.place in at_fault and _breaks_of_port(call)]
    severity = Severity.INFO
    if broken:
        places = ", ".join(dict.fromkeys(call.judged.place for call in broken))
        if all(_flows_with_sidecar(picture, call) for call in broken):
            message = f"{rule} {verb} the sidecar, which breaks connections to {places}: with it, they flow"
            severity = Severity.WARNING
        else:
            message = f"{rule} {verb} the sidecar, which heals nothing: connections to {places} break at the server"
    elif outside:
        # A dependency outside the cluster, or without a known Service, may need to be skipped all the same.
        return None
    elif all(_flows_with_sidecar(picture, call) for call in calls):
        message = f"{rule} {verb} the sidecar, which is not needed: connections to {names} flow with it, too"
    else:
        message = f"{rule} {verb} the sidecar; fixing Service {names} would make that unnecessary"
    return Finding(
        code=Code.SKIPPED_FOR_A_SERVICE,
        subject=Subject(member.kind, member.namespace, member.name),
        message=message,
        evidence=tuple(
            dict.fromkeys(
                said for call in broken or calls for said in (call.judged.evidence, *call.judged.verdict.evidence[-1:])
            )
        ),
        fix=Fix(
            " && ".join(dict.fromkeys(found.fix.command for found in at_fault.values() if found.fix.command)) or None,
            None,
            f"what else the rule matches may need it: {', '.join(sorted(outside))}" if outside else _THEN,
        ),
        severity=severity,
    )


def _fault(judged: Judged, wrong: Mapping[Place, Finding]) -> Finding | None:
    if judged.service is None or judged.port is None:
        return None
    return wrong.get((judged.service.namespace, judged.service.name, judged.port))


def _breaks_of_port(call: Call) -> bool:
    return call.judged.verdict.outcome.breaks and cause(call.judged.verdict) in OF_PORTS


def _flows_with_sidecar(picture: Picture, call: Call) -> bool:
    """Return whether a connection would flow if the policy left the pod its sidecar and all its ports."""
    judged = call.judged
    if judged.host is None or judged.port is None or judged.wire is None:
        return False
    client = replace(call.client.party, planes=(Plane.SIDECAR,), intercepted=ALL, native=True)
    to = picture.composer.destination(judged.host, judged.port, judged.service)
    return picture.composer.judge(client, to, (judged.wire,), early=judged.init).outcome is Outcome.FLOWS


def ports_not_bypassed(picture: Picture) -> Iterator[Finding]:
    """Yield pods whose backends send them on to ports that the policy's bypass does not exclude."""
    for member in picture.members:
        if member.decision.action is not Action.BYPASS or member.namespace not in picture.namespaces:
            continue
        for judged in member.connections:
            if judged.port in member.decision.ports and judged.redirects:
                yield Finding(
                    code=Code.PORTS_NOT_BYPASSED,
                    subject=Subject(member.kind, member.namespace, member.name),
                    message=f"{judged.place} sends its clients on to {judged.redirects}, which are not bypassed",
                    evidence=(
                        judged.evidence,
                        f"rule {member.decision.rule} excludes port {judged.port}",
                        *_also(picture, judged),
                    ),
                    fix=Fix(note=_AT_OTHER_PORTS),
                    severity=Code.PORTS_NOT_BYPASSED.severity,
                )


def _also(picture: Picture, judged: Judged) -> Iterator[str]:
    """Yield at which other ports the server's pods listen, as far as their containers declare it."""
    service = judged.service
    for server in picture.behind(service) if service is not None else ():
        ports = {port.container_port for one in server.pod.spec.containers or () for port in one.ports or ()}
        if others := sorted(ports - {judged.port}):
            yield f"{server.label} has the ports {', '.join(map(str, others))}, too"
