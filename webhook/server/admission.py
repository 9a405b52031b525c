"""One AdmissionReview: bytes in, bytes out, and always an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec

from webhook.core.conformance import Contradiction, as_created, contradiction, is_decided, is_refuted
from webhook.core.decision import Decision
from webhook.core.outline import is_large, parse
from webhook.core.patch import patch
from webhook.core.pod import Pod
from webhook.core.response import Denial, answer
from webhook.core.review import AdmissionRequest, Review, UnreadableObjectError
from webhook.core.surroundings import SurroundingsUnknownError
from webhook.server.body import ClientGoneError
from webhook.server.deciding import Created, Decider, decide, decide_undetected
from webhook.server.outcome import Admission, Outcome
from webhook.server.settings import OnError
from webhook.server.workers import ANYBODY, Caller, OverloadedError

# Several webhooks may warn about one pod; people should see who speaks.
_PREFIX = "sidecar-policy: "
_FAILED = "deciding about this pod failed, which is a fault of the webhook and not of the pod"
_NOT_SYNCED = "the cluster has not been read once yet, so nothing can be said about this pod"
_NOT_IN_TIME = "deciding about the pod took too long"

Judge = Callable[[Pod, Review, Decider, Admission, Caller], Awaitable[bytes]]


async def admit(
    body: bytes | bytearray, decider: Decider, admission: Admission, judge: Judge, caller: Caller = ANYBODY
) -> bytes:
    """Answer one AdmissionReview.

    Args:
        body: The body of the request.
        decider: All that a decision needs besides.
        admission: Filled in with how it went, also when this raises.
        judge: `mutate` or `validate`.
        caller: Who waits for the answer.

    Returns:
        The body of the answer, with HTTP status 200.

    Raises:
        ClientGoneError: The client has gone, and nobody waits for the answer.
        UnreadableReviewError: The body is no AdmissionReview that can be answered.
    """
    admission.outcome = Outcome.BAD_REVIEW
    review = parse(body)
    request = admission.request = review.request
    if not _is_creation_of_a_pod(request):
        admission.outcome = Outcome.IGNORED
        return answer(request.uid)
    # A pod that cannot be checked, for whatever reason, must not get past a check that is strict.
    strict = decider.strict and judge is validate
    on_error = OnError.DENY if strict else decider.on_error
    if review.problem:
        admission.outcome = Outcome.UNREADABLE_POD
        return _unreadable(admission, request, strict, review.problem)
    if review.pod is None:
        admission.outcome = Outcome.NO_OBJECT
        return _unchanged(admission, request, "the request has no object, so there is nothing to decide")
    admission.pod = review.pod
    try:
        return await judge(review.pod, review, decider, admission, caller)
    except ClientGoneError:
        raise
    except UnreadableObjectError as error:
        admission.outcome = Outcome.UNREADABLE_POD
        return _unreadable(admission, request, strict, str(error))
    except OverloadedError as error:
        # Only /validate comes here. Who floods the server with pods must not get one past it.
        admission.outcome = Outcome.OVERLOADED
        return _failed(admission, request, on_error, str(error))
    except SurroundingsUnknownError:
        admission.outcome = Outcome.NOT_SYNCED
        return _failed(admission, request, on_error, _NOT_SYNCED)
    except Exception as error:  # noqa: BLE001 - the API server gets a deliberate answer, whatever broke
        admission.error = error
        admission.outcome = Outcome.INTERNAL_ERROR
        return _failed(admission, request, on_error, _FAILED)


async def mutate(pod: Pod, review: Review, decider: Decider, admission: Admission, caller: Caller) -> bytes:
    """Decide about a pod, and answer with the patch that carries the decision out.

    Where there is no time to look at what it talks to, that is not known, and decided as such. A pod that comes a
    second time, with what was patched into it, is decided as the first time.
    """
    policy = decider.policies.current
    namespace, believed = review.request.namespace, True
    namespace_labels = decider.surroundings.namespace_labels(namespace)
    created = _as_created(review, decider) if is_decided(pod) else _as_it_is(pod, review)
    try:
        decision, in_time = await decide(created, review, decider, policy, caller)
        if is_decided(pod) and is_refuted(pod, namespace, namespace_labels, decision):
            created, believed = _as_created(review, decider, believed=False), False
            decision, in_time = await decide(created, review, decider, policy, caller)
    except OverloadedError as error:
        created = _as_it_is(pod, review) if is_large(review.body) else created
        decision, in_time = decide_undetected(created, review, decider, policy, str(error)), False
    operations = patch(pod, decision, namespace_labels, believed=believed)
    response = answer(
        review.request.uid,
        patch=operations,
        warnings=[_PREFIX + warning for warning in decision.shown.warnings],
        audit_annotations=_audit_annotations(decision),
    )
    admission.decision = decision
    admission.outcome = Outcome.PATCHED if operations else Outcome.UNCHANGED
    if not in_time:
        admission.outcome = Outcome.OVERLOADED
    return response


async def validate(pod: Pod, review: Review, decider: Decider, admission: Admission, caller: Caller) -> bytes:
    """Compare a pod, after all mutation, with what is decided about it; refuse it only if that is wanted.

    A policy that was replaced between the two webhooks is no contradiction: being as any recent policy says is enough.
    Where there is no time to decide, nothing can be said.
    """
    if review.unread:
        # The author chooses how large a pod is, and must not escape by that.
        admission.outcome = Outcome.UNREADABLE_POD
        return _failed(admission, review.request, OnError.DENY if decider.strict else decider.on_error, review.unread)
    namespace = review.request.namespace
    namespace_labels = decider.surroundings.namespace_labels(namespace)
    created = _as_created(review, decider)
    found: Contradiction | None = None
    for policy in decider.policies.recent:
        admission.decision, in_time = await decide(created, review, decider, policy, caller)
        if is_decided(pod) and is_refuted(pod, namespace, namespace_labels, admission.decision):
            unforged = _as_created(review, decider, believed=False)
            admission.decision, in_time = await decide(unforged, review, decider, policy, caller)
        if not in_time:
            raise OverloadedError(_NOT_IN_TIME)
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


def _as_it_is(pod: Pod, review: Review) -> Created:
    return lambda: (pod, review.document)


def _as_created(review: Review, decider: Decider, *, believed: bool = True) -> Created:
    """Return what gives the pod as it was before any webhook; a large one is made when needed, and not kept."""
    namespace_labels = decider.surroundings.namespace_labels(review.request.namespace)

    def made() -> tuple[Pod, Callable[[], dict[str, Any]]]:
        document = as_created(review.document(), namespace_labels, believed=believed)
        return msgspec.convert(document, Pod), lambda: document

    if is_large(review.body):
        return made
    once = made()
    return lambda: once


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


def _unreadable(admission: Admission, request: AdmissionRequest, strict: bool, why: str) -> bytes:  # noqa: FBT001
    if strict:
        return _failed(admission, request, OnError.DENY, f"the pod cannot be read: {why}")
    return _unchanged(admission, request, f"the pod was left as it is: {why}")


def _failed(admission: Admission, request: AdmissionRequest, on_error: OnError, why: str) -> bytes:
    admission.decision = None
    admission.detail = why
    if on_error is OnError.DENY:
        return answer(request.uid, denial=Denial(message=_PREFIX + why))
    return answer(request.uid, warnings=(f"{_PREFIX}{why}; it was left as it is",))


def _audit_annotations(decision: Decision) -> dict[str, str]:
    """What the API server's audit log keeps; it puts the webhook's name and a slash before each key."""
    said = decision.shown.summary
    annotations = {"decision": said["action"], "mode": said["mode"], "reason": said["reason"], "policy": said["policy"]}
    if decision.rule is not None:
        annotations["rule"] = decision.rule
    if said["dependencies"]:
        annotations["dependencies"] = ",".join(said["dependencies"])
    return annotations
