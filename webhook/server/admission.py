"""One AdmissionReview: bytes in, bytes out, and always an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from webhook.core.conformance import Contradiction, as_created, contradiction
from webhook.core.decision import Decision
from webhook.core.patch import patch
from webhook.core.pod import Pod
from webhook.core.review import AdmissionRequest, Denial, Review, answer, parse
from webhook.core.surroundings import Asked, Reference, Surroundings, SurroundingsUnknownError
from webhook.core.verdict import Policy
from webhook.server.memory import Case, Memory
from webhook.server.outcome import Admission, Outcome
from webhook.server.settings import OnError

# Several webhooks may warn about one pod; people should see who speaks.
_PREFIX = "sidecar-policy: "
_FAILED = "deciding about this pod failed, which is a fault of the webhook and not of the pod"
_NOT_SYNCED = "the cluster has not been read once yet, so nothing can be said about this pod"
# A namespace, then a ConfigMap in it, then a Service that the ConfigMap names: each may be new.
_LOOK_UPS = 3
LARGE = 64 * 1024
"""Bytes of a review. A larger one, with thousands of settings maybe, is decided in a thread unless it is known."""


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


LookUp = Callable[[Collection[Reference]], Awaitable[bool]]
"""Reads objects directly that were asked for and not there; answers whether one of them is there now."""


@dataclass(frozen=True, slots=True)
class Decider:
    """All that a decision needs besides the request.

    Attributes:
        policies: Gives the policy in force.
        surroundings: The cluster, or the manifests that stand for it.
        memory: What was found of pods, for those that are like them.
        look_up: For objects that were created a moment ago; None where the surroundings are all there is.
        on_error: What to answer when deciding fails.
        strict: Whether a pod that contradicts its decision is refused.
    """

    policies: Policies
    surroundings: Surroundings
    memory: Memory = field(default_factory=Memory)
    look_up: LookUp | None = None
    on_error: OnError = OnError.ALLOW
    strict: bool = False


Judge = Callable[[Pod, Review, Decider, Admission], Awaitable[bytes]]


async def admit(body: bytes | bytearray, decider: Decider, admission: Admission, judge: Judge) -> bytes:
    """Answer one AdmissionReview.

    Args:
        body: The body of the request.
        decider: All that a decision needs besides.
        admission: Filled in with how it went, also when this raises.
        judge: `mutate` or `validate`.

    Returns:
        The body of the answer, with HTTP status 200.

    Raises:
        UnreadableReviewError: The body is no AdmissionReview that can be answered.
    """
    admission.outcome = Outcome.BAD_REVIEW
    review = parse(body)
    request = admission.request = review.request
    if not _is_creation_of_a_pod(request):
        admission.outcome = Outcome.IGNORED
        return answer(request.uid)
    if review.problem:
        admission.outcome = Outcome.UNREADABLE_POD
        return _unchanged(admission, request, f"the pod was left as it is: {review.problem}")
    if review.pod is None:
        admission.outcome = Outcome.NO_OBJECT
        return _unchanged(admission, request, "the request has no object, so there is nothing to decide")
    admission.pod = review.pod
    try:
        return await judge(review.pod, review, decider, admission)
    except SurroundingsUnknownError:
        admission.outcome = Outcome.NOT_SYNCED
        return _failed(admission, request, decider.on_error, _NOT_SYNCED)
    except Exception as error:  # noqa: BLE001 - the API server gets a deliberate answer, whatever broke
        admission.error = error
        admission.outcome = Outcome.INTERNAL_ERROR
        return _failed(admission, request, decider.on_error, _FAILED)


async def mutate(pod: Pod, review: Review, decider: Decider, admission: Admission) -> bytes:
    """Decide about a pod, and answer with the patch that carries the decision out."""
    decision = await _decide(pod, review, decider, decider.policies.current, review.document)
    operations = patch(pod, decision)
    response = answer(
        review.request.uid,
        patch=operations,
        warnings=[_PREFIX + warning for warning in decision.warnings],
        audit_annotations=_audit_annotations(decision),
    )
    admission.decision = decision
    admission.outcome = Outcome.PATCHED if operations else Outcome.UNCHANGED
    return response


async def validate(pod: Pod, review: Review, decider: Decider, admission: Admission) -> bytes:
    """Compare a pod, after all mutation, with what is decided about it; refuse it only if that is wanted.

    A policy that was replaced between the two webhooks is no contradiction: being as any recent policy says is enough.
    """
    namespace_labels = decider.surroundings.namespace_labels(review.request.namespace)
    document = as_created(review.document(), namespace_labels)
    created = msgspec.convert(document, Pod)
    found: Contradiction | None = None
    for policy in decider.policies.recent:
        admission.decision = await _decide(created, review, decider, policy, lambda: document)
        found = contradiction(pod, admission.decision)
        if found is None:
            break
    if found is None:
        admission.outcome = Outcome.CONFORMS
        return answer(review.request.uid)
    admission.contradiction = found
    admission.outcome = Outcome.DENIED if decider.strict else Outcome.CONTRADICTS
    sentence = _PREFIX + found.sentence
    return answer(
        review.request.uid,
        denial=Denial(sentence, HTTPStatus.FORBIDDEN.value, "Forbidden") if decider.strict else None,
        warnings=() if decider.strict else (sentence,),
        audit_annotations={"contradiction": found.code},
    )


async def _decide(
    pod: Pod, review: Review, decider: Decider, policy: Policy, document: Callable[[], dict[str, Any]]
) -> Decision:
    """The decision, made anew when what was asked for and missed turns out to have been created just now."""
    namespace = review.request.namespace
    for left in reversed(range(_LOOK_UPS + 1)):
        asked = Asked(decider.surroundings)
        case = Case(decider.memory, pod, namespace, surroundings=asked, policy=policy)
        if (known := case.recall()) is not None:
            decision = known
        elif len(review.body) > LARGE:
            decision = await asyncio.to_thread(case.decide, document)
        else:
            decision = case.decide(document)
        if decider.look_up is None or not left or not (missed := asked.missed) or not await decider.look_up(missed):
            break
    return decision


def _is_creation_of_a_pod(request: AdmissionRequest) -> bool:
    kind = request.kind
    return (
        request.operation == "CREATE"
        and kind.kind == "Pod"
        and kind.group == ""
        and kind.version == "v1"
        and request.sub_resource == ""
    )


def _unchanged(admission: Admission, request: AdmissionRequest, detail: str) -> bytes:
    admission.detail = detail
    return answer(request.uid, warnings=(_PREFIX + detail,))


def _failed(admission: Admission, request: AdmissionRequest, on_error: OnError, why: str) -> bytes:
    admission.decision = None
    admission.detail = why
    if on_error is OnError.DENY:
        return answer(request.uid, denial=Denial(message=_PREFIX + why))
    return answer(request.uid, warnings=(f"{_PREFIX}{why}; it was left as it is",))


def _audit_annotations(decision: Decision) -> dict[str, str]:
    """What the API server's audit log keeps; it puts the webhook's name and a slash before each key."""
    said = decision.summary
    annotations = {"decision": said["action"], "mode": said["mode"], "reason": said["reason"], "policy": said["policy"]}
    if decision.rule is not None:
        annotations["rule"] = decision.rule
    if said["dependencies"]:
        annotations["dependencies"] = ",".join(said["dependencies"])
    return annotations
