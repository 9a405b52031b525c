"""How a decision is made for a request: at once where it takes little, else in a thread, and in any case in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from webhook.core import engine
from webhook.core.budget import Budget
from webhook.core.decision import Decision, Findings
from webhook.core.outline import is_large
from webhook.core.pod import Pod
from webhook.core.review import Review
from webhook.core.surroundings import Asked, Reference, Surroundings
from webhook.core.verdict import Policy
from webhook.server.loop_share import LoopShare
from webhook.server.memory import Case, Memory
from webhook.server.settings import OnError
from webhook.server.workers import Caller, Workers

# A namespace, then a ConfigMap in it, then a Service that the ConfigMap names: each may be new.
_LOOK_UPS = 3
_UNDETECTED = 256
"""Units of work for rules alone, on the event loop: in some milliseconds."""


class Policies(Protocol):
    """Where the policy in force comes from: it may be another one at each request."""

    @property
    def current(self) -> Policy:
        """The policy in force, immutable."""
        ...

    @property
    def recent(self) -> Sequence[Policy]:
        """The policy in force, and those that were in force a moment ago."""
        ...


Created = Callable[[], tuple[Pod, Callable[[], dict[str, Any]]]]
"""Gives a pod as it is to be created, and what gives the whole of it as a dict."""
LookUp = Callable[[Collection[Reference]], Awaitable[bool]]
"""Reads objects directly that were asked for and not there; answers whether one of them is there now."""


@dataclass(frozen=True, slots=True)
class Decider:
    """All that a decision needs besides the request.

    Attributes:
        policies: Gives the policy in force.
        surroundings: The cluster, or the manifests that stand for it.
        memory: What was found of pods, for those that are like them.
        workers: Where decisions are made that take long.
        loop_share: How long those may take that are made on the event loop.
        look_up: For objects that were created a moment ago; None where the surroundings are all there is.
        on_error: What to answer when deciding fails.
        strict: Whether a pod that contradicts its decision is refused.
    """

    policies: Policies
    surroundings: Surroundings
    memory: Memory = field(default_factory=Memory)
    workers: Workers = field(default_factory=Workers)
    loop_share: LoopShare = field(default_factory=LoopShare)
    look_up: LookUp | None = None
    on_error: OnError = OnError.ALLOW
    strict: bool = False


async def decide(
    created: Created, review: Review, decider: Decider, policy: Policy, caller: Caller
) -> tuple[Decision, bool]:
    """Make the decision, and say whether it was made in time.

    It is made again when what was asked for and missed turns out to have been created just now.

    Args:
        created: Gives the pod as it is to be created. Of a large review it is only called in a thread.
        review: What it came in; of a large pod it may hold no more than an outline.
        decider: All that a decision needs besides.
        policy: The policy that decides.
        caller: Who waits for the decision.

    Raises:
        OverloadedError: No thread was free in time.
        ClientGoneError: The client has gone.
    """
    namespace = review.request.namespace
    left = _LOOK_UPS
    while True:
        asked = Asked(decider.surroundings)
        made: Decision | None = None
        work: Callable[[Callable[[], bool]], tuple[Decision, bool]]
        if review.unread:
            work = partial(_by_outline, created, namespace, asked, policy, review.unread)
        else:
            work = partial(_in_full, decider.memory, created, namespace, asked, policy)
        if not is_large(review.body):
            pod, document = created()
            case = Case(decider.memory, pod, namespace, surroundings=asked, policy=policy)
            made = _at_once(case, document, decider.loop_share)
        decision, in_time = (made, True) if made is not None else await decider.workers.run(namespace, work, caller)
        if decider.look_up is None or not left or not (missed := asked.missed) or not await decider.look_up(missed):
            return decision, in_time
        left -= 1


def _at_once(case: Case, document: Callable[[], dict[str, Any]], share: LoopShare) -> Decision | None:
    """The decision where it is known, or takes little to make; else None."""
    if (known := case.recall()) is not None:
        return known
    with share.budget() as budget:
        decision = case.decide(document, budget)
    return None if budget.exceeded else decision


def _in_full(
    memory: Memory,
    created: Created,
    namespace: str,
    asked: Asked,
    policy: Policy,
    cancelled: Callable[[], bool],
) -> tuple[Decision, bool]:
    """The decision, and whether it was made before it was cancelled."""
    pod, document = created()
    case = Case(memory, pod, namespace, surroundings=asked, policy=policy)
    budget = Budget(cancelled=cancelled)
    return case.recall() or case.decide(document, budget), not budget.cancelled


def _by_outline(
    created: Created,
    namespace: str,
    asked: Asked,
    policy: Policy,
    unread: str,
    cancelled: Callable[[], bool],
) -> tuple[Decision, bool]:
    """As `_in_full`, of an outline: it is not remembered, for a pod that has no more than that is alike."""
    pod, document = created()
    budget = Budget(cancelled=cancelled)
    decision = engine.decide(
        pod, namespace, document=document, surroundings=asked, policy=policy, budget=budget, unread=unread
    )
    return decision, not budget.cancelled


def decide_undetected(created: Created, review: Review, decider: Decider, policy: Policy, why: str) -> Decision:
    """Decide by all but what the pod talks to; `why` says why that is not known. Arguments as for `decide`."""
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
