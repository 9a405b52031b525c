"""What the connections of one pod may cost, whatever tenants write; and that threads may judge at once."""

import random
import threading
import time
from dataclasses import replace

import msgspec
import pytest

from webhook.core.budget import Budget
from webhook.core.decision import Action, Confidence, Decision, Dependency, Findings, Reason
from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import Wire
from webhook.inventory.outlines import template_of
from webhook.inventory.store import Store
from webhook.kubernetes.pod import Container, ObjectMeta, OwnerReference, Pod, PodSpec
from webhook.mesh.config import IstioConfiguration
from webhook.policy.load import default_policy
from webhook.server.admission.loop_share import INLINE
from webhook.verdicts.foreseen import NOT_JUDGED
from webhook.verdicts.judge import MOST_UNITS, Judge

LABELS = {"istio-injection": "enabled"}
CLIENT = Pod(ObjectMeta(labels={"app": "web"}), PodSpec(containers=[Container("app", "shop/app")]))
STRICT = IstioConfiguration.of(
    [
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": "shop"},
            "spec": {"mtls": {"mode": "STRICT"}},
        }
    ]
)
FEW_SECONDS = 0.02
"""Some milliseconds on a machine on which others run, too."""


class World(Store):
    """A namespace with Services, and Istio's configuration."""

    def __init__(self, services=1, workloads=1, **istio):
        super().__init__()
        self._istio = IstioConfiguration(**istio)
        self.put_namespace("shop", LABELS)
        for number in range(services):
            self.put_service(
                Service("shop", f"s{number}", (ServicePort(6379, "tcp-redis"),), selector={"app": "cache"}, created="1")
            )
        for number in range(workloads):
            self.work(f"cache-{number}")

    def work(self, name, app="cache"):
        pod = Pod(
            ObjectMeta(labels={"app": app}, owner_references=[OwnerReference("Deployment", name, "apps/v1")]),
            PodSpec(containers=[Container("c", "redis:7")]),
        )
        self.put_template("Deployment", "shop", name, template_of(pod))

    @property
    def istio(self):
        return self._istio

    def configure(self, **istio):
        self._istio = replace(self._istio, **istio)


def decision(services, *, ports=(6379,)):
    found = [
        Dependency(
            "redis",
            Confidence.CERTAIN,
            f"s{number}",
            port,
            "e",
            wire=Wire.CLIENT_FIRST,
            service=("shop", f"s{number}"),
        )
        for number in range(services)
        for port in ports
    ]
    return Decision(Action.INHERIT, Reason.DEFAULT, findings=Findings(tuple(found)), policy="p")


def documents(kind, number, spec):
    group = "security" if kind == "PeerAuthentication" else "networking"
    for one in range(number):
        metadata = {"name": f"n{one}", "namespace": f"t{one % 500}", "creationTimestamp": "2026-01-01T00:00:00Z"}
        yield {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def seconds(judge, made, units=INLINE):
    budget = Budget(units)
    began = time.thread_time()
    found = judge.decided(CLIENT, "shop", made, default_policy(), budget)
    return time.thread_time() - began, found, budget


def least(world, made, units=INLINE):
    """The least of three times, each of a judge that knows nothing."""
    return min(seconds(Judge(world), made, units)[0] for _ in range(3))


def test_a_thousand_dependencies_are_left_to_a_thread_which_judges_as_many_as_it_may():
    world, made = World(services=1000), decision(1000)
    _, _, budget = seconds(Judge(world), made)
    _, found, all_of_it = seconds(Judge(world), made, MOST_UNITS)
    codes = [one.code for one in found.foreseen]

    assert budget.exceeded
    assert all_of_it.exceeded
    assert len(codes) == 1000
    assert codes.count(NOT_JUDGED) > 0
    assert codes[0] != NOT_JUDGED
    assert least(world, made) < FEW_SECONDS


@pytest.mark.parametrize("workloads", [256, 300])
def test_many_workloads_behind_a_service_are_not_judged_one_by_one(workloads):
    world = World(workloads=workloads, peers=STRICT.peers)
    skipped = msgspec.structs.replace(decision(1), action=Action.SKIP)

    assert least(world, skipped) < FEW_SECONDS
    assert seconds(Judge(world), skipped)[1].foreseen[0].outcome == "unknown"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("PeerAuthentication", {"mtls": {"mode": "STRICT"}}),
        ("PeerAuthentication", {"selector": {"matchLabels": {"app": "cache"}}, "mtls": {"mode": "STRICT"}}),
        ("ServiceEntry", {"hosts": ["a.example"], "ports": [{"number": 6379, "name": "tcp", "protocol": "TCP"}]}),
        ("DestinationRule", {"host": "*.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}),
        ("Sidecar", {"egress": [{"hosts": ["./*"]}]}),
    ],
)
@pytest.mark.parametrize("namespace", [None, "shop"])
def test_thousands_of_objects_of_istio_that_tenants_write(kind, spec, namespace):
    written = list(documents(kind, 5000, spec))
    for document in written if namespace else ():
        document["metadata"]["namespace"] = namespace
    istio = IstioConfiguration.of(written)
    world = World(peers=istio.peers, entries=istio.entries, destinations=istio.destinations, sidecars=istio.sidecars)
    judge = Judge(world)
    judge.decided(CLIENT, "shop", decision(1), default_policy(), Budget(INLINE))  # computes the indexes
    taken = min(seconds(judge, decision(1, ports=(port,)))[0] for port in (6379, 6380, 6381))

    assert taken < FEW_SECONDS


def test_what_is_kept_is_bounded():
    world = World(services=200)
    judge = Judge(world)
    for first in range(40):
        made = decision(200, ports=(first + 1,))
        judge.decided(CLIENT, "shop", made, default_policy(), Budget(10**6))
    nothing = decision(0)
    for number in range(10_000):
        owner = [OwnerReference("StatefulSet", f"o{number}", "apps/v1", controller=True)]
        pod = Pod(ObjectMeta(owner_references=owner), PodSpec())
        judge.decided(pod, "shop", nothing, default_policy(), Budget())

    assert len(judge._known._entries) == 4096
    assert len(judge._known.decided._known) == 8192


def test_threads_judge_while_the_cluster_changes_and_no_verdict_is_out_of_date():
    world, made = World(services=3), decision(3)
    judge = Judge(world, settle=0)
    faults, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            found = judge.decided(CLIENT, "shop", made, default_policy(), Budget())
            if found.error is not None:
                faults.append(found.error)
            judge.holds(found)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        chance = random.Random(7)
        for number in range(150):
            step = chance.randrange(4)
            if step == 0:
                world.configure(peers=STRICT.peers if number % 2 else ())
            elif step == 1:
                world.work(f"cache-{chance.randrange(3)}")
            elif step == 2:
                world.drop_template("Deployment", "shop", f"cache-{chance.randrange(3)}")
            else:
                world.put_namespace("shop", LABELS if chance.random() < 0.7 else {})
            kept = judge.decided(CLIENT, "shop", made, default_policy(), Budget())
            fresh = Judge(world).decided(CLIENT, "shop", made, default_policy(), Budget())
            assert kept.counts == fresh.counts
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)

    assert not faults
