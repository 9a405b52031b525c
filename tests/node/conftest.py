"""One control plane with one node for the whole session."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import controlplane
import helm as helm_
import installed as installed_
import node as node_
import pytest
import shop
import toolbox
from api import eventually
from sandbox import NODE_ADDRESS
from stream import Stream

_MEASURED = pytest.StashKey()


@pytest.fixture(scope="session")
def plane():
    """The control plane, with an address that the node and its pods reach."""
    tools = toolbox.build(toolbox.CONTROL_PLANE + toolbox.CLIENTS + toolbox.NODE)
    with controlplane.control_plane(tools, address=NODE_ADDRESS) as plane:
        yield plane
    _keep(plane.programs.logs)
    shutil.rmtree(plane.directory)


@pytest.fixture(scope="session")
def node(plane):
    """A ready node, which has the images that its pods want."""
    directory = Path(os.environ["SANDBOX_DIRECTORY"])
    node = node_.start(plane, directory / "node", os.environ["SANDBOX_CGROUP"])
    for archive in sorted(Path(os.environ["IMAGES"]).glob("*.tar")):
        node.load(archive)
    return node


@pytest.fixture(scope="session")
def helm(plane):
    return helm_.Helm(plane)


@pytest.fixture(scope="session")
def installed(plane, node):
    """The release; whatever scenarios do to it, they leave two ready replicas."""
    return installed_.install(plane)


@pytest.fixture(scope="session")
def stream(plane):
    """Begin a stream of pods in a namespace of its own, which Istio would inject into."""

    def begin(name):
        namespace = re.sub(r"[^a-z]+", "-", name)
        labels = {"istio-injection": "enabled"}
        metadata = {"name": namespace, "labels": labels}
        plane.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        eventually(lambda: plane.api.list("ServiceAccount", namespace), what=f"a service account in {namespace}")
        for one in shop.OBJECTS:
            plane.api.apply(one | {"metadata": one["metadata"] | {"namespace": namespace}})
        return Stream(plane.api, namespace)

    return begin


@pytest.fixture(scope="session")
def record(request):
    """Note a measurement, to be shown at the end."""
    measured = request.config.stash.setdefault(_MEASURED, [])

    def note(what, value, more=""):
        measured.append(f"{what}: {value:.1f} s {more}" if isinstance(value, float) else f"{what}: {value} {more}")

    return note


def pytest_terminal_summary(terminalreporter, config):
    if measured := config.stash.get(_MEASURED, []):
        terminalreporter.section("measured")
        for line in measured:
            terminalreporter.write_line(line.rstrip())


def _keep(logs: Path) -> None:
    """For whoever wants to know why the run failed; outside, they are removed when it did not."""
    kept = Path(os.environ["SANDBOX_DIRECTORY"]) / "kept"
    shutil.copytree(logs, kept)
