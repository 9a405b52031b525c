"""VirtualServices that may send a connection elsewhere: their routes for TCP and TLS, which are not followed."""

from __future__ import annotations

from webhook.mesh.config import IstioConfiguration, exported, names
from webhook.mesh.destination import Destination
from webhook.mesh.objects import VirtualService
from webhook.mesh.party import Party
from webhook.mesh.protocols import select


def rerouting(client: Party, to: Destination, istio: IstioConfiguration) -> VirtualService | None:
    """Return the VirtualService whose routes for TCP or TLS a client's sidecar follows for a destination, or None."""
    protocol = None if to.service_port is None else select(to.service_port).protocol
    if protocol is not None and protocol.is_http:
        return None
    for found in istio.routes:
        spec, written_in = found.spec, found.metadata.namespace
        if not (spec.tcp or spec.tls) or not found.is_for_sidecars:
            continue
        if exported(spec.export_to or ("*",), written_in, client.namespace) and any(
            _names(host, written_in, to) for host in spec.hosts or ()
        ):
            return found
    return None


def _names(host: str, written_in: str, to: Destination) -> bool:
    if to.service is not None:
        return names(host, written_in, to.service)
    return to.host.endswith(host[1:]) if host.startswith("*") else host == to.host
