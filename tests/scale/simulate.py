"""A synthetic day of pod creations against real servers, at many times its speed, beside what theory says of it.

Run as a program, by `make scale`. It first measures what a review costs, of a pod like one before and of a new one,
what a connection costs, and what it costs to begin. From that alone it predicts how busy the servers will be and how
long reviews will wait, and then it sends them.
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
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from admission import REVISION, mutation, revised, validation
from day import PEAK_PER_HOUR, Excerpt, excerpts
from open_loop import Plan, Report
from population import Object, Population, Size
from processes import ProgramError, Programs
from procfs import Process
from product import COMMAND
from queueing import MOST_IDLE, Costs, replay
from results import keep, machine, percentile
from sending import Sending

SIZE = Size(namespaces=50_000, services=50_000, config_maps=400, bytes=1_500)
WORKLOADS = 400
REVIEWS = 2
"""Of each pod: before its mutation, and after."""
VALIDATED_AFTER = 0.004
"""Seconds in real time from the first to the second."""
BUSY = 0.3
"""How busy one server is to be in the busiest excerpt, and all that runs on this machine: the speed is chosen so."""
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
    command: list[str | Path] = [COMMAND, "serve", "--manifests", directory / "manifests", *options]
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


Arrival = tuple[float, int, int]
"""When a review is sent, which request it is, and of which revision of the workload."""


def send(
    programs: Programs,
    running: Sequence[Server],
    requests: list[tuple[str, str]],
    arrivals: list[Arrival],
    *,
    most_idle: int = MOST_IDLE,
) -> Sent:
    """Send requests to servers, from a process of its own."""
    plan = Plan([one.port for one in running], str(running[0].authority), requests, REVISION, arrivals, most_idle)
    cpu = [one.process.cpu for one in running]
    report = Sending(programs, plan).report()
    wall = arrivals[-1][0]
    used = [one.process.cpu - before for one, before in zip(running, cpu, strict=True)]
    return Sent(report, [one / wall for one in used], wall)


def reviews_of(excerpt: Excerpt, speed: float, workloads: int, revision: int) -> list[Arrival]:
    """An excerpt's pods as reviews: when each is sent, at this speed, and what it is about.

    Args:
        excerpt: Its revisions other than 0 count from `revision` on, so that no server has seen them.
        speed: By that of the day.
        workloads: How many there are.
        revision: The first one that no server has seen.
    """
    sent = []
    for at, workload, which in excerpt.pods:
        number = which and which + revision
        sent.append((at / speed, workload, number))
        sent.append((at / speed + VALIDATED_AFTER, workload + workloads, number))
    return sorted(sent)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one review was measured to take.

    Attributes:
        server: Seconds of the server's CPU.
        generator: Seconds of the generator's.
        p50: Seconds until its answer, of half of all.
    """

    server: float
    generator: float
    p50: float


