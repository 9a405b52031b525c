"""Istio's rule for who gets a sidecar, in the one place that knows it.

The order below is that of istiod's injection webhook together with the selectors that istioctl puts in its
MutatingWebhookConfiguration. Sources: istio.io "Installing the Sidecar" (injection labels and their table),
"Resource Labels" and "Resource Annotations".

| first that holds                                                        | outcome            |
|-------------------------------------------------------------------------|--------------------|
| the pod has a container istio-proxy                                     | already-injected   |
| hostNetwork                                                             | host-network       |
| namespace label istio-injection=disabled                                | namespace-disabled |
| pod label istio.io/dataplane-mode=ambient                               | ambient            |
| namespace label istio-injection=enabled, or istio.io/rev=X              | in the mesh        |
| namespace has neither; pod label sidecar.istio.io/inject=true           | in the mesh        |
| namespace has neither; pod label istio.io/rev, inject not "false"       | in the mesh        |
| namespace label istio.io/dataplane-mode=ambient                         | ambient            |
| otherwise                                                               | not-in-mesh        |
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from webhook.core.decision import Reason
from webhook.core.pod import Container, Pod

INJECT = "sidecar.istio.io/inject"
REVISION = "istio.io/rev"
NAMESPACE_INJECTION = "istio-injection"
DATAPLANE_MODE = "istio.io/dataplane-mode"
EXCLUDE_OUTBOUND_PORTS = "traffic.sidecar.istio.io/excludeOutboundPorts"
PROXY_CONFIG = "proxy.istio.io/config"

_ISTIO_CONTAINERS = frozenset({"istio-init", "istio-proxy", "istio-validation", "enable-core-dump"})


class Explicit(Enum):
    """What the pod's author wrote about injection on the pod itself."""

    INJECT = "true"
    SKIP = "false"


def is_istio_container(container: Container) -> bool:
    """Whether Istio added the container; nothing in it says what the application talks to."""
    return container.name in _ISTIO_CONTAINERS


def explicit_choice(pod: Pod) -> Explicit | None:
    """The pod's own choice: the label wins over the annotation, and only "true" and "false" are valid."""
    said = pod.labels.get(INJECT, pod.annotations.get(INJECT))
    return Explicit(said) if said in {"true", "false"} else None


def outside(namespace_labels: Mapping[str, str], pod: Pod) -> Reason | None:
    """Why Istio would not inject whatever we do, or None where there is something to decide.

    A pod that only says inject=false is inside: the policy may override that.
    """
    if any(container.name == "istio-proxy" for container in pod.containers()):
        return Reason.ALREADY_INJECTED
    if pod.spec.host_network:
        return Reason.HOST_NETWORK
    injection = namespace_labels.get(NAMESPACE_INJECTION)
    if injection == "disabled":
        return Reason.NAMESPACE_DISABLED
    if pod.labels.get(DATAPLANE_MODE) == "ambient":
        return Reason.AMBIENT
    if injection == "enabled" or namespace_labels.get(REVISION):
        return None
    chosen = pod.labels.get(INJECT)
    if chosen == "true" or (chosen != "false" and pod.labels.get(REVISION)):
        return None
    if namespace_labels.get(DATAPLANE_MODE) == "ambient":
        return Reason.AMBIENT
    return Reason.NOT_IN_MESH
