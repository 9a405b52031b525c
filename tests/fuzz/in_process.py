"""Reviews through the server's own functions, without a network: each decided, patched, decided again and validated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from answer_checks import WrongError, no_canary, operations_of, patched, require, response_of
from cases import POLICIES, Case
from hostile_pods import Reviews
from hostile_text import CANARY
from hostile_world import clear, documents, put, real_manifests
from pace import slowness
from prometheus_client import CollectorRegistry, generate_latest
from worker import Progress

from webhook.decision.cache import DecisionCache
from webhook.kubernetes.admission import UnreadableReviewError
from webhook.policy.source import PolicySource
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.admission.pods import Decider, Judge, admit, mutate, validate
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.observer import Observer
from webhook.server.settings import LogFormat, LogLevel

EPOCH = 2_000
"""Cases that have the same objects around them."""
INSPECTED = 500
"""Every so many cases it is looked at what grows."""
CPU = 1.0
"""Seconds of CPU of an idle reference core that an answer, or taking in one generated world, may take."""
RESIDENT = 256.0
"""MB that the process may have, the fuzz and its real manifests included."""
SAMPLES = 2_000
"""Lines that the metrics may have: nobody who creates pods may add to them without bound."""


class CheckedLog:
    """Where the server's log lines go: each is looked at and dropped."""

    def write(self, text: str) -> int:
        no_canary(text, "the log")
        require(text.count("\n") <= 1, "a log line that is several")
        return len(text)

    def flush(self) -> None:
        """Nothing is kept."""

    def isatty(self) -> bool:
        return False


async def _look_up(missed: Collection[Any], *_: object, **__: object) -> bool:
    """What the live inventory would ask the API server for; nothing is there."""
    for reference in missed:
        require(CANARY not in repr(reference), "a password in an API path", repr(reference)[:200])
    return False


class InProcess:
    """The server's parts, over the real manifests and one generated world at a time.

    Attributes:
        reviews: How many reviews were answered.
    """

    def __init__(self) -> None:
        self.reviews = 0
        self._store = real_manifests()
        self._generate = Reviews(self._store)
        self._metrics = Metrics(CollectorRegistry())
        self._observer = Observer(self._metrics, make_logger(CheckedLog(), LogFormat.JSON, LogLevel.DEBUG))
        self._deciders: dict[tuple[str, bool], Decider] = {}
        cache = DecisionCache()  # of one replica, whose policy is another one for each case
        for name in POLICIES:
            policies = PolicySource([Path(__file__).parent / "policies" / f"{name}.yaml"])
            decider = Decider(policies=policies, surroundings=self._store, cache=cache, look_up=_look_up)
            self._deciders[name, False] = decider
            self._deciders[name, True] = replace(decider, strict=True)

    def case(self, seed: int, number: int) -> Case:
        """Generate one case, without its world."""
        random = Random(seed << 40 | number)
        policy, strict = random.choice(POLICIES), random.random() < 0.5
        made = self._generate.make(random)
        return Case(seed, number, policy, strict, [], made.body, made.uid)

    def run(self, seed: int, first: int, progress: Progress, fail: Callable[[int, str, str], None]) -> None:
        """Try cases until the process is ended.

        Args:
            seed: The seed of the fuzz.
            first: The number of the first case.
            progress: Where to note what is being tried.
            fail: Called with the number, the kind and the details of each failure.
        """
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(seed, first, progress, fail))

    async def _run(self, seed: int, first: int, progress: Progress, fail: Callable[[int, str, str], None]) -> None:
        for number in count(first):
            if number == first or number % EPOCH == 0:
                progress.at(number, self.reviews, in_world=True)
                for wrong in self.surround(documents(world_seed(seed, number))):
                    fail(number, wrong.kind, wrong.detail)
            progress.at(number, self.reviews)
            try:
                await self.attempt(self.case(seed, number))
                if number % INSPECTED == 0:
                    self._inspect()
            except WrongError as wrong:
                fail(number, wrong.kind, wrong.detail)

    def surround(self, world: list[dict[str, Any]]) -> list[WrongError]:
        """Put a generated world around the pods, and return what went wrong; such an object is left out."""
        found = []
        clear(self._store)
        for document in world:
            begin = time.process_time()
            try:
                put(self._store, document)
            except Exception as error:  # noqa: BLE001 - whatever it is, it would end the watch of that kind
                found.append(WrongError(f"a {document['kind']} that cannot be taken in: {_place(error)}"))
            if (took := time.process_time() - begin) > CPU and took > CPU * slowness():
                found.append(WrongError(f"slow: a {document['kind']} to take in", f"{took:.1f} s of CPU"))
        return found

    async def attempt(self, case: Case) -> None:
        """Decide a case, once more with the patch applied, and validate it.

        Raises:
            WrongError: An answer is not as it has to be.
        """
        decider = self._deciders[case.policy, case.strict]
        response = await self._ask(case.body, case.uid, decider, mutate)
        if response is None:
            return
        body: bytes | None = case.body
        if operations := operations_of(response):
            body = patched(case.body, operations)
            if body is None:
                return
            again = await self._ask(body, case.uid, decider, mutate)
            require(again is not None, "a patched pod that cannot be read")
            require("patch" not in again, "a second patch", str(operations_of(again))[:300])
        response = await self._ask(body, case.uid, decider, validate)
        require(response is not None and "patch" not in response, "a patch by /validate")

    async def _ask(self, body: bytes, uid: str | None, decider: Decider, judge: Judge) -> dict[str, Any] | None:
        """One review as the server handles it; None where it is refused as unreadable."""
        self.reviews += 1
        admission = Admission(judge.__name__)
        begin, answer = time.process_time(), None
        try:
            answer = await admit(body, decider, admission, judge)
        except UnreadableReviewError as error:
            admission.detail = str(error)
            no_canary(admission.detail, "a refusal")
        except WrongError:
            raise
        except Exception as error:
            raise WrongError(f"an exception: {_place(error)}") from error
        took = time.process_time() - begin
        if isinstance(admission.error, WrongError):
            raise admission.error
        self._observer.admission(admission, took)
        if admission.outcome is Outcome.INTERNAL_ERROR:
            raise WrongError(f"internal-error: {_place(admission.error)}")
        if admission.decision is not None and admission.decision.findings.dependencies:
            no_canary(repr(admission.decision.findings), "what is found")
        require(
            took < CPU or took < CPU * slowness(), f"slow: /{judge.__name__}", f"{took:.1f} s of CPU, {len(body)} bytes"
        )
        return None if answer is None else response_of(answer, uid)

    def _inspect(self) -> None:
        """Look at what grows."""
        metrics = generate_latest(self._metrics.registry)
        no_canary(metrics, "a metric")
        require(metrics.count(b"\n") < SAMPLES, "metrics without bound", f"{metrics.count(bytes([10]))} lines")
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        require(pages * 4096 / 1e6 < RESIDENT, "memory without bound", f"{pages * 4096 / 1e6:.0f} MB")


def world_seed(seed: int, number: int) -> int:
    """What the world around a case is generated from."""
    return seed << 40 | number // EPOCH


def _place(error: Exception | None) -> str:
    """The class of an error and the innermost place of the project that it came through."""
    if error is None:
        return "nothing was raised"
    trace, place = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "/webhook/" in file:
            place = f"webhook/{file.rpartition('/webhook/')[2]}:{trace.tb_frame.f_code.co_name}"
        trace = trace.tb_next
    return f"{type(error).__name__} in {place}"
