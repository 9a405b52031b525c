"""`make bench`: measure the server alone and on a real API server, beside what one would write in Go.

Prints every target with its measured ratio. All samples go to build/bench/results.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import alone
import apiserver
import publish
import toolbox
from figures import Cell, Figures, Sample, interleaved
from load import LoadError
from processes import ProgramError

import webhook

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
RESULTS = ROOT / "build" / "bench" / "results.json"
PARTS = {"alone": 8, "apiserver": 12}
"""Both parts, and in how many rounds they are measured: some seven minutes for each."""
PACKAGES = ("fastapi", "uvicorn", "uvloop", "httptools", "msgspec", "structlog")

Results = dict[str, dict[str, Any]]
"""By part: when and with what was measured, and the samples."""


def main() -> int:
    """Measure, and report.

    Returns:
        1 when something could not be measured or written or, with --strict, a target is not met; else 0.
    """
    options = _options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    results: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    try:
        if not options.report:
            results |= _measured(options.part or tuple(PARTS), quick=options.quick, rounds=options.rounds)
    except (toolbox.ToolError, ProgramError, LoadError, AssertionError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was written", file=sys.stderr)
        return 130
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))
    run = _run(results)
    print(publish.as_text(run))
    if options.docs:
        try:
            publish.write_pages(ROOT, run)
        except ValueError as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    return 1 if options.strict and not all(one.met for one in publish.reached(run)) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two short rounds: a first look, and no more")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how many rounds (default: 8 alone, 12 on the API server)"
    )
    parser.add_argument(
        "--part", choices=tuple(PARTS), action="append", help="measure this part alone, and keep the other"
    )
    parser.add_argument("--report", action="store_true", help="measure nothing: report what was measured before")
    parser.add_argument("--docs", action="store_true", help="write tables and charts into docs/ and README.md")
    parser.add_argument("--strict", action="store_true", help="fail when a target is not met")
    return parser.parse_args()


def _run(results: Results) -> publish.Run:
    figures = Figures.from_data(one for part in results.values() for one in part["samples"])
    abouts = {part: results[part]["about"] for part in PARTS if part in results}
    profile = results.get("alone", {}).get("profile", {})
    return publish.Run(figures, abouts, profile, [arm.name for arm in apiserver.ARMS])


def _measured(parts: Sequence[str], *, quick: bool, rounds: int | None) -> Results:
    peers = toolbox.build(("typed", "lean", "floor", "load"), PEERS)
    results = {}
    seconds = 0.5 if quick else 1.0
    for part in parts:
        repeated = rounds or (2 if quick else PARTS[part])
        with _directory() as directory:
            if part == "alone":
                running = alone.running(peers, directory, seconds)
            else:
                tools = toolbox.build(toolbox.CONTROL_PLANE + toolbox.ISTIO)
                running = apiserver.running(tools, peers, directory, seconds)
            with running as cells:
                samples = _told(cells, repeated, publish.TITLES[part])
        results[part] = {"about": _about(repeated, part), "samples": Figures(samples).as_data()}
    if "alone" in parts:
        with _directory() as directory:
            results["alone"]["profile"] = alone.profiled(peers, directory, 2.0 if quick else 6.0)
    return results


@contextmanager
def _directory() -> Iterator[Path]:
    """A directory of its own, of which only what helps to find a fault is left."""
    directory = Path(tempfile.mkdtemp(prefix="sidecar-policy-bench-"))
    try:
        yield directory
    except Exception:
        print(f"logs are kept in {directory}", file=sys.stderr)
        raise
    except BaseException:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)


def _told(cells: Sequence[Cell], rounds: int, what: str) -> list[Sample]:
    started = time.monotonic()
    samples = []
    for sample in interleaved(cells, rounds):
        samples.append(sample)
        if len(samples) % len(cells) == 0:
            done = len(samples) // len(cells)
            took = time.monotonic() - started
            print(f"{what}: round {done} of {rounds} after {took:.0f} s", file=sys.stderr, flush=True)
    return samples


def _about(rounds: int, part: str) -> dict[str, Any]:
    """When and with what was measured."""
    go = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    versions = {"sidecar-policy": webhook.__version__, "Python": platform.python_version()}
    versions |= {name: version(name) for name in PACKAGES} | {"Go": go.removeprefix("go")}
    if part == "apiserver":
        pins = (toolbox.MODULE / "go.mod").read_text()
        for name, module in (("Kubernetes", "k8s.io/kubernetes"), ("Istio", "istio.io/istio")):
            versions[name] = re.search(rf"^\s*{module} v(\S+)", pins, re.MULTILINE)[1]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "rounds": rounds,
        "versions": versions,
    }


if __name__ == "__main__":
    sys.exit(main())
