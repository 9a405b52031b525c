"""The outcome of one request to the webhook."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from webhook.core.decision import Decision
from webhook.decision.conformance import Contradiction
from webhook.kubernetes.admission import AdmissionRequest
from webhook.kubernetes.pod import Pod
from webhook.verdicts.foreseen import NONE, Connections


class Outcome(StrEnum):
    """Every possible outcome. The values are a metric's label values."""

    PATCHED = "patched"
    UNCHANGED = "unchanged"
    """Decided without a patch: Istio's default injection applies, the pod is as desired, or the mode is audit."""
    CONFORMS = "conforms"
    """Validated after all mutation: the pod conforms to its decision, or there was nothing to do."""
    CONTRADICTS = "contradicts"
    """The pod contradicts its decision, and was allowed with a warning."""
    DENIED = "denied"
    """The pod contradicts its decision, and was rejected (--strict)."""
    IGNORED = "ignored"
    """The request does not create a pod."""
    NO_OBJECT = "no-object"
    UNREADABLE_POD = "unreadable-pod"
    OVERLOADED = "overloaded"
    """Decided without complete detection: no thread was free, or it took too long."""
    NOT_SYNCED = "not-synced"
    """The cluster cache is not synced yet, so the pod was not evaluated."""
    INTERNAL_ERROR = "internal-error"
    BAD_REVIEW = "bad-review"
    WRONG_CONTENT_TYPE = "wrong-content-type"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    TOO_BUSY = "too-busy"
    """The memory limit of large requests was reached."""
    CLIENT_GONE = "client-gone"
    """The connection was lost, or closed at the end of the grace period, before the response."""


@dataclass(slots=True)
class Admission:
    """The record of one request, filled in while it is handled.

    Attributes:
        webhook: The webhook that was called: "mutate" or "validate".
        outcome: The outcome. A request that was never received stays "client-gone".
        request: The admission request, once parsed.
        pod: The pod, once parsed.
        decision: The decision, once made.
        connections: What becomes of the pod's connections.
        contradiction: The pod's contradiction of the decision, if any.
        detail: The problem, without any value of the request.
        error: The exception if deciding failed.
    """

    webhook: str
    outcome: Outcome = Outcome.CLIENT_GONE
    request: AdmissionRequest | None = None
    pod: Pod | None = None
    decision: Decision | None = None
    connections: Connections = NONE
    contradiction: Contradiction | None = None
    detail: str = ""
    error: Exception | None = None
