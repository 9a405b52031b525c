"""Istio beside the control plane: what istioctl generates, and a real istiod that injects.

istiod is no pod here but a process on loopback, with the rights that the generated RBAC gives to its service account.
The API server reaches a webhook on loopback through a Service of type ExternalName for localhost: the certificate is
still verified under the Service's name, so nothing but the Service and its port differs from an installed Istio.
"""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from pathlib import Path

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


def install(plane: ControlPlane, *settings: str) -> None:
    """Apply Istio's minimal profile, start istiod, and wait until it injects.

    Args:
        plane: Where to install it.
        settings: More of istioctl's `--set`.

    Raises:
        ProgramError: istiod does not come up.
    """
    https, http, grpc, secure_grpc, monitoring = free_ports(5)
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
        *(f"--{name}=127.0.0.1:{port}" for name, port in addresses.items()),
    ]
    environment = {"POD_NAMESPACE": NAMESPACE, "POD_NAME": "istiod", "CLUSTER_ID": "Kubernetes", "REVISION": "default"}
    istiod = plane.programs.start("istiod", command, environment)
    istiod.wait_until(lambda: _answers(f"http://127.0.0.1:{http}/ready"), seconds=60, what="ready")
    istiod.wait_until(lambda: _trusted(plane.api), seconds=30, what="trusted by the API server")


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
