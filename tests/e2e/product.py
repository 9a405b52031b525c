"""Our own server as a process, and its registration with the API server."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from admission_audit import admission
from api import ApiError, Object, eventually
from controlplane import ControlPlane
from istio import external_service

COMMAND = Path(sys.executable).with_name("sidecar-policy")
NAMESPACE = "sidecar-policy"
NAME = "0-sidecar-policy"
"""Sorts before istio-sidecar-injector, so that the API server calls us first."""
CONFIGURATION = "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration"

_numbers = itertools.count(1)


class PolicyServer:
    """`sidecar-policy serve`, started and ready.

    Attributes:
        port: Where AdmissionReviews go.
        service: The Service that it is reached through, in NAMESPACE.
        policy: The file of its policy, or None for the packaged one.
    """

    def __init__(self, plane: ControlPlane, objects: list[Object], policy: Object | None = None) -> None:
        """Start it and wait until it is ready.

        Args:
            plane: The control plane that is to call it.
            objects: What it must know of the cluster.
            policy: The InjectionPolicy.
        """
        self.service = f"sidecar-policy-{next(_numbers)}"
        self._plane = plane
        self._directory = plane.directory / self.service
        self._directory.mkdir()
        self.policy = self._directory / "policy.yaml" if policy else None
        options = ["--host", "127.0.0.1", "--port", "0", "--health-port", "0", "--drain", "0", "--log-format", "json"]
        options += ["--cert-dir", self._directory / "certs", "--dns", f"{self.service}.{NAMESPACE}.svc"]
        if policy:
            self.edit(policy)
            options += ["--policy", self.policy]
        self._program = plane.programs.start(self.service, [COMMAND, "serve", *options, *self._inventory(objects)])
        self._program.wait_until(lambda: self._listening() is not None, seconds=30, what="listening")
        self.port: int = self._listening()["port"]
        self._program.wait_until(lambda: self.get("/readyz").startswith("ok"), seconds=30, what="ready")
        service = external_service(NAMESPACE, self.service)
        plane.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, service)

    def edit(self, policy: Object) -> None:
        """Replace the policy file in one step, as an editor or a mounted ConfigMap does."""
        new = self.policy.with_suffix(".new")
        new.write_text(yaml.safe_dump(policy))
        new.replace(self.policy)

    def get(self, path: str) -> str:
        """What the plain port answers; empty when it is no success."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._listening()['health_port']}{path}", timeout=5) as it:
                return it.read().decode()
        except urllib.error.HTTPError:
            return ""

    def pause(self) -> None:
        """Hang: connections are still taken, by the kernel, and never answered."""
        self._program.signal(signal.SIGSTOP)

    def stop(self) -> int:
        """Stop it in good order, and return its exit code."""
        return self._program.stop(grace=15)

    def register(self, namespace: str, **how: Any) -> Object:
        """Let the API server call us for the pods of a namespace; see `register`."""
        authority = (self._directory / "certs" / "ca.crt").read_bytes()
        return register(self._plane, namespace, service=self.service, port=self.port, authority=authority, **how)

    def _inventory(self, objects: list[Object]) -> list[str | Path]:
        manifests = self._directory / "manifests.yaml"
        manifests.write_text(yaml.safe_dump_all(objects))
        return ["--manifests", manifests]

    def _listening(self) -> dict[str, Any] | None:
        """The log line that says that both ports are open."""
        for line in self._program.log.read_text().splitlines():
            if '"listening"' in line:
                return json.loads(line)
        return None


def register(
    plane: ControlPlane,
    namespace: str,
    *,
    service: str,
    port: int,
    authority: bytes,
    name: str = NAME,
    failure_policy: str = "Fail",
    timeout: int = 5,
) -> Object:
    """Register a webhook for the pods of one namespace, and wait until the API server calls it.

    Args:
        plane: The control plane.
        namespace: Where pods are sent to it; others are not, so scenarios do not get into each other's way.
        service: The Service in NAMESPACE that stands for loopback.
        port: Its port there.
        authority: Signs its certificate, in PEM.
        name: The configuration's name, followed by the namespace's. The API server calls in the order of names.
        failure_policy: Ignore or Fail.
        timeout: Seconds that the API server waits for an answer.

    Returns:
        The configuration.
    """
    reference = {"namespace": NAMESPACE, "name": service, "port": port, "path": "/mutate"}
    webhook = {
        "name": "pods.sidecar-policy.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "reinvocationPolicy": "Never",
        "failurePolicy": failure_policy,
        "timeoutSeconds": timeout,
        "clientConfig": {"service": reference, "caBundle": base64.b64encode(authority).decode()},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"{name}-{namespace}"},
        "webhooks": [webhook],
    }
    plane.api.apply(configuration)
    eventually(lambda: _calls(plane, namespace, configuration), what=f"{name} is called for pods in {namespace}")
    return configuration


def _calls(plane: ControlPlane, namespace: str, configuration: Object) -> bool:
    spec = {"containers": [{"name": "probe", "image": "probe"}]}
    metadata = {"namespace": namespace, "name": "probe"}
    try:
        plane.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, dry_run=True)
    except ApiError as error:
        # A webhook that fails under Fail is called as surely as one that answers.
        return configuration["webhooks"][0]["name"] in str(error)
    seen = admission(plane.audit_log, namespace, "probe")
    return configuration["metadata"]["name"] in seen.called or configuration["webhooks"][0]["name"] in seen.failed_open
