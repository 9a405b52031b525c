"""What the API server wrote into its audit log about the webhooks that it called for a pod.

Source of the annotations: kubernetes.io, "Dynamic Admission Control", "Mutating webhook auditing annotations".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

CALLED = "mutation.webhook.admission.k8s.io/"
FAILED_OPEN = ("failed-open.mutation.webhook.admission.k8s.io/", "failed-open.validating.webhook.admission.k8s.io/")


class Admission(NamedTuple):
    """How one pod came in.

    Attributes:
        called: The names of the MutatingWebhookConfigurations that answered, in order.
        failed_open: The names of the webhooks that failed and were ignored.
        said: The annotations that webhooks added themselves, by their name after the slash.
    """

    called: tuple[str, ...] = ()
    failed_open: tuple[str, ...] = ()
    said: Mapping[str, str] = MappingProxyType({})


def admission(log: Path, namespace: str, pod: str) -> Admission:
    """How the pod of this name was last admitted, or nothing at all when it never was."""
    for line in reversed(log.read_text().splitlines()):
        event = json.loads(line)
        reference = event["objectRef"]
        if (reference.get("namespace"), reference.get("name")) == (namespace, pod):
            return _admission(event.get("annotations", {}))
    return Admission()


def _admission(annotations: dict[str, str]) -> Admission:
    rounds = [annotations[name] for name in sorted(annotations) if name.startswith(CALLED)]
    failed = [annotations[name] for name in sorted(annotations) if name.startswith(FAILED_OPEN)]
    said = {name.rpartition("/")[2]: value for name, value in annotations.items()}
    return Admission(tuple(json.loads(one)["configuration"] for one in rounds), tuple(failed), said)
