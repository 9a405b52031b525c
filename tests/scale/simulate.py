"""A synthetic day of pod creations against real servers, at many times its speed, beside what theory says of it.

Run as a program, by `make scale`. It first measures what one review costs. From that alone it predicts how busy the
servers will be and how long reviews will wait, and then it sends them.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import signal
import ssl
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admission import mutation, validation
from day import PEAK, PEAK_PER_HOUR, Excerpt, excerpts
from open_loop import Plan, Report
from population import Object, Population, Size
from processes import ProgramError, Programs
from procfs import Process
from product import COMMAND
from queueing import replay, utilisation
from results import keep, machine, percentile
from sending import Sending

SIZE = Size(namespaces=50_000, services=50_000, config_maps=400, bytes=1_500)
WORKLOADS = 400
REVIEWS = 2
"""Of each pod: before its mutation, and after."""
VALIDATED_AFTER = 0.004
"""Seconds in real time from the first to the second."""
BUSY = 0.5
"""How busy one server is to be in the busiest hour: the speed is chosen so."""
SERVERS = (1, 2)


@dataclass(frozen=True, slots=True)
class Server:
    """A server for manifests.

    Attributes:
        port: Its port.
        authority: The certificate to trust it by.
        process: Its process.
    """

    port: int
    authority: Path
    process: Process

    def patch(self, body: str) -> list[Object]:
        """The JSON Patch that it answers to a review."""
        trust = ssl.create_default_context(cafile=str(self.authority))
        asked = urllib.request.Request(
            f"https://localhost:{self.port}/mutate", body.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=10, context=trust) as answer:
            response = json.load(answer)["response"]
        return json.loads(base64.b64decode(response.get("patch", "W10=")))


def _server(programs: Programs, directory: Path, number: int) -> Server:
    options = "--host 127.0.0.1 --port 0 --health-port 0 --drain 0 --log-format json".split()
    name = f"server-{number}"
    command = [COMMAND, "serve", "--manifests", directory / "manifests", *options]
    program = programs.start(name, [*command, "--cert-dir", directory / "certs"])
    found: dict[str, Any] = {}

    def listening() -> bool:
        lines = [line for line in program.log.read_text().splitlines() if '"event":"listening"' in line]
        found.update(json.loads(lines[-1]) if lines else {})
        return bool(lines)

    program.wait_until(listening, seconds=120, what="listening")
    return Server(found["port"], directory / "certs" / "ca.crt", Process(program.pid))


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and how it went.

    Attributes:
        report: What the generator says.
        busy: For each server, the share of the time in which it used a core.
        wall: Seconds that it took.
    """

    report: Report
    busy: list[float]
    wall: float


def send(
    programs: Programs, running: Sequence[Server], requests: list[tuple[str, str]], arrivals: list[tuple[float, int]]
) -> Sent:
    """Send requests to servers, from a process of its own."""
    plan = Plan([one.port for one in running], str(running[0].authority), requests, arrivals)
    cpu = [one.process.cpu for one in running]
    report = Sending(programs, plan).report()
    wall = arrivals[-1][0]
    used = [one.process.cpu - before for one, before in zip(running, cpu, strict=True)]
    return Sent(report, [one / wall for one in used], wall)


def reviews_of(excerpt: Excerpt, speed: float, workloads: int) -> list[tuple[float, int]]:
    """An excerpt's pods as reviews: when each is sent, at this speed, and which request it is."""
    sent = []
    for at, workload in excerpt.pods:
        sent.append((at / speed, workload))
        sent.append((at / speed + VALIDATED_AFTER, workload + workloads))
    return sorted(sent)


