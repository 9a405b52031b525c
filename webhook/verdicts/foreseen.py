"""The connections of pods that are decided about: what the server says of them, in logs, metrics, Events and warnings.

A verdict is a function of the pod's end (its sidecar, and what that gets), of what detection found, of Istio's
configuration, and of the results of its lookups of Services and workloads. It is kept with them for all pods with such
a connection, and is valid while all are the same. So most new pods cost a lookup, and a replica one comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from webhook.core.budget import Budget, BudgetExceededError
from webhook.core.decision import Action, Confidence, Decision, Dependency, Findings
from webhook.core.recording import RecordingView
from webhook.core.surroundings import Reference, Service, Surroundings, ask
from webhook.core.verdict import End, Outcome
from webhook.decision.policy import Policy
from webhook.kubernetes.pod import Pod
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.connections import Mesh
from webhook.mesh.eligibility import AMBIENT, DATAPLANE_MODE
from webhook.mesh.party import Party
from webhook.verdicts.compose import Composer
from webhook.verdicts.parties import as_decided, as_running
from webhook.verdicts.recent import Recent
from webhook.verdicts.rendering import Rendering
from webhook.verdicts.servers import Decided, Outlines, Owner, Servers

NOT_JUDGED: Final = "not-judged"
"""The code of connections beyond the budget."""
MOST_UNITS: Final = 1024
"""Units of work for the connections of one pod, of some 25 us each: as many combinations of what is not known."""
_MOST_ENTRIES: Final = 4096
_SETTLE_SECONDS: Final = 0.25
"""How long Istio's configuration is not looked at again: changes that come in bursts count as one."""
_MOST_LABELS: Final = 64
# Causes that may lie in objects of any namespace.
_ELSEWHERE: Final = frozenset({"port-captured", "not-in-registry"})
_POD: Final = "the pod"


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
    entries: Sequence[_Entry] = ()
    state: _State | None = None
    changes: int = 0
    depends: bool = field(init=False)

    def __post_init__(self) -> None:
        """Count them."""
        counts: dict[tuple[str, str, str], int] = {}
        broken: dict[str, int] = {}
        for one in self.foreseen:
            labels = one.outcome.value, one.code, one.at.value if one.at is not None else ""
            counts[labels] = counts.get(labels, 0) + 1
            if one.outcome.breaks:
                broken[one.code] = broken.get(one.code, 0) + 1
        self.counts, self.broken = tuple(counts.items()), broken
        self.depends = any(entry.decided for entry in self.entries)

    @property
    def shown(self) -> Sequence[Foreseen]:
        """Those that break, as far as the pod's author may see them."""
        return [one for one in self.foreseen if one.shown] if self.broken else ()


NONE: Final = Connections()


@dataclass(frozen=True, slots=True)
class _State:
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


class _Entry:
    """A verdict, and what it depends on."""

    __slots__ = ("answers", "at", "changes", "code", "decided", "known", "outcome", "state")

    def __init__(self, outcome: Outcome, code: str, at: End | None, *, known: bool, state: _State, view: _View) -> None:
        self.outcome = outcome
        self.code = code
        self.at = at
        self.known = known
        self.state = state
        self.answers = {question: getattr(answer, "digest", answer) for question, answer in view.answers.items()}
        self.decided = view.decided
        self.changes = view.changes


class _Client:
    """A pod, with all of it that a verdict depends on, as a key."""

    __slots__ = ("key", "party")

    def __init__(self, party: Party, state: _State, policy: Policy) -> None:
        self.party = party
        self.key = (
            party.namespace,
            _selected(party.labels, state.labels),
            party.planes,
            party.intercepted,
            party.native,
            party.held,
            party.batch,
            policy.version,
        )


class _View(RecordingView):
    """Surroundings that also record which decisions about other pods were looked up."""

    def __init__(self, surroundings: Surroundings, decided: Decided) -> None:
        super().__init__(surroundings)
        self.decided: dict[tuple[Owner, str], bool | None] = {}
        self.changes = decided.changes
        self._decided = decided

    def has_sidecar(self, owner: Owner, policy: str) -> bool | None:
        found = self.decided[owner, policy] = self._decided.has_sidecar(owner, policy)
        return found


