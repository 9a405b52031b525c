"""One mesh for the whole session."""

from __future__ import annotations

import os

import bed as bed_
import mesh_sandbox
import pytest


@pytest.fixture(scope="session")
def bed():
    """A mesh without pods."""
    if not os.environ.get(mesh_sandbox.INSIDE):
        pytest.exit("run this with make e2e-mesh, which makes a sandbox for the pods' networks", returncode=1)
    with bed_.mesh_bed() as bed:
        yield bed


@pytest.fixture(scope="session")
def certificate(bed):
    """A TLS server's certificate and key."""
    return bed.plane.authority.server("speaker")
