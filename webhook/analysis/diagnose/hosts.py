"""Find hosts that clients' sidecars take for others, or do not know, and Services without a pod that answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook.analysis.diagnose.causes import cause
from webhook.analysis.diagnose.declaration import declared
from webhook.analysis.diagnose.finding import Code, Finding, Fix, Subject
from webhook.analysis.diagnose.fix import annotate
from webhook.analysis.diagnose.picture import Call, Picture
from webhook.analysis.diagnose.spoken import clients_of, shown
from webhook.core.surroundings import Service
from webhook.mesh.destination import Sight, port_of

EXPORT_TO = "networking.istio.io/exportTo"


def hosts(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the connections that break because of what clients' sidecars know."""
    captured: dict[tuple[str, str, int], tuple[Service, list[Call]]] = {}
    unknown: dict[str, list[Call]] = {}
    silent: dict[tuple[str, str, int], list[Call]] = {}
    for call in _broken(picture):
        judged, code = call.judged, cause(call.judged.verdict)
        port = judged.port or 0
        if code is Code.PORT_CAPTURED or (code is Code.HTTP_DECLARED and call.service is None):
            known = Sight(call.party, picture.istio, picture.surroundings).http_at(port)
            if known is not None and known.service is not None:
                service = known.service
                captured.setdefault((service.namespace, service.name, port), (service, []))[1].append(call)
            else:
                yield _by_entry(call, code)
        elif code is Code.NOT_IN_REGISTRY:
            unknown.setdefault(f"{call.client.namespace}/{call.client.label}", []).append(call)
        elif code is Code.NO_ENDPOINT and call.service is not None:
            silent.setdefault((call.service.namespace, call.service.name, port), []).append(call)
    yield from (_captured(picture, service, port, calls) for (*_, port), (service, calls) in captured.items())
    yield from map(_unknown, unknown.values())
    yield from (_silent(place, calls) for place, calls in silent.items())


def _broken(picture: Picture) -> Iterator[Call]:
    """Yield the connections of diagnosed namespaces' workloads that do not flow."""
    for call in picture.calls():
        if call.judged.verdict.outcome.breaks and call.client.namespace in picture.namespaces:
            yield call


def _captured(picture: Picture, service: Service, number: int, calls: Sequence[Call]) -> Finding:
    places = ", ".join(dict.fromkeys(call.judged.place for call in calls))
    port = port_of(service, number)
    return Finding(
        code=Code.PORT_CAPTURED,
        subject=Subject("Service", service.namespace, service.name, number),
        message=f"it takes port {number} for all hosts, and connections to {places} hang at their clients' sidecars",
        evidence=(*((declared(port),) if port is not None else ()), *calls[0].judged.verdict.evidence, *shown(calls)),
        fix=_set_free(picture, service, number, calls),
        severity=Code.PORT_CAPTURED.severity,
    )


def _set_free(picture: Picture, service: Service, number: int, calls: Sequence[Call]) -> Fix:
    """Return how a port that a Service has captured is set free: by hiding the Service, where nobody is in its way."""
    others = (
        f"give it another port; or give {', '.join(dict.fromkeys(call.judged.place for call in calls))} a ServiceEntry "
        f"with its addresses; or exclude the port at its clients: "
        f"traffic.sidecar.istio.io/excludeOutboundPorts: '{number}'"
    )
    clients = clients_of(picture).get((service.namespace, service.name, number), [])
    here = {call.client.namespace for call in (*clients,)} <= {service.namespace}
    elsewhere = service.namespace not in {call.client.namespace for call in calls}
    if here and elsewhere:
        note = f"if all clients of {service.name} are in {service.namespace}, gateways among them; or {others}"
        return annotate("Service", service.namespace, service.name, EXPORT_TO, ".", note)
    return Fix(note=others)


def _by_entry(call: Call, code: Code) -> Finding:
    client = call.client
    return Finding(
        code=code,
        subject=Subject(client.kind, client.namespace, client.name),
        message=f"its sidecar parses port {call.judged.port} as HTTP, and the connection to {call.judged.place} hangs",
        evidence=(*call.judged.verdict.evidence, call.judged.evidence),
        fix=Fix(note="declare the port of the ServiceEntry as TCP, or give the host one with its addresses"),
        severity=code.severity,
    )


def _unknown(calls: Sequence[Call]) -> Finding:
    client = calls[0].client
    places = ", ".join(dict.fromkeys(call.judged.place for call in calls))
    return Finding(
        code=Code.NOT_IN_REGISTRY,
        subject=Subject(client.kind, client.namespace, client.name),
        message=f"its sidecar closes its connections to {places}, which it does not know",
        evidence=(*calls[0].judged.verdict.evidence, *(call.judged.evidence for call in calls)),
        fix=Fix(
            note=f"create a ServiceEntry for {places}; a Service has to be exported to {client.namespace}, and a "
            "Sidecar object has to list it"
        ),
        severity=Code.NOT_IN_REGISTRY.severity,
    )


def _silent(place: tuple[str, str, int], calls: Sequence[Call]) -> Finding:
    namespace, name, port = place
    return Finding(
        code=Code.NO_ENDPOINT,
        subject=Subject("Service", namespace, name, port),
        message=f"no pod answers at port {port}",
        evidence=(*calls[0].judged.verdict.evidence, *shown(calls)),
        fix=Fix(
            note="the Service's selector and targetPort have to match pods: kubectl get endpointslices "
            f"-n {namespace} -l kubernetes.io/service-name={name}"
        ),
        severity=Code.NO_ENDPOINT.severity,
    )
