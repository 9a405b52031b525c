"""Istio's own rules for which pods are eligible for a sidecar.

These are the rules of istiod's injector together with the selectors of the MutatingWebhookConfiguration that Istio's
chart and istioctl generate. Sources: istio.io "Installing the Sidecar", "Resource Labels", "Resource Annotations".

| first row that holds                                                         | outcome            | inject   |
|------------------------------------------------------------------------------|--------------------|----------|
| the pod brings Istio's sidecar along                                         | already-injected   |          |
| hostNetwork                                                                  | host-network       | no       |
| namespace is kube-system, kube-public, kube-node-lease or local-path-storage | system-namespace   | no       |
| namespace label istio-injection=enabled                                      | in the mesh        |          |
| namespace label istio-injection, any other value                             | namespace-disabled | no       |
| namespace label istio.io/rev with a value                                    | in the mesh        |          |
| namespace label istio.io/rev without one                                     | not-in-mesh        | no       |
| pod label istio.io/rev with a value                                          | in the mesh        |          |
| pod label istio.io/rev without one                                           | not-in-mesh        | tried    |
| pod label sidecar.istio.io/inject=true                                       | in the mesh        |          |
| namespace label istio.io/dataplane-mode=ambient                              | ambient            | no       |
| pod label istio.io/dataplane-mode=ambient                                    | ambient            | tried    |
| otherwise                                                                    | not-in-mesh        | tried    |

The last column: whether a policy's `inject` is tried, by the label sidecar.istio.io/inject=true on the pod. The
selectors test whether `istio.io/rev` exists, so a label without a value is not an absent one: it selects no revision,
and no injector handles it. On a pod the author has set it, so `inject` is tried in vain, and the pod contradicts
it. Pods of a namespace in ambient mode could be injected, but its label selects another data plane mode.

The pod's own setting (inject=false) is not in the table: it is the author's choice, which a policy respects or
overrides, while the rows are what no label that this webhook sets could change. Containers show whether a pod has a
sidecar, and never the annotation sidecar.istio.io/status, which anybody can write and istiod itself does not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from webhook.core.decision import Reason
from webhook.kubernetes.pod import Container, Pod
from webhook.kubernetes.yaml import ANNOTATION, load
from webhook.mesh.data_plane import Explicit

INJECT = "sidecar.istio.io/inject"
STATUS = "sidecar.istio.io/status"
REVISION = "istio.io/rev"
NAMESPACE_INJECTION = "istio-injection"
MEMBERSHIP: Final[Mapping[str, str]] = {NAMESPACE_INJECTION: "enabled"}
"""Labels that make a namespace a part of the mesh."""
DATAPLANE_MODE = "istio.io/dataplane-mode"
AMBIENT = "ambient"
EXCLUDE_OUTBOUND_PORTS = "traffic.sidecar.istio.io/excludeOutboundPorts"
PROXY_CONFIG = "proxy.istio.io/config"
NATIVE = "sidecar.istio.io/nativeSidecar"

PROXY = "istio-proxy"
"""The name of the sidecar's container."""
_CORE_DUMPER = "enable-core-dump"
_ISTIO_CONTAINERS = frozenset({"istio-init", PROXY, "istio-validation", _CORE_DUMPER})
# The placeholder images that the injector replaces: such a container customises Istio's, and runs nothing itself.
_CHOSEN_BY_INJECTOR = frozenset({None, "", "auto"})
# What the templates of Istio's injector and gateways write in every version from 1.20 on, for sidecars, gateways and
# gRPC's agent. Of a container that an author customises, image, command and arguments may be anything.
_PROXY_MOUNTS = frozenset({"/etc/istio/proxy", "/etc/istio/pod", "/var/lib/istio/data"})
_PROXY_VARIABLES = frozenset({"CA_ADDR", "PROXY_CONFIG", "ISTIO_META_CLUSTER_ID"})
_PROXY_FIELDS = frozenset(
    {("POD_NAME", "metadata.name"), ("POD_NAMESPACE", "metadata.namespace"), ("INSTANCE_IP", "status.podIP")}
)
_IPTABLES = "istio-iptables"
_IPTABLES_OPTIONS = frozenset({"-p", "-z", "-u", "-m", "-i", "-x", "-b", "-d"})
_CORE_DUMP = ["-c", "sysctl -w kernel.core_pattern=/var/lib/istio/data/core.proxy && ulimit -c unlimited"]
_SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})


def is_istio_container(container: Container) -> bool:
    """Return whether the container is Istio's, or customises Istio's: it does not show what the application talks to.

    Its name is not enough, nor are its image and arguments: an author can choose all of them. It has to have what Istio
    writes into it, or an image that only the injector can fill in. A container into which an
    author copies all of that cannot be distinguished: neither this function nor `sidecar_of` can determine what its
    image runs. They need not, because a container that Istio really injects may be customised to run another image or
    command, too.
    """
    if container.name not in _ISTIO_CONTAINERS:
        return False
    return container.image in _CHOSEN_BY_INJECTOR or _is_written_by_istio(container)


