"""Pods that are created one after the other while something happens, and what became of each.

No scheduler looks after them: admission is all that is asked for.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Self

import shop
from api import Api, ApiError, eventually

DECISION = "sidecar-policy.dev/decision"
PAUSE_SECONDS = 0.02
LIMIT = 20_000


@dataclass
class Stream:
    """The context of a stream: it begins with it, and ends with it.

    Attributes:
        created: When each pod was created, on the monotonic clock.
        undecided: When pods were created of which nobody says what was decided.
        failures: When creations failed, and why.
    """

    api: Api
    namespace: str
    created: list[float] = field(default_factory=list)
    undecided: list[float] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._create, daemon=True)

    def wait(self, count: int) -> None:
        """Until so many more pods have been created."""
        enough = len(self.created) + count
        eventually(lambda: len(self.created) >= enough, seconds=60, what=f"{count} more pods are created")

    @staticmethod
    def span(times: list[float]) -> float:
        """Seconds from the first to the last."""
        return max(times) - min(times) if times else 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _create(self) -> None:
        spec = shop.client_spec(schedulerName="nobody")
        for number in itertools.islice(itertools.count(1), LIMIT):
            if self._over.wait(PAUSE_SECONDS):
                return
            pod = shop.pod(f"pod-{number}", spec)
            pod["metadata"]["namespace"] = self.namespace
            try:
                stored = self.api.create(pod)
            except (ApiError, OSError) as error:
                self.failures.append((time.monotonic(), str(error)))
                continue
            self.created.append(time.monotonic())
            if DECISION not in stored["metadata"].get("annotations", {}):
                self.undecided.append(self.created[-1])
