"""Our own server as a process, and its registration with the API server."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from admission_audit import admission
from api import Api, ApiError, Object, eventually
from controlplane import ControlPlane
from helm import Helm
from istio import external_service
from processes import Program
from prometheus_client.parser import text_string_to_metric_families

from webhook.server.observe.log_writer import AsyncLogWriter

COMMAND = Path(sys.executable).with_name("sidecar-policy")
NAMESPACE = "sidecar-policy"
NAME = "0-sidecar-policy"
"""Sorts before istio-sidecar-injector, so that the API server calls us first."""
CONFIGURATION = "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration"
VALIDATING = "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration"

ACCOUNT = "sidecar-policy"
LOOPBACK = "--host 127.0.0.1 --port 0 --health-port 0 --drain 0 --log-format json".split()

REQUESTS = "sidecar_policy_admission_requests_total"

_numbers = itertools.count(1)


def written(program: Program) -> str:
    """All that a server of ours has logged, also of the last moment."""
    time.sleep(2 * AsyncLogWriter.EVERY)
    return program.log.read_text()


class PolicyServer:
    """`sidecar-policy serve`, started and ready.

    Attributes:
        port: Where AdmissionReviews go.
        service: The Service that it is reached through, in NAMESPACE.
        policy: The file of its policy, or None for the packaged one.
    """

    def __init__(
        self,
        plane: ControlPlane,
        policy: Object | None = None,
        *,
        options: Sequence[str] = (),
        ready: bool = True,
        secrets: bool = False,
        istio: bool = True,
    ) -> None:
        """Start it, with the rights of its own service account and no others, and wait until it is ready.

        Args:
            plane: The control plane that is to call it.
            policy: The InjectionPolicy.
            options: More of its options.
            ready: Wait until it is ready, and not only until it listens.
            secrets: Whether it may read Secrets.
            istio: Whether it may read Istio's objects.
        """
        permit(plane, secrets=secrets, istio=istio)
        self.service = f"sidecar-policy-{next(_numbers)}"
        self._plane = plane
        self._directory = plane.directory / self.service
        self._directory.mkdir()
        self.policy = self._directory / "policy.yaml" if policy else None
        config = plane.kubeconfig_for(ACCOUNT, account(), *account_groups())
        command: list[str | Path] = [COMMAND, "serve", "--kubeconfig", config, *LOOPBACK, *options]
        command += ["--cert-dir", self._directory / "certs", "--dns", f"{self.service}.{NAMESPACE}.svc"]
        if policy:
            self.edit(policy)
            command += ["--policy", self.policy]
        self._program = plane.programs.start(self.service, command)
        self._program.wait_until(lambda: self._listening() is not None, seconds=30, what="listening")
        self.port: int = self._listening()["port"]
        if ready:
            self._program.wait_until(lambda: bool(self.get("/readyz")), seconds=30, what="ready")
        plane.api.apply(external_service(NAMESPACE, self.service))

    def edit(self, policy: Object) -> None:
        """Replace the policy file in one step, as an editor or a mounted ConfigMap does."""
        new = self.policy.with_suffix(".new")
        new.write_text(yaml.safe_dump(policy))
        new.replace(self.policy)

    def get(self, path: str, *, failing: bool = False) -> str:
        """What the plain port answers; empty when it is no success, unless that is what is asked for."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=5) as it:
                return it.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode() if failing else ""

    @property
    def health_port(self) -> int:
        """The plain port."""
        return self._listening()["health_port"]

    def pause(self) -> None:
        """Hang: connections are still taken, by the kernel, and never answered."""
        self._program.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after a pause."""
        self._program.signal(signal.SIGCONT)

    def stop(self) -> int:
        """Stop it in good order, and return its exit code."""
        return self._program.stop(grace=15)

    def register(self, namespace: str, **how: Any) -> Object:
        """Let the API server call us for the pods of a namespace; see `register`."""
        authority = (self._directory / "certs" / "ca.crt").read_bytes()
        return register(self._plane, namespace, service=self.service, port=self.port, authority=authority, **how)

    def register_validation(self, namespace: str, **how: Any) -> None:
        """Let the API server show us the pods of a namespace after all mutation, and register as well."""
        mutating = self.register(namespace, **how)
        webhook = {key: value for key, value in mutating["webhooks"][0].items() if key != "reinvocationPolicy"}
        webhook["name"] = "validation.sidecar-policy.dev"
        webhook["clientConfig"]["service"]["path"] = "/validate"
        kind = {"kind": "ValidatingWebhookConfiguration", "webhooks": [webhook]}
        before = self.metric(REQUESTS, webhook="validate")
        self._plane.api.apply(mutating | kind)

        def called() -> bool:
            _calls(self._plane, namespace, mutating)
            return self.metric(REQUESTS, webhook="validate") > before

        eventually(called, what=f"/validate is called for pods in {namespace}")

    def review(self, pod: Object, *, path: str) -> Object:
        """What we answer about a pod, asked directly."""
        kind = {"group": "", "version": "v1", "kind": "Pod"}
        request = {"uid": "direct", "operation": "CREATE", "kind": kind, "namespace": pod["metadata"]["namespace"]}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request | {"object": pod}}
        context = ssl.create_default_context(cafile=str(self._directory / "certs" / "ca.crt"))
        asked = urllib.request.Request(
            f"https://localhost:{self.port}{path}", json.dumps(review).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=5, context=context) as answer:
            return json.load(answer)["response"]

    def wait_for_policy(self, name: str) -> None:
        """Wait until the policy of that name is in force."""
        eventually(lambda: json.loads(self.get("/policy"))["name"] == name, what=f"policy {name} is in force")

    def log(self, event: str) -> list[dict[str, Any]]:
        """The lines that it has logged about an event."""
        lines = self.log_text().splitlines()
        return [line for line in map(json.loads, filter(_is_whole, lines)) if line.get("event") == event]

    def log_text(self) -> str:
        """All that it has logged, also of the last moment."""
        return written(self._program)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels, 0 when there are none."""
        families = text_string_to_metric_families(self.get("/metrics"))
        found = [
            one.value
            for family in families
            for one in family.samples
            if one.name == name and labels.items() <= one.labels.items()
        ]
        return sum(found)

    def _listening(self) -> dict[str, Any] | None:
        """The log line that says that both ports are open."""
        return next(iter(self.log("listening")), None)


