"""What becomes of the connections of one pod, as the server says it: in logs, metrics, Events and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from webhook.core.decision import Dependency
from webhook.core.verdict import End, Outcome
from webhook.verdicts.known import Entry, State

NOT_JUDGED: Final = "not-judged"
"""The code of connections beyond the budget."""


class Foreseen(Struct, frozen=True, gc=False):
    """What becomes of one connection of a pod.

    Attributes:
        found: The dependency.
        known: Whether the Service that it names is known.
        outcome: What becomes of it.
        code: The cause, as a stable code.
        at: The end that breaks it, if it breaks.
        shown: Whether the pod's author may see that it breaks: no object of another namespace tells so.
        harmed: Whether it breaks by the decision, and would flow if Istio's default decided.
    """

    found: Dependency
    known: bool
    outcome: Outcome
    code: str
    at: End | None
    shown: bool = False
    harmed: bool = False

    @property
    def place(self) -> str:
        """Where it leads: "db.example.com:3306", or for a Service that is known "shop/cache:6379"."""
        found = self.found
        name = "/".join(found.service) if self.known and found.service is not None else found.host or found.kind
        return name if found.port is None else f"{name}:{found.port}"

    def __str__(self) -> str:
        """Return the connection and its code, as "redis at shop/cache:6379 (strict-refuses, server)"."""
        return f"{self.found.kind} at {self.place} ({self.code}{f', {self.at}' if self.at is not None else ''})"


@dataclass(slots=True, eq=False)
class Connections:
    """What becomes of all connections of a pod.

    Attributes:
        foreseen: The connections, in the order of the pod's dependencies.
        error: Why they could not be judged, where that is a fault of this program.
        counts: The number for each outcome, code and end, as texts; the end is empty where there is none.
        broken: The number for each code of those that break.
        entries: The verdicts that were used, for `Judge.holds`.
        state: What they were last compared with.
        changes: The same for decisions about other pods.
        depends: Whether they depend on such decisions.
    """

    foreseen: tuple[Foreseen, ...] = ()
    error: Exception | None = None
    counts: tuple[tuple[tuple[str, str, str], int], ...] = field(init=False)
    broken: Mapping[str, int] = field(init=False)
    entries: Sequence[Entry] = ()
    state: State | None = None
    changes: int = 0
    depends: bool = field(init=False)

    def __post_init__(self) -> None:
        """Count them."""
        counts: dict[tuple[str, str, str], int] = {}
        broken: dict[str, int] = {}
        for one in self.foreseen:
            labels = one.outcome.value, one.code, one.at.value if one.at is not None else ""
            counts[labels] = counts.get(labels, 0) + 1
            if one.at is not None:
                broken[one.code] = broken.get(one.code, 0) + 1
        self.counts, self.broken = tuple(counts.items()), broken
        self.depends = any(entry.decided for entry in self.entries)

    @property
    def shown(self) -> Sequence[Foreseen]:
        """Those that break, as far as the pod's author may see them."""
        return [one for one in self.foreseen if one.shown] if self.broken else ()


NONE: Final = Connections()
