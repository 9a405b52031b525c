from __future__ import annotations

import pytest

from webhook.core.facts import owners_of
from webhook.core.pod import ObjectMeta, OwnerReference, Pod, PodSpec


@pytest.mark.parametrize(
    ("kind", "name", "labels", "expected"),
    [
        ("ReplicaSet", "web-5d4f8", {"pod-template-hash": "5d4f8"}, [("Deployment", "web")]),
        ("ReplicaSet", "web-5d4f8", {}, [("ReplicaSet", "web-5d4f8")]),
        ("ReplicaSet", "web", {"pod-template-hash": "5d4f8"}, [("ReplicaSet", "web")]),
        ("Job", "report-29712345", {}, [("Job", "report-29712345"), ("CronJob", "report")]),
        ("Job", "report-28555200", {}, [("Job", "report-28555200"), ("CronJob", "report")]),
        ("Job", "report-28555199", {}, [("Job", "report-28555199")]),
        ("Job", "import-20260131", {}, [("Job", "import-20260131")]),
        ("Job", "shard-00000001", {}, [("Job", "shard-00000001")]),
        ("Job", "build-99999999", {}, [("Job", "build-99999999")]),
        ("Job", "build-297123456", {}, [("Job", "build-297123456")]),
        ("Job", "c" * 53 + "-29712345", {}, [("Job", "c" * 53 + "-29712345")]),
        ("Job", "-29712345", {}, [("Job", "-29712345")]),
        ("Job", "migrate", {}, [("Job", "migrate")]),
        ("ReplicaSet", "web-5d4f8", {"rollouts-pod-template-hash": "5d4f8"}, [("Rollout", "web")]),
        ("ReplicaSet", "web-5d4f8", {"rollouts-pod-template-hash": "7c9d"}, [("ReplicaSet", "web-5d4f8")]),
        ("ReplicaSet", "web-5d4f8", {"pod-template-hash": "4f8"}, [("ReplicaSet", "web-5d4f8")]),
        ("ReplicaSet", "web-5d4f8", {"pod-template-hash": ""}, [("ReplicaSet", "web-5d4f8")]),
        ("ReplicaSet", "web-", {"pod-template-hash": ""}, [("ReplicaSet", "web-")]),
        ("ReplicaSet", "-5d4f8", {"pod-template-hash": "5d4f8"}, [("ReplicaSet", "-5d4f8")]),
        ("StatefulSet", "web-5d4f8", {"pod-template-hash": "5d4f8"}, [("StatefulSet", "web-5d4f8")]),
        ("StatefulSet", "db", {}, [("StatefulSet", "db")]),
    ],
)
def test_owners_are_named_as_people_think_of_them(kind, name, labels, expected):
    pod = Pod(ObjectMeta(labels=labels, owner_references=[OwnerReference(kind, name)]), PodSpec())

    assert [(owner.kind, owner.name) for owner in owners_of(pod)] == expected
