"""What the engine asks of a policy. `webhook.policy.compiled` implements it, and does not know of it."""

from __future__ import annotations

from typing import Protocol

from webhook.core.decision import Confidence
from webhook.core.facts import Facts
from webhook.core.verdict import Verdict
from webhook.detection.catalog import Catalog


class Policy(Protocol):
    """A compiled policy as the engine sees it: immutable and free of I/O."""

    @property
    def version(self) -> str:
        """Name and generation, as "mesh-default/3f2a91c0"."""
        ...

    @property
    def overrides_explicit(self) -> bool:
        """Whether rules may overrule what the pod says about itself (`explicit: override`)."""
        ...

    @property
    def injects(self) -> bool:
        """Whether a rule or the default says `inject`."""
        ...

    @property
    def catalog(self) -> Catalog:
        """The backends that detection knows under this policy."""
        ...

    @property
    def needs_findings(self) -> bool:
        """Whether any rule asks what the pod talks to or serves."""
        ...

    @property
    def min_confidence(self) -> Confidence:
        """Dependencies below this confidence are shown, but no rule sees them."""
        ...

    @property
    def hides_other_namespaces(self) -> bool:
        """Whether a pod's author is not shown what only objects of other namespaces say."""
        ...

    def exempts(self, namespace: str) -> bool:
        """Whether the policy leaves the namespace alone."""
        ...

    def verdict(self, facts: Facts) -> Verdict:
        """The first rule that matches, or the default; `unknown` where a rule has to look at what is not known.

        Raises:
            BudgetExceededError: The rules exceed `facts.budget` for this pod.
        """
        ...

    def unknown(self) -> Verdict:
        """What `spec.onUnknown` says."""
        ...
