"""The input of a policy: one pod, its namespace, owners and findings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from webhook.core.budget import Budget
from webhook.core.decision import Findings
from webhook.kubernetes.pod import OwnerReference, Pod

# The label with the hash that ends the name of the pod's ReplicaSet, and what owns such a ReplicaSet. The controllers
# set both: Deployments, and Argo Rollouts.
_TEMPLATE_HASHES = (
    ("pod-template-hash", "Deployment", "apps/v1"),
    ("rollouts-pod-template-hash", "Rollout", "argoproj.io/v1alpha1"),
)
# A CronJob's Job is named <cronjob>-<minutes since the epoch>, and nothing else in a pod shows whose the Job is: only
# the Job itself refers to its CronJob, and Jobs are not watched. So the number must be a minute in which a cluster that
# this runs in can have started it: after the release of Kubernetes 1.30 (April 2024), and before 2044. A date
# (20260131) and most other numbers of eight digits are not.
_SCHEDULED_JOB = re.compile(r"(?P<cronjob>.{1,52})-(?P<minute>[0-9]{8})")
_MINUTES = range(28_555_200, 38_920_320)
# Dates that fall into that range nevertheless, as 31122026, count as dates: of the minutes so written there are 20 in a
# row at a time, twelve times in 2025 and in 2027, and seven times from December 2028 on.
_DATE = re.compile(r"(?:29|30)(?:0[1-9]|1[0-2])20[23][0-9]|31(?:0[13578]|1[02])20[23][0-9]")


FINDINGS: Final = 1
CONTAINERS: Final = 2
"""The containers, and of `Facts.document` all but name, labels and annotations."""


class Facts(Struct, frozen=True):
    """One pod and its context.

    Attributes:
        pod: The pod as decoded.
        namespace: The namespace it is created in.
        namespace_labels: That namespace's labels; empty when the namespace is unknown.
        owners: Who created it, see `owners_of`.
        findings: What detection found.
        document: Returns the whole pod as a plain dict. Only CEL expressions need it, so it is built on demand.
        budget: The work budget of the rules for this pod.
        unread: Why the containers and `document` are unknown, as a sentence; empty where they are known.
    """

    pod: Pod
    namespace: str
    namespace_labels: Mapping[str, str]
    owners: tuple[OwnerReference, ...]
    findings: Findings
    document: Callable[[], dict[str, Any]]
    budget: Budget = msgspec.field(default_factory=Budget)
    unread: str = ""

    @property
    def missing(self) -> int:
        """The unknown parts of the pod: a sum of `FINDINGS` and `CONTAINERS`, or 0."""
        return (FINDINGS if self.findings.cut else 0) + (CONTAINERS if self.unread else 0)

    def why(self, parts: int) -> str:
        """Return why some of the missing parts are unknown, as a sentence."""
        if parts & CONTAINERS and self.unread:
            return self.unread
        return self.findings.unknown[-1] if self.findings.unknown else "the pod's dependencies are unknown"


def is_batch(pod: Pod) -> bool:
    """Return whether the pod runs to completion: a Job's, or a CronJob's."""
    return any(_is(owner, "Job") or _is(owner, "CronJob") for owner in _makers(pod))


def _makers(pod: Pod) -> Sequence[OwnerReference]:
    """Return the reference to the pod's controller; all where none is marked as one, as in hand-written manifests.

    Others only have the pod deleted with their object.
    """
    references = pod.metadata.owner_references or ()
    return [owner for owner in references if owner.controller] or references


_GROUPS = {"Job": "batch", "CronJob": "batch", "ReplicaSet": "apps"}


def _is(owner: OwnerReference, kind: str) -> bool:
    """Return whether an owner is of this built-in kind; other API groups may have one of the same name.

    A reference without `apiVersion`, which the API server would reject, is hand-written: it counts as built-in.
    """
    return owner.kind == kind and owner.api_version.partition("/")[0] in {_GROUPS[kind], ""}


def owners_of(pod: Pod) -> tuple[OwnerReference, ...]:
    """Return the owners of the pod, as users see them, nearest first.

    A ReplicaSet counts as the Deployment or Rollout that it belongs to, where its name ends in the hash of the pod's
    template; any other stays what it is. A Job that a CronJob can have made counts as both.
    """
    owners: list[OwnerReference] = []
    for owner in _makers(pod):
        owners.append(_above(owner, pod.labels) if _is(owner, "ReplicaSet") else owner)
        if _is(owner, "Job") and (cron_job := _scheduled_by(owner.name)):
            owners.append(OwnerReference("CronJob", cron_job, owner.api_version))
    return tuple(owners)


def _scheduled_by(job: str) -> str | None:
    """Return the CronJob that can have made a Job of this name."""
    found = _SCHEDULED_JOB.fullmatch(job)
    if found is None or int(found["minute"]) not in _MINUTES or _DATE.fullmatch(found["minute"]):
        return None
    return found["cronjob"]


def _above(replica_set: OwnerReference, labels: Mapping[str, str]) -> OwnerReference:
    """Return the owner of a ReplicaSet, as far as its pod shows it; else the ReplicaSet."""
    for label, kind, api_version in _TEMPLATE_HASHES:
        name, dash, end = replica_set.name.rpartition("-")
        if name and dash and end and end == labels.get(label):
            return OwnerReference(kind, name, api_version)
    return replica_set
