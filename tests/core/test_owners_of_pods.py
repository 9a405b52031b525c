from __future__ import annotations

import pytest

from webhook.core.facts import is_batch, owners_of
from webhook.kubernetes.pod import ObjectMeta, OwnerReference, Pod, PodSpec


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


@pytest.mark.parametrize(
    ("date", "is_scheduled"),
    [
        ("31122026", False),
        ("30042027", False),
        ("29022028", False),
        ("31012039", False),
        ("31042026", True),
        ("30132026", True),
        ("30121999", True),
        ("29712345", True),
        ("٢٩٧١٢٣٤٥", False),
    ],
)
def test_a_date_at_the_end_of_a_jobs_name_is_no_minute_of_a_cron_job(date, is_scheduled):
    pod = Pod(ObjectMeta(owner_references=[OwnerReference("Job", f"report-{date}", "batch/v1")]), PodSpec())

    assert ("CronJob" in {owner.kind for owner in owners_of(pod)}) is is_scheduled


@pytest.mark.parametrize(
    ("kind", "name", "api_version", "expected"),
    [
        ("Job", "report-29712345", "batch/v1", ["Job", "CronJob"]),
        ("Job", "report-29712345", "batch.volcano.sh/v1alpha1", ["Job"]),
        ("Job", "report-29712345", "v1", ["Job"]),
        ("ReplicaSet", "web-5d4f8", "apps/v1", ["Deployment"]),
        ("ReplicaSet", "web-5d4f8", "apps.example.com/v1", ["ReplicaSet"]),
        ("ReplicaSet", "web-5d4f8", "v1", ["ReplicaSet"]),
        ("CronJob", "report", "batch.example.com/v1", ["CronJob"]),
    ],
)
def test_a_kind_of_another_api_group_is_another_kind(kind, name, api_version, expected):
    metadata = ObjectMeta(
        labels={"pod-template-hash": "5d4f8"}, owner_references=[OwnerReference(kind, name, api_version)]
    )

    assert [owner.kind for owner in owners_of(Pod(metadata, PodSpec()))] == expected


@pytest.mark.parametrize(
    ("kind", "api_version", "expected"),
    [
        ("Job", "batch/v1", True),
        ("CronJob", "", True),
        ("Job", "batch.volcano.sh/v1alpha1", False),
        ("Job", "v1", False),
    ],
)
def test_only_jobs_of_kubernetes_own_are_known_to_serve_nothing(kind, api_version, expected):
    pod = Pod(ObjectMeta(owner_references=[OwnerReference(kind, "report", api_version)]), PodSpec())

    assert is_batch(pod) is expected


@pytest.mark.parametrize("controls_first", [True, False])
@pytest.mark.parametrize("says", [False, None])
def test_of_several_owners_only_the_controller_made_the_pod(says, controls_first):
    controller = OwnerReference("ReplicaSet", "web-5d4f8", "apps/v1", controller=True)
    other = OwnerReference("Job", "report-29712345", "batch/v1", controller=says)
    references = [controller, other] if controls_first else [other, controller]
    pod = Pod(ObjectMeta(labels={"pod-template-hash": "5d4f8"}, owner_references=references), PodSpec())

    assert [(owner.kind, owner.name) for owner in owners_of(pod)] == [("Deployment", "web")]
    assert not is_batch(pod)


def test_owners_of_which_none_is_the_controller_all_count():
    references = [OwnerReference("KafkaNodePool", "brokers"), OwnerReference("Job", "copy", "batch/v1")]
    pod = Pod(ObjectMeta(owner_references=references), PodSpec())

    assert [owner.kind for owner in owners_of(pod)] == ["KafkaNodePool", "Job"]
    assert is_batch(pod)
