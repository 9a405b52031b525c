"""Objects that make pods, with the pod that each would make."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import msgspec

from webhook.core.pod import Pod
from webhook.inventory.objects import Metadata


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that makes pods, with the pod that it would make.

    Attributes:
        kind: "Deployment", "CronJob", "Pod", …
        namespace: Its namespace; "default" when the manifest names none.
        name: Its name.
        pod: The pod as decoded, its owner filled in.
        document: The pod as plain Python values.
        source: Where the object stands, as "file:line", or "cluster".
    """

    kind: str
    namespace: str
    name: str
    pod: Pod
    document: dict[str, Any]
    source: str


@dataclass(frozen=True, slots=True)
class RunningPod:
    """A pod that is there, and has not ended.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        text: The pod in JSON without its status, small enough to keep twenty thousand of them.
        outlived: Whether its application has ended and only its sidecar still runs.
    """

    namespace: str
    name: str
    text: bytes
    outlived: bool

    def document(self) -> dict[str, Any]:
        """The pod as plain values, decoded anew at each call."""
        document: dict[str, Any] = msgspec.json.decode(self.text, type=dict)
        return document


def workload_of(owner: dict[str, Any], pod_path: tuple[str, ...], source: str) -> Workload:
    """The workload that an object is.

    Args:
        owner: The object as plain Python values; it is not changed.
        pod_path: The keys that lead to its pod template, see `objects.POD_PATHS`.
        source: Where the object stands.

    Returns:
        The workload.

    Raises:
        msgspec.ValidationError: A field has another type than the API gives it.
    """
    kind = owner["kind"]
    metadata = msgspec.convert(owner.get("metadata") or {}, Metadata)
    namespace = metadata.namespace or "default"
    template: Any = owner
    for key in pod_path:
        template = template.get(key) if isinstance(template, dict) else None
    document = copy.deepcopy(template) if isinstance(template, dict) else {}
    template_metadata = msgspec.convert(document.get("metadata") or {}, dict[str, Any])
    document |= {"apiVersion": "v1", "kind": "Pod", "metadata": dict(template_metadata)}
    document.setdefault("spec", {})
    document["metadata"]["namespace"] = namespace
    if kind != "Pod":
        document["metadata"] |= {"generateName": f"{metadata.name}-", "ownerReferences": _owners(kind, metadata.name)}
    pod = msgspec.convert(document, Pod)
    return Workload(kind, namespace, metadata.name, pod, document, source)


def _owners(kind: str, name: str) -> list[dict[str, str]]:
    """The owners that the pod will have; for a CronJob the Job in between goes by the CronJob's name."""
    kinds = ["Job", "CronJob"] if kind == "CronJob" else [kind]
    return [{"kind": owner, "name": name} for owner in kinds]
