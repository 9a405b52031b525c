"""Istio's rule for who gets a sidecar, in the one place that knows it.

It is the rule of istiod's injector together with the selectors of the MutatingWebhookConfiguration that Istio's
chart and istioctl generate. Sources: istio.io "Installing the Sidecar", "Resource Labels", "Resource Annotations".

| first row that holds                                                         | outcome            |
|------------------------------------------------------------------------------|--------------------|
| annotation sidecar.istio.io/status on the pod                                | already-injected   |
| hostNetwork                                                                  | host-network       |
| namespace is kube-system, kube-public, kube-node-lease or local-path-storage | system-namespace   |
| namespace label istio-injection=enabled                                      | in the mesh        |
| namespace label istio-injection, any other value                             | namespace-disabled |
| namespace label istio.io/rev                                                 | in the mesh        |
| pod label istio.io/rev                                                       | in the mesh        |
| pod label sidecar.istio.io/inject=true                                       | in the mesh        |
| namespace or pod label istio.io/dataplane-mode=ambient                       | ambient            |
| otherwise                                                                    | not-in-mesh        |

What the pod itself says (inject=false) is no row of the table: it is the author's choice, which a policy respects
or overrides, while the rows are what no label of ours could change.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import yaml

from webhook.core.decision import Reason
from webhook.core.pod import Container, Pod
from webhook.yamltext import ANNOTATION, load

INJECT = "sidecar.istio.io/inject"
STATUS = "sidecar.istio.io/status"
REVISION = "istio.io/rev"
NAMESPACE_INJECTION = "istio-injection"
DATAPLANE_MODE = "istio.io/dataplane-mode"
EXCLUDE_OUTBOUND_PORTS = "traffic.sidecar.istio.io/excludeOutboundPorts"
PROXY_CONFIG = "proxy.istio.io/config"

_ISTIO_CONTAINERS = frozenset({"istio-init", "istio-proxy", "istio-validation", "enable-core-dump"})
_SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})


class Explicit(Enum):
    """What the pod's author wrote about injection on the pod itself."""

    INJECT = "true"
    SKIP = "false"


def is_istio_container(container: Container) -> bool:
    """Whether the container is Istio's; nothing in it says what the application talks to.

    An author may declare istio-proxy to customise it, so its presence does not mean that the pod is injected.
    """
    return is_istio_name(container.name)


def is_istio_name(name: str) -> bool:
    """Whether a container of that name is Istio's."""
    return name in _ISTIO_CONTAINERS


def explicit_choice(pod: Pod) -> Explicit | None:
    """The pod's own choice: the label wins over the annotation, and only "true" and "false" are valid."""
    said = pod.labels.get(INJECT, pod.annotations.get(INJECT))
    return Explicit(said) if said in {"true", "false"} else None


def invalid_choice(pod: Pod) -> str | None:
    """What is wrong with what the pod says about injection, as a sentence; None when nothing is."""
    if INJECT in pod.labels and pod.labels[INJECT] not in {"true", "false", ""}:
        return f'label {INJECT} is neither "true" nor "false", so Istio ignores it'
    return None


def proxy_config(annotations: Mapping[str, str]) -> dict[str, Any] | None:
    """The pod's own ProxyConfig from its annotation: empty when there is none, None when it is not a YAML mapping."""
    return parse_proxy_config(annotations.get(PROXY_CONFIG, ""))


def parse_proxy_config(text: str) -> dict[str, Any] | None:
    """Return the ProxyConfig that a YAML text holds; None when it is not a mapping, or exceeds a limit."""
    try:
        config = load(text, ANNOTATION) or {}
    except yaml.YAMLError:
        return None
    return config if isinstance(config, dict) else None


def outside(namespace: str, namespace_labels: Mapping[str, str], pod: Pod) -> Reason | None:
    """Why Istio would not inject whatever we do, or None where there is something to decide."""
    if STATUS in pod.annotations:
        return Reason.ALREADY_INJECTED
    if pod.spec.host_network:
        return Reason.HOST_NETWORK
    if namespace in _SYSTEM_NAMESPACES:
        return Reason.SYSTEM_NAMESPACE
    if (injection := namespace_labels.get(NAMESPACE_INJECTION)) is not None:
        return None if injection == "enabled" else Reason.NAMESPACE_DISABLED
    if namespace_labels.get(REVISION) or pod.labels.get(REVISION) or pod.labels.get(INJECT) == "true":
        return None
    if "ambient" in {namespace_labels.get(DATAPLANE_MODE), pod.labels.get(DATAPLANE_MODE)}:
        return Reason.AMBIENT
    return Reason.NOT_IN_MESH
