"""The server before a large cluster: how long it reads, how much it holds, and what a relist costs its decisions.

Run as a program, by `make scale`. All of it runs on loopback, and nothing of it is left.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from typing import Any

import msgspec
import toolbox
from controlplane import ControlPlane, control_plane
from population import Population, Size
from processes import ProgramError
from results import keep, machine, targets
from seeding import SeedingError, seed
from started import start
from under_load import elsewhere, under_load

WHOLE = Size(namespaces=2_000, services=5_000, config_maps=20_000)
SMALL = Size(namespaces=100, services=250, config_maps=300)


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
            elsewhere(plane)
            found = machine() | {"size": msgspec.to_builtins(population.size), "stages": stages(plane, population)}
            found["load"] = under_load(plane, population, arguments.relists)
    except (toolbox.ToolError, ProgramError, SeedingError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if not arguments.small:
        keep("cluster", found)
    say(json.dumps(found["load"], indent=1))
    reached = targets(found)
    print(*reached, sep="\n")
    return 0 if all(one.met for one in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
