"""What is found in a pod of the matrix of credentials, and what is looked up for it."""

from __future__ import annotations

from typing import Any

from credentials_matrix import objects

from webhook.core.decision import Dependency
from webhook.core.recording import RecordingView
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.inventory.manifests import ManifestObject, Manifests
from webhook.inventory.workloads import workload_of


def found_and_asked(described: dict[str, Any]) -> tuple[tuple[Dependency, ...], list[str]]:
    """Return the dependencies of a pod, and the names of the objects that were asked for."""
    documents = objects(described)
    workload = workload_of(documents[-1], (), "-:1")
    surroundings = Manifests(
        [ManifestObject(document, "-:1", None) for document in documents], [workload], secrets=True
    )
    asked = RecordingView(surroundings)
    found = detect(workload.pod, "shop", asked, Catalog.default()).dependencies
    return found, [question.name for question in asked.answers if question.kind != "Mention"]
