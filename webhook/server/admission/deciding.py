"""Make a decision within its deadline: on the event loop if it is cheap, else in a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from webhook.core.budget import Budget
from webhook.core.decision import Decision, Findings
from webhook.core.recording import RecordingView
from webhook.core.surroundings import Reference, Surroundings
from webhook.decision import engine
from webhook.decision.cache import DecisionCache, Lookup
from webhook.decision.policy import Policy
from webhook.kubernetes.admission import Review
from webhook.kubernetes.outline import decoded_size, is_large
from webhook.kubernetes.pod import Pod
from webhook.server.admission.loop_share import LoopShare
from webhook.server.admission.workers import Caller, Workers
from webhook.server.settings import OnError
from webhook.verdicts.foreseen import NONE, Connections
from webhook.verdicts.judge import MOST_UNITS
from webhook.verdicts.judge import Judge as ConnectionJudge

# A namespace, then a ConfigMap in it, then a Service that the ConfigMap names: each may be new.
_LOOK_UPS = 3
_UNDETECTED = 256
"""Units of work for rules alone, on the event loop: some milliseconds."""


class Policies(Protocol):
    """Provides the active policy, which may change between requests."""

    @property
    def current(self) -> Policy:
        """The active policy, immutable."""
        ...

    @property
    def recent(self) -> Sequence[Policy]:
        """The active policy, and those that were active recently."""
        ...


Created = Callable[[], tuple[Pod, Callable[[], dict[str, Any]]]]
"""Returns a pod as submitted for creation, and a function that returns all of it as a dict."""
LookUp = Callable[[Collection[Reference]], Awaitable[bool]]
"""Reads objects directly that a decision looked up and missed; returns whether one of them exists now."""


@dataclass(frozen=True, slots=True)
class Decider:
    """The dependencies of a decision, besides the request.

    Attributes:
        policies: Provides the active policy.
        surroundings: The cluster context, from a live cluster or manifests.
        cache: Findings and decisions of pods that are alike.
        workers: The threads for decisions that take long.
        loop_share: Limits the time that decisions take on the event loop.
        look_up: Reads objects that the watches have not delivered yet; None without a live cluster.
        connections: Judges the pods' connections; None judges none.
        on_error: The response if deciding fails.
        strict: Whether a pod that contradicts its decision is rejected.
    """

    policies: Policies
    surroundings: Surroundings
    cache: DecisionCache = field(default_factory=DecisionCache)
    workers: Workers = field(default_factory=Workers)
    loop_share: LoopShare = field(default_factory=LoopShare)
    look_up: LookUp | None = None
    connections: ConnectionJudge | None = None
    on_error: OnError = OnError.ALLOW
    strict: bool = False


class Made(NamedTuple):
    """A decision.

    Attributes:
        decision: The decision.
        in_time: Whether it was complete before the deadline.
        connections: What becomes of the pod's connections.
    """

    decision: Decision
    in_time: bool = True
    connections: Connections = NONE


async def decide(created: Created, review: Review, decider: Decider, policy: Policy, caller: Caller) -> Made:
    """Make the decision.

    It is made again if an object that it looked up and missed turns out to have been created just now.

    Args:
        created: Returns the pod as submitted for creation. For a large review it is only called in a thread.
        review: The pod's review; for a large pod it may contain only an outline.
        decider: The decision's other dependencies.
        policy: The policy to evaluate.
        caller: The deadline, and the client that waits.

    Raises:
        OverloadedError: No thread was free in time.
        ClientGoneError: The client has disconnected.
    """
    namespace = review.request.namespace
    left = _LOOK_UPS
    while True:
        asked = RecordingView(decider.surroundings)
        made: Made | None = None
        work: Callable[[Callable[[], bool]], Made]
        if review.unread:
            work = partial(_by_outline, created, namespace, asked, policy, review.unread)
        else:
            work = partial(_in_full, decider, created, namespace, asked, policy)
        if not is_large(review.body):
            made = _at_once(decider, created, namespace, asked, policy)
        if made is None:
            made = await decider.workers.run(namespace, work, caller, size=_kept(review.body))
        if decider.look_up is None or not left or not (missed := asked.missed) or not await decider.look_up(missed):
            return made
        left -= 1


def _kept(body: bytes | bytearray) -> int:
    """Return how many bytes of memory a review that waits keeps; a large one is counted where it is received."""
    return 0 if is_large(body) else len(body) + decoded_size(body)


def _at_once(decider: Decider, created: Created, namespace: str, asked: RecordingView, policy: Policy) -> Made | None:
    """Return the decision if it is cached, or cheap to make; else None."""
    pod, document = created()
    lookup = Lookup(decider.cache, pod, namespace, surroundings=asked, policy=policy)
    known, judge = lookup.recall(), decider.connections
    if known is not None:
        if judge is None or not known.findings.dependencies:
            return Made(known)
        noted = lookup.noted(known)
        if noted is not None and judge.holds(noted):
            return Made(known, True, noted)  # noqa: FBT003 - as `Made` has it
    with decider.loop_share as budget:
        decision = known or lookup.decide(document, budget)
        if budget.exceeded:
            return None
        budget.refill()
        connections = _connections(decider, lookup, decision, budget, last=False)
    return Made(decision, True, connections) if budget.is_conclusive else None  # noqa: FBT003 - the same


def _in_full(
    decider: Decider,
    created: Created,
    namespace: str,
    asked: RecordingView,
    policy: Policy,
    cancelled: Callable[[], bool],
) -> Made:
    """Return the decision, which may be incomplete, because it was cancelled."""
    pod, document = created()
    lookup = Lookup(decider.cache, pod, namespace, surroundings=asked, policy=policy)
    budget = Budget(cancelled=cancelled)
    decision = lookup.recall() or lookup.decide(document, budget)
    connections = _connections(decider, lookup, decision, Budget(MOST_UNITS, cancelled), last=True)
    return Made(decision, not budget.cancelled, connections)


def _connections(decider: Decider, lookup: Lookup, decision: Decision, budget: Budget, *, last: bool) -> Connections:
    """Return the pod's connections, cached or judged.

    Args:
        decider: Has the judge.
        lookup: The pod.
        decision: The decision about it.
        budget: Work that may be spent.
        last: Whether what exceeds the budget is final, and will not be judged with a larger one.
    """
    judge = decider.connections
    if judge is None:
        return NONE
    noted: Connections | None = lookup.noted(decision)
    if noted is not None and judge.holds(noted):
        return noted
    connections = judge.decided(lookup.pod, lookup.namespace, decision, lookup.policy, budget)
    if connections.error is None and (last or not budget.exceeded) and not budget.cancelled:
        lookup.note(decision, connections)
    return connections


def _by_outline(
    created: Created,
    namespace: str,
    asked: RecordingView,
    policy: Policy,
    unread: str,
    cancelled: Callable[[], bool],
) -> Made:
    """Decide like `_in_full`, from an outline; not cached, since pods with equal outlines may differ."""
    pod, document = created()
    budget = Budget(cancelled=cancelled)
    decision = engine.decide(
        pod, namespace, document=document, surroundings=asked, policy=policy, budget=budget, unread=unread
    )
    return Made(decision, not budget.cancelled)


def decide_undetected(created: Created, review: Review, decider: Decider, policy: Policy, why: str) -> Decision:
    """Decide without detection, for the reason `why`. The other arguments are those of `decide`."""
    pod, document = created()
    return engine.decide(
        pod,
        review.request.namespace,
        document=document,
        surroundings=decider.surroundings,
        policy=policy,
        detect=lambda *_: Findings(unknown=(why,), cut=True),
        budget=Budget(_UNDETECTED),
        unread=review.unread,
    )
