"""The decision about one pod, as immutable data. All output about a pod is rendered from a Decision."""

from __future__ import annotations

from enum import Enum, StrEnum
from functools import cached_property
from typing import Any, Self

from msgspec import Struct

from webhook.core.verdict import Wire


class Action(StrEnum):
    """The action for the sidecar of one pod."""

    sidecar: bool | None
    """Whether the pod gets a sidecar; None where Istio's default injection decides."""

    INHERIT = ("inherit", None)
    """Istio's default injection."""
    SKIP = ("skip", False)
    """No sidecar."""
    INJECT = ("inject", True)
    """A sidecar, even where Istio's own default would be none."""
    BYPASS = ("bypass", None)
    """A sidecar that does not intercept outbound traffic to the ports of some dependencies."""

    def __new__(cls, value: str, sidecar: bool | None) -> Self:  # noqa: FBT001 - a row of the table above
        """Create a member that equals its value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sidecar = sidecar
        return member


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
        """Create a member that equals its value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.rank = rank
        return member


class Reason(Enum):
    """The reason for a decision: a stable code (metrics, annotations) and a sentence for users."""

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


_BY_POLICY = frozenset({Reason.RULE, Reason.DEFAULT, Reason.UNKNOWN})


class Dependency(Struct, frozen=True, gc=False):
    """A backend that the pod is a client of.

    Attributes:
        kind: The catalog's name of the backend.
        confidence: The confidence of the finding.
        host: The host as configured, or None when only the kind is known.
        port: The TCP port, or None when it is unknown.
        evidence: The evidence chain, without any value but host, port and kind.
        port_elsewhere: Whether the port may come only from an object in another namespace than the pod's.
        wire: What is said first on the connection; None when it is not known.
        init: Whether only init containers that run to completion name it.
        service: The namespace and name of the Service that the host resolves to, behind any aliases; None for a host
            that no known Service has.
        redirects: Where the server sends its clients on to, at other ports, as a phrase; "" where it does not.
    """

    kind: str
    confidence: Confidence
    host: str | None
    port: int | None
    evidence: str
    port_elsewhere: bool = False
    wire: Wire | None = None
    init: bool = False
    service: tuple[str, str] | None = None
    redirects: str = ""


class Call(Struct, frozen=True, gc=False):
    """A Service that the pod is a client of, and that is no backend: its neighbour over HTTP, as far as is known.

    Attributes:
        namespace: The Service's namespace.
        service: The Service's name.
        port: The Service's port that is called: as configured, else the URL scheme's, else the only one that the
            Service has; None when it is unknown.
        wire: What is said first on the connection; None when it is not known.
        init: Whether only init containers that run to completion name it.
        evidence: The evidence chain, without any value but host and port.
        elsewhere: Whether an object of another namespace than the pod's contributed to it.
    """

    namespace: str
    service: str
    port: int | None
    wire: Wire | None
    init: bool
    evidence: str
    elsewhere: bool = False


class Findings(Struct, frozen=True, gc=False):
    """The result of detection for one pod.

    Attributes:
        dependencies: One entry for each (kind, host, port, wire), highest confidence first.
        serves: The kinds that the pod is itself a server of, sorted.
        unknown: References that could not be read (a ConfigMap that is not there, a Secret that may not be
            read), as sentences. With them, "no dependency found" is not "no dependency".
        own: The dependencies found from the pod and its own namespace alone, as if other namespaces had no objects;
            None where no object of another namespace contributed.
        cut: Whether the pod's configuration was not read to its end. Then its dependencies are unknown.
        calls: The Services that are no backends, one entry for each (Service, port, wire).
    """

    dependencies: tuple[Dependency, ...] = ()
    serves: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    own: tuple[Dependency, ...] | None = None
    cut: bool = False
    calls: tuple[Call, ...] = ()

    @property
    def called(self) -> dict[tuple[str, str], str]:
        """The evidence chain of each Service that the pod is a client of, backend or not, by namespace and name."""
        named = {(call.namespace, call.service): call.evidence for call in reversed(self.calls)}
        return named | {
            dependency.service: dependency.evidence
            for dependency in reversed(self.dependencies)
            if dependency.service is not None
        }


NO_FINDINGS = Findings()


class Decision(Struct, frozen=True, dict=True):
    """The action for one pod, and the reason for it.

    Attributes:
        action: What to do.
        reason: Why, as a code and a sentence.
        rule: The name of the rule that decided; None when no rule did.
        mode: In audit mode nothing is patched.
        findings: What detection found; empty when the decision did not depend on it.
        ports: Outbound ports to exclude from interception (bypass only), sorted.
        hold: Start the application only after the sidecar is ready.
        matched: What made the rule match, as short phrases ("dependency redis"), for the explanation.
        policy: Name and generation of the policy, as "mesh-default/3f2a91c0".
        outside: Why Istio would not inject into the pod as it is, where the policy's action is `inject` nevertheless.
        warnings: Warnings for the client that creates the pod.
        to_author: The same without what only objects of other namespaces contain; None where there is nothing to hide.
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
        """The part that the pod's author may see: in the pod, in warnings, Events and audit annotations."""
        return self.to_author or self

    @property
    def by_policy(self) -> bool:
        """Whether a rule, the policy's default or its onUnknown decided, and not Istio's rules or the pod itself."""
        return self.reason in _BY_POLICY

    @property
    def is_enforced(self) -> bool:
        """Whether the policy made the decision, and it is enforced."""
        return self.mode is Mode.ENFORCE and self.by_policy

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The fields for logs, traces and audit annotations: codes, kinds, and names of the policy."""
        return {
            "action": self.action.value,
            "rule": self.rule,
            "mode": self.mode.value,
            "reason": self.reason.code,
            "dependencies": sorted({dependency.kind for dependency in self.findings.dependencies}),
            "policy": self.policy,
        }
