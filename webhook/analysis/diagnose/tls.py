"""Find connections that fail for the mesh's mutual TLS: demanded and not spoken, or spoken and not terminated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from webhook.analysis.diagnose.causes import cause
from webhook.analysis.diagnose.finding import Code, Finding, Fix, Subject
from webhook.analysis.diagnose.fix import patch_template
from webhook.analysis.diagnose.hosts import EXPORT_TO
from webhook.analysis.diagnose.picture import Call, Member, Picture
from webhook.analysis.diagnose.spoken import shown
from webhook.core.decision import Action
from webhook.core.verdict import Wire
from webhook.decision.drift import restart_command
from webhook.kubernetes.pod import OwnerReference
from webhook.mesh.arrival import target
from webhook.mesh.config import exported
from webhook.mesh.destination import Known, Sight, port_of
from webhook.mesh.eligibility import NATIVE
from webhook.mesh.party import Party, Plane
from webhook.mesh.protocols import select

_EXCLUDE_IN = "traffic.sidecar.istio.io/excludeInboundPorts"
_INCLUDE_IN = "traffic.sidecar.istio.io/includeInboundPorts"
_MODE = "sidecar.istio.io/interceptionMode"
_SERVER = "let the server accept plaintext at the port: portLevelMtls PERMISSIVE in its PeerAuthentication"
_SERVER_THAT_BEGINS = _SERVER.replace("PERMISSIVE", "DISABLE")
"""The same for a protocol in which the server begins: with PERMISSIVE, its sidecar waits for the client's bytes."""


