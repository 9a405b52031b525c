"""Namespaces that belong to another mesh than Istio's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from webhook.kubernetes.pod import Pod

_INJECT: Final = "linkerd.io/inject"
_INJECTS: Final = frozenset({"enabled", "ingress"})
_INJECTED: Final = "linkerd.io/control-plane-ns"
"""The label of the pods that Linkerd has injected."""


def linkerd_in(documents: Iterable[Mapping[str, Any]], pods: Iterable[tuple[str, Pod]]) -> Mapping[str, str]:
    """Return the namespaces with pods of Linkerd, each with what shows it, as a sentence.

    Args:
        documents: Objects as plain values; of Namespaces the annotation counts.
        pods: Pods with their namespaces.

    Source: linkerd.io, Automatic Proxy Injection.
    """
    found: dict[str, str] = {}
    for document in documents:
        metadata = document.get("metadata")
        if document.get("kind") == "Namespace" and isinstance(metadata, dict):
            annotations = metadata.get("annotations")
            if isinstance(annotations, dict) and annotations.get(_INJECT) in _INJECTS:
                found[str(metadata.get("name"))] = f"the namespace has annotation {_INJECT}: {annotations[_INJECT]}"
    for namespace, pod in pods:
        if pod.annotations.get(_INJECT) in _INJECTS:
            found.setdefault(namespace, f"a pod there has annotation {_INJECT}: {pod.annotations[_INJECT]}")
        elif _INJECTED in pod.labels:
            found.setdefault(namespace, f"a pod there has label {_INJECTED}")
    return found
