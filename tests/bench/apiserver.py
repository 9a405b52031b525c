"""Pods created through a real API server, as dry runs: what each webhook adds to their creation.

All arms are registered at once, each for a namespace of its own, so that they can be measured in turns.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import controlplane
import istio
import policies
import product
import reviews
from admission_audit import Admission, admission
from api import Object, eventually
from controlplane import ControlPlane
from figures import Cell
from goals import CONNECTIONS, created
from istio import external_service
from load import Load, Target, send
from processes import Programs
from servers import certificate, start_peer

INJECTED = '"istio-proxy"'
SKIPPED = '"sidecar.istio.io/inject":"false"'
CHOSEN = "bench.sidecar-policy.dev/istio"
"""Istio's injector is asked about the namespaces with this label alone."""
MUTATING = product.CONFIGURATION


@dataclass(frozen=True, slots=True)
class Arm:
    """One way in which pods are admitted.

    Attributes:
        name: Its name in the tables.
        called: The beginnings of the names of the webhook configurations that answer, in order.
        expect: Text in every answer of the API server.
        decision: What we decide, if we are asked.
        istio: Whether Istio's injector is asked.
        client: Whether the pod is a client of Redis and RabbitMQ, and not only of HTTP.
        fresh: Whether each pod has values that were never seen; else all are replicas of one.
    """

    name: str
    called: tuple[str, ...] = ()
    expect: str = '"kind":"Pod"'
    decision: str | None = None
    istio: bool = False
    client: bool = True
    fresh: bool = True

    @property
    def namespace(self) -> str:
        return "bench-" + "".join(letter for letter in self.name.lower().replace(" ", "-") if letter not in ",+")


ADMISSION_POLICY = Arm("MutatingAdmissionPolicy", expect=SKIPPED)
ARMS = (
    Arm("none"),
    ADMISSION_POLICY,
    Arm("go typed", called=("typed",), expect=SKIPPED),
    Arm("go lean", called=("lean",), expect=SKIPPED),
    Arm("ours, skip", called=(product.NAME,), expect=SKIPPED, decision="skip"),
    Arm("ours, skip, replicas", called=(product.NAME,), expect=SKIPPED, decision="skip", fresh=False),
    Arm("ours, inherit", called=(product.NAME,), decision="inherit", client=False),
    Arm("Istio", called=(istio.INJECTOR,), expect=INJECTED, istio=True),
    Arm("ours + Istio, skipped", called=(product.NAME,), expect=SKIPPED, decision="skip", istio=True),
    Arm(
        "ours + Istio, injected",
        called=(product.NAME, istio.INJECTOR),
        expect=INJECTED,
        decision="inherit",
        istio=True,
        client=False,
    ),
)


@contextmanager
def running(tools: Path, peers: Path, directory: Path, seconds: float) -> Iterator[list[Cell]]:
    """Start a control plane with all that is measured on it; it ends with the context.

    Args:
        tools: The directory of the control plane's binaries.
        peers: The directory of the peers and of the load generator.
        directory: Where bodies and the peers' files go; it is empty.
        seconds: How long one measurement lasts.

    Yields:
        What to measure, once every arm was seen to do what it is there for.
    """
    with controlplane.control_plane(tools) as plane, Programs(directory) as programs:
        istio.install(plane)
        _restrict_istio(plane)
        for arm in ARMS:
            _furnish(plane, arm)
        server = product.PolicyServer(plane, policies.ten())
        for arm in ARMS:
            if arm.decision is not None:
                server.register(arm.namespace)
            elif arm.called and not arm.istio:
                _register_peer(plane, programs, peers / arm.called[0], arm)
        _apply_admission_policy(plane, ADMISSION_POLICY.namespace)
        bodies = {arm: _body(plane, arm, directory) for arm in ARMS}
        for arm in ARMS:
            eventually(lambda arm=arm: _as_meant(plane, arm), what=f"pods are admitted as {arm.name}")
        client = plane.authority.client("bench", "bench", "system:masters")
        yield [
            Cell(created(clients), arm.name, _measuring(peers / "load", _target(plane, arm, bodies[arm], client), load))
            for clients in CONNECTIONS
            for load in [Load(clients, seconds)]
            for arm in ARMS
        ]
    shutil.rmtree(plane.directory)


