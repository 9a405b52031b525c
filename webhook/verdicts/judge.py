"""Judge the connections of pods that the server decides about, or that run.

Most new pods cost a lookup, since their connections are like those of others, and a replica one comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from webhook.core.budget import Budget, BudgetExceededError
from webhook.core.decision import NO_FINDINGS, Action, Confidence, Decision, Dependency, Findings
from webhook.core.surroundings import Service
from webhook.core.verdict import Outcome
from webhook.decision.policy import Policy
from webhook.kubernetes.pod import Pod
from webhook.mesh.connections import Mesh
from webhook.mesh.eligibility import AMBIENT, DATAPLANE_MODE
from webhook.mesh.party import Party
from webhook.verdicts.compose import Composer
from webhook.verdicts.foreseen import NONE, NOT_JUDGED, Connections, Foreseen
from webhook.verdicts.known import Entry, Inventory, Known, State, selected
from webhook.verdicts.parties import as_decided, as_running
from webhook.verdicts.servers import Outlines, Servers

MOST_UNITS: Final = 1024
"""Units of work for the connections of one pod, of some 25 us each: as many combinations of what is not known."""
SETTLE_SECONDS: Final = 0.25
"""How long Istio's configuration is not looked at again: changes that come in bursts count as one."""
_OBJECTS: Final = 64
"""Objects of Istio's, and Services, that are gone through in one unit of work."""
# Causes that may lie in objects of any namespace.
_ELSEWHERE: Final = frozenset({"port-captured", "not-in-registry"})
_POD: Final = "the pod"


class Judge:
    """Judges the connections of pods of a cluster that is watched. Bounded; thread-safe; does no I/O."""

    def __init__(
        self, inventory: Inventory, *, clock: Callable[[], float] = time.monotonic, settle: float = SETTLE_SECONDS
    ) -> None:
        """Start with nothing known.

        Args:
            inventory: The cluster context.
            clock: Monotonic, in seconds.
            settle: Seconds for which Istio's configuration is not looked at again.
        """
        self._inventory = inventory
        self._known = Known(inventory, clock, settle)
        self._outlines = Outlines()

    def holds(self, connections: Connections) -> bool:
        """Return whether connections would be judged the same now."""
        state, changes = self._known.state(), self._known.decided.changes
        if connections.state is not state or (connections.changes != changes and connections.depends):
            if not all(self._known.is_valid(entry, state) for entry in connections.entries):
                return False
            connections.state, connections.changes = state, changes
        return True

    def decided(self, pod: Pod, namespace: str, decision: Decision, policy: Policy, budget: Budget) -> Connections:
        """Judge the connections of a pod as it is to be created, which is remembered: it may be a server of others.

        Args:
            pod: The pod as submitted.
            namespace: Where it is to be created.
            decision: The decision about it.
            policy: The policy that decided.
            budget: Work that may be spent. Where it is exceeded, the rest of the connections is unknown.

        Returns:
            The connections. Never raises: the decision stands, whatever happens here.
        """
        try:
            if decision.findings is NO_FINDINGS:
                # No rule needed any, so that the outline of the pod shows what is decided about it.
                return NONE
            if not decision.findings.dependencies:
                self._known.decided.remember(pod, namespace, decision, None)
                return NONE
            rendering = self._known.state().rendering
            party = as_decided(_POD, namespace, pod, decision, rendering)
            self._known.decided.remember(pod, namespace, decision, party)

            def inherited() -> Party:
                default = replace(decision, action=Action.INHERIT, ports=(), hold=False)
                return as_decided(_POD, namespace, pod, default, rendering)

            changes = decision.action is not Action.INHERIT and decision.is_enforced
            return self._judged(party, inherited if changes else None, decision, policy, budget)
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
        if decision.findings is NO_FINDINGS:
            return NONE
        try:
            self._known.decided.remember(created, namespace, decision, None)
            if not decision.findings.dependencies:
                return NONE
            rendering = self._known.state().rendering
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
        state, changes = self._known.state(), self._known.decided.changes
        least, hides = policy.min_confidence.rank, policy.hides_other_namespaces
        own = decision.shown.findings.dependencies
        foreseen, entries = [], []
        client, left = _Client(party, state, policy), None
        for found in decision.findings.dependencies:
            if found.confidence.rank < least:
                continue
            entry = None if budget.exceeded else self._entry(client, found, state, policy, budget)
            if entry is None:
                foreseen.append(Foreseen(found, known=False, outcome=Outcome.UNKNOWN, code=NOT_JUDGED, at=None))
                continue
            entries.append(entry)
            shown = harmed = False
            if entry.at is not None:
                shown = not hides or _is_own(found, entry.code, party.namespace, own)
                if otherwise is not None:
                    left = left or _Client(otherwise(), state, policy)
                    other = self._entry(left, found, state, policy, budget)
                    if other is not None:
                        entries.append(other)
                        harmed = other.outcome is Outcome.FLOWS
            foreseen.append(Foreseen(found, entry.known, entry.outcome, entry.code, entry.at, shown, harmed))
        return Connections(tuple(foreseen), entries=entries, state=state, changes=changes)

    def _entry(self, client: _Client, found: Dependency, state: State, policy: Policy, budget: Budget) -> Entry | None:
        """Return the verdict about a connection, cached or computed; None beyond the budget."""
        key = client.key, found.service, found.host, found.port, found.wire, found.init
        entry = self._known.get(key, state)
        if entry is None:
            try:
                entry = self._computed(client.party, found, state, policy, budget)
            except BudgetExceededError:
                return None
            self._known.put(key, entry)
        return entry

    def _computed(self, client: Party, found: Dependency, state: State, policy: Policy, budget: Budget) -> Entry:
        view = self._known.view()
        outlined = partial(self._outlines.party, policy=policy, rendering=state.rendering, surroundings=self._inventory)
        spaces = {client.namespace} if found.service is None else {client.namespace, found.service[0]}
        objects = state.istio.extent(spaces, found.port or 0) + sum(
            len(self._inventory.services(space)) for space in spaces
        )
        ways = len(client.planes) + (client.intercepted.outbound(found.port or 0, None) is None)
        each = ways * (2 if found.wire is None else 1) * (1 + objects // _OBJECTS)
        servers = _Bounded(Servers(view, policy, outlined), each, budget)
        composer = Composer(Mesh(state.istio, view), view, servers)
        budget.spend(each)
        judged = next(composer.judged(client, Findings((found,)), Confidence.POSSIBLE))
        verdict = judged.verdict
        known = judged.service is not None
        return Entry(verdict.outcome, verdict.code, verdict.at, known=known, state=state, view=view)


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


class _Client:
    """A pod, with all of it that a verdict depends on, as a key."""

    __slots__ = ("key", "party")

    def __init__(self, party: Party, state: State, policy: Policy) -> None:
        self.party = party
        self.key = (
            party.namespace,
            selected(party.labels, state.labels),
            party.planes,
            party.intercepted,
            party.native,
            party.held,
            party.batch,
            party.as_proxy,
            party.init_as_proxy,
            policy.version,
        )