def _is_written_by_istio(container: Container) -> bool:
    """Return whether a container with one of Istio's names has the fields that Istio writes."""
    arguments = container.args or []
    if container.name == _CORE_DUMPER:
        return arguments == _CORE_DUMP
    if container.name != PROXY:
        return not container.command and arguments[:1] == [_IPTABLES] and _IPTABLES_OPTIONS.issubset(arguments)
    variables = container.env or []
    given = {variable.name for variable in variables}
    fields = {
        (variable.name, source.field_ref.field_path)
        for variable in variables
        if (source := variable.value_from) is not None and source.field_ref is not None
    }
    mounts = {mount.mount_path for mount in container.volume_mounts or ()}
    return given >= _PROXY_VARIABLES and fields >= _PROXY_FIELDS and mounts >= _PROXY_MOUNTS


def is_istio_name(name: str) -> bool:
    """Return whether this is a name of one of Istio's containers."""
    return name in _ISTIO_CONTAINERS


def sidecar_of(pod: Pod) -> Container | None:
    """Return the pod's sidecar: a container, or an init container that goes on running; None when it has none.

    It has to have what Istio writes into it, see `is_istio_container`; one that only customises it does not count yet.
    """
    containers: list[Container] = [*(pod.spec.containers or ())]
    containers += [init for init in pod.spec.init_containers or () if init.restart_policy == "Always"]
    for container in containers:
        if container.name == PROXY and container.image not in _CHOSEN_BY_INJECTOR and _is_written_by_istio(container):
            return container
    return None


def has_sidecar(pod: Pod) -> bool:
    """Return whether the pod has Istio's sidecar."""
    return sidecar_of(pod) is not None


def explicit_choice(pod: Pod) -> Explicit | None:
    """Return the pod's own choice: the label wins over the annotation, and only "true" and "false" are valid."""
    choice = pod.labels.get(INJECT, pod.annotations.get(INJECT))
    return Explicit(choice) if choice in {"true", "false"} else None


def invalid_choice(pod: Pod) -> str | None:
    """Return why the pod's own injection setting is invalid, as a sentence; None when it is valid."""
    if INJECT in pod.labels and pod.labels[INJECT] not in {"true", "false", ""}:
        return f'label {INJECT} is neither "true" nor "false", so Istio ignores it'
    return None


def proxy_config(annotations: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the pod's own ProxyConfig from its annotation: empty when absent, None when it is not a YAML mapping."""
    return parse_proxy_config(annotations.get(PROXY_CONFIG, ""))


def cannot_hold(pod: Pod) -> str | None:
    """Return why `hold` cannot be added to the pod's ProxyConfig, as a sentence; None where it can."""
    if proxy_config(pod.annotations) is not None:
        return None
    return f"annotation {PROXY_CONFIG} is not a YAML mapping within the limits, so hold is not added to it"


def parse_proxy_config(text: str) -> dict[str, Any] | None:
    """Parse a ProxyConfig in YAML; return None when it is not a mapping, or exceeds a limit."""
    try:
        config = load(text, ANNOTATION) or {}
    except yaml.YAMLError:
        return None
    return config if isinstance(config, dict) else None


def ineligibility(namespace: str, namespace_labels: Mapping[str, str], pod: Pod) -> Reason | None:
    """Return why the pod cannot be injected, or None if it is eligible."""
    return Reason.ALREADY_INJECTED if sidecar_of(pod) is not None else unselected(namespace, namespace_labels, pod)


def unselected(namespace: str, namespace_labels: Mapping[str, str], pod: Pod) -> Reason | None:
    """Return why Istio's selectors exclude the pod, whether or not it brings a sidecar along; None if they do not."""
    if pod.spec.host_network:
        return Reason.HOST_NETWORK
    if namespace in _SYSTEM_NAMESPACES:
        return Reason.SYSTEM_NAMESPACE
    if (injection := namespace_labels.get(NAMESPACE_INJECTION)) is not None:
        return None if injection == "enabled" else Reason.NAMESPACE_DISABLED
    if (revision := namespace_labels.get(REVISION, pod.labels.get(REVISION))) is not None:
        return None if revision else Reason.NOT_IN_MESH
    if pod.labels.get(INJECT) == "true":
        return None
    if AMBIENT in {namespace_labels.get(DATAPLANE_MODE), pod.labels.get(DATAPLANE_MODE)}:
        return Reason.AMBIENT
    return Reason.NOT_IN_MESH


def is_selectable(reason: Reason, namespace_labels: Mapping[str, str]) -> bool:
    """Return whether the label sidecar.istio.io/inject=true can make a pod eligible that Istio excludes for a reason.

    No other label of the pod counts: where one excludes the pod all the same, the pod contradicts its decision.
    """
    by_pod = NAMESPACE_INJECTION not in namespace_labels and REVISION not in namespace_labels
    outside = reason in {Reason.NOT_IN_MESH, Reason.AMBIENT}
    return outside and by_pod and namespace_labels.get(DATAPLANE_MODE) != AMBIENT


def is_by_label_only(namespace_labels: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return whether only the label sidecar.istio.io/inject=true can make a pod with these other labels eligible."""
    return NAMESPACE_INJECTION not in namespace_labels and REVISION not in {*namespace_labels, *labels}
