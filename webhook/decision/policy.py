"""The engine's interface to a policy. `webhook.policy.compiled` implements it without importing it."""

from __future__ import annotations

from typing import Protocol

from webhook.core.decision import Confidence
from webhook.core.facts import Facts
from webhook.core.ruling import Ruling
from webhook.detection.catalog import Catalog


class Policy(Protocol):
    """A compiled policy as the engine sees it: immutable and free of I/O."""

    @property
    def version(self) -> str:
        """Name and generation, as "mesh-default/3f2a91c0"."""
        ...

    @property
    def overrides_explicit(self) -> bool:
        """Whether rules may override the pod's own setting (`explicit: override`)."""
        ...

    @property
    def injects(self) -> bool:
        """Whether the action of a rule or the default is `inject`."""
        ...

    @property
    def catalog(self) -> Catalog:
        """The backends that detection looks for under this policy."""
        ...

    @property
    def needs_findings(self) -> bool:
        """Whether any rule depends on what the pod talks to or serves."""
        ...

    @property
    def min_confidence(self) -> Confidence:
        """Dependencies below this confidence are shown, but no rule sees them."""
        ...

    @property
    def hides_other_namespaces(self) -> bool:
        """Whether what only objects of other namespaces contain is hidden from a pod's author."""
        ...

    def exempts(self, namespace: str) -> bool:
        """Return whether the policy exempts the namespace."""
        ...

    def ruling(self, facts: Facts) -> Ruling:
        """Return the ruling of the first rule that matches, or of the default; `unknown` where a rule reads unknowns.

        Raises:
            BudgetExceededError: The rules exceed `facts.budget` for this pod.
        """
        ...

    def unknown(self) -> Ruling:
        """Return the ruling of `spec.onUnknown`."""
        ...
