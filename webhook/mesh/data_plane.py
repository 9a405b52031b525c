"""What decisions need of a service mesh. Each data plane is a module with these functions; so far there is `istio`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

from webhook.core.decision import Decision, Reason
from webhook.kubernetes.pod import Container, Pod

Operation = dict[str, Any]
"""One operation of a JSON Patch (RFC 6902)."""


class Explicit(Enum):
    """What the pod's author set about injection on the pod itself."""

    INJECT = "true"
    SKIP = "false"


class DataPlane(Protocol):
    """A service mesh, as far as decisions depend on it.

    Attributes:
        CHOICE: The label by which a pod's author chooses.
        MEMBERSHIP: Labels that make a namespace a part of the mesh.
        CALL_ORDER: What makes the API server call this project's webhook before the mesh's injector, as a sentence.
    """

    CHOICE: str
    MEMBERSHIP: Mapping[str, str]
    CALL_ORDER: str

    # Eligibility

    def ineligibility(self, namespace: str, namespace_labels: Mapping[str, str], pod: Pod, /) -> Reason | None:
        """Return why the pod cannot be injected; None where it is eligible."""

    def unselected(self, namespace: str, namespace_labels: Mapping[str, str], pod: Pod, /) -> Reason | None:
        """Return the same for the pod as if it had no sidecar yet."""

    def is_selectable(self, reason: Reason, namespace_labels: Mapping[str, str], /) -> bool:
        """Return whether a label of the pod can bring it in, though it is not eligible for a reason."""

    def is_injected(self, container: Container, /) -> bool:
        """Return whether a container is the mesh's, and not the application's."""

    def is_injected_name(self, name: str, /) -> bool:
        """Return whether containers of the mesh have that name."""

    # Explicit choice

    def explicit_choice(self, pod: Pod, /) -> Explicit | None:
        """Return what the pod's author chose; None where nothing valid is set."""

    def invalid_choice(self, pod: Pod, /) -> str | None:
        """Return what is wrong with the author's choice, as a sentence; None where nothing is."""

    def cannot_hold(self, pod: Pod, /) -> str | None:
        """Return why `hold` cannot be written, as a sentence; None where it can."""

    # How a decision is written

    def patch(
        self,
        pod: Pod,
        decision: Decision,
        namespace_labels: Mapping[str, str] | None = None,
        *,
        believed: bool = True,
    ) -> list[Operation]:
        """Return the operations that implement a decision; see `webhook.mesh.patch.patch`."""

    def required_annotations(self, pod: Pod, decision: Decision, /) -> dict[str, str]:
        """Return the annotations that implement a decision, minus those already set."""

    def is_decided(self, pod: Pod, /) -> bool:
        """Return whether the pod has annotations of this webhook."""

    def decided_action(self, pod: Pod, /) -> str | None:
        """Return the action that was written on the pod; None where none was."""

    def is_labelled(self, pod: Pod, decision: Decision, /) -> bool:
        """Return whether the pod has the label that implements a decision to skip or to inject."""

    def as_created(
        self, document: dict[str, Any], namespace_labels: Mapping[str, str] | None = None, *, believed: bool = True
    ) -> dict[str, Any]:
        """Return a pod as it was before any webhook; see `webhook.mesh.created.as_created`."""

    def is_refuted(
        self, pod: Pod, namespace: str, namespace_labels: Mapping[str, str] | None, decision: Decision, /
    ) -> bool:
        """Return whether a pod shows that this webhook's annotations on it are forged."""

    # How a running pod is read

    def has_sidecar(self, pod: Pod, /) -> bool:
        """Return whether the pod has the mesh's sidecar."""

    def in_mesh(self, decision: Decision, /) -> bool:
        """Return whether the mesh's injector is called for the pod, or would be by what the decision writes."""

    def gets_sidecar(self, pod: Pod, decision: Decision, /) -> bool:
        """Return whether the pod should have a sidecar, given a decision about it."""

    def has_leftover(self, pod: Pod, /) -> bool:
        """Return whether the pod has an exception that a decision wrote when it was created."""