def _target(plane: ControlPlane, arm: Arm, bodies: Path, client: tuple[Path, Path]) -> Target:
    url = f"{plane.api.url}/api/v1/namespaces/{arm.namespace}/pods?dryRun=All"
    return Target([url], plane.authority.certificate, bodies, arm.expect, client)


def _measuring(program: Path, target: Target, load: Load) -> Callable[[], Mapping[str, float]]:
    return lambda: send(program, target, load)


def _restrict_istio(plane: ControlPlane) -> None:
    webhooks = plane.api.get(MUTATING, istio.INJECTOR)["webhooks"]
    for webhook in webhooks:
        webhook["namespaceSelector"].setdefault("matchExpressions", []).append({"key": CHOSEN, "operator": "Exists"})
    plane.api.merge(MUTATING, istio.INJECTOR, {"webhooks": webhooks})


def _furnish(plane: ControlPlane, arm: Arm) -> None:
    """A namespace with what surrounds a pod of basket-api, and the Deployment whose pod it is."""
    labels = {"istio-injection": "enabled"} | ({CHOSEN: "yes"} if arm.istio else {})
    plane.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": arm.namespace, "labels": labels}})
    for document in reviews.surroundings(arm.namespace, client=arm.client):
        plane.api.apply(document)
    # Admission of a pod fails until its namespace has its service account.
    eventually(lambda: plane.api.list("ServiceAccount", arm.namespace), what=f"an account in {arm.namespace}")


def _register_peer(plane: ControlPlane, programs: Programs, binary: Path, arm: Arm) -> None:
    plane.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": product.NAMESPACE}})
    plane.api.apply(external_service(product.NAMESPACE, binary.name))
    pair = certificate(programs.logs / f"{binary.name}-certs", f"{binary.name}.{product.NAMESPACE}.svc")
    server = start_peer(programs, binary, pair)
    product.register(
        plane,
        arm.namespace,
        service=binary.name,
        port=server.port,
        authority=pair.authority.read_bytes(),
        name=binary.name,
        webhook_name="pods.peer.example",
    )


def _apply_admission_policy(plane: ControlPlane, namespace: str) -> None:
    version = "admissionregistration.k8s.io/v1"
    metadata = {"name": "skip-basket"}
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    condition = "object.spec.containers.exists(c, has(c.env) && c.env.exists(e, e.name == 'ConnectionString'))"
    label = 'Object{metadata: Object.metadata{labels: {"sidecar.istio.io/inject": "false"}}}'
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "matchConditions": [{"name": "is-a-client", "expression": condition}],
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": label}}],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {"policyName": metadata["name"], "matchResources": {"namespaceSelector": selector}}
    kinds = {"MutatingAdmissionPolicy": spec, "MutatingAdmissionPolicyBinding": binding}
    for kind, content in kinds.items():
        plane.api.apply({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": content})


def _pod(plane: ControlPlane, arm: Arm) -> Object:
    """A pod of the namespace's own ReplicaSet."""

    def replica_sets() -> list[Object]:
        return plane.api.list("apps/v1/ReplicaSet", arm.namespace)

    (owner,) = eventually(replica_sets, what=f"a ReplicaSet in {arm.namespace}")
    pod = reviews.pod(reviews.SMALL, fresh=arm.fresh, namespace=arm.namespace)
    return reviews.owned(pod, owner["metadata"]["name"], owner["metadata"]["uid"])


def _body(plane: ControlPlane, arm: Arm, directory: Path) -> Path:
    path = directory / f"{arm.namespace}.json"
    path.write_text(reviews.line(_pod(plane, arm)))
    return path


def _as_meant(plane: ControlPlane, arm: Arm) -> bool:
    """Whether a pod is admitted by those who should, with the answer and the decision that is expected."""
    pod = reviews.numbered(_pod(plane, arm))
    pod["metadata"]["name"] = "as-meant"
    answer = reviews.line(plane.api.create(pod, dry_run=True))
    seen = admission(plane.audit_log, arm.namespace, "as-meant")
    # Of authorization there is a "decision" too, so that of a pod that we are not asked about says nothing.
    decided = arm.decision in {None, seen.said.get("decision")}
    return arm.expect in answer and _by(seen, arm.called) and decided


def _by(seen: Admission, called: tuple[str, ...]) -> bool:
    pairs = zip(seen.called, called, strict=False)
    return len(seen.called) == len(called) and all(name.startswith(start) for name, start in pairs)