def cost(
    programs: Programs,
    running: Server,
    requests: list[tuple[str, str]],
    *,
    rate: float,
    count: int,
    burst: int = 1,
    revision: int | None = None,
    most_idle: int = MOST_IDLE,
) -> Cost:
    """Measure what one review takes.

    Args:
        programs: Where the generator runs.
        running: Whom to ask.
        requests: What to send, one after the other.
        rate: Reviews a second.
        count: How many to send.
        burst: How many of them at once.
        revision: From which on each review is of a revision of its own; None for pods that were there before.
        most_idle: 0 to open a connection for each review.
    """
    half = len(requests) // REVIEWS
    arrivals = [
        (
            (one - one % burst) / rate,
            (one // 2 * 7) % half + (half if one % 2 else 0),
            0 if revision is None else revision + one,
        )
        for one in range(count)
    ]
    sent = send(programs, [running], requests, arrivals, most_idle=most_idle)
    took = [one for one in sent.report.seconds if one is not None]
    return Cost(sent.busy[0] * sent.wall / count, sent.report.cpu / count, percentile(took, 0.5))


def calibrate(programs: Programs, running: Sequence[Server], requests: list[tuple[str, str]]) -> dict[str, Cost]:
    """What reviews take, by their kind; all servers have seen each workload's revision 0 afterwards."""
    for one in running:
        cost(programs, one, requests, rate=100, count=len(requests))
    measured = partial(cost, programs, running[0], requests)
    return {
        "single": measured(rate=100, count=800),
        "known": measured(rate=600, count=3_000, burst=MOST_IDLE),
        "new": measured(rate=300, count=1_200, burst=MOST_IDLE, revision=1),
        "connecting": measured(rate=100, count=400, burst=5, most_idle=0),
    }


def costs_of(measured: dict[str, Cost]) -> Costs:
    """What theory is told of them."""
    known, connecting = measured["known"], measured["connecting"]
    return Costs(
        known=known.server,
        new=measured["new"].server,
        connection=connecting.server - known.server,
        waking=max(0.0, measured["single"].server - known.server),
        sending=known.generator,
        opening=connecting.generator - known.generator,
    )


def simulate(
    day: list[Excerpt],
    count: int,
    programs: Programs,
    running: Sequence[Server],
    requests: list[tuple[str, str]],
    measured: dict[str, Cost],
    speed: float,
    revision: int,
) -> list[dict[str, Any]]:
    """Send each excerpt, and put what was predicted beside what was measured."""
    found = []
    costs = costs_of(measured)
    # What the way there and back, and the generator, add to each review.
    single = measured["single"]
    way = max(0.0, single.p50 - single.server)
    before = [(number, 0) for number in range(len(requests))]
    for excerpt in day:
        arrivals = reviews_of(excerpt, speed, len(requests) // REVIEWS, revision)
        revision += max(one for _, _, one in excerpt.pods)
        thought = replay([(at, (request, one)) for at, request, one in arrivals], costs, count, known=before)
        sent = send(programs, running, requests, arrivals)
        took = [one for one in sent.report.seconds if one is not None]
        wall = excerpt.seconds / speed
        busy = [one * sent.wall / wall for one in sent.busy]
        found.append(
            {
                "excerpt": excerpt.name,
                "pods_per_second": excerpt.rate,
                "reviews": len(arrivals),
                "new": thought.new,
                "lost": len(arrivals) - len(took),
                "predicted_busy": sum(thought.busy) / wall / count,
                "busy": sum(busy) / count,
                "predicted_busiest": max(thought.busy) / wall,
                "busiest": max(busy),
                "predicted_p50": percentile(thought.seconds, 0.5) + way,
                "p50": percentile(took, 0.5),
                "predicted_p99": percentile(thought.seconds, 0.99) + way,
                "p99": percentile(took, 0.99),
                "predicted_opened": thought.opened,
                "opened": sent.report.opened,
                "generator_busy": sent.report.cpu / wall,
                "late_p99": percentile(sent.report.late, 0.99),
            }
        )
        shown = (
            "  {excerpt}: busy {busy:.2f} ({predicted_busy:.2f} predicted), p99 {p99:.4f} s ({predicted_p99:.4f} s), "
            "{opened} connections ({predicted_opened}), generator {generator_busy:.2f}, late {late_p99:.4f} s"
        )
        say(shown.format(**found[-1]))
    return found


def highest_speed(rate: float, review: Cost) -> float:
    """How fast the day may go, so that neither a server nor the machine is too busy where most pods are created.

    Args:
        rate: How many pods a second are created there.
        review: What one of their reviews takes.
    """
    cores = min(1 / review.server, machine()["cores"] / (review.server + review.generator))
    return BUSY * cores / (rate * REVIEWS)


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
            after = [validation(body, running[0].patch(revised(body, 0))) for body in bodies]
            requests = [("/mutate", body) for body in bodies] + [("/validate", body) for body in after]
            say("warming up, and measuring what a review costs")
            measured = calibrate(programs, running, requests)
            for name, one in measured.items():
                say(f"  {name}: {one.server:.6f} s of CPU, p50 {one.p50:.6f} s, the generator {one.generator:.6f} s")
            day = excerpts(WORKLOADS, seed=seed)
            speed = highest_speed(max(one.rate for one in day), measured["known"])
            found: dict[str, Any] = {"speed": speed, "seed": seed, "peak_per_hour": PEAK_PER_HOUR}
            found |= {name: asdict(one) for name, one in measured.items()}
            found |= machine() | {"namespaces": SIZE.namespaces, "resident_mb": running[0].process.resident}
            for count in SERVERS:
                say(f"{count} of {max(SERVERS)} servers, at {speed:.0f} times the day's speed")
                # No server has seen the revisions from here on.
                first = count * 1_000_000
                found[f"servers_{count}"] = simulate(
                    day, count, programs, running[:count], requests, measured, speed, first
                )
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
