"""What detection says of a labelled workload: which kinds, how sure, and where it saw them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from labels import Case, Evidence

from webhook.core.decision import Confidence, Dependency, Findings
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect


@dataclass(frozen=True, slots=True)
class Claim:
    """That a workload is a client, or a server, of a kind.

    Attributes:
        confidence: How sure it is; None where the method knows no confidences.
        trail: What led to it.
    """

    confidence: Confidence | None
    trail: str

    @property
    def seen_in(self) -> Evidence:
        """The place that the trail begins at, in the words of the labels."""
        if self.trail.startswith("Service "):
            return Evidence.SERVICE_NAME_ONLY
        if "← Secret " in self.trail:
            return Evidence.SECRET
        if self.trail.startswith("file "):
            return Evidence.CONFIGMAP_FILE
        if self.trail.startswith("args"):
            return Evidence.ARGS
        return Evidence.CONFIGMAP_ENV if "← ConfigMap " in self.trail else Evidence.ENV


Prediction = Mapping[str, Claim]
Method = Callable[[Case], Prediction]


def findings(case: Case, *, secrets: bool = True) -> Findings:
    """What detection finds, with the catalog that is shipped."""
    surroundings = case.manifests if secrets else case.without_secrets
    return detect(case.workload.pod, case.workload.namespace, surroundings, Catalog.default())


def clients(found: Findings, least: Confidence = Confidence.POSSIBLE) -> Prediction:
    """The kinds that a pod is said to be a client of, each with its surest claim.

    Args:
        found: What detection found.
        least: Claims below this confidence are left out; by default none are, since `explain` shows them all.
    """
    return _surest(dependency for dependency in found.dependencies if dependency.confidence.rank >= least.rank)


def servers(found: Findings) -> Prediction:
    """The kinds that a pod is said to be a server of."""
    return {kind: Claim(None, f"serves {kind}") for kind in found.serves}


def _surest(dependencies: Iterable[Dependency]) -> Prediction:
    claims: dict[str, Claim] = {}
    for dependency in sorted(dependencies, key=lambda dependency: -dependency.confidence.rank):
        claims.setdefault(dependency.kind, Claim(dependency.confidence, dependency.evidence))
    return claims
