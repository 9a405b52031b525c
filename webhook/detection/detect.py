"""From a pod to its dependencies."""

from __future__ import annotations

from webhook.core.decision import Findings
from webhook.core.pod import Pod
from webhook.core.surroundings import Surroundings
from webhook.detection.catalog import Catalog


def detect(pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog) -> Findings:
    """Find what the pod talks to and what it serves."""
    return Findings()
