"""All that a policy may look at when it decides about one pod."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from webhook.core.budget import Budget
from webhook.core.decision import Findings
from webhook.core.pod import OwnerReference, Pod

# The CronJob controller names its Jobs <cronjob>-<minutes since the epoch>: eight digits from 1989 to 2160.
_SCHEDULED_JOB = re.compile(r"(?P<cronjob>.+)-\d{8}")


class Facts(Struct, frozen=True):
    """One pod and what is known about it.

    Attributes:
        pod: The pod as decoded.
        namespace: The namespace it is created in.
        namespace_labels: That namespace's labels; empty when the namespace is not known.
        owners: Who created it, see `owners_of`.
        findings: What detection found.
        document: Gives the whole pod as a plain dict. Only CEL expressions need it, so it is built on demand.
        budget: What the rules may spend on this pod.
    """

    pod: Pod
    namespace: str
    namespace_labels: Mapping[str, str]
    owners: tuple[OwnerReference, ...]
    findings: Findings
    document: Callable[[], dict[str, Any]]
    budget: Budget = msgspec.field(default_factory=Budget)


def is_batch(pod: Pod) -> bool:
    """Whether the pod is there to do something once: a Job's, or a CronJob's."""
    return any(owner.kind in _BATCH for owner in pod.metadata.owner_references or ())


_BATCH = frozenset({"Job", "CronJob"})


def owners_of(pod: Pod) -> tuple[OwnerReference, ...]:
    """The owners as people think of them, nearest first.

    A ReplicaSet that belongs to a Deployment counts as that Deployment (its name ends in the pod's
    pod-template-hash label); a Job that a CronJob made counts as both.
    """
    owners: list[OwnerReference] = []
    for owner in pod.metadata.owner_references or ():
        suffix = "-" + pod.labels.get("pod-template-hash", "")
        if owner.kind == "ReplicaSet" and len(suffix) > 1 and owner.name.endswith(suffix):
            owners.append(OwnerReference("Deployment", owner.name.removesuffix(suffix)))
            continue
        owners.append(owner)
        if owner.kind == "Job" and (job := _SCHEDULED_JOB.fullmatch(owner.name)):
            owners.append(OwnerReference("CronJob", job["cronjob"]))
    return tuple(owners)
