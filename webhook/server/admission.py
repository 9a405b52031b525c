"""One AdmissionReview: bytes in, bytes out, and always an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from webhook.core import engine
from webhook.core.decision import Decision
from webhook.core.patch import patch
from webhook.core.review import AdmissionRequest, Denial, UnreadableObjectError, answer, parse
from webhook.core.surroundings import Surroundings
from webhook.core.verdict import Policy
from webhook.server.outcome import Admission, Outcome
from webhook.server.settings import OnError

# Several webhooks may warn about one pod; people should see who speaks.
_PREFIX = "sidecar-policy: "
_FAILED = "deciding about this pod failed, which is a fault of the webhook and not of the pod"


class Policies(Protocol):
    """Where the policy in force comes from: it may be another one at each request."""

    @property
    def current(self) -> Policy:
        """The policy in force, immutable."""
        ...


@dataclass(frozen=True, slots=True)
class Decider:
    """All that a decision needs besides the request.

    Attributes:
        policies: Gives the policy in force.
        surroundings: The cluster, or the manifests that stand for it.
        on_error: What to answer when deciding fails.
    """

    policies: Policies
    surroundings: Surroundings
    on_error: OnError = OnError.ALLOW


def admit(body: bytes | bytearray, decider: Decider, admission: Admission) -> bytes:
    """Answer one AdmissionReview.

    Args:
        body: The body of the request.
        decider: All that a decision needs besides.
        admission: Filled in with how it went, also when this raises.

    Returns:
        The body of the answer, with HTTP status 200.

    Raises:
        UnreadableReviewError: The body is no AdmissionReview that can be answered.
    """
    admission.outcome = Outcome.BAD_REVIEW
    request = admission.request = parse(body)
    if not _is_creation_of_a_pod(request):
        admission.outcome = Outcome.IGNORED
        return answer(request.uid)
    if not request.has_object:
        admission.outcome = Outcome.NO_OBJECT
        return _unchanged(admission, request, "the request has no object, so there is nothing to decide")
    try:
        return _decide(request, decider, admission)
    except UnreadableObjectError as error:
        admission.outcome = Outcome.UNREADABLE_POD
        return _unchanged(admission, request, f"the pod was left as it is: {error}")
    except Exception as error:  # noqa: BLE001 - the API server gets a deliberate answer, whatever broke
        admission.error = error
        return _failed(admission, request, decider.on_error)


def _is_creation_of_a_pod(request: AdmissionRequest) -> bool:
    kind = request.kind
    return (
        request.operation == "CREATE"
        and kind.kind == "Pod"
        and kind.group == ""
        and kind.version == "v1"
        and request.sub_resource == ""
    )


def _decide(request: AdmissionRequest, decider: Decider, admission: Admission) -> bytes:
    pod = admission.pod = request.pod()
    decision = engine.decide(
        pod,
        request.namespace,
        document=request.document,
        surroundings=decider.surroundings,
        policy=decider.policies.current,
    )
    operations = patch(pod, decision)
    response = answer(
        request.uid,
        patch=operations,
        warnings=[_PREFIX + warning for warning in decision.warnings],
        audit_annotations=_audit_annotations(decision),
    )
    admission.decision = decision
    admission.outcome = Outcome.PATCHED if operations else Outcome.UNCHANGED
    return response


def _unchanged(admission: Admission, request: AdmissionRequest, detail: str) -> bytes:
    admission.detail = detail
    return answer(request.uid, warnings=(_PREFIX + detail,))


def _failed(admission: Admission, request: AdmissionRequest, on_error: OnError) -> bytes:
    admission.outcome = Outcome.INTERNAL_ERROR
    admission.decision = None
    admission.detail = _FAILED
    if on_error is OnError.DENY:
        return answer(request.uid, denial=Denial(message=_PREFIX + _FAILED))
    return answer(request.uid, warnings=(f"{_PREFIX}{_FAILED}; it was left as it is",))


def _audit_annotations(decision: Decision) -> dict[str, str]:
    """What the API server's audit log keeps; it puts the webhook's name and a slash before each key."""
    annotations = {
        "decision": decision.action.value,
        "mode": decision.mode.value,
        "reason": decision.reason.code,
        "policy": decision.policy,
    }
    if decision.rule is not None:
        annotations["rule"] = decision.rule
    if kinds := dependency_kinds(decision):
        annotations["dependencies"] = ",".join(kinds)
    return annotations


def dependency_kinds(decision: Decision) -> list[str]:
    """The kinds of backend that the pod talks to, each once, in order of the alphabet."""
    return sorted({dependency.kind for dependency in decision.findings.dependencies})
