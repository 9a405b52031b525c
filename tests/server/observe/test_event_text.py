import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
import yaml

from webhook.core.decision import Action, Confidence, Decision, Dependency, Findings, Mode, Reason
from webhook.decision import engine
from webhook.inventory.manifests import read
from webhook.kubernetes.pod import ObjectMeta, OwnerReference, Pod, PodSpec
from webhook.policy.load import default_policy
from webhook.server.observe import event_text
from webhook.server.observe.event_text import Message, Regarding

REDIS = Dependency("redis", Confidence.CERTAIN, "basket-data", 6379, "env DB → Service basket-data:6379 → redis")
KAFKA = Dependency("kafka", Confidence.CERTAIN, "kafka", 9092, "env BROKER → Service kafka:9092 → kafka")
DEPLOYMENT = Regarding("apps/v1", "Deployment", "shop", "basket", "uid-1")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def decision(action=Action.SKIP, **fields):
    fields = {"rule": "clients", "policy": "mesh-default/3f2a91c0", "matched": ("dependency redis",)} | fields
    return Decision(action, Reason.RULE, findings=Findings((REDIS, KAFKA)), **fields)


def pod(*owners, labels=None):
    references = [{"apiVersion": "apps/v1", "uid": f"uid-{owner['name']}"} | owner for owner in owners]
    metadata = {"labels": labels or {}, "ownerReferences": references}
    return msgspec.convert({"metadata": metadata, "spec": {}}, Pod)


def told_about(pod, uids=None):
    owner = event_text.owner_of(pod, "shop")
    about = event_text.regarding(owner, lambda *place: (uids or {}).get(place))
    return about.api_version, about.kind, about.namespace, about.name, about.uid


def test_a_skip_tells_rule_policy_match_and_the_evidence_of_what_matched():
    message = event_text.of_decision(decision())

    assert message == Message(
        reason="SidecarSkipped",
        action="Skip",
        note="Sidecar skipped by rule clients (policy mesh-default/3f2a91c0): dependency redis. "
        "Evidence: env DB → Service basket-data:6379 → redis",
    )


@pytest.mark.parametrize(
    ("made", "reason", "action", "start"),
    [
        (decision(Action.INJECT), "SidecarInjected", "Inject", "Sidecar requested by rule clients"),
        (
            decision(Action.BYPASS, ports=(5672, 6379)),
            "PortsBypassed",
            "Bypass",
            "Outbound ports 5672, 6379 excluded from interception by",
        ),
        (
            decision(Action.BYPASS, ports=(6379,), hold=True),
            "PortsBypassed",
            "Bypass",
            "Outbound ports 6379 excluded from interception and application held until the sidecar is ready by",
        ),
        (
            decision(Action.BYPASS, hold=True),
            "ApplicationHeld",
            "Hold",
            "Application held until the sidecar is ready by",
        ),
        (
            decision(Action.INHERIT, hold=True),
            "ApplicationHeld",
            "Hold",
            "Application held until the sidecar is ready by",
        ),
        (decision(mode=Mode.AUDIT), "AuditOnly", "Skip", "Audit only: sidecar would be skipped by rule clients"),
        (
            decision(Action.BYPASS, ports=(6379,), hold=True, mode=Mode.AUDIT),
            "AuditOnly",
            "Bypass",
            "Audit only: outbound ports 6379 would be excluded from interception and application would be held until",
        ),
        (decision(rule=None, matched=()), "SidecarSkipped", "Skip", "Sidecar skipped by the default (policy"),
    ],
)
def test_each_decision_has_its_codes_and_its_sentence(made, reason, action, start):
    message = event_text.of_decision(made)

    assert event_text.is_reported(made)
    assert (message.reason, message.action) == (reason, action)
    assert message.note.startswith(start)


@pytest.mark.parametrize(
    "made",
    [
        decision(Action.INHERIT),
        decision(Action.BYPASS),
        Decision(Action.INHERIT, Reason.NOT_IN_MESH),
        Decision(Action.SKIP, Reason.EXPLICIT_POD),
    ],
    ids=["inherit", "bypass of no port", "not in the mesh", "not the policy's"],
)
def test_what_changes_nothing_is_not_told(made):
    assert not event_text.is_reported(made)


def test_bypassed_ports_bring_the_evidence_of_their_dependencies():
    message = event_text.of_decision(decision(Action.BYPASS, ports=(9092,), matched=("owner Deployment/basket",)))

    assert message.note.endswith("Evidence: env BROKER → Service kafka:9092 → kafka")


def test_a_long_note_is_cut_to_1024_bytes_between_two_characters():
    trails = (Dependency("redis", Confidence.CERTAIN, None, 6379, f"env {n}{'→' * 40}") for n in range(100))
    made = Decision(Action.SKIP, Reason.RULE, findings=Findings(tuple(trails)), matched=("dependency redis",))

    note = event_text.of_decision(made).note

    assert 1021 <= len(note.encode()) <= 1024
    assert note.endswith("→…")


def test_a_note_is_one_line_of_printable_characters():
    note = event_text.of_decision(decision(matched=("image a\n\x1b[31mb\ud800",))).note

    assert note.endswith(": image a [31mb")


