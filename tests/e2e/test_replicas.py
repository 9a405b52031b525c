"""Two servers that share nothing but their certificate, behind one Service."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import balancer
import product
import pytest
import shop
from api import eventually, has_sidecar
from istio import external_service

from certs import files
from certs.issue import issue_authority, issue_serving

SERVICE = "replicas"
CREATORS = 4
ENOUGH = 20
REQUESTS = "sidecar_policy_admission_requests_total"


@pytest.fixture(scope="module")
def authority():
    return issue_authority(now=datetime.now(UTC))


@pytest.fixture(scope="module")
def start_replica(start_server, authority, tmp_path_factory):
    """Start one more server, with the certificate that all replicas have."""
    directory = tmp_path_factory.mktemp("replicas")
    serving = issue_serving(authority, [f"{SERVICE}.{product.NAMESPACE}.svc"], now=datetime.now(UTC))
    files.write(directory, authority.certificate, serving)
    pair = ["--cert", str(directory / files.CERTIFICATE), "--key", str(directory / files.KEY)]
    return lambda: start_server(shop.policy(shop.SKIP_CLIENTS), options=[*pair, "--drain", "1"])


@pytest.fixture
def service(istio, mesh_namespace):
    """The Service of the replicas, with none behind it yet."""
    mesh_namespace.apply(*shop.OBJECTS)
    product.permit(istio)
    istio.api.apply(external_service(product.NAMESPACE, SERVICE))
    with balancer.balancer() as service:
        yield service


class Creation:
    """Clients that are created by several threads until the context ends.

    Attributes:
        pods: Those that were created.
    """

    def __init__(self, namespace):
        self.pods = []
        self._namespace = namespace
        self._over = threading.Event()

    def __enter__(self):
        self._threads = ThreadPoolExecutor(CREATORS)
        self._creating = [self._threads.submit(self._create) for _ in range(CREATORS)]
        return self

    def _create(self):
        for _ in itertools.takewhile(lambda _: not self._over.is_set(), range(1000)):
            self.pods.append(self._namespace.create(shop.pod("client-", shop.client_spec())))

    def __exit__(self, *_):
        self._over.set()
        self._threads.shutdown()
        for one in self._creating:
            one.result()  # raises for a pod that was refused

    def go_on(self, what):
        """Wait for some more pods."""
        target = len(self.pods) + ENOUGH
        eventually(lambda: len(self.pods) >= target or any(one.done() for one in self._creating), what=what)


def test_no_pod_is_refused_or_missed_while_the_replicas_are_replaced_one_after_the_other(
    istio, mesh_namespace, service, start_replica, authority
):
    old, new = [start_replica(), start_replica()], [start_replica(), start_replica()]
    service.backends = tuple(replica.port for replica in old)
    where = {"service": SERVICE, "port": service.port, "authority": authority.certificate}
    product.register(istio, mesh_namespace.name, failure_policy="Fail", **where)

    with Creation(mesh_namespace) as creation:
        creation.go_on("pods by the old replicas")
        by_old = [replica.metric(REQUESTS) for replica in old]
        for leaving, coming in zip(old, new, strict=True):
            # As a Deployment rolls: the new one is ready, the old one leaves the Service while it drains.
            service.backends = (*service.backends[1:], coming.port)
            assert leaving.stop() == 0
        creation.go_on("pods by the new replicas")

    assert [pod["metadata"]["name"] for pod in creation.pods if has_sidecar(pod)] == []
    assert all(by_old)
    assert all(replica.metric(REQUESTS) for replica in new)