class Judge:
    """Judges the connections of pods of a cluster that is watched. Bounded; thread-safe; does no I/O."""

    def __init__(
        self, inventory: Inventory, *, clock: Callable[[], float] = time.monotonic, settle: float = _SETTLE_SECONDS
    ) -> None:
        """Start with nothing known.

        Args:
            inventory: The cluster context.
            clock: Monotonic, in seconds.
            settle: Seconds for which Istio's configuration is not looked at again.
        """
        self._inventory = inventory
        self._clock = clock
        self._settle = settle
        self._entries: Recent[tuple[object, ...], _Entry] = Recent(_MOST_ENTRIES)
        self._outlines = Outlines()
        self._decided = Decided()
        self._now: _State | None = None
        self._until = 0.0

    def remember(self, pod: Pod, namespace: str, decision: Decision) -> None:
        """Record a decision about a pod, which may be a server of others."""
        self._decided.remember(pod, namespace, decision)

    def holds(self, connections: Connections) -> bool:
        """Return whether connections would be judged the same now."""
        state, changes = self._state(), self._decided.changes
        if connections.state is not state or (connections.changes != changes and connections.depends):
            if not all(self._is_valid(entry, state) for entry in connections.entries):
                return False
            connections.state, connections.changes = state, changes
        return True

    def decided(self, pod: Pod, namespace: str, decision: Decision, policy: Policy, budget: Budget) -> Connections:
        """Judge the connections of a pod as it is to be created.

        Args:
            pod: The pod as submitted.
            namespace: Where it is to be created.
            decision: The decision about it.
            policy: The policy that decided.
            budget: Work that may be spent. Where it is exceeded, the rest of the connections is unknown.

        Returns:
            The connections. Never raises: the decision stands, whatever happens here.
        """
        if not decision.findings.dependencies:
            return NONE
        try:
            party = partial(as_decided, _POD, namespace, pod, rendering=self._state().rendering)
            inherited = None
            if decision.is_enforced and decision.action is not Action.INHERIT:
                inherited = partial(party, replace(decision, action=Action.INHERIT, ports=(), hold=False))
            return self._judged(party(decision), inherited, decision, policy, budget)
        except Exception as error:  # noqa: BLE001 - see above
            return Connections(error=error)

    def final(
        self, pod: Pod, created: Pod, namespace: str, decision: Decision, policy: Policy, budget: Budget
    ) -> Connections:
        """Judge the connections of a pod that is not as it was decided; `harmed` are those that were to flow.

        Args:
            pod: The pod as it is about to be stored, or as it runs.
            created: The same as it was submitted.
            namespace: Its namespace.
            decision: The decision about it.
            policy: The policy that decided.
            budget: As for `decided`.

        Returns:
            The connections. Never raises.
        """
        if not decision.findings.dependencies:
            return NONE
        try:
            rendering = self._state().rendering
            ambient = (self._inventory.namespace_labels(namespace) or {}).get(DATAPLANE_MODE) == AMBIENT
            party = as_running(_POD, namespace, pod, rendering, ambient=ambient)
            wanted = partial(as_decided, _POD, namespace, created, decision, rendering)
            return self._judged(party, wanted, decision, policy, budget)
        except Exception as error:  # noqa: BLE001 - as for `decided`
            return Connections(error=error)

    def _judged(
        self,
        party: Party,
        otherwise: Callable[[], Party] | None,
        decision: Decision,
        policy: Policy,
        budget: Budget,
    ) -> Connections:
        state, changes = self._state(), self._decided.changes
        least, hides = policy.min_confidence.rank, policy.hides_other_namespaces
        own = decision.shown.findings.dependencies
        foreseen, entries = [], []
        client, left = _Client(party, state, policy), None
        for found in decision.findings.dependencies:
            if found.confidence.rank < least:
                continue
            entry = self._entry(client, found, state, policy, budget)
            if entry is None:
                foreseen.append(Foreseen(found, known=False, outcome=Outcome.UNKNOWN, code=NOT_JUDGED, at=None))
                continue
            entries.append(entry)
            shown = harmed = False
            if entry.outcome.breaks:
                shown = not hides or _is_own(found, entry.code, party.namespace, own)
                if otherwise is not None:
                    left = left or _Client(otherwise(), state, policy)
                    other = self._entry(left, found, state, policy, budget)
                    if other is not None:
                        entries.append(other)
                        harmed = other.outcome is Outcome.FLOWS
            foreseen.append(Foreseen(found, entry.known, entry.outcome, entry.code, entry.at, shown, harmed))
        return Connections(tuple(foreseen), entries=entries, state=state, changes=changes)

    def _entry(
        self, client: _Client, found: Dependency, state: _State, policy: Policy, budget: Budget
    ) -> _Entry | None:
        """Return the verdict about a connection, cached or computed; None beyond the budget."""
        key = client.key, found.service, found.host, found.port, found.wire, found.init
        entry = self._entries.get(key)
        if entry is None or not self._is_valid(entry, state):
            try:
                entry = self._computed(client.party, found, state, policy, budget)
            except BudgetExceededError:
                return None
            self._entries.put(key, entry)
        return entry

    def _computed(self, client: Party, found: Dependency, state: _State, policy: Policy, budget: Budget) -> _Entry:
        view = _View(self._inventory, self._decided)
        outlined = partial(self._outlines.party, policy=policy, rendering=state.rendering, surroundings=self._inventory)
        each = len(client.planes) * (2 if found.wire is None else 1)
        servers = _Bounded(Servers(view, policy, outlined), each, budget)
        composer = Composer(Mesh(state.istio, view), view, servers)
        budget.spend(each)
        judged = next(composer.judged(client, Findings((found,)), Confidence.POSSIBLE))
        verdict = judged.verdict
        known = judged.service is not None
        return _Entry(verdict.outcome, verdict.code, verdict.at, known=known, state=state, view=view)

    def _is_valid(self, entry: _Entry, state: _State) -> bool:
        if entry.state is not state:
            if entry.state.istio is not state.istio or not self._answers(entry.answers.items()):
                return False
            entry.state = state
        return not entry.decided or self._are_decided(entry)

    def _are_decided(self, entry: _Entry) -> bool:
        """Return whether the pods that a verdict depends on are decided as before."""
        changes = self._decided.changes
        if entry.changes != changes:
            if any(self._decided.has_sidecar(*pods) is not answer for pods, answer in entry.decided.items()):
                return False
            entry.changes = changes
        return True

    def _answers(self, recorded: Iterable[tuple[Reference, Any]]) -> bool:
        """Return whether all lookups return the same as before."""
        for question, answer in recorded:
            now = ask(self._inventory, question)
            now = getattr(now, "digest", now)
            if now is not answer and now != answer:
                return False
        return True

    def _state(self) -> _State:
        now, changes = self._now, self._inventory.changes
        if now is not None and now.changes == changes and self._clock() < self._until:
            return now
        istio = self._istio(now)
        if now is None or istio is not now.istio or changes != now.changes:
            labels = now.labels if now is not None and istio is now.istio else _selecting(istio)
            now = self._now = _State(istio, changes, labels, Rendering(held=istio.settings.held))
        return now

    def _istio(self, now: _State | None) -> IstioConfiguration:
        moment = self._clock()
        if now is not None and moment < self._until:
            return now.istio
        self._until = moment + self._settle
        return self._inventory.istio


