"""All that a decision may say. Everything shown to anybody is rendered from a Decision."""

from __future__ import annotations

from enum import Enum, StrEnum
from functools import cached_property
from typing import Any, Self

from msgspec import Struct


class Action(StrEnum):
    """What to do about the sidecar of one pod."""

    INHERIT = "inherit"
    """Leave Istio's own decision alone."""
    SKIP = "skip"
    """No sidecar."""
    INJECT = "inject"
    """A sidecar, even where Istio's own default would be none."""
    BYPASS = "bypass"
    """A sidecar, with the ports of some dependencies taken out of it."""


class Mode(StrEnum):
    """Whether a decision changes the pod."""

    ENFORCE = "enforce"
    AUDIT = "audit"
    """Decide and report, patch nothing."""


class Confidence(StrEnum):
    """How sure a finding is. Ordered by `rank`."""

    rank: int
    """0 for possible, 1 for probable, 2 for certain."""

    POSSIBLE = ("possible", 0)
    PROBABLE = ("probable", 1)
    CERTAIN = ("certain", 2)

    def __new__(cls, value: str, rank: int) -> Self:
        """A member that is its value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.rank = rank
        return member


class Reason(Enum):
    """Why a decision is what it is: a stable code (metrics, annotations) and the sentence for people."""

    RULE = ("rule", "the first rule that matches decides")
    DEFAULT = ("default", "no rule matches, so the policy's default applies")
    UNKNOWN = ("unknown", "what the decision depends on could not be read, so the policy's onUnknown applies")
    EXPLICIT_POD = ("explicit-pod", "the pod sets sidecar.istio.io/inject")
    EXEMPT_NAMESPACE = ("exempt-namespace", "the policy exempts the namespace")
    NOT_IN_MESH = ("not-in-mesh", "neither the namespace nor the pod enables injection")
    SYSTEM_NAMESPACE = ("system-namespace", "Istio never injects into Kubernetes' own namespaces")
    NAMESPACE_DISABLED = ("namespace-disabled", "the namespace's istio-injection label is not 'enabled'")
    AMBIENT = ("ambient", "the namespace or the pod is in ambient mode, which needs no sidecar")
    HOST_NETWORK = ("host-network", "Istio never injects into pods on the host's network")
    ALREADY_INJECTED = ("already-injected", "the pod already has its sidecar")

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.sentence = sentence


class Dependency(Struct, frozen=True, gc=False):
    """A backend that the pod is a client of.

    Attributes:
        kind: The catalog's name of the backend.
        confidence: How sure the finding is.
        host: The host as configured, or None when only the kind is known.
        port: The TCP port, or None when it is not known.
        evidence: The trail that led here, without any value but host, port and kind.
        port_elsewhere: Whether only an object of another namespace than the pod's may have said the port.
    """

    kind: str
    confidence: Confidence
    host: str | None
    port: int | None
    evidence: str
    port_elsewhere: bool = False


class Findings(Struct, frozen=True, gc=False):
    """What detection says of one pod.

    Attributes:
        dependencies: One entry for each (kind, host, port), surest first.
        serves: The kinds that the pod is itself a server of, sorted.
        unknown: References that could not be read (a ConfigMap that is not there, a Secret that may not be
            read), as sentences. With them, "no dependency found" is not "no dependency".
        own: The dependencies as the pod and its own namespace say them, as if other namespaces had no objects; None
            where no object of another namespace says anything.
        cut: Whether the pod's configuration was not read to its end. Then nothing is known of what it talks to.
    """

    dependencies: tuple[Dependency, ...] = ()
    serves: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    own: tuple[Dependency, ...] | None = None
    cut: bool = False


NO_FINDINGS = Findings()


class Decision(Struct, frozen=True, dict=True):
    """What is to be done with one pod, and why.

    Attributes:
        action: What to do.
        reason: Why, as a code and a sentence.
        rule: The name of the rule that decided; None when no rule did.
        mode: In audit mode nothing is patched.
        findings: What detection found; empty when it had no say.
        ports: Outbound ports to take out of the sidecar (bypass only), sorted.
        hold: Start the application only after the sidecar is ready.
        matched: What made the rule match, as short phrases ("dependency redis"), for the explanation.
        policy: Name and generation of the policy, as "mesh-default/3f2a91c0".
        outside: Why Istio would not inject into the pod as it is, where the policy says `inject` all the same.
        warnings: What a person who creates the pod would want to be told.
        to_author: The same without what only objects of other namespaces say; None where there is nothing to hide.
    """

    action: Action
    reason: Reason
    rule: str | None = None
    mode: Mode = Mode.ENFORCE
    findings: Findings = NO_FINDINGS
    ports: tuple[int, ...] = ()
    hold: bool = False
    matched: tuple[str, ...] = ()
    policy: str = ""
    outside: Reason | None = None
    warnings: tuple[str, ...] = ()
    to_author: Decision | None = None

    @property
    def shown(self) -> Decision:
        """What the pod's author may see of it: in the pod, in warnings, Events and audit annotations."""
        return self.to_author or self

    @property
    def by_policy(self) -> bool:
        """Whether a rule, the policy's default or its onUnknown decided, and not Istio's rules or the pod itself."""
        return self.reason in {Reason.RULE, Reason.DEFAULT, Reason.UNKNOWN}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What logs, traces and audit annotations say of it: codes, kinds, and names of the policy."""
        return {
            "action": self.action.value,
            "rule": self.rule,
            "mode": self.mode.value,
            "reason": self.reason.code,
            "dependencies": sorted({dependency.kind for dependency in self.findings.dependencies}),
            "policy": self.policy,
        }
