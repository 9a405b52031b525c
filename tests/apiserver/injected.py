"""The containers that Istio's injector writes into pods, in what the webhook looks at: Istio 1.27, its own defaults."""

from __future__ import annotations

from typing import Any


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


SIDECAR: dict[str, Any] = {
    "name": "istio-proxy",
    "image": "docker.io/istio/proxyv2:1.27.0",
    "args": [
        *("proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning"),
        *("--proxyComponentLogLevel=misc:error", "--log_output_level=default:info"),
    ],
    "env": [
        {"name": "PILOT_CERT_PROVIDER", "value": "istiod"},
        {"name": "CA_ADDR", "value": "istiod.istio-system.svc:15012"},
        _field("POD_NAME", "metadata.name"),
        _field("POD_NAMESPACE", "metadata.namespace"),
        _field("INSTANCE_IP", "status.podIP"),
        _field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        _field("HOST_IP", "status.hostIP"),
        {"name": "PROXY_CONFIG", "value": "{}\n"},
        {"name": "ISTIO_META_POD_PORTS", "value": "[\n]"},
        {"name": "ISTIO_META_APP_CONTAINERS", "value": "app"},
        {"name": "ISTIO_META_CLUSTER_ID", "value": "Kubernetes"},
        _field("ISTIO_META_NODE_NAME", "spec.nodeName"),
        {"name": "ISTIO_META_INTERCEPTION_MODE", "value": "REDIRECT"},
        {"name": "ISTIO_META_MESH_ID", "value": "cluster.local"},
        {"name": "TRUST_DOMAIN", "value": "cluster.local"},
    ],
    "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
    "securityContext": {"runAsUser": 1337, "runAsGroup": 1337, "runAsNonRoot": True, "readOnlyRootFilesystem": True},
    "volumeMounts": [
        {"mountPath": "/var/run/secrets/workload-spiffe-uds", "name": "workload-socket"},
        {"mountPath": "/var/run/secrets/credential-uds", "name": "credential-socket"},
        {"mountPath": "/var/run/secrets/workload-spiffe-credentials", "name": "workload-certs"},
        {"mountPath": "/var/run/secrets/istio", "name": "istiod-ca-cert"},
        {"mountPath": "/var/lib/istio/data", "name": "istio-data"},
        {"mountPath": "/etc/istio/proxy", "name": "istio-envoy"},
        {"mountPath": "/var/run/secrets/tokens", "name": "istio-token"},
        {"mountPath": "/etc/istio/pod", "name": "istio-podinfo"},
    ],
}
NATIVE = SIDECAR | {"restartPolicy": "Always"}
"""The same among the init containers."""

GATEWAY = SIDECAR | {"args": ["proxy", "router", *SIDECAR["args"][2:]]}

INIT: dict[str, Any] = {
    "name": "istio-init",
    "image": "docker.io/istio/proxyv2:1.27.0",
    "args": [
        *("istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", ""),
        *("-b", "*", "-d", "15090,15021,15020", "--log_output_level=default:info"),
    ],
}
VALIDATION = INIT | {"name": "istio-validation", "args": [*INIT["args"], "--run-validation", "--skip-rule-apply"]}
"""Instead of it where Istio's CNI plugin sets up the pod."""

CORE_DUMP: dict[str, Any] = {
    "name": "enable-core-dump",
    "image": "docker.io/istio/proxyv2:1.20.0",
    "command": ["/bin/sh"],
    "args": ["-c", "sysctl -w kernel.core_pattern=/var/lib/istio/data/core.proxy && ulimit -c unlimited"],
}