def test_a_contradiction_is_a_warning_whose_reason_is_its_code_in_camel_case():
    message = event_text.of_contradiction("sidecar-despite-skip", "the pod has a sidecar, although …")

    assert message == Message("SidecarDespiteSkip", "Validate", "the pod has a sidecar, although …", warning=True)
    assert event_text.body(DEPLOYMENT, message, instance="pod-1", time="t")["type"] == "Warning"


def test_the_owner_that_manages_the_pod_is_told():
    owners = ({"kind": "Rollout", "name": "other"}, {"kind": "StatefulSet", "name": "db", "controller": True})

    assert told_about(pod(*owners)) == ("apps/v1", "StatefulSet", "shop", "db", "uid-db")


def test_a_replica_set_is_told_as_its_deployment():
    owned = pod({"kind": "ReplicaSet", "name": "basket-5d4f8"}, labels={"pod-template-hash": "5d4f8"})

    uids = {("shop", "Deployment", "basket"): "uid-1"}
    assert told_about(owned, uids) == ("apps/v1", "Deployment", "shop", "basket", "uid-1")


def test_a_replica_set_is_told_itself_while_its_deployment_is_not_known():
    owned = pod({"kind": "ReplicaSet", "name": "basket-5d4f8"}, labels={"pod-template-hash": "5d4f8"})

    assert told_about(owned) == ("apps/v1", "ReplicaSet", "shop", "basket-5d4f8", "uid-basket-5d4f8")


def test_a_job_is_told_itself_also_when_a_cron_job_made_it():
    owned = pod({"kind": "Job", "name": "report-29712345", "apiVersion": "batch/v1"})

    assert told_about(owned) == ("batch/v1", "Job", "shop", "report-29712345", "uid-report-29712345")


@pytest.mark.parametrize("owners", [(), ({"kind": "Node", "name": "n1"},)], ids=["bare", "mirror pod"])
def test_nobody_is_told_of_a_pod_without_an_owner(owners):
    assert event_text.owner_of(pod(*owners), "shop") is None


@pytest.mark.parametrize("owner", ["basket", "a" * 253, f"{'a' * 235}.-b", "Not_A_Subdomain", "a.b"])
def test_an_events_name_is_always_valid(owner):
    name = event_text.name_of(Regarding("v1", "Any", "shop", owner, "uid"), Message("R", "A", "note"))

    assert SUBDOMAIN.fullmatch(name)
    assert len(name) <= 253


@pytest.mark.parametrize(("owner", "start"), [("basket", "basket."), (f"{'a' * 235}.b", f"{'a' * 235}.")])
def test_an_events_name_starts_with_its_owners(owner, start):
    about = Regarding("apps/v1", "Deployment", "shop", owner, "uid-1")

    assert event_text.name_of(about, Message("R", "A", "note")).startswith(start)


@pytest.mark.parametrize(
    "other",
    [
        (Regarding("apps/v1", "Deployment", "shop", "basket", "uid-2"), Message("R", "A", "note")),
        (DEPLOYMENT, Message("Q", "A", "note")),
        (DEPLOYMENT, Message("R", "B", "note")),
        (DEPLOYMENT, Message("R", "A", "other note")),
    ],
    ids=["owner", "reason", "action", "note"],
)
def test_another_owner_reason_action_or_note_is_another_event(other):
    assert event_text.name_of(*other) != event_text.name_of(DEPLOYMENT, Message("R", "A", "note"))


def test_times_are_written_with_six_digits_in_utc():
    # A date and time whose microseconds end in zeros, in another zone: the API server wants exactly six digits.
    zone = timezone(timedelta(hours=2))

    assert event_text.micro_time(datetime(2026, 5, 1, 12, 0, 0, 500000, zone)) == "2026-05-01T10:00:00.500000Z"
    assert event_text.micro_time(datetime(2026, 5, 1, tzinfo=UTC)) == "2026-05-01T00:00:00.000000Z"


def test_no_value_of_the_pods_configuration_is_told(tmp_path):
    manifests = tmp_path / "shop.yaml"
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}},
    }
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cfg", "namespace": "shop"},
        "data": {"db": "Server=sql-data;User Id=CANARY;Password=CANARY"},
    }
    manifests.write_text(yaml.safe_dump_all([namespace, settings]))
    environment = [
        {"name": "BROKER", "value": "amqp://CANARY:CANARY@rabbitmq:5672/CANARY"},
        {"name": "DB", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "db"}}},
    ]
    document = {"metadata": {}, "spec": {"containers": [{"name": "c", "env": environment}]}}
    made = engine.decide(
        msgspec.convert(document, Pod),
        "shop",
        document=lambda: document,
        surroundings=read([str(manifests)], secrets=False),
        policy=default_policy(),
    )

    event = event_text.body(DEPLOYMENT, event_text.of_decision(made), instance="pod-1", time="t")

    assert "rabbitmq" in event["note"]
    assert "sql-data" in event["note"]
    assert "CANARY" not in str(event)


def test_the_pods_of_a_rollout_are_told_on_their_replica_set_and_not_on_a_deployment_of_that_name():
    reference = OwnerReference("ReplicaSet", "web-5d4f8", "apps/v1", "u-1", controller=True)
    labels = {"rollouts-pod-template-hash": "5d4f8"}
    owner = event_text.owner_of(Pod(ObjectMeta(labels=labels, owner_references=[reference]), PodSpec()), "shop")

    assert event_text.regarding(owner, lambda *_: "uid of another").name == "web-5d4f8"
