"""The Services that a setting names and that are no backends: the pod's neighbours over HTTP, as far as is known."""

from __future__ import annotations

from msgspec.structs import replace

from webhook.core.decision import Call, Dependency
from webhook.core.values import Form, Mention
from webhook.core.verdict import Wire
from webhook.detection.infer.dialled import port_of_scheme
from webhook.detection.resolve.configuration import Configuration, Entry
from webhook.detection.resolve.places import Place
from webhook.detection.wires import said_to_service
from webhook.detection.words import Role


def call_of(configuration: Configuration, entry: Entry, mention: Mention, place: Place) -> Call | None:
    """Return the call that a mention is evidence of, or None.

    Args:
        configuration: The container's configuration.
        entry: The setting.
        mention: A place that its value names.
        place: The same, resolved.
    """
    service = place.service
    # A single word is a place only under a key that announces one.
    if service is None or (mention.form is Form.BARE and entry.key.role is not Role.LOCATION):
        return None
    scheme = mention.scheme if mention.form is Form.URL else ""
    port = place.port or port_of_scheme(scheme) or (service.ports[0].number if len(service.ports) == 1 else None)
    wire = said_to_service(scheme, entry.key.tokens, mention.tls or configuration.tls_beside(entry.key), port)
    evidence = f"{entry.evidence} → {place}"
    return Call(service.namespace, service.name, port, wire, init=False, evidence=evidence, elsewhere=place.elsewhere)


def as_call(dependency: Dependency) -> Call | None:
    """Return a connection to a backend that is not reported as one, if a Service leads to it."""
    if dependency.service is None:
        return None
    return Call(
        *dependency.service, dependency.port, dependency.wire, init=dependency.init, evidence=dependency.evidence
    )


def merged(calls: list[Call], dependencies: tuple[Dependency, ...]) -> tuple[Call, ...]:
    """Merge to one call for each Service, port and wire protocol.

    Args:
        calls: The calls.
        dependencies: The pod's dependencies. A call to one that says nothing of the protocol is no other connection.
    """
    if not calls:
        return ()
    found = [(dependency.service, dependency.port) for dependency in dependencies]
    spoken = {_place(call): call.wire for call in reversed(calls) if call.wire is not None}
    best: dict[tuple[str, str, int | None, Wire | None], Call] = {}
    for call in calls:
        place = _place(call)
        wire = call.wire or spoken.get(place)
        if wire is None and ((call.namespace, call.service), call.port) in found:
            continue
        first = best.setdefault((*place, wire), call)
        if first is call and call.wire is wire:
            continue
        init, elsewhere = first.init and call.init, first.elsewhere and call.elsewhere
        if (first.wire, first.init, first.elsewhere) != (wire, init, elsewhere):
            best[*place, wire] = replace(first, wire=wire, init=init, elsewhere=elsewhere)
    return tuple(best.values())


def _place(call: Call) -> tuple[str, str, int | None]:
    return call.namespace, call.service, call.port
