"""Verdicts that are kept with what they depend on, and whether they are still valid.

A verdict is a function of the pod's end, of what detection found, of Istio's configuration, and of the results of its
lookups of Services and workloads. So it holds for all pods with such a connection, for as long as these are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from webhook.core.recording import RecordingView
from webhook.core.surroundings import Reference, Surroundings, ask
from webhook.core.verdict import End, Outcome
from webhook.mesh.config import IstioConfiguration
from webhook.verdicts.recent import Recent
from webhook.verdicts.rendering import Rendering
from webhook.verdicts.servers import Decided, Owner

_MOST_ENTRIES: Final = 4096
_MOST_LABELS: Final = 64
_MOST_ANSWERS: Final = 64


class Inventory(Surroundings, Protocol):
    """The cluster context, with Istio's configuration."""

    @property
    def istio(self) -> IstioConfiguration:
        """Istio's own configuration; the same object until it changes."""
        ...

    @property
    def changes(self) -> int:
        """A number that grows with each change of what connections depend on, after it."""
        ...


@dataclass(frozen=True, slots=True)
class State:
    """All that verdicts depend on, as far as it can be compared at once.

    Attributes:
        istio: Istio's configuration.
        changes: The number of changes of Services and workloads.
        labels: The labels by which Istio's configuration selects clients; None for all.
        rendering: How sidecars are rendered.
    """

    istio: IstioConfiguration
    changes: int
    labels: tuple[str, ...] | None
    rendering: Rendering


class Entry:
    """A verdict, and what it depends on."""

    __slots__ = ("answers", "at", "changes", "code", "decided", "known", "outcome", "state")

    def __init__(self, outcome: Outcome, code: str, at: End | None, *, known: bool, state: State, view: View) -> None:
        self.outcome = outcome
        self.code = code
        self.at = at
        self.known = known
        self.state = state
        self.answers: Mapping[Reference, Any] | None = None
        if len(view.answers) <= _MOST_ANSWERS:
            self.answers = {question: getattr(answer, "digest", answer) for question, answer in view.answers.items()}
        self.decided = view.decided
        self.changes = view.changes


class View(RecordingView):
    """Surroundings that also record which decisions about other pods were looked up."""

    def __init__(self, surroundings: Surroundings, decided: Decided) -> None:
        super().__init__(surroundings)
        self.decided: dict[tuple[Owner, str], bool | None] = {}
        self.changes = decided.changes
        self._decided = decided

    def has_sidecar(self, owner: Owner, policy: str) -> bool | None:
        """As `Decided`."""
        found = self.decided[owner, policy] = self._decided.has_sidecar(owner, policy)
        return found


class Known:
    """The verdicts. Bounded; thread-safe; does no I/O.

    Attributes:
        decided: What was decided about pods that may be servers of others.
    """

    def __init__(self, inventory: Inventory, clock: Callable[[], float], settle: float) -> None:
        """Start empty; the arguments are those of `webhook.verdicts.judge.Judge`."""
        self.decided = Decided()
        self._inventory = inventory
        self._clock = clock
        self._settle = settle
        self._entries: Recent[tuple[object, ...], Entry] = Recent(_MOST_ENTRIES)
        self._now: State | None = None
        self._until = 0.0

    def get(self, key: tuple[object, ...], state: State) -> Entry | None:
        """Return a verdict that is valid, or None."""
        entry = self._entries.get(key)
        return entry if entry is not None and self.is_valid(entry, state) else None

    def put(self, key: tuple[object, ...], entry: Entry) -> None:
        """Keep a verdict."""
        self._entries.put(key, entry)

    def view(self) -> View:
        """Return a view of the cluster for one verdict."""
        return View(self._inventory, self.decided)

    def state(self) -> State:
        """Return what verdicts depend on now; the same object while nothing of it changes."""
        now, changes = self._now, self._inventory.changes
        moment = self._clock()
        if now is not None and now.changes == changes and moment < self._until:
            return now
        istio = now.istio if now is not None and moment < self._until else None
        if istio is None:
            istio, self._until = self._inventory.istio, moment + self._settle
        if now is None or istio is not now.istio or changes != now.changes:
            labels = now.labels if now is not None and istio is now.istio else _selecting(istio)
            now = self._now = State(istio, changes, labels, Rendering(held=istio.settings.held))
        return now

    def is_valid(self, entry: Entry, state: State) -> bool:
        """Return whether a verdict would be the same now."""
        if entry.state is not state:
            if entry.state.istio is not state.istio or not self._is_answered(entry):
                return False
            entry.state = state
        return not entry.decided or self._is_decided(entry)

    def _is_answered(self, entry: Entry) -> bool:
        """Return whether all lookups of a verdict return the same as before; of very many that is not known."""
        if entry.answers is None:
            return False
        for question, answer in entry.answers.items():
            now = ask(self._inventory, question)
            now = getattr(now, "digest", now)
            if now is not answer and now != answer:
                return False
        return True

    def _is_decided(self, entry: Entry) -> bool:
        """Return whether the pods that a verdict depends on are decided as before."""
        changes = self.decided.changes
        if entry.changes != changes:
            if any(self.decided.has_sidecar(*pods) is not answer for pods, answer in entry.decided.items()):
                return False
            entry.changes = changes
        return True


def _selecting(istio: IstioConfiguration) -> tuple[str, ...] | None:
    """Return the labels by which Sidecars and DestinationRules select clients; None where there are very many."""
    found: set[str] = set()
    for sidecar in istio.sidecars:
        found.update(sidecar.selects)
    for rule in istio.destinations:
        if (selector := rule.spec.workload_selector) is not None:
            found.update(selector.match_labels or (), (needed.key for needed in selector.match_expressions or ()))
    return tuple(sorted(found)) if len(found) <= _MOST_LABELS else None


def selected(labels: Mapping[str, str], by: tuple[str, ...] | None) -> tuple[object, ...]:
    """Return those labels of a client by which Istio's configuration selects, for a key."""
    if not by:
        return () if by is not None else tuple(sorted(labels.items()))
    return tuple(map(labels.get, by))
