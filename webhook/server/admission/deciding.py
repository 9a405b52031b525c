"""Make a decision within its deadline: on the event loop if it is cheap, else in a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

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
        on_error: The response if deciding fails.
        strict: Whether a pod that contradicts its decision is rejected.
    """

    policies: Policies
    surroundings: Surroundings
    cache: DecisionCache = field(default_factory=DecisionCache)
    workers: Workers = field(default_factory=Workers)
    loop_share: LoopShare = field(default_factory=LoopShare)
    look_up: LookUp | None = None
    on_error: OnError = OnError.ALLOW
    strict: bool = False


async def decide(
    created: Created, review: Review, decider: Decider, policy: Policy, caller: Caller
) -> tuple[Decision, bool]:
    """Make the decision; return it, and whether it was complete before the deadline.

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
        made: Decision | None = None
        work: Callable[[Callable[[], bool]], tuple[Decision, bool]]
        if review.unread:
            work = partial(_by_outline, created, namespace, asked, policy, review.unread)
        else:
            work = partial(_in_full, decider.cache, created, namespace, asked, policy)
        if not is_large(review.body):
            pod, document = created()
            lookup = Lookup(decider.cache, pod, namespace, surroundings=asked, policy=policy)
            made = _at_once(lookup, document, decider.loop_share)
        if made is not None:
            decision, in_time = made, True
        else:
            decision, in_time = await decider.workers.run(namespace, work, caller, size=_kept(review.body))
        if decider.look_up is None or not left or not (missed := asked.missed) or not await decider.look_up(missed):
            return decision, in_time
        left -= 1


def _kept(body: bytes | bytearray) -> int:
    """Return how many bytes of memory a review that waits keeps; a large one is counted where it is received."""
    return 0 if is_large(body) else len(body) + decoded_size(body)


def _at_once(lookup: Lookup, document: Callable[[], dict[str, Any]], share: LoopShare) -> Decision | None:
    """Return the decision if it is cached, or cheap to make; else None."""
    if (known := lookup.recall()) is not None:
        return known
    with share as budget:
        decision = lookup.decide(document, budget)
    return None if budget.exceeded else decision


def _in_full(
    cache: DecisionCache,
    created: Created,
    namespace: str,
    asked: RecordingView,
    policy: Policy,
    cancelled: Callable[[], bool],
) -> tuple[Decision, bool]:
    """Return the decision, and whether it was complete before it was cancelled."""
    pod, document = created()
    lookup = Lookup(cache, pod, namespace, surroundings=asked, policy=policy)
    budget = Budget(cancelled=cancelled)
    return lookup.recall() or lookup.decide(document, budget), not budget.cancelled


def _by_outline(
    created: Created,
    namespace: str,
    asked: RecordingView,
    policy: Policy,
    unread: str,
    cancelled: Callable[[], bool],
) -> tuple[Decision, bool]:
    """Decide like `_in_full`, from an outline; not cached, since pods with equal outlines may differ."""
    pod, document = created()
    budget = Budget(cancelled=cancelled)
    decision = engine.decide(
        pod, namespace, document=document, surroundings=asked, policy=policy, budget=budget, unread=unread
    )
    return decision, not budget.cancelled


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
