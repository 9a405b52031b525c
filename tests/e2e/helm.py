"""Helm, with its own caches and the control plane's kubeconfig, and the chart."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from api import Object
from controlplane import ControlPlane

CHART = Path(__file__).resolve().parents[2] / "charts" / "sidecar-policy"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))


class HelmError(Exception):
    """Helm, or kubectl, said no. Its text is what it said."""


class Helm:
    """The clients of an operator: helm and kubectl."""

    def __init__(self, plane: ControlPlane) -> None:
        homes = {f"HELM_{name}_HOME": str(plane.directory / "helm" / name) for name in ("CACHE", "CONFIG", "DATA")}
        self._environment = os.environ | homes | {"KUBECONFIG": str(plane.kubeconfig)}
        self._plane = plane
        version = plane.api.request("GET", "/version")["gitVersion"]
        # Without a cluster Helm assumes the version of its own libraries, which a plain build leaves out.
        self._rendering = ("--kube-version", version)

    def __call__(self, *arguments: str | Path, values: Object | None = None) -> str:
        """Run helm.

        Args:
            *arguments: Its arguments.
            values: Values on top of the chart's.

        Returns:
            Its standard output.

        Raises:
            HelmError: It failed.
        """
        given = ("--values", "-") if values is not None else ()
        return self._run("helm", *arguments, *given, stdin=json.dumps(values) if values is not None else None)

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl, and return its standard output."""
        return self._run("kubectl", *arguments, stdin=stdin)

    def render(self, *arguments: str | Path, namespace: str = "default", values: Object | None = None) -> list[Object]:
        """What the chart makes of values, as a release of the name "sidecar-policy"."""
        command = ("template", "sidecar-policy", CHART, "--namespace", namespace, *self._rendering, *arguments)
        return [one for one in yaml.safe_load_all(self(*command, values=values)) if one]

    def _run(self, program: str, *arguments: str | Path, stdin: str | None = None) -> str:
        command = [str(self._plane.tools / program), *map(str, arguments)]
        ended = subprocess.run(
            command, input=stdin, env=self._environment, capture_output=True, text=True, timeout=300, check=False
        )
        if ended.returncode:
            raise HelmError(ended.stderr)
        return ended.stdout


def only(kind: str, documents: Sequence[Object]) -> Any:
    """The one object of a kind."""
    (found,) = (one for one in documents if one["kind"] == kind)
    return found
