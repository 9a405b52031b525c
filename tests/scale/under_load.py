"""What decisions take while nothing else happens, during relists, and while large ConfigMaps arrive.

The control plane, the load and the server share the machine, so a relist is also felt by what it makes the others do.
How much that is, a control tells: the same is asked for, at the same pace, by another process.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pki
import product
from admission import REVISION, mutation
from controlplane import ControlPlane
from forgetful import Forgetful, forgetful_server
from open_loop import Plan
from other_reader import read_elsewhere
from population import Object, Population
from processes import ProgramError
from procfs import Process
from product import PolicyServer
from prometheus_client.parser import text_string_to_metric_families
from queueing import MOST_IDLE
from results import compared, percentile
from sending import Sending
from started import start

RATE = 100.0
"""Reviews a second."""
LONGEST_SECONDS = 3_600.0
WORKLOADS = 200
"""How many different ones the reviews are about."""
QUIET_SECONDS = 6.0
"""Of load before and after each disturbance."""
LISTED = ("Namespace", "Service", "ConfigMap")
LAG = "sidecar_policy_event_loop_lag_seconds"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in seconds since the epoch, and what happened in it."""

    what: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.begin


def under_load(plane: ControlPlane, population: Population, rounds: int) -> dict[str, Any]:
    """Measure it.

    Args:
        plane: Has the population in it.
        population: What the reviews are about.
        rounds: How many relists there are, each with its control.
    """
    # What came before it began, an API server does not remember.
    plane.api_server.stop(grace=20)
    plane.start_api_server()
    elsewhere(plane)
    client = plane.authority.client("forgetful", product.account(), *product.account_groups())
    authority = plane.authority.certificate
    size = population.size
    collections = {
        "/api/v1/namespaces": size.namespaces,
        "/api/v1/services": size.services,
        "/api/v1/configmaps": size.namespaces + size.config_maps,
    }
    with forgetful_server(plane, client) as proxy:
        config = pki.kubeconfig(
            plane.directory / "forgetful.kubeconfig",
            server=proxy.url,
            authority=authority,
            client=plane.authority.client("nobody", "nobody"),
        )
        started = start(plane, "--kubeconfig", str(config))
        log = plane.programs.last(started.server.service).log
        load = Load(plane, population, started.server)
        cpu, rested = started.process.cpu, time.monotonic()
        lags = {"before": _lag(started.server)}
        spans = [_quiet()]
        for _ in range(rounds):
            relist = _span("relist", lambda: _relist(proxy, log, collections))
            spans.append(relist)
            spans.append(_quiet())
            read = partial(read_elsewhere, proxy.url, authority, collections, seconds=relist.seconds)
            spans.append(_span("control", read))
            spans.append(_quiet())
        lags["after relists"] = _lag(started.server)
        for document in large_config_maps(population):
            spans.append(_span("large", lambda one=document: _arrive(plane, started.server, one)))
            time.sleep(1.0)
        lags["after large"] = _lag(started.server)
        used = (started.process.cpu - cpu) / (time.monotonic() - rested)
        load.end()
        figures = {
            "rate": RATE,
            "spans": [(one.what, round(one.seconds, 2)) for one in spans],
            "answered_410": proxy.forgotten,
            "lost": load.lost,
            "late_p99": load.late_p99,
            "cpu_share": used,
            "resident_mb": started.process.resident,
            "peak_mb": started.process.peak,
            "lag": lags,
        }
        started.server.stop()
    return figures | compared([(one.what, load.during(one)) for one in spans])


