"""Handle one AdmissionReview: bytes in, bytes out, and always a response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from webhook.core.budget import Budget
from webhook.core.decision import Decision
from webhook.core.surroundings import SurroundingsUnknownError
from webhook.decision.conformance import Contradiction, contradiction
from webhook.decision.created import AsCreated
from webhook.decision.policy import Policy
from webhook.kubernetes.admission import AdmissionRequest, Review, UnreadableObjectError
from webhook.kubernetes.outline import is_large, parse
from webhook.kubernetes.pod import Pod
from webhook.kubernetes.response import Denial, answer
from webhook.mesh import MESH
from webhook.server.admission.backlog import OverloadedError
from webhook.server.admission.connections import broken, harm, lost
from webhook.server.admission.deciding import Decider, Made, decide, decide_undetected
from webhook.server.admission.loop_share import INLINE
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.admission.workers import ANYBODY, Caller, ClientGoneError
from webhook.server.settings import OnError
from webhook.verdicts.foreseen import NONE, Connections

# Several webhooks may warn about one pod; the prefix attributes the warning.
_PREFIX = "sidecar-policy: "
_FAILED = "internal error in sidecar-policy; the pod was not evaluated"
_NOT_SYNCED = "cluster cache not synced yet; the pod was not evaluated"
_NOT_IN_TIME = "evaluating the pod timed out"

Judge = Callable[[Pod, Review, Decider, Admission, Caller], Awaitable[bytes]]


async def admit(
    body: bytes | bytearray, decider: Decider, admission: Admission, judge: Judge, caller: Caller = ANYBODY
) -> bytes:
    """Handle one AdmissionReview.

    Args:
        body: The body of the request.
        decider: The decision's other dependencies.
        admission: Filled in with the outcome, also if this raises.
        judge: `mutate` or `validate`.
        caller: The deadline, and the client that waits.

    Returns:
        The body of the response, with HTTP status 200.

    Raises:
        ClientGoneError: The client has disconnected.
        UnreadableReviewError: The body is not an AdmissionReview that can be answered.
    """
    admission.outcome = Outcome.BAD_REVIEW
    review = parse(body)
    request = admission.request = review.request
    if not _is_creation_of_a_pod(request):
        admission.outcome = Outcome.IGNORED
        return answer(request.uid)
    # A pod that cannot be checked, for whatever reason, must not bypass a strict check.
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
        # Only /validate raises it. Flooding the server with pods must not bypass a strict check.
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
    """Decide about a pod, and respond with the patch that implements the decision.

    If there is no time for detection, the policy's onUnknown decides. A pod that is submitted again, with the patch
    applied, gets the same decision as before.
    """
    policy = decider.policies.current
    created = _as_created(pod, review, decider, changed=MESH.is_decided(pod))
    try:
        made = await _decide(created, review, decider, policy, caller)
    except OverloadedError as error:
        cheap = _as_created(pod, review, decider, changed=False) if is_large(review.body) else created
        made = Made(decide_undetected(cheap, review, decider, policy, str(error)), in_time=False)
    decision, connections = made.decision, made.connections
    warnings = decision.shown.warnings
    if connections.broken:
        warnings = (*warnings, *harm(decision, connections))
    namespace_labels = decider.surroundings.namespace_labels(review.request.namespace)
    operations = MESH.patch(pod, decision, namespace_labels, believed=created.believed)
    response = answer(
        review.request.uid,
        patch=operations,
        warnings=[_PREFIX + warning for warning in warnings],
        audit_annotations=_audit_annotations(decision, connections),
    )
    admission.decision, admission.connections = decision, connections
    admission.outcome = Outcome.PATCHED if operations else Outcome.UNCHANGED
    if not made.in_time:
        admission.outcome = Outcome.OVERLOADED
    return response


async def validate(pod: Pod, review: Review, decider: Decider, admission: Admission, caller: Caller) -> bytes:
    """Compare a pod, after all mutation, with its decision; reject a contradiction only if `strict` is set.

    The policy may have been replaced between the two webhooks: conforming to any recent policy is enough. If there is
    no time to decide, it raises OverloadedError.
    """
    if review.unread:
        # The author chooses a pod's size, and must not evade the check by it.
        admission.outcome = Outcome.UNREADABLE_POD
        return _failed(admission, review.request, OnError.DENY if decider.strict else decider.on_error, review.unread)
    found: Contradiction | None = None
    connections = NONE
    for policy in decider.policies.recent:
        created = _as_created(pod, review, decider)
        made = await _decide(created, review, decider, policy, caller)
        admission.decision = made.decision
        if not made.in_time:
            raise OverloadedError(_NOT_IN_TIME)
        found = contradiction(pod, made.decision)
        if found is None:
            break
        connections = _as_stored(pod, created, review, decider, policy, made.decision)
    if found is None:
        admission.outcome = Outcome.CONFORMS
        return answer(review.request.uid)
    admission.contradiction, admission.connections = found, connections
    admission.outcome = Outcome.DENIED if decider.strict else Outcome.CONTRADICTS
    sentence = _PREFIX + found.sentence
    warnings = (sentence, *(_PREFIX + warning for warning in lost(connections)))
    return answer(
        review.request.uid,
        denial=Denial(sentence, HTTPStatus.FORBIDDEN.value, "Forbidden") if decider.strict else None,
        warnings=() if decider.strict else warnings,
        audit_annotations={"contradiction": found.code, **broken(connections)},
    )


def _as_created(pod: Pod, review: Review, decider: Decider, *, changed: bool = True) -> AsCreated:
    return AsCreated(pod, review.request.namespace, review.document, decider.surroundings, changed=changed)


async def _decide(created: AsCreated, review: Review, decider: Decider, policy: Policy, caller: Caller) -> Made:
    """Decide as `webhook.server.admission.deciding.decide`; again if the pod's annotations turn out to be forged."""
    made = await decide(created, review, decider, policy, caller)
    if created.is_refuted_by(made.decision):
        made = await decide(created, review, decider, policy, caller)
    return made


def _as_stored(
    pod: Pod, created: AsCreated, review: Review, decider: Decider, policy: Policy, decision: Decision
) -> Connections:
    """Judge the connections of a pod that contradicts its decision; a large one is not judged on the event loop."""
    if decider.connections is None or is_large(review.body):
        return NONE
    submitted, _ = created()
    namespace, budget = review.request.namespace, Budget(INLINE)
    return decider.connections.final(pod, submitted, namespace, decision, policy, budget)


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
    return _unchanged(admission, request, f"the pod was not changed: {why}")


def _failed(admission: Admission, request: AdmissionRequest, on_error: OnError, why: str) -> bytes:
    admission.decision = None
    admission.detail = why
    if on_error is OnError.DENY:
        return answer(request.uid, denial=Denial(message=_PREFIX + why))
    return answer(request.uid, warnings=(f"{_PREFIX}{why}; it was not changed",))


def _audit_annotations(decision: Decision, connections: Connections) -> dict[str, str]:
    """Return the audit annotations; the API server prefixes each key with the webhook's name and a slash."""
    said = decision.shown.summary
    annotations = {"decision": said["action"], "mode": said["mode"], "reason": said["reason"], "policy": said["policy"]}
    if decision.rule is not None:
        annotations["rule"] = decision.rule
    if said["dependencies"]:
        annotations["dependencies"] = ",".join(said["dependencies"])
    return annotations | broken(connections) if connections.broken else annotations
