"""One control plane with one node for the whole session."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import controlplane
import helm as helm_
import node as node_
import pytest
import toolbox
from sandbox import NODE_ADDRESS


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


def _keep(logs: Path) -> None:
    """For whoever wants to know why the run failed; outside, they are removed when it did not."""
    kept = Path(os.environ["SANDBOX_DIRECTORY"]) / "kept"
    shutil.copytree(logs, kept)
