"""One control plane for the whole session, with Istio on it, and what scenarios start and create there."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass

import controlplane
import istio as istio_
import pytest
import toolbox
from admission_audit import admission
from api import eventually
from product import COMMAND, PolicyServer, unregister

_KEPT = pytest.StashKey()


@dataclass(frozen=True)
class Namespace:
    """A namespace of the test bed.

    Attributes:
        name: Its name; no other scenario uses it.
        document: The Namespace itself.
    """

    plane: controlplane.ControlPlane
    name: str
    document: dict

    def create(self, document, *, dry_run=False):
        """Create an object here, and return it as it was stored."""
        metadata = document["metadata"] | {"namespace": self.name}
        return self.plane.api.create(document | {"metadata": metadata}, dry_run=dry_run)

    def apply(self, *documents):
        """Server-side apply of objects that may say another namespace: all of them go here."""
        self.plane.api.apply(*self.moved(documents))

    def moved(self, documents):
        """The objects as if they had been written for this namespace; those that are a Namespace are left out."""
        return [
            document | {"metadata": document["metadata"] | {"namespace": self.name}}
            for document in documents
            if document["kind"] != "Namespace"
        ]

    def pods(self, count):
        """The pods, as soon as there are so many."""

        def enough():
            pods = self.plane.api.list("Pod", self.name)
            return pods if len(pods) >= count else None

        return eventually(enough, seconds=90, what=f"{count} pods in {self.name}")

    def admission(self, pod):
        """How the pod of this name came in, by the audit log."""
        return admission(self.plane.audit_log, self.name, pod)


@pytest.fixture(scope="session")
def tools():
    """The directory of the binaries; `make e2e` has built them before, with progress to be seen."""
    return toolbox.build(toolbox.CONTROL_PLANE + toolbox.ISTIO + toolbox.CLIENTS)


@pytest.fixture(scope="session")
def plane(tools, request):
    """The control plane."""
    with controlplane.control_plane(tools) as plane:
        request.config.stash[_KEPT] = plane.directory
        yield plane
        gone = plane.programs.ended()
    shutil.rmtree(plane.directory / "etcd")
    assert not [name for name in gone if not name.startswith("sidecar-policy")], "a part of the control plane ended"


@pytest.fixture(scope="session")
def istio(plane):
    """The control plane with Istio's injector on it."""
    istio_.install(plane)
    return plane


@pytest.fixture(scope="session")
def make_namespace(istio):
    """Make namespaces in which pods can be created at once."""
    numbers = itertools.count(1)

    def make(labels, name="shop"):
        name = f"{name}-{next(numbers)}"
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        istio.api.apply(document)
        # Admission of a pod fails until its namespace has its service account.
        eventually(lambda: istio.api.list("ServiceAccount", name), what=f"a service account in {name}")
        return Namespace(istio, name, document)

    return make


@pytest.fixture(scope="module")
def mesh_namespace(make_namespace):
    """A namespace that asks Istio for sidecars, for the scenarios of one module."""
    return make_namespace({"istio-injection": "enabled"})


@pytest.fixture(scope="session")
def run(istio):
    """Run a command line as the control plane's administrator, with its tools and ours on the PATH."""

    def run(command, *, stdin=None, cwd=None):
        tools = f"{istio.tools}:{COMMAND.parent}:{os.environ['PATH']}"
        environment = os.environ | {"KUBECONFIG": str(istio.kubeconfig), "PATH": tools}
        return subprocess.run(
            ["bash", "-c", command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
            env=environment,
            cwd=cwd,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def start_server(istio):
    """Start our server. It and its registrations go when the module's scenarios are over."""
    started = []

    def start(policy=None, **how):
        server = PolicyServer(istio, policy, **how)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()
    unregister(istio.api)


def pytest_configure(config):
    # Whoever ends the suite, what it started ends in good order. A shell without job control hands SIGINT on ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    directory = session.config.stash.get(_KEPT, None)
    if directory is not None and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(directory)


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    directory = config.stash.get(_KEPT, None)
    if directory is not None and exitstatus != pytest.ExitCode.OK:
        terminalreporter.write_line(f"the control plane's logs are kept in {directory}")
