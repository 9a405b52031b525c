"""The kinds of objects that a snapshot of a cluster is made of, in the order in which they are read."""

from __future__ import annotations

from dataclasses import dataclass

from webhook.mesh.config import KINDS


@dataclass(frozen=True, slots=True)
class Listed:
    """A kind of object.

    Attributes:
        kind: For example "Service".
        group: "/api/v1", or "/apis/" and a group and version.
        plural: The plural in the API's paths.
        fields: A field selector.
        everywhere: Whether objects of other namespaces are relevant, too, if only one namespace is read.
        optional: Whether the snapshot is still useful if the kind does not exist, or permission to read it is missing.
    """

    kind: str
    group: str
    plural: str
    fields: str = ""
    everywhere: bool = False
    optional: bool = False


NAMESPACES = Listed("Namespace", "/api/v1", "namespaces")
SURROUNDINGS = (
    Listed("Service", "/api/v1", "services", everywhere=True),
    Listed("ConfigMap", "/api/v1", "configmaps"),
)
SECRETS = Listed(
    "Secret", "/api/v1", "secrets", "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token", optional=True
)
WORKLOADS = (
    Listed("Deployment", "/apis/apps/v1", "deployments"),
    Listed("StatefulSet", "/apis/apps/v1", "statefulsets"),
    Listed("DaemonSet", "/apis/apps/v1", "daemonsets"),
    Listed("ReplicaSet", "/apis/apps/v1", "replicasets"),
    Listed("CronJob", "/apis/batch/v1", "cronjobs"),
    Listed("Job", "/apis/batch/v1", "jobs"),
)
PODS = Listed("Pod", "/api/v1", "pods", "status.phase!=Succeeded,status.phase!=Failed")
CONFIGURATION = (
    *(Listed(*described, everywhere=True, optional=True) for described in KINDS),
    Listed(
        "MutatingWebhookConfiguration",
        "/apis/admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
        optional=True,
    ),
)
ISTIO = tuple(kind for kind, *_ in KINDS)
CLUSTER_WIDE = frozenset({"Namespace", "MutatingWebhookConfiguration"})
