"""How Istio renders its sidecar in a cluster: as a native one, and whether applications wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from webhook.kubernetes.pod import Pod
from webhook.mesh import eligibility
from webhook.mesh.eligibility import NATIVE
from webhook.mesh.patch import HOLD
from webhook.mesh.sidecar import is_native


@dataclass(frozen=True, slots=True)
class Rendering:
    """How Istio renders its sidecar in this cluster.

    Attributes:
        native: The default: whether it is a native sidecar where nothing else is known.
        seen: For each namespace whether the running sidecars are native.
        held: Whether the mesh's own configuration holds applications until the proxy is ready.
    """

    native: bool = True
    seen: Mapping[str, bool] = field(default_factory=dict)
    held: bool = False

    def is_native(self, namespace: str, pod: Pod) -> tuple[bool, str]:
        """Return whether a pod's sidecar is a native one, and the evidence for it."""
        if eligibility.sidecar_of(pod) is not None:
            return is_native(pod), f"the pod spec contains container {eligibility.PROXY}"
        setting = pod.annotations.get(NATIVE)
        if setting in {"true", "false"}:
            return setting == "true", f"annotation {NATIVE} is {setting}"
        if namespace in self.seen:
            kind = "native sidecars" if self.seen[namespace] else "regular containers"
            return self.seen[namespace], f"running sidecars in {namespace} are {kind}"
        return self.native, "Istio renders native sidecars" if self.native else "Istio renders regular containers here"

    def holds(self, annotations: Mapping[str, str]) -> bool:
        """Return whether a pod with these annotations starts its application after its sidecar."""
        if eligibility.PROXY_CONFIG not in annotations:
            return self.held
        config = eligibility.proxy_config(annotations) or {}
        return config.get(HOLD, self.held) is True