def account() -> str:
    """The user that our service account is."""
    return f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"


def account_groups() -> tuple[str, ...]:
    """The groups that it is in."""
    return "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"


def _is_whole(line: str) -> bool:
    return line.startswith("{") and line.endswith("}")


_RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


def rights(plane: ControlPlane, *, secrets: bool = False, istio: bool = True) -> list[Object]:
    """What the chart has of RBAC, with the rights to read Secrets and Istio's objects only where wanted."""
    rendered = Helm(plane).render(namespace=NAMESPACE, values={"rbac": {"secrets": secrets, "istio": istio}})
    return [one for one in rendered if one["kind"] in _RIGHTS]


def permit(plane: ControlPlane, *, secrets: bool = False, istio: bool = True) -> None:
    """Give our service account the rights that the chart gives it."""
    plane.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    plane.api.apply(*rights(plane, secrets=secrets, istio=istio))


def register(
    plane: ControlPlane,
    namespace: str,
    *,
    service: str,
    port: int,
    authority: bytes,
    name: str = NAME,
    webhook_name: str = "pods.sidecar-policy.dev",
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
        webhook_name: The name of the webhook in it. Those under sidecar-policy.dev are ours.
        failure_policy: Ignore or Fail.
        timeout: Seconds that the API server waits for an answer.

    Returns:
        The configuration.
    """
    reference = {"namespace": NAMESPACE, "name": service, "port": port, "path": "/mutate"}
    webhook = {
        "name": webhook_name,
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


def unregister(api: Api, *kinds: str) -> None:
    """Take back every registration of ours, or those of some kinds."""
    for kind in kinds or (CONFIGURATION, VALIDATING):
        for one in api.list(kind):
            if any(webhook["name"].endswith(".sidecar-policy.dev") for webhook in one.get("webhooks", ())):
                api.delete(kind, one["metadata"]["name"])


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
