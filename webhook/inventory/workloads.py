"""Workloads: objects that create pods, with the pod that each would create."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from webhook.inventory.objects import Metadata
from webhook.kubernetes.pod import Pod
from webhook.problem import field_and_message

T = TypeVar("T")

# A CronJob names its Jobs after itself and the minute, by which `owners_of` recognises them.
_SCHEDULED = 29_000_000
# Kubernetes labels each pod of a Job with the Job's name, under both keys.
_JOB_LABELS = ("batch.kubernetes.io/job-name", "job-name")


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that creates pods, with the pod that it would create.

    Attributes:
        kind: "Deployment", "CronJob", "Pod", …
        namespace: Its namespace; "default" if the manifest contains none.
        name: Its name.
        pod: The decoded pod, with its owner filled in.
        document: The pod as plain Python values.
        source: The object's location, as "file:line", or "cluster".
    """

    kind: str
    namespace: str
    name: str
    pod: Pod
    document: dict[str, Any]
    source: str


@dataclass(frozen=True, slots=True)
class RunningPod:
    """An existing pod that has not terminated.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        text: The pod's JSON without its status, small enough to store twenty thousand pods.
        outlived: Whether its application has terminated and only its sidecar still runs.
        ip: Its address; empty while it has none.
        ready: Whether all of its containers are ready, so that Services send to it.
    """

    namespace: str
    name: str
    text: bytes
    outlived: bool
    ip: str = ""
    ready: bool = False

    def document(self) -> dict[str, Any]:
        """Decode the pod as plain values, again at each call."""
        document: dict[str, Any] = msgspec.json.decode(self.text, type=dict)
        return document


def workload_of(owner: dict[str, Any], pod_path: tuple[str, ...], source: str) -> Workload:
    """Decode an object that creates pods.

    Args:
        owner: The object as plain Python values; it is not changed.
        pod_path: The path of its pod template, see `objects.POD_PATHS`.
        source: The object's location.

    Returns:
        The workload.

    Raises:
        msgspec.ValidationError: A field has a type that the API does not allow.
    """
    kind = owner["kind"]
    metadata = _converted(owner.get("metadata") or {}, Metadata, "metadata")
    namespace = metadata.namespace or "default"
    document = copy.deepcopy(_template(owner, pod_path))
    metadata_of_pod = document.get("metadata") or {}
    if isinstance(metadata_of_pod, dict):
        made = _added_by_controller(kind, metadata.name, metadata_of_pod.get("labels"))
        document["metadata"] = metadata_of_pod | {"namespace": namespace} | made
    document |= {"apiVersion": "v1", "kind": "Pod"}
    document.setdefault("spec", {})
    pod = _converted(document, Pod, *pod_path)
    return Workload(kind, namespace, metadata.name, pod, document, source)


def _template(owner: dict[str, Any], pod_path: tuple[str, ...]) -> dict[str, Any]:
    """Return the pod template; empty if it is missing."""
    template = owner
    for number, key in enumerate(pod_path):
        template = _converted(template.get(key) or {}, dict, *pod_path[: number + 1])
    return template


def _converted(value: object, as_type: type[T], *above: str) -> T:
    """Convert a part of an object to a type; paths in errors start at the whole object."""
    try:
        return msgspec.convert(value, as_type)
    except msgspec.ValidationError as error:
        field, message = field_and_message(error)
        raise msgspec.ValidationError(f"{message} - at `$.{'.'.join([*above, *filter(None, [field])])}`") from None


def _added_by_controller(kind: str, name: str, labels: object) -> dict[str, Any]:
    """Return the metadata that the controller adds to that of the pod template, or sets instead of it."""
    if kind == "Pod":
        return {}
    made: dict[str, Any] = {"generateName": f"{name}-", "ownerReferences": [{"kind": kind, "name": name}]}
    if kind in {"Job", "CronJob"}:
        job = name if kind == "Job" else f"{name}-{_SCHEDULED}"
        made["ownerReferences"] = [{"kind": "Job", "name": job}]
        if labels is None or isinstance(labels, dict):
            made["labels"] = (labels or {}) | dict.fromkeys(_JOB_LABELS, job)
    return made
