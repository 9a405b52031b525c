"""Certificates that our replicas issue, install and rotate themselves, on a real API server.

Both replicas are called for every pod, under failurePolicy Fail: one handshake that fails is one pod that cannot be
created.
"""

import asyncio
import base64
import json
import os
import re
import subprocess
import time
from pathlib import Path

import product
import pytest
import shop
from api import ApiError, eventually
from managed_replicas import (
    CONFIGURATION,
    INJECT,
    SECRET,
    SERVER_NAME,
    WAITS,
    Repeated,
    Replicas,
    create_pods,
    served_by,
    shake_hands,
    wipe,
)

from certs.issue import KeyPair, verify
from certs.reading import facts, split
from webhook.cluster.client import connect
from webhook.cluster.secret import Secret

DOCUMENTED = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.fixture
def namespace(make_namespace):
    namespace = make_namespace({"istio-injection": "enabled"})
    namespace.apply(*shop.OBJECTS)
    return namespace


@pytest.fixture
def replicas(istio):
    replicas = Replicas(istio)
    replicas.prepare()
    yield replicas
    replicas.clean()


@pytest.fixture
def running(replicas, namespace):
    """Two replicas that are ready, and called for the namespace's pods."""
    replicas.register(namespace.name)
    replicas.ready(replicas.start(0), replicas.start(1))
    eventually(lambda: decided(namespace), what="a pod is decided")
    return replicas


def decided(namespace):
    try:
        pod = namespace.create(shop.pod("client-", shop.client_spec()), dry_run=True)
    except ApiError:
        return False
    return pod["metadata"]["labels"].get(INJECT) == "false"


def authority(replicas):
    return replicas.held("authority.crt")


def settled(replicas):
    """Whether no rotation is under way, and everybody trusts just what signs."""
    held = {replicas.held("ca.crt"), *replicas.bundles()}
    return held == {authority(replicas)} and not replicas.held("next-authority.crt")


def test_from_nothing_to_a_decided_pod_without_any_step_by_hand(replicas, namespace):
    replicas.register(namespace.name)
    assert replicas.secret() is None
    begin = time.monotonic()

    both = replicas.start(0), replicas.start(1)
    replicas.ready(*both)
    eventually(lambda: decided(namespace), seconds=5, what="a pod is decided once the replicas are ready")
    print(f"\nfrom two processes started to a decided pod: {time.monotonic() - begin:.1f} s")

    # One of the two made the authority; both serve what it signed, and the API server trusts it in all four entries.
    assert sum(line["step"] == "start" for one in both for line in one.log("certificate step")) == 1
    assert len({served_by(port) for port in replicas.ports}) == 1
    assert replicas.bundles() == {authority(replicas)}
    pair = KeyPair(replicas.held("tls.crt"), replicas.held("tls.key"))
    assert verify(pair, replicas.held("ca.crt"), SERVER_NAME, now=facts(pair.certificate).issued).ok


def test_of_many_that_begin_at_once_one_wins(replicas, namespace):
    replicas.register(namespace.name)
    commands = [[product.COMMAND, "certs", "bootstrap", "--kubeconfig", replicas.plane.kubeconfig] for _ in range(6)]
    racers = [
        replicas.plane.programs.start(f"sidecar-policy-racer-{number}", command)
        for number, command in enumerate(commands)
    ]

    for racer in racers:
        eventually(lambda racer=racer: not racer.running, seconds=60, what="a racer has come to its end")

    assert [
        "in service: Secret sidecar-policy/sidecar-policy-certificates" in one.log.read_text() for one in racers
    ] == [True] * 6
    assert len(split(replicas.held("ca.crt"))) == 1
    assert replicas.bundles() == {replicas.held("ca.crt")}


def test_of_many_that_write_the_same_version_one_wins(replicas):
    assert replicas.certs("bootstrap").returncode == 0
    clients = [connect(replicas.plane.kubeconfig) for _ in range(20)]
    secrets = [Secret(client, product.NAMESPACE, SECRET) for client in clients]

    async def race():
        read = await asyncio.gather(*(secret.read() for secret in secrets))
        writes = (secret.change(one.version, {"racer": "1"}, {}) for secret, one in zip(secrets, read, strict=True))
        won = await asyncio.gather(*writes)
        await asyncio.gather(*(client.close() for client in clients))
        return won

    assert sum(asyncio.run(race())) == 1


