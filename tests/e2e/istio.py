"""Istio beside the control plane: what istioctl generates, and a real istiod that injects.

istiod is no pod here but a process on loopback, with the rights that the generated RBAC gives to its service account.
The API server reaches a webhook on loopback through a Service of type ExternalName for localhost: the certificate is
still verified under the Service's name, so nothing but the Service and its port differs from an installed Istio.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from api import Api, Object
from controlplane import ControlPlane
from processes import free_ports

NAMESPACE = "istio-system"
INJECTOR = "istio-sidecar-injector"
FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role")
"""What others of the generated objects need to be there."""
PROCESS_INSTEAD = ("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget")
"""What would make a pod of istiod."""
UPSTREAM_ENVOY = {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"}
"""Variables of istiod that keep filters from its listeners which only Istio's own build of Envoy has."""
NO_STATISTICS: Object = {
    "apiVersion": "telemetry.istio.io/v1",
    "kind": "Telemetry",
    "metadata": {"namespace": NAMESPACE, "name": "none"},
    "spec": {
        "metrics": [
            {"overrides": [{"match": {"metric": "ALL_METRICS", "mode": "CLIENT_AND_SERVER"}, "disabled": True}]}
        ]
    },
}
"""The same for `istio.stats`."""


@dataclass(frozen=True)
class Istiod:
    """A running istiod.

    Attributes:
        secure_grpc: The port at which sidecars get their configuration and certificates.
        http: The port of its debug pages, on loopback.
    """

    secure_grpc: int
    http: int

    def debug(self, page: str) -> Any:
        """One of its debug pages, as JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/debug/{page}", timeout=20) as answer:
            return json.load(answer)


def install(
    plane: ControlPlane,
    *settings: str,
    address: str = "127.0.0.1",
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Istiod:
    """Apply Istio's minimal profile, start istiod, and wait until it injects.

    Args:
        plane: Where to install it.
        settings: More of istioctl's `--set`.
        address: Where sidecars reach it; all else of it is on loopback.
        port: Where sidecars reach it; None for a free one.
        environment: More of istiod's variables.

    Returns:
        Where it listens.

    Raises:
        ProgramError: istiod does not come up.
    """
    https, http, grpc, monitoring, free = free_ports(5)
    secure_grpc = port or free
    _apply(plane.api, _generate(plane, settings), https)
    account = f"system:serviceaccount:{NAMESPACE}:istiod"
    config = plane.kubeconfig_for("istiod", account, "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")
    addresses = {
        "httpsAddr": https,
        "httpAddr": http,
        "grpcAddr": grpc,
        "secureGRPCAddr": secure_grpc,
        "monitoringAddr": monitoring,
    }
    command: list[str | Path] = [
        plane.tools / "pilot-discovery",
        "discovery",
        f"--kubeconfig={config}",
        "--ctrlz_port=0",
        *(
            f"--{name}={address if name == 'secureGRPCAddr' else '127.0.0.1'}:{port}"
            for name, port in addresses.items()
        ),
    ]
    own = {"POD_NAMESPACE": NAMESPACE, "POD_NAME": "istiod", "CLUSTER_ID": "Kubernetes", "REVISION": "default"}
    istiod = plane.programs.start("istiod", command, own | dict(environment or {}))
    istiod.wait_until(lambda: _answers(f"http://127.0.0.1:{http}/ready"), seconds=60, what="ready")
    istiod.wait_until(lambda: _trusted(plane.api), seconds=30, what="trusted by the API server")
    return Istiod(secure_grpc=secure_grpc, http=http)


def external_service(namespace: str, name: str) -> Object:
    """A Service that stands for loopback."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }


def _generate(plane: ControlPlane, settings: tuple[str, ...]) -> list[Object]:
    command: list[str | Path] = [plane.tools / "istioctl", "manifest", "generate", "--set", "profile=minimal"]
    for setting in settings:
        command += ["--set", setting]
    generated = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [document for document in yaml.safe_load_all(generated.stdout) if document]


def _apply(api: Api, generated: list[Object], port: int) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    documents = [namespace, *(one for one in generated if one["kind"] not in PROCESS_INSTEAD)]
    for one in sorted(documents, key=_rank):
        document = one
        if document["kind"] == "Service":
            document = external_service(NAMESPACE, document["metadata"]["name"])
        for webhook in document.get("webhooks", ()):
            webhook["clientConfig"]["service"]["port"] = port
        api.apply(document)


def _rank(document: Object) -> int:
    return FIRST.index(document["kind"]) if document["kind"] in FIRST else len(FIRST)


def _trusted(api: Api) -> bool:
    """Whether istiod has written its authority into the injector's configuration."""
    webhooks = api.get("admissionregistration.k8s.io/v1/MutatingWebhookConfiguration", INJECTOR)["webhooks"]
    return all(webhook["clientConfig"].get("caBundle") for webhook in webhooks)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
