"""The chart as the README's install section installs it, and its replicas."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api import Api, Object, eventually
from controlplane import ControlPlane
from image import REPOSITORY, ROOT, TAG
from product import COMMAND

NAMESPACE = "sidecar-policy"
RELEASE = "sidecar-policy"
REPLICAS = "app.kubernetes.io/name=sidecar-policy,app.kubernetes.io/instance=sidecar-policy"
SECTION = re.compile(r"^## Install$.*?^```sh$\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Installed:
    """A release of the chart.

    Attributes:
        plane: Where it is installed.
        said: What the commands of the README printed.
    """

    plane: ControlPlane
    said: str

    @property
    def api(self) -> Api:
        return self.plane.api

    def replicas(self) -> list[Object]:
        """The pods that are not on their way out."""
        pods = self.api.list("Pod", NAMESPACE, labels=REPLICAS)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def settled(self, count: int = 2) -> list[Object]:
        """The replicas, as soon as there are so many, all of them ready, and none besides."""

        def all_ready() -> list[Object]:
            pods = self.api.list("Pod", NAMESPACE, labels=REPLICAS)
            return pods if len(pods) == count and all(map(is_ready, pods)) else []

        return eventually(all_ready, seconds=120, what=f"{count} replicas are ready")

    def get(self, pod: str, path: str) -> Any:
        """What a replica's plain port answers: JSON or text."""
        return self.api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy{path}")

    def generations(self) -> set[str]:
        """The generations of the policies in force, on all replicas."""
        return {self.get(pod["metadata"]["name"], "/policy")["generation"] for pod in self.replicas()}

    def served(self) -> set[bytes]:
        """The certificates that the replicas show, in DER."""
        return {_certificate(pod["status"]["podIP"]) for pod in self.replicas()}

    def rotate(self, which: str, *options: str) -> None:
        """Force a rotation, and wait for its end."""
        command: list[str | Path] = [COMMAND, "certs", "rotate", which, "--kubeconfig", self.plane.kubeconfig, *options]
        run(command)


def install(plane: ControlPlane) -> Installed:
    """Run the README's install section, word for word."""
    (commands,) = SECTION.findall((ROOT / "README.md").read_text())
    said = run(["bash", "-euxc", commands], environment(plane))
    return Installed(plane, said)


def environment(plane: ControlPlane) -> dict[str, str]:
    """What an operator has set up: clients on the path, a kubeconfig, and the image's name."""
    homes = {f"HELM_{name}_HOME": str(plane.directory / "helm" / name) for name in ("CACHE", "CONFIG", "DATA")}
    path = f"{plane.tools}:{os.environ['PATH']}"
    image = {"REPOSITORY": REPOSITORY, "TAG": TAG}
    return os.environ | homes | image | {"KUBECONFIG": str(plane.kubeconfig), "PATH": path}


def run(command: list[str | Path], environment: dict[str, str] | None = None) -> str:
    """Run a program, and return its standard output.

    Raises:
        AssertionError: It failed; with all that it said.
    """
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def is_ready(pod: Object) -> bool:
    """Whether the kubelet says so."""
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _certificate(address: str) -> bytes:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address, 8443), timeout=5) as plain, trusting.wrap_socket(plain) as connection:
        return connection.getpeercert(binary_form=True) or b""