def test_a_new_certificate_is_served_within_a_second_or_two(running):
    before = served_by(running.ports[0])

    assert running.certs("rotate", "serving").returncode == 0

    eventually(
        lambda: {served_by(port) for port in running.ports} == {running.held("tls.crt")}, seconds=3, what="served"
    )
    assert served_by(running.ports[0]) != before


def test_five_forced_rotations_of_each_kind_fail_not_one_pod_and_not_one_handshake(running, namespace):
    authorities, served = [authority(running)], [running.held("tls.crt")]
    with Repeated(create_pods(namespace)) as pods, Repeated(shake_hands(running)) as handshakes:
        for _ in range(5):
            assert running.certs("rotate", "serving").returncode == 0
            eventually(lambda: running.held("tls.crt") not in served, what="another certificate")
            served.append(running.held("tls.crt"))
        for _ in range(5):
            rotated = running.certs("rotate", "authority", "--wait", "60s", *WAITS)
            assert rotated.returncode == 0, rotated.stderr
            authorities.append(authority(running))
        eventually(lambda: settled(running), what="the old authority is gone")
    print(f"\n{pods.count} pods and {handshakes.count} rounds of handshakes during ten rotations")

    assert (pods.failures, handshakes.failures) == ([], [])
    assert pods.count > 50
    assert len(set(authorities)) == 6
    assert len({served_by(port) for port in running.ports}) == 1


def test_a_wiped_ca_bundle_is_restored_before_anybody_could_do_it_by_hand(running, namespace):
    before = running.bundles()
    with Repeated(create_pods(namespace)) as pods:
        begin = time.monotonic()
        wipe(running.plane.api)
        eventually(lambda: running.bundles() == before, seconds=5, what="the caBundle is back")
        restored = time.monotonic() - begin
        time.sleep(2)
    # What fails in between cannot be helped: the API server has nothing to verify us by.
    failing = max((when for when, _ in pods.failures), default=begin) - begin
    print(
        f"\nrestored {restored:.2f} s after the wipe; {len(pods.failures)} of {pods.count} pods failed, the last after "
        f"{failing:.2f} s"
    )

    assert restored < 3
    assert failing < 3


def test_a_replica_that_is_killed_in_the_middle_of_a_rotation_is_not_needed(running, namespace):
    before = authority(running)
    with Repeated(shake_hands_of(running, 1)) as handshakes:
        assert running.certs("rotate", "authority").returncode == 0
        running.started[0].kill()
        eventually(
            lambda: authority(running) != before and settled(running), seconds=30, what="the rotation is complete"
        )

    assert handshakes.failures == []


def shake_hands_of(replicas, which):
    alone = Replicas(replicas.plane, ports=[replicas.ports[which]])
    return shake_hands(alone)


def test_somebody_elses_secret_is_told_and_left_alone(replicas, namespace):
    replicas.register(namespace.name)
    metadata = {"name": SECRET, "namespace": product.NAMESPACE}
    data = {"password": base64.b64encode(b"CANARY-foreign").decode()}
    replicas.plane.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    before = replicas.secret()

    replica = replicas.start(0)

    eventually(lambda: replica.log("certificates"), what="it is told")
    said = f"Secret {product.NAMESPACE}/{SECRET} exists but is not managed by sidecar-policy"
    assert said in replica.text
    status, readiness = replica.get("/readyz")
    assert status == 503
    assert said in readiness
    for command in ("bootstrap", "inspect"):
        ended = replicas.certs(command)
        assert (ended.returncode, said in ended.stderr) == (1, True)
    assert replicas.certs("rotate", "serving").returncode == 1
    assert replicas.secret() == before
    assert replicas.bundles() == {b""}
    assert "CANARY" not in replica.text + readiness


@pytest.mark.parametrize("key", ["tls.key", "authority.key", "ca.crt"])
def test_damage_to_our_secret_is_told_and_mended_and_no_pod_fails(running, namespace, key):
    with Repeated(create_pods(namespace)) as pods, Repeated(shake_hands(running)) as handshakes:
        garbage = base64.b64encode(b"CANARY-garbage").decode()
        running.plane.api.merge("Secret", SECRET, {"data": {key: garbage}}, product.NAMESPACE)
        eventually(lambda: running.held(key) != b"CANARY-garbage", what="it is repaired")
        eventually(lambda: settled(running), seconds=30, what="it is as if nothing had been")

    assert (pods.failures, handshakes.failures) == ([], [])
    text = "".join(one.text for one in running.started)
    assert key in " ".join(
        problem for one in running.started for line in one.log("certificates") for problem in line["problems"]
    )
    assert "CANARY" not in text


