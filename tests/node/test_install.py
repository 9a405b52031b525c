"""From nothing to the first decided pod, and what a release does from then on."""

import time

import shop
import yaml
from api import eventually
from helm import CHART
from image import PAUSE
from installed import NAMESPACE, RELEASE, is_ready

DECISION = "sidecar-policy.dev/decision"


def test_the_readmes_sequence_ends_with_a_decided_pod(installed):
    printed = installed.said[installed.said.index("apiVersion: v1\nkind: Pod") :]
    metadata = yaml.safe_load(printed)["metadata"]

    assert "Phase:          Succeeded" in installed.said
    assert metadata["annotations"][DECISION] == "skip"
    assert metadata["annotations"]["sidecar-policy.dev/reason"] == "dependency redis"
    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"


def test_two_replicas_are_ready_and_restarted_never(installed):
    pods = installed.settled()

    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [0, 0]
    assert len({pod["status"]["podIP"] for pod in pods}) == 2


def test_a_real_pod_runs_as_decided(installed):
    spec = {
        "containers": [
            {
                "name": "client",
                "image": PAUSE,
                "imagePullPolicy": "Never",
                "env": [{"name": "CACHE", "value": "redis:6379"}],
            }
        ]
    }
    pod = shop.pod("client", spec)
    pod["metadata"]["namespace"] = "shop"
    created = installed.api.create(pod)

    assert created["metadata"]["annotations"][DECISION] == "skip"
    eventually(lambda: is_ready(installed.api.get("Pod", "client", "shop")), seconds=60, what="the client runs")


def test_the_root_file_system_is_read_only(installed, helm):
    name = installed.replicas()[0]["metadata"]["name"]
    script = "echo x > /opt/x || echo refused; echo x > /tmp/x && echo taken; id -u"

    said = helm.kubectl("exec", "--namespace", NAMESPACE, name, "--", "sh", "-c", script)

    assert said.split() == ["refused", "taken", "65532"]


def test_an_edited_policy_is_in_force_on_both_replicas_without_a_restart(installed, helm, record):
    before = installed.generations()
    names = {pod["metadata"]["name"] for pod in installed.replicas()}
    begun = time.monotonic()

    helm(
        "upgrade",
        RELEASE,
        CHART,
        "--namespace",
        NAMESPACE,
        "--reuse-values",
        values={"policy": {"spec": {"default": "skip"}}},
    )

    def replaced():
        now = installed.generations()
        return len(now) == 1 and not now & before

    eventually(replaced, seconds=150, what="the new policy is in force on both replicas")
    record("policy edit until both replicas decide by it", time.monotonic() - begun)
    assert {pod["metadata"]["name"] for pod in installed.replicas()} == names


def test_a_killed_replica_is_back_and_the_other_one_serves_meanwhile(installed, node, record, stream):
    victim = installed.settled()[0]["metadata"]["uid"]
    begun = time.monotonic()

    with stream("killed") as pods:
        pods.wait(20)
        killed = node.kill(victim)
        eventually(lambda: _restarts(installed) == 1, seconds=60, what="the kubelet starts it again")
        installed.settled()
        pods.wait(20)

    assert killed
    assert not pods.failures  # failurePolicy Ignore
    record("a replica killed: until both are ready again", time.monotonic() - begun)
    record(
        "a replica killed: pods undecided",
        len(pods.undecided),
        f"of {len(pods.created)}, {pods.span(pods.undecided):.1f} s",
    )


def _restarts(installed):
    return sum(pod["status"]["containerStatuses"][0]["restartCount"] for pod in installed.replicas())
