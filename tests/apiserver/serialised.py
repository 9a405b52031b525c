"""A pod as the API server hands it to admission webhooks: decoded, defaulted, completed by its own plugins, encoded.

What is empty is left out unless a pointer or a map holds it. Sources: the json tags in k8s.io/api core/v1 types.go,
pkg/apis/core/v1/defaults.go, and the plugins ServiceAccount, DefaultTolerationSeconds and Priority.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

Object = dict[str, Any]

TOKEN = "kube-api-access-x7k2p"
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
# Their keys are the author's, so that an empty value stays.
_MAPS = frozenset({"labels", "annotations", "nodeSelector", "matchLabels", "limits", "requests"})
# Fields without `omitempty`.
_ALWAYS = frozenset({"key", "path", "mountPath", "containerPort", "apiVersion", "kind", "uid", "ip"})
# Pointers to what may be false, zero or an empty object.
_POINTERS = frozenset(
    {
        *("optional", "enableServiceLinks", "automountServiceAccountToken", "controller", "blockOwnerDeletion"),
        *("emptyDir", "securityContext", "resources", "defaultMode", "runAsUser", "runAsNonRoot", "privileged"),
        *("allowPrivilegeEscalation", "readOnlyRootFilesystem", "tolerationSeconds", "terminationGracePeriodSeconds"),
        *("priority", "expirationSeconds", "downwardAPI", "valueFrom"),
    }
)


def as_serialised(pod: Object, namespace: str = "default") -> Object:
    """Return the object of the AdmissionReview that creating a pod makes; the pod itself is left as it is."""
    made = deepcopy(pod)
    spec = made["spec"]
    _spec_defaults(spec)
    _service_account(spec)
    metadata = made.setdefault("metadata", {}) or {}
    made["metadata"] = {"namespace": namespace} | metadata
    encoded = _encoded({"apiVersion": "v1", "kind": "Pod"} | made)
    encoded["metadata"].setdefault("creationTimestamp", None)
    return encoded | {"status": {}}


def _spec_defaults(spec: Object) -> None:
    _default(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
        enableServiceLinks=True,
        priority=0,
        preemptionPolicy="PreemptLowerPriority",
        tolerations=[
            {
                "key": f"node.kubernetes.io/{taint}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }
            for taint in ("not-ready", "unreachable")
        ],
    )
    for container in _containers(spec):
        tag = (container.get("image") or "").rpartition("/")[2].partition(":")[2]
        _default(
            container,
            resources={},
            terminationMessagePath="/dev/termination-log",
            terminationMessagePolicy="File",
            imagePullPolicy="Always" if tag in {"", "latest"} else "IfNotPresent",
        )
        for port in container.get("ports") or ():
            _default(port, protocol="TCP")
        for name in ("livenessProbe", "readinessProbe", "startupProbe"):
            if probe := container.get(name):
                _default(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
        for variable in container.get("env") or ():
            if field := (variable.get("valueFrom") or {}).get("fieldRef"):
                _default(field, apiVersion="v1")
    for volume in spec.get("volumes") or ():
        for name in ("configMap", "secret", "projected", "downwardAPI"):
            if source := volume.get(name):
                _default(source, defaultMode=420)


def _service_account(spec: Object) -> None:
    _default(spec, serviceAccountName="default")
    spec["serviceAccount"] = spec["serviceAccountName"]
    if spec.get("automountServiceAccountToken") is False:
        return
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
            }
        },
    ]
    volume = {"name": TOKEN, "projected": {"defaultMode": 420, "sources": sources}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    for container in _containers(spec):
        mounts = container.get("volumeMounts") or []
        if all(mount["mountPath"] != _TOKEN_PATH for mount in mounts):
            container["volumeMounts"] = [*mounts, {"name": TOKEN, "mountPath": _TOKEN_PATH, "readOnly": True}]


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _default(into: Object, **defaults: Any) -> None:
    for key, value in defaults.items():
        if into.get(key) in (None, "", []):
            into[key] = value


def _encoded(value: Any, *, free: bool = False) -> Any:
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _encoded(item, free=key in _MAPS) for key, item in value.items() if item is not None}
    return {key: item for key, item in kept.items() if free or not _is_left_out(key, item)}


def _is_left_out(key: str, value: Any) -> bool:
    if key in _POINTERS or key in _ALWAYS:
        return False
    return value in ("", [], {}) or value is False or (value == 0 and not isinstance(value, bool))