def test_a_deleted_secret_is_made_anew_and_no_pod_fails(running, namespace):
    before = authority(running)
    with Repeated(create_pods(namespace)) as pods, Repeated(shake_hands(running)) as handshakes:
        running.plane.api.delete("Secret", SECRET, product.NAMESPACE)
        eventually(
            lambda: running.held("tls.crt") and settled(running), seconds=30, what="it is as if nothing had been"
        )

    assert (pods.failures, handshakes.failures) == ([], [])
    assert authority(running) != before


def test_short_lives_are_renewed_in_time(replicas, namespace):
    options = ("--cert-lifetime", "9s", "--authority-lifetime", "24s")
    replicas.register(namespace.name)
    replicas.ready(replicas.start(0, *options), replicas.start(1, *options))
    eventually(lambda: decided(namespace), what="a pod is decided")
    served, authorities = set(), set()
    with Repeated(create_pods(namespace)) as pods, Repeated(shake_hands(replicas)) as handshakes:
        end = time.monotonic() + 40
        while time.monotonic() < end:
            served.add(replicas.held("tls.crt"))
            authorities.add(authority(replicas))
            time.sleep(0.2)

    assert (pods.failures, handshakes.failures) == ([], [])
    assert len(served) >= 5
    assert len(authorities) >= 2


def test_inspect_shows_what_there_is_and_no_key(running):
    ended = running.certs("inspect")
    document = json.loads(running.certs("inspect", "-o", "json").stdout)

    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0] == f"secret         {product.NAMESPACE}/{SECRET}"
    assert document["healthy"]
    assert document["serving"]["dnsNames"] == [SERVER_NAME]
    assert [one["role"] for one in document["authorities"]] == ["signing"]
    assert [(one["name"].split()[1], one["entries"], one["trusts"]) for one in document["configurations"]] == [
        (CONFIGURATION, 2, True)
    ] * 2
    assert document["next"]["step"] == "none"
    for key in ("tls.key", "authority.key"):
        body = running.held(key).decode().splitlines()[1]
        assert body not in ended.stdout + json.dumps(document) + "".join(one.text for one in running.started)


def test_inspect_says_no_when_the_bundle_is_not_there(replicas, namespace):
    replicas.register(namespace.name)
    nothing = replicas.certs("inspect")
    replicas.certs("bootstrap")
    wipe(replicas.plane.api)
    wiped = replicas.certs("inspect")

    assert (nothing.returncode, "there are no certificates yet" in nothing.stdout) == (1, True)
    assert (wiped.returncode, "does not trust it" in wiped.stdout) == (1, True)


def test_the_documented_commands_work_as_written(running, tmp_path):
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").symlink_to(running.plane.kubeconfig)
    environment = os.environ | {"HOME": str(tmp_path), "PATH": f"{product.COMMAND.parent}:{os.environ['PATH']}"}
    commands = re.findall(r"^\$ (sidecar-policy certs .*--kubeconfig.*)$", DOCUMENTED.read_text(), re.MULTILINE)

    assert len(commands) == 5
    for command in commands:
        ended = subprocess.run(
            command, check=False, shell=True, env=environment, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, f"{command}: {ended.stderr}"
        assert ended.stdout


def test_a_second_rotation_of_the_authority_waits_for_the_first(running):
    assert running.certs("rotate", "authority").returncode == 0

    refused = running.certs("rotate", "authority")

    assert refused.returncode == 1
    assert "another rotation is in progress" in refused.stderr


def test_the_metrics_tell_of_expiry_rotation_and_steps(running):
    serving, signing = facts(running.held("tls.crt")), facts(authority(running))
    name = "sidecar_policy_certificate"

    for one in running.started:
        assert one.metric(f"{name}_last_rotation_timestamp_seconds") == serving.issued.timestamp()
        assert one.metric(f"{name}_expiry_timestamp_seconds") == serving.not_after.timestamp()
        assert one.metric(f"{name}_authority_expiry_timestamp_seconds") == signing.not_after.timestamp()
    for step in ("start", "switch"):
        assert sum(one.metric(f"{name}_steps_total", step=step) for one in running.started) == 1
