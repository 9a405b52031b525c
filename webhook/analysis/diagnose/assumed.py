"""The pods behind Services, also where none is known: then those that their namespace would make of any pod."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.core.decision import Reason
from webhook.core.surroundings import Service, Surroundings
from webhook.kubernetes.pod import ObjectMeta, Pod, PodSpec
from webhook.mesh.eligibility import unselected
from webhook.mesh.party import Party, Plane
from webhook.verdicts.compose import Neighbours


class Assumed:
    """Pods behind Services. Implements `webhook.verdicts.compose.Neighbours`.

    Manifests often have a Service without its workload, and a diagnosis of one namespace sees none of the others' pods.
    Whether such pods have a sidecar is then what Istio does with a pod that says nothing itself.
    """

    def __init__(self, known: Neighbours, surroundings: Surroundings) -> None:
        self._known = known
        self._surroundings = surroundings

    def servers(self, service: Service) -> Sequence[Party] | None:
        """Return the pods that a Service selects; None where nothing is known of them."""
        found = self._known.servers(service)
        return self.any_of(service) if found is None else found

    def any_of(self, service: Service) -> Sequence[Party] | None:
        """Return what any pod that a Service selects would be; None where it selects none."""
        labels = self._surroundings.namespace_labels(service.namespace)
        if not service.selector or labels is None:
            return None
        pod = Pod(ObjectMeta(labels=dict(service.selector)), PodSpec())
        reason = unselected(service.namespace, labels, pod)
        plane = Plane.SIDECAR if reason is None else Plane.AMBIENT if reason is Reason.AMBIENT else Plane.NONE
        name = f"any pod behind Service {service.namespace}/{service.name}"
        ports = {port.target: port.number for port in service.ports if isinstance(port.target, str)}
        return [Party(name, service.namespace, service.selector, (plane,), named_ports=ports)]
