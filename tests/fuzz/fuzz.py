"""Fuzz the webhook: hostile reviews in hostile surroundings, in process and over TLS. Seeded, and bounded in all."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from answer_checks import WrongError
from cases import Case
from hostile_world import documents
from in_process import EPOCH, InProcess, world_seed
from over_tls import OverTls, replayed_over_tls
from shrinking import shrink
from worker import Failure, Progress, Worker, outcome

from webhook.server.allocator import return_large_memory

FOLDER = Path("build/fuzz")
TOLD = 30.0
"""Seconds between two lines that say how far it is."""
KINDS = 30
"""After so many kinds of failures the fuzz stops."""


class Results:
    """How far the fuzz is, and what went wrong: each kind once as a file and a line, and all of it counted.

    Attributes:
        counts: Failures by kind.
        reviews: Reviews answered in process.
        sent: Reviews sent over TLS.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reviews = 0
        self.sent = 0
        self._begin = self._told = time.monotonic()

    def new(self, kind: str) -> bool:
        """Count a failure, and say whether it is the first of its kind."""
        self.counts[kind] += 1
        return self.counts[kind] == 1

    def tell(self) -> None:
        """Print now and then how far it is."""
        if time.monotonic() - self._told > TOLD:
            self._told = time.monotonic()
            print(
                f"{self._told - self._begin:.0f} s: {self.reviews} reviews in process, {self.sent} over TLS", flush=True
            )

    @staticmethod
    def show(case: Case, detail: str) -> None:
        """Write a case, and print how to replay it."""
        path = case.save(FOLDER)
        print(f"FAIL {case.failure}: {detail} (review of {len(case.body)} bytes)\n  {_replay(path)}", flush=True)

    @property
    def too_many(self) -> bool:
        return len(self.counts) >= KINDS


def _replay(path: Path) -> str:
    return f"make fuzz FUZZ_ARGS='--replay {path}'"


def replayed(fuzzer: InProcess, case: Case) -> str:
    """Try a case in this process; return the kind of its failure, or nothing."""
    found = fuzzer.surround(case.world)
    try:
        asyncio.run(fuzzer.attempt(case))
    except WrongError as wrong:
        found.append(wrong)
    return "\n".join(map(str, found))


def in_process(fuzzer: InProcess, results: Results, args: argparse.Namespace, deadline: float) -> None:
    """Try cases until there are enough reviews."""

    def start(first: int) -> Worker:
        return Worker(lambda number, *rest: fuzzer.run(args.seed, number, *rest), first)

    worker, before = start(args.first), 0
    try:
        while results.reviews < args.reviews and time.monotonic() < deadline and not results.too_many:
            failed = worker.failures(0.2)
            results.reviews = before + worker.progress.reviews
            results.tell()
            if not worker.running:
                before, worker = results.reviews, start(_after(worker.progress))
            for failure in failed:
                _report(fuzzer, results, args.seed, failure)
    finally:
        worker.end()


def _after(progress: Progress) -> int:
    """The case to go on with after one that ended its worker; a world that did is left whole."""
    return (progress.number // EPOCH + 1) * EPOCH if progress.in_world else progress.number + 1


def _report(fuzzer: InProcess, results: Results, seed: int, failure: Failure) -> None:
    number, kind, detail = failure
    if not results.new(kind):
        return
    world = documents(world_seed(seed, number))
    case = replace(fuzzer.case(seed, number), world=world, failure=kind)

    def same(smaller: Case) -> bool:
        return kind in outcome(lambda: replayed(fuzzer, smaller))

    results.show(shrink(case, same) if same(case) else case, detail)


def over_tls(fuzzer: InProcess, results: Results, args: argparse.Namespace, deadline: float) -> None:
    """Send reviews over TLS."""

    def fail(case: Case, wrong: WrongError) -> None:
        if results.new(wrong.kind):
            results.show(replace(case, failure=wrong.kind), wrong.detail)

    client = OverTls(fuzzer.case, fail)
    try:
        client.run(args.seed, args.tls, deadline)
    finally:
        results.sent = client.sent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which cases [1]")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case in process [0]")
    parser.add_argument("--reviews", type=int, default=1_000_000, help="reviews in process [1000000]")
    parser.add_argument("--tls", type=int, default=100_000, help="reviews over TLS [100000]")
    parser.add_argument("--seconds", type=float, default=3_600, help="how long both may take together [3600]")
    parser.add_argument("--replay", type=Path, help="try one file of build/fuzz again, and nothing else")
    return parser.parse_args()


def main() -> int:
    """Run the fuzz, and return the exit code: 0 where nothing failed, 1 where something did, 130 when interrupted."""
    args = _arguments()
    # As the server does. Otherwise the largest reviews leave free memory between what is kept, more with every hour.
    return_large_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    fuzzer = InProcess()
    if args.replay:
        case = Case.load(args.replay)
        found = replayed_over_tls(case) if case.raw else outcome(lambda: replayed(fuzzer, case))
        print(found or "nothing failed")
        return 1 if found else 0
    results, begin = Results(), time.monotonic()
    interrupted = False
    try:
        for part in (in_process, over_tls):
            part(fuzzer, results, args, begin + args.seconds)
            print(f"{part.__name__}: done after {time.monotonic() - begin:.0f} s", flush=True)
    except KeyboardInterrupt:
        interrupted = True
    for kind, count in results.counts.most_common():
        print(f"{count:7} x {kind}")
    kinds = f"{len(results.counts)} kinds of failures"
    print(f"seed {args.seed}: {results.reviews} reviews in process, {results.sent} over TLS, {kinds}")
    return 130 if interrupted else 1 if results.counts else 0


if __name__ == "__main__":
    sys.exit(main())
