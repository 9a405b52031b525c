"""The commands and patches that fix findings."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from webhook.analysis.diagnose.finding import Fix
from webhook.core.surroundings import Service, ServicePort

# The template of a Job or a Pod is immutable: they have to be recreated.
_PATCHABLE = {
    "Deployment": ("spec", "template", "metadata"),
    "StatefulSet": ("spec", "template", "metadata"),
    "DaemonSet": ("spec", "template", "metadata"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "metadata"),
}
_FIXED = {
    "Job": ("spec", "template", "metadata"),
    "ReplicaSet": ("spec", "template", "metadata"),
    "ReplicationController": ("spec", "template", "metadata"),
    "Pod": ("metadata",),
}


def patch_service_port(service: Service, port: ServicePort, protocol: str, note: str) -> Fix:
    """Return the fix that declares the protocol of a Service's port."""
    place = service.namespace, service.name
    if sum(other.number == port.number for other in service.ports) == 1:
        patch = {"spec": {"ports": [{"port": port.number, "appProtocol": protocol}]}}
        return Fix(_kubectl_patch("service", *place, patch), patch, note)
    # Ports are merged by number alone, which TCP and UDP may share: then a JSON Patch tests and replaces by index.
    at = f"/spec/ports/{service.ports.index(port)}"
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": f"{at}/port", "value": port.number},
        {"op": "add", "path": f"{at}/appProtocol", "value": protocol},
    ]
    return Fix(_kubectl_patch("service", *place, operations, "--type=json"), operations, note)


def add_service_port(service: Service, number: int, name: str, note: str) -> Fix:
    """Return the fix that adds a port to a Service."""
    patch = {"spec": {"ports": [{"name": name, "port": number, "appProtocol": "tcp"}]}}
    if any(port.name is None for port in service.ports):  # of several ports each needs a name
        return Fix(None, patch, f"name the Service's other ports, too; {note}")
    return Fix(_kubectl_patch("service", service.namespace, service.name, patch), patch, note)


def patch_template(kind: str, namespace: str, name: str, metadata: Mapping[str, Any], note: str) -> Fix:
    """Return the fix that changes the metadata of a workload's pod template."""
    path = _PATCHABLE.get(kind) or _FIXED[kind]
    patch: dict[str, Any] = dict(metadata)
    for key in reversed(path):
        patch = {key: patch}
    if kind in _PATCHABLE:
        return Fix(_kubectl_patch(kind.lower(), namespace, name, patch), patch, note)
    return Fix(None, patch, f"a {kind} is immutable here: change the manifest and recreate it; {note}")


def except_port(namespace: str, name: str, selector: Mapping[str, str], port: int, note: str, *, exists: bool) -> Fix:
    """Return the fix that turns mutual TLS off for a port of pods.

    Args:
        namespace: Where the pods are.
        name: The PeerAuthentication's name.
        selector: The pods' labels.
        port: The port of the pods.
        note: Further advice.
        exists: Whether the PeerAuthentication exists: of two for the same pods, only the older counts.
    """
    ports = {str(port): {"mode": "DISABLE"}}
    if exists:
        patch = {"spec": {"portLevelMtls": ports}}
        return Fix(None, patch, f"a merge patch of PeerAuthentication {namespace}/{name}: {note}")
    whole = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": dict(selector)}, "portLevelMtls": ports},
    }
    return Fix(None, whole, note)


def annotate(kind: str, namespace: str, name: str, annotation: str, value: str | None, note: str) -> Fix:
    """Return the fix that sets an annotation of an object itself, or removes it."""
    patch = {"metadata": {"annotations": {annotation: value}}}
    return Fix(_kubectl_patch(kind.lower(), namespace, name, patch), patch, note)


def unlabel_namespace(name: str, label: str, note: str) -> Fix:
    """Return the fix that removes a label from a namespace."""
    patch = {"metadata": {"labels": {label: None}}}
    return Fix(_command("kubectl", "label", "namespace", name, f"{label}-"), patch, note)


def rename_webhook_configuration(name: str, first: str) -> Fix:
    """Return the fix that renames a MutatingWebhookConfiguration, by recreating it."""
    kind = "mutatingwebhookconfiguration"
    # The copy omits the fields that the API server owns. The webhooks in it have names at the same depth.
    edit = (
        f"s/^  name: {re.escape(name)}$/  name: {first}/; /^  resourceVersion:/d; /^  uid:/d; /^  creationTimestamp:/d"
    )
    copy = f"{_command('kubectl', 'get', kind, name, '-o', 'yaml')} | {_command('sed', edit)} | kubectl create -f -"
    note = "if a chart or GitOps installed it, rename it there too, or it is recreated"
    return Fix(f"{copy} && {_command('kubectl', 'delete', kind, name)}", None, note)


def delete_webhook_configuration(name: str, other: str) -> Fix:
    """Return the fix that deletes one of two injectors."""
    note = f"or {other}, whichever is not intended; to remove a whole revision: istioctl uninstall --revision"
    return Fix(_command("kubectl", "delete", "mutatingwebhookconfiguration", name), None, note)


def _kubectl_patch(resource: str, namespace: str, name: str, patch: object, *options: str) -> str:
    text = json.dumps(patch, separators=(",", ":"), ensure_ascii=False)
    return _command("kubectl", "-n", namespace, "patch", resource, name, *options, "-p", text)


def _command(*words: str) -> str:
    return shlex.join(words)