class _Bounded:
    """The pods behind Services, of which each is charged to the budget. Implements `Neighbours`."""

    def __init__(self, servers: Servers, each: int, budget: Budget) -> None:
        self._servers = servers
        self._each = each
        self._budget = budget

    def servers(self, service: Service) -> Sequence[Party] | None:
        found = self._servers.servers(service)
        planes = 2 if found is None else sum(len(party.planes) for party in found)
        self._budget.spend(self._each * planes)
        return found


def _is_own(found: Dependency, code: str, namespace: str, own: Sequence[Dependency]) -> bool:
    """Return whether the pod and its own namespace tell of a connection, and of why it breaks."""
    return found.service is not None and found.service[0] == namespace and code not in _ELSEWHERE and found in own


def _selecting(istio: IstioConfiguration) -> tuple[str, ...] | None:
    """Return the labels by which Sidecars and DestinationRules select clients; None where there are very many."""
    found: set[str] = set()
    for sidecar in istio.sidecars:
        found.update(sidecar.selects)
    for rule in istio.destinations:
        if (selector := rule.spec.workload_selector) is not None:
            found.update(selector.match_labels or (), (needed.key for needed in selector.match_expressions or ()))
    return tuple(sorted(found)) if len(found) <= _MOST_LABELS else None


def _selected(labels: Mapping[str, str], by: tuple[str, ...] | None) -> tuple[object, ...]:
    if not by:
        return () if by is not None else tuple(sorted(labels.items()))
    return tuple(map(labels.get, by))
