"""The server before a large cluster: how long it reads, how much it holds, and what a relist costs its decisions.

Run as a program, by `make scale`. All of it runs on loopback, and nothing of it is left.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pki
import product
import toolbox
from admission import mutation
from controlplane import ControlPlane, control_plane
from forgetful import Forgetful, forgetful_server
from open_loop import Plan
from population import Object, Population, Size
from processes import ProgramError
from procfs import Process
from product import PolicyServer
from prometheus_client.parser import text_string_to_metric_families
from results import keep, machine, percentile, targets
from seeding import SeedingError, seed
from sending import Sending

WHOLE = Size(namespaces=2_000, services=5_000, config_maps=20_000)
SMALL = Size(namespaces=100, services=250, config_maps=300)
RATE = 100.0
"""Reviews a second while a relist is measured."""
WORKLOADS = 200
"""How many different ones the reviews are about."""
QUIET_SECONDS = 6.0
"""Of load without a relist, before each one."""
LISTED = ("Namespace", "Service", "ConfigMap")
COLLECTIONS = tuple(f"/api/v1/{plural}" for plural in ("namespaces", "services", "configmaps"))
LAG = "sidecar_policy_event_loop_lag_seconds"


@dataclass(frozen=True, slots=True)
class Started:
    """A server that is ready.

    Attributes:
        server: The server.
        process: Its process.
        seconds: From its start until it was ready.
    """

    server: PolicyServer
    process: Process
    seconds: float

    def figures(self) -> dict[str, float]:
        """What it took."""
        time.sleep(1.0)
        peak, resident, cpu = self.process.peak, self.process.resident, self.process.cpu
        return {"seconds": self.seconds, "resident_mb": resident, "peak_mb": peak, "cpu_seconds": cpu}


def start(plane: ControlPlane, *options: str) -> Started:
    """Start a server and wait until it is ready."""
    server = PolicyServer(plane, options=options, ready=False)
    program = plane.programs.last(server.service)
    process = Process(program.pid)
    program.wait_until(lambda: bool(server.get("/readyz")), seconds=300, what="ready")
    return Started(server, process, process.age)


def stages(plane: ControlPlane, population: Population) -> dict[str, Any]:
    """Fill the cluster kind by kind, and start a server before each stage of it."""
    client = plane.authority.client("seed", "e2e-admin", "system:masters")
    half = population.size.config_maps // 2
    steps = (
        ("nothing", ()),
        ("namespaces", population.namespaces()),
        ("services", population.services()),
        ("authorities", population.authorities()),
        ("half", population.config_maps(0, half)),
        ("whole", population.config_maps(half)),
    )
    found: dict[str, Any] = {}
    for name, objects in steps:
        begin = time.monotonic()
        count = seed(plane.api.url, plane.authority.certificate, client, objects)
        say(f"{name}: {count:,} objects created in {time.monotonic() - begin:.0f} s")
        started = start(plane)
        found[name] = started.figures() | {"objects": count}
        started.server.stop()
        say("  ready in {seconds:.1f} s, {resident_mb:.0f} MB, at most {peak_mb:.0f} MB".format(**found[name]))
    return found


def under_load(plane: ControlPlane, population: Population, rounds: int) -> dict[str, Any]:
    """What decisions take while nothing else happens, during relists, and while large ConfigMaps arrive."""
    # What came before it began, an API server does not remember.
    plane.api_server.stop(grace=20)
    plane.start_api_server()
    _elsewhere(plane)
    client = plane.authority.client("forgetful", product.account(), *product.account_groups())
    with forgetful_server(plane, client) as proxy:
        config = pki.kubeconfig(
            plane.directory / "forgetful.kubeconfig",
            server=proxy.url,
            authority=plane.authority.certificate,
            client=plane.authority.client("nobody", "nobody"),
        )
        started = start(plane, "--kubeconfig", str(config))
        cpu, rested = started.process.cpu, time.monotonic()
        load = Load(plane, population, started.server, seconds=rounds * (QUIET_SECONDS + 8) + 30)
        windows: dict[str, list[tuple[float, float]]] = {"idle": [], "relist": [], "large": []}
        lags = {"before": _lag(started.server)}
        log = plane.programs.last(started.server.service).log
        for _ in range(rounds):
            windows["idle"].append(_span(lambda: time.sleep(QUIET_SECONDS)))
            windows["relist"].append(_span(lambda: _relist(proxy, log)))
        lags["after relists"] = _lag(started.server)
        for document in large_config_maps(population):
            windows["large"].append(_span(lambda one=document: _arrive(plane, started.server, one)))
            time.sleep(1.0)
        lags["after large"] = _lag(started.server)
        used = (started.process.cpu - cpu) / (time.monotonic() - rested)
        say(str({name: [round(end - begin, 2) for begin, end in spans] for name, spans in windows.items()}))
        seconds = load.seconds(windows)
        after = started.process
        figures = {
            "rate": RATE,
            "relists": [end - begin for begin, end in windows["relist"]],
            "large_seconds": [end - begin for begin, end in windows["large"]],
            "answered_410": proxy.forgotten,
            "lost": load.lost,
            "late_p99": load.late_p99,
            "cpu_share": used,
            "resident_mb": after.resident,
            "peak_mb": after.peak,
            "lag": lags,
        }
        for name, some in seconds.items():
            figures[name] = {
                "reviews": len(some),
                "p50": percentile(some, 0.5),
                "p99": percentile(some, 0.99),
                "max": max(some),
            }
        started.server.stop()
    return figures


class Load:
    """Reviews at a modest rate, from a process of its own."""

    def __init__(self, plane: ControlPlane, population: Population, server: PolicyServer, *, seconds: float) -> None:
        """Begin to send."""
        chance = random.Random(1)
        due, arrivals = 0.0, []
        while (due := due + chance.expovariate(RATE)) < seconds:
            arrivals.append((due, chance.randrange(WORKLOADS)))
        self._arrivals = arrivals
        numbers = [number * (population.size.config_maps // WORKLOADS) for number in range(WORKLOADS)]
        bodies = [("/mutate", mutation(population, number)) for number in numbers]
        plan = Plan([server.port], str(plane.directory / server.service / "certs" / "ca.crt"), bodies, arrivals)
        self._sending = Sending(plane.programs, plan)
        time.sleep(2.0)

    def seconds(self, windows: dict[str, list[tuple[float, float]]]) -> dict[str, list[float]]:
        """What the reviews took that were sent in these windows; waits for the last of them."""
        report = self._sending.report()
        self.lost = sum(one is None for one in report.seconds)
        self.late_p99 = percentile(report.late, 0.99)
        times = [report.began + due for due, _ in self._arrivals]
        return {
            name: [
                took
                for at, took in zip(times, report.seconds, strict=True)
                if took is not None and any(begin <= at <= end for begin, end in spans)
            ]
            for name, spans in windows.items()
        }


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


def _elsewhere(plane: ControlPlane) -> None:
    """In a cluster the control plane has machines of its own, and takes no time from the server."""
    for name in ("etcd", "kube-apiserver"):
        Process(plane.programs.last(name).pid).give_way()


def _relist(proxy: Forgetful, log: Path) -> None:
    """Break the watches with 410 Gone, and wait until everything is listed again."""
    before = log.stat().st_size
    proxy.forget(*COLLECTIONS)
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


def _span(happen: Any) -> tuple[float, float]:
    begin = time.time()
    happen()
    return begin, time.time()


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, flush=True)


def main() -> int:
    """Measure, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description="Measure the server before a large cluster.")
    parser.add_argument("--small", action="store_true", help="a twentieth of it, to try the tool out; nothing is kept")
    parser.add_argument("--relists", type=int, default=5, help="how many relists are provoked (default: 5)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    population = Population(SMALL if arguments.small else WHOLE)
    try:
        with ExitStack() as cleanup, control_plane(toolbox.build(toolbox.CONTROL_PLANE)) as plane:
            cleanup.callback(shutil.rmtree, plane.directory)
            # It would add objects to each namespace at a pace of its own, for minutes.
            plane.programs.last("kube-controller-manager").stop(grace=5)
            _elsewhere(plane)
            found = machine() | {"size": msgspec.to_builtins(population.size), "stages": stages(plane, population)}
            found["load"] = under_load(plane, population, arguments.relists)
    except (toolbox.ToolError, ProgramError, SeedingError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if not arguments.small:
        keep("cluster", found)
    for name in ("idle", "relist", "large"):
        say(
            "{}: p50 {p50:.5f} s, p99 {p99:.5f} s, at most {max:.4f} s, {reviews} reviews".format(
                name, **found["load"][name]
            )
        )
    say(
        json.dumps(
            {key: value for key, value in found["load"].items() if key not in {"idle", "relist", "large"}}, indent=1
        )
    )
    reached = targets(found)
    print(*reached, sep="\n")
    return 0 if all(one.met for one in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