class Load:
    """Reviews at a modest rate, from a process of its own."""

    def __init__(self, plane: ControlPlane, population: Population, server: PolicyServer) -> None:
        """Begin to send."""
        chance = random.Random(1)
        due, arrivals = 0.0, []
        while (due := due + chance.expovariate(RATE)) < LONGEST_SECONDS:
            # Each of them once at first, so that all are known before anything is measured.
            workload = len(arrivals) if len(arrivals) < WORKLOADS else chance.randrange(WORKLOADS)
            arrivals.append((due, workload, 0))
        self._arrivals = arrivals
        numbers = [number * (population.size.config_maps // WORKLOADS) for number in range(WORKLOADS)]
        bodies = [("/mutate", mutation(population, number)) for number in numbers]
        plan = Plan(
            [server.port],
            str(plane.directory / server.service / "certs" / "ca.crt"),
            bodies,
            REVISION,
            arrivals,
            MOST_IDLE,
        )
        self._sending = Sending(plane.programs, plan)
        time.sleep(WORKLOADS / RATE + 2.0)

    def end(self) -> None:
        """Send no more, and wait for what was sent."""
        self._sending.end()
        report = self._sending.report()
        self.lost = sum(one is None for one in report.seconds)
        self.late_p99 = percentile(report.late, 0.99)
        # Those at the end were not sent.
        self._took = [
            (report.began + due, took) for (due, *_), took in zip(self._arrivals, report.seconds, strict=False)
        ]

    def during(self, span: Span) -> list[float]:
        """What the reviews took that were sent within a span; only after the end."""
        return [took for at, took in self._took if took is not None and span.begin <= at <= span.end]


def large_config_maps(population: Population) -> list[Object]:
    """ConfigMaps of a megabyte, of three kinds."""
    lines = [f"service.part-{number}.address = backend-{number}:6379" for number in range(22_000)]
    table = [{"name": f"feature-{number}", "enabled": bool(number % 2), "owner": "team"} for number in range(15_000)]
    texts = {
        "properties": "\n".join(lines)[:1_000_000],
        "json": json.dumps(table),
        "yaml": "\n".join(f"part-{number}:\n  address: backend-{number}:6379" for number in range(20_000))[:1_000_000],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"large-{kind}", "namespace": population.namespace(0)},
            "data": {f"large.{kind}": text},
        }
        for kind, text in texts.items()
    ]


def elsewhere(plane: ControlPlane) -> None:
    """In a cluster the control plane has machines of its own, and takes no time from the server."""
    for name in ("etcd", "kube-apiserver"):
        Process(plane.programs.last(name).pid).give_way()


def _relist(proxy: Forgetful, log: Path, collections: Iterable[str]) -> None:
    """Break the watches with 410 Gone, and wait until everything is listed again."""
    before = log.stat().st_size
    proxy.forget(*collections)
    deadline = time.monotonic() + 120
    while not all(any(f'"resource":"{kind}"' in line for line in _listings(log, before)) for kind in LISTED):
        if time.monotonic() > deadline:
            raise ProgramError("the cluster was not listed again within 120 s")
        time.sleep(0.05)


def _listings(log: Path, begin: int) -> list[str]:
    """What a log says about lists from here on; the rest of it is not read, to leave the time to the server."""
    with log.open() as lines:
        lines.seek(begin)
        return [line for line in lines if '"event":"listed"' in line]


def _arrive(plane: ControlPlane, server: PolicyServer, document: Object) -> None:
    """Create a ConfigMap, and wait until the server knows it."""
    before = _known(server)
    plane.api.create(document)
    while _known(server) == before:
        time.sleep(0.02)


def _known(server: PolicyServer) -> float:
    return server.metric("sidecar_policy_inventory_objects", resource="ConfigMap")


def _lag(server: PolicyServer) -> dict[str, float]:
    """How often the event loop woke up, and how often later than so many seconds."""
    families = text_string_to_metric_families(server.get("/metrics"))
    samples = next(family.samples for family in families if family.name == LAG)
    buckets = {one.labels["le"]: one.value for one in samples if one.name.endswith("_bucket")}
    count = buckets.pop("+Inf")
    return {"count": count} | {bound: count - below for bound, below in buckets.items()}


def _span(what: str, happen: Callable[[], Any]) -> Span:
    begin = time.time()
    happen()
    return Span(what, begin, time.time())


def _quiet() -> Span:
    return _span("idle", lambda: time.sleep(QUIET_SECONDS))
