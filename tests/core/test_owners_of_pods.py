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
        ("Job", "migrate", {}, [("Job", "migrate")]),
        ("StatefulSet", "db", {}, [("StatefulSet", "db")]),
    ],
)
def test_owners_are_named_as_people_think_of_them(kind, name, labels, expected):
    pod = Pod(ObjectMeta(labels=labels, owner_references=[OwnerReference(kind, name)]), PodSpec())

    assert [(owner.kind, owner.name) for owner in owners_of(pod)] == expected