def cost(
    programs: Programs, running: Sequence[Server], requests: list[tuple[str, str]], rate: float, seconds: float
) -> dict[str, float]:
    """What one review costs a server, sent evenly at a modest rate."""
    count = int(rate * seconds)
    half = len(requests) // REVIEWS
    arrivals = [(one / rate, (one // 2 * 7) % half + (half if one % 2 else 0)) for one in range(count)]
    sent = send(programs, running[:1], requests, arrivals)
    took = [one for one in sent.report.seconds if one is not None]
    return {
        "cpu_seconds": sent.busy[0] * sent.wall / count,
        "p50": percentile(took, 0.5),
        "generator_cpu_seconds": sent.report.cpu / count,
    }


def simulate(
    day: list[Excerpt],
    count: int,
    programs: Programs,
    running: Sequence[Server],
    requests: list[tuple[str, str]],
    review: dict[str, float],
    speed: float,
) -> list[dict[str, Any]]:
    """Send each excerpt, and put what was predicted beside what was measured."""
    found = []
    service = review["cpu_seconds"]
    # What the way there and back, and the generator, add to each review.
    way = max(0.0, review["p50"] - service)
    for excerpt in day:
        arrivals = reviews_of(excerpt, speed, len(requests) // REVIEWS)
        times = [at for at, _ in arrivals]
        rate = len(times) / (excerpt.seconds / speed)
        thought = replay(times, service, count)
        sent = send(programs, running, requests, arrivals)
        took = [one for one in sent.report.seconds if one is not None]
        busy = [one * sent.wall / (excerpt.seconds / speed) for one in sent.busy]
        of_first = thought.servers.count(0) / len(times)
        found.append(
            {
                "excerpt": excerpt.name,
                "pods_per_second": excerpt.rate,
                "reviews": len(times),
                "lost": len(times) - len(took),
                "predicted_busy": utilisation(rate, service, count),
                "busy": sum(busy) / count,
                "busiest": max(busy),
                "predicted_busiest": rate * service * max(of_first, 1 - of_first) if count > 1 else rate * service,
                "predicted_p50": percentile(thought.seconds, 0.5) + way,
                "p50": percentile(took, 0.5),
                "predicted_p99": percentile(thought.seconds, 0.99) + way,
                "p99": percentile(took, 0.99),
                "late_p99": percentile(sent.report.late, 0.99),
            }
        )
        shown = "  {excerpt}: busy {busy:.2f} ({predicted_busy:.2f} predicted), p99 {p99:.4f} s ({predicted_p99:.4f} s)"
        say(shown.format(**found[-1]))
    return found


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, flush=True)


def main() -> int:
    """Simulate the day."""
    parser = argparse.ArgumentParser(description="Replay a synthetic day of pod creations against local servers.")
    parser.add_argument("--seed", type=int, default=1, help="the same one gives the same day (default: 1)")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = parser.parse_args().seed
    population = Population(SIZE, seed=seed)
    directory = Path(tempfile.mkdtemp(prefix="sidecar-policy-scale-"))
    try:
        with ExitStack() as cleanup:
            cleanup.callback(shutil.rmtree, directory)
            _write(population, directory / "manifests")
            programs = cleanup.enter_context(Programs(directory))
            # The first one issues the certificate that all of them have.
            running = [_server(programs, directory, number) for number in range(max(SERVERS))]
            bodies = [mutation(population, number) for number in range(WORKLOADS)]
            after = [validation(body, running[0].patch(body)) for body in bodies]
            requests = [("/mutate", body) for body in bodies] + [("/validate", body) for body in after]
            say("warming up, and measuring what a review costs")
            for one in running:
                cost(programs, [one], requests, 200, 3)
            review = cost(programs, running, requests, 200, 10)
            say("  {cpu_seconds:.6f} s of CPU, p50 {p50:.6f} s".format(**review))
            speed = BUSY / (PEAK * REVIEWS * review["cpu_seconds"])
            day = excerpts(WORKLOADS, seed=seed)
            found: dict[str, Any] = {"review": review, "speed": speed, "seed": seed, "peak_per_hour": PEAK_PER_HOUR}
            found |= machine() | {"namespaces": SIZE.namespaces, "resident_mb": running[0].process.resident}
            for count in SERVERS:
                say(f"{count} of {max(SERVERS)} servers, at {speed:.0f} times the day's speed")
                found[f"servers_{count}"] = simulate(day, count, programs, running[:count], requests, review, speed)
    except ProgramError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    keep("simulation", found)
    return 0


def _write(population: Population, directory: Path) -> None:
    """The cluster as manifests."""
    directory.mkdir()
    kinds = {
        "namespaces": population.namespaces(),
        "services": population.services(),
        "config-maps": population.config_maps(),
    }
    for name, objects in kinds.items():
        (directory / f"{name}.yaml").write_text("\n---\n".join(map(json.dumps, objects)))


if __name__ == "__main__":
    sys.exit(main())
