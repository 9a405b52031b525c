"""What istioctl says of applications: `analyze`, of all the cluster or of files alone, and `experimental describe`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bed import Bed

PATIENCE = 60.0
"""Seconds for one command."""
Message = dict[str, str]
"""What `analyze` says of an object: level, code, origin and message."""
_GENERATED = re.compile(r"\b([a-z0-9-]+?)-[a-z0-9]{8,10}-[a-z0-9]{5}\b")
"""The name of a Deployment's pod."""
_LOCAL = re.compile(r"\blocalhost:\d+")
"""This end of a port-forward."""
_LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\S+\t")
"""How a line of istioctl's log begins."""


def analyze(bed: Bed, namespaces: Iterable[str]) -> list[Message]:
    """`istioctl analyze -A` on the API server: the messages about some namespaces, and about what is in them."""
    wanted = set(namespaces)
    every = _messages(bed, "--kubeconfig", bed.plane.kubeconfig, "--all-namespaces")
    return [one for one in every if _namespace(one) in wanted]


def analyze_file(bed: Bed, file: Path) -> list[Message]:
    """`istioctl analyze --use-kube=false FILE`."""
    return _messages(bed, "--use-kube=false", "--all-namespaces", file)


def skipped_without_cluster(bed: Bed, file: Path) -> list[str]:
    """The analyzers that `istioctl analyze --use-kube=false` says it skips."""
    printed = _run(bed, "analyze", "--use-kube=false", "--verbose", file).stderr
    listed = re.search(r"^Skipped analyzers:\n((?:\t.*\n)*)", printed, re.MULTILINE)
    return listed[1].split() if listed else []


def describe(bed: Bed, kind: str, name: str, namespace: str) -> list[str]:
    """The lines of `istioctl experimental describe`; pods have the names of their Deployments.

    Args:
        bed: The mesh.
        kind: `pod` or `service`.
        name: Its name.
        namespace: Its namespace.
    """
    done = _run(bed, "experimental", "describe", kind, name, "-n", namespace, "--kubeconfig", bed.plane.kubeconfig)
    printed = [line for line in (done.stdout + done.stderr).splitlines() if line.strip("-") and not _LOGGED.match(line)]
    return [_LOCAL.sub("localhost", _GENERATED.sub(r"\1", line)) for line in printed]


def _messages(bed: Bed, *flags: str | Path) -> list[Message]:
    done = _run(bed, "analyze", "--output=json", *flags)
    try:
        found = json.loads(done.stdout)
    except ValueError as problem:
        raise RuntimeError(f"istioctl analyze: {done.stderr.strip()[-500:]}") from problem
    return [{key: _GENERATED.sub(r"\1", one[key]) for key in ("level", "code", "origin", "message")} for one in found]


def _namespace(message: Message) -> str:
    """The namespace of `KIND NAMESPACE/NAME`, or the one that the message is about."""
    _, _, name = message["origin"].partition(" ")
    return name.partition("/")[0]


def _run(bed: Bed, *command: str | Path) -> subprocess.CompletedProcess[str]:
    full = [bed.plane.tools / "istioctl", *command]
    return subprocess.run(full, check=False, capture_output=True, text=True, timeout=PATIENCE)