def mutual_tls(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the clients that are refused, and the servers that do not terminate mutual TLS."""
    refused: dict[tuple[str, str, str, Code], list[Call]] = {}
    lost: dict[Subject, tuple[Fix, list[Call]]] = {}
    for call in picture.calls():
        if not call.judged.verdict.outcome.breaks:
            continue
        code = cause(call.judged.verdict)
        if code in {Code.STRICT_REFUSES, Code.INIT_BEFORE_SIDECAR} and call.client.namespace in picture.namespaces:
            client = call.client
            refused.setdefault((client.kind, client.namespace, client.name, code), []).append(call)
        elif code is Code.MTLS_NOT_TERMINATED:
            subject, fix = _not_terminating(picture, call)
            if not {subject.namespace, call.client.namespace}.isdisjoint(picture.namespaces):
                lost.setdefault(subject, (fix, []))[1].append(call)
    for (*_, code), calls in refused.items():
        yield _refused(picture, code, calls)
    for subject, (fix, calls) in lost.items():
        yield Finding(
            code=Code.MTLS_NOT_TERMINATED,
            subject=subject,
            message=f"clients start mutual TLS to {_places(calls)}, which nothing terminates: their connections fail",
            evidence=(*calls[0].judged.verdict.evidence, *shown(calls)),
            fix=fix,
            severity=Code.MTLS_NOT_TERMINATED.severity,
        )


def _places(calls: Sequence[Call]) -> str:
    return ", ".join(dict.fromkeys(call.judged.place for call in calls))


def _refused(picture: Picture, code: Code, calls: Sequence[Call]) -> Finding:
    client = calls[0].client
    why, fix = _early(client) if code is Code.INIT_BEFORE_SIDECAR else _plain(picture, client, calls)
    return Finding(
        code=code,
        subject=Subject(client.kind, client.namespace, client.name),
        message=f"{why}, and {_places(calls)} refuses its plaintext",
        evidence=tuple(
            dict.fromkeys(said for call in calls for said in (call.judged.evidence, *call.judged.verdict.evidence))
        ),
        fix=fix,
        severity=code.severity,
    )


def _early(client: Member) -> tuple[str, Fix]:
    """Return why an init container speaks plaintext, and what helps."""
    note = (
        "holdApplicationUntilProxyStarts does not help init containers; native sidecars need Kubernetes 1.29 or later: "
        "before that, let the application itself wait, or the server accept plaintext at the port"
    )
    metadata = {"annotations": {NATIVE: "true"}}
    fix = patch_template(client.kind, client.namespace, client.name, metadata, note)
    return "its init container calls before its sidecar, a regular container, has started", fix


def _plain(picture: Picture, client: Member, calls: Sequence[Call]) -> tuple[str, Fix]:
    """Return why a client speaks plaintext, and what helps."""
    decision = client.decision
    ports = {call.judged.port for call in calls}
    party = calls[0].party
    server = _SERVER_THAT_BEGINS if any(call.judged.wire is Wire.SERVER_FIRST for call in calls) else _SERVER
    if party.planes != (Plane.SIDECAR,):
        if decision.is_enforced and decision.action is Action.SKIP:
            note = (
                f"do not skip it: nothing is wrong with the Service; remove the kind from {_rule(client)}, or except "
                "the workload; bypass does not help either"
            )
            return f"{_rule(client)} skips its sidecar", Fix(note=note)
        if client.created.planes == (Plane.SIDECAR,):
            owner = OwnerReference(client.kind, client.name, "apps/v1")
            note = f"pods that are created now have one: recreate them, or {server}"
            return "its running pods have no sidecar", Fix(restart_command(client.namespace, owner), None, note)
        if client.pod.spec.host_network:
            note = f"a pod in the host's network gets no sidecar: {server}, or take it out of the host's network"
            return "it is in the host's network, where it has no sidecar", Fix(note=note)
        return "it has no sidecar", Fix(note=f"give it one, or {server}")
    if decision.is_enforced and decision.action is Action.BYPASS and ports & {*decision.ports}:
        note = f"do not bypass it: nothing is wrong with the Service; remove the kind from {_rule(client)}"
        return f"{_rule(client)} excludes the port from its sidecar", Fix(note=note)
    if any(party.intercepted.outbound(port, None) is not True for port in ports if port is not None):
        said = "its own annotations exclude the connection from its sidecar"
        return said, Fix(note=f"remove the exclusion (traffic.sidecar.istio.io/…) from its pod template, or {server}")
    unlisted = [call.judged for call in calls if call.judged.service and call.judged.port]
    if any(one.service and port_of(one.service, one.port or 0) is None for one in unlisted):
        said = "its sidecar does not know the port, which the Service does not list, and passes it through"
        return said, Fix(note="add the port to the Service")
    return "its sidecar sends plaintext", Fix(note=f"{_to_encrypt(picture, calls[0])}, or {server}")


def _to_encrypt(picture: Picture, call: Call) -> str:
    """Return what makes a client's sidecar start mutual TLS that now passes plaintext on, as a phrase."""
    service, number = call.service, call.judged.port or 0
    declared = None if service is None else port_of(service, number)
    if service is None or declared is None:
        return "call it by its Service"
    sight = Sight(call.party, picture.istio, picture.surroundings)
    if not sight.sees(service):
        host = f"{service.namespace}/{service.name}.{service.namespace}.svc.cluster.local"
        exports = service.export_to or tuple(picture.istio.settings.exports_services_to())
        if not exported(exports, service.namespace, call.party.namespace):
            return f"export Service {service.namespace}/{service.name} to {call.party.namespace} ({EXPORT_TO})"
        if sight.sidecar is not None:
            return f"list {host} in the egress hosts of Sidecar {sight.sidecar.metadata}"
        return f"have the mesh's discoverySelectors select namespace {service.namespace}"
    mode, rule = sight.tls_mode(Known(select(declared), service), number)
    if mode is not None:
        return f"remove tls mode {mode} from {rule}"
    if not picture.istio.settings.enable_auto_mtls:
        return "set enableAutoMtls in the mesh's settings, or tls mode ISTIO_MUTUAL in a DestinationRule for it"
    return "set tls mode ISTIO_MUTUAL in a DestinationRule for it"


def _rule(client: Member) -> str:
    return f"rule {client.decision.rule}" if client.decision.rule else "the policy's default"


def _not_terminating(picture: Picture, call: Call) -> tuple[Subject, Fix]:
    """Return the object because of which mutual TLS is started that nothing terminates, and what helps."""
    judged = call.judged
    service, port = judged.service, judged.port or 0
    to = picture.composer.destination(judged.host or "", port, service)
    for server in to.servers or ():
        number = target(to, server)
        if number is None or server.intercepted.inbound(number):
            continue
        for member in picture.members:
            if (member.namespace, member.party.name) == (server.namespace, server.name):
                does, annotations = _takes_back(member.pod.annotations, server, number)
                note = f"{does}, and recreate the pods; or have clients not start mutual TLS: a DestinationRule with "
                note += "tls mode DISABLE"
                metadata = {"annotations": annotations}
                fix = patch_template(member.kind, member.namespace, member.name, metadata, note)
                return Subject(member.kind, member.namespace, member.name), fix
    declared = None if service is None else port_of(service, port)
    if service is not None and declared is not None:
        sight = Sight(call.party, picture.istio, picture.surroundings)
        _, rule = sight.tls_mode(Known(select(declared), service), port)
        kind, _, name = rule.partition(" ")
        if name:
            namespace, _, name = name.partition("/")
            note = "its tls mode has to be DISABLE for servers that do not terminate mutual TLS, or not set"
            return Subject(kind, namespace, name), Fix(note=note)
        return Subject("Service", service.namespace, service.name, port), Fix(
            note=f"the server has to terminate it: {_SERVER}"
        )
    client = call.client
    return Subject(client.kind, client.namespace, client.name), Fix(
        note="its DestinationRule for the host must not say ISTIO_MUTUAL"
    )


def _takes_back(annotations: Mapping[str, str], server: Party, number: int) -> tuple[str, dict[str, str | None]]:
    """Return what gives a sidecar a port that its pod's annotations keep from it, as a phrase and as annotations."""
    if annotations.get(_MODE) == "NONE":
        return f"remove {_MODE} NONE", {_MODE: None}
    if server.intercepted.included_in is not None:
        listed = [one.strip() for one in annotations.get(_INCLUDE_IN, "").split(",") if one.strip()]
        return f"add port {number} to {_INCLUDE_IN}", {_INCLUDE_IN: ",".join([*listed, str(number)])}
    left = [one for one in annotations.get(_EXCLUDE_IN, "").split(",") if one.strip() != str(number)]
    return f"remove port {number} from {_EXCLUDE_IN}", {_EXCLUDE_IN: ",".join(left) or None}
