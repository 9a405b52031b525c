"""How one request to the webhook ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from webhook.core.decision import Decision
from webhook.decision.conformance import Contradiction
from webhook.kubernetes.admission import AdmissionRequest
from webhook.kubernetes.pod import Pod


class Outcome(StrEnum):
    """Every way there is. The names are a metric's label values."""

    PATCHED = "patched"
    UNCHANGED = "unchanged"
    """Decided, and nothing to change: Istio's own decision stands, the pod is as wanted, or the mode is audit."""
    CONFORMS = "conforms"
    """Looked at after all mutation: the pod is as decided, or nothing was to be done."""
    CONTRADICTS = "contradicts"
    """The pod is not as decided, and was let through with a warning."""
    DENIED = "denied"
    """The pod is not as decided, and was refused (--strict)."""
    IGNORED = "ignored"
    """Another operation, kind or subresource than the creation of a pod."""
    NO_OBJECT = "no-object"
    UNREADABLE_POD = "unreadable-pod"
    OVERLOADED = "overloaded"
    """Decided without a look at what the pod talks to: no thread was free for that, or it took too long."""
    NOT_SYNCED = "not-synced"
    """The cluster has not been read once yet, so nothing can be said about the pod."""
    INTERNAL_ERROR = "internal-error"
    BAD_REVIEW = "bad-review"
    WRONG_CONTENT_TYPE = "wrong-content-type"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    TOO_BUSY = "too-busy"
    """There was no memory for a large request beside those that were being received or answered."""
    CLIENT_GONE = "client-gone"
    """The connection was lost, or cut at the end of the grace period, before the request had come in."""


@dataclass(slots=True)
class Admission:
    """What is known of one request, filled in while it is handled.

    Attributes:
        webhook: Which webhook was called: "mutate" or "validate".
        outcome: How it ended. A request of which nothing came in stays "client-gone".
        request: The admission request, once it has been read.
        pod: The pod, once it has been read.
        decision: The decision, once it has been made.
        contradiction: How the pod contradicts the decision.
        detail: What was wrong, without any value of the request.
        error: What was raised when deciding failed.
    """

    webhook: str
    outcome: Outcome = Outcome.CLIENT_GONE
    request: AdmissionRequest | None = None
    pod: Pod | None = None
    decision: Decision | None = None
    contradiction: Contradiction | None = None
    detail: str = ""
    error: Exception | None = None
