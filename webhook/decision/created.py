"""A pod as it was created, which is what is decided about: before this webhook and Istio's injector changed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from webhook.core.decision import Decision
from webhook.core.surroundings import Surroundings
from webhook.kubernetes.pod import Pod
from webhook.mesh import MESH


class AsCreated:
    """Returns a pod as it was created, and a function that returns all of it as a dict.

    Attributes:
        believed: Whether this webhook's annotations on the pod are trusted for its original label.
    """

    __slots__ = ("_changed", "_document", "_namespace", "_pod", "_surroundings", "believed")

    def __init__(
        self,
        pod: Pod,
        namespace: str,
        document: Callable[[], dict[str, Any]],
        surroundings: Surroundings,
        *,
        changed: bool = True,
    ) -> None:
        """Prepare.

        Args:
            pod: The pod as received.
            namespace: The namespace of the pod.
            document: Returns the whole pod as a dict.
            surroundings: The cluster context, with the namespace's labels.
            changed: Whether webhooks may have changed the pod; else it was created as it is.
        """
        self.believed = True
        self._pod = pod
        self._namespace = namespace
        self._document = document
        self._surroundings = surroundings
        self._changed = changed

    def __call__(self) -> tuple[Pod, Callable[[], dict[str, Any]]]:
        """Return the pod, given the namespace's labels now: a namespace may be discovered between two calls.

        The pod is not cached, since it may be large.
        """
        if not self._changed:
            return self._pod, self._document
        document = MESH.as_created(self._document(), self._labels, believed=self.believed)
        return msgspec.convert(document, Pod), lambda: document

    def is_refuted_by(self, decision: Decision) -> bool:
        """Return whether to decide again: the decision shows that the pod's annotations of this webhook are forged.

        From then on they are not believed. A second decision is final.
        """
        if not (self._changed and self.believed and MESH.is_decided(self._pod)):
            return False
        self.believed = not MESH.is_refuted(self._pod, self._namespace, self._labels, decision)
        return not self.believed

    @property
    def _labels(self) -> Mapping[str, str] | None:
        return self._surroundings.namespace_labels(self._namespace)
