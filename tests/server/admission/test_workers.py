"""Decisions that take long: off the event loop, by turns, with an end, and never in the way of small ones."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter

import msgspec
import pytest
import yaml
from injected import SIDECAR
from pace import measured

from webhook.core.budget import Budget
from webhook.core.recording import RecordingView
from webhook.decision.cache import DecisionCache
from webhook.detection.parse.content import read_content
from webhook.inventory.store import Store
from webhook.kubernetes.pod import Pod
from webhook.policy.load import default_policy
from webhook.server.admission.backlog import OverloadedError
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.admission.pods import Decider, admit, mutate, validate
from webhook.server.admission.workers import Caller, ClientGoneError, Workers
from webhook.server.settings import Limits

CONNECTIONS = 256
LINES = "".join(f"k{number}_host: s{number}:6379\n" for number in range(10_000))


class _Policies:
    current = default_policy()
    recent = (current,)


def _store(files=1):
    store = Store()
    for namespace in ("tenant", "other"):
        store.put_namespace(namespace, {"istio-injection": "enabled"})
        some = read_content("a.yaml", "".join(LINES.splitlines(keepends=True)[:4000]))
        store.put_config_map(namespace, "c", {f"{n}.yaml": some for n in range(files)})
    return store


def _pod(mounts=1, **metadata):
    mounted = [{"name": "v", "mountPath": f"/{number}"} for number in range(mounts)]
    volumes = [{"name": "v", "configMap": {"name": "c"}}]
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "volumeMounts": mounted}], "volumes": volumes}}


def _ordinary(number):
    """A pod of some 20 KB and 200 units of work: more than the event loop takes."""
    env = [{"name": f"SETTING_{n}", "value": f"https://api-{n}.example.com/v1/{number}"} for n in range(200)]
    env.append({"name": "REDIS_HOST", "value": f"redis-{number}:6379"})
    container = {"name": "c", "image": "app", "env": env}
    return {"metadata": {}, "spec": {"containers": [container]}}


def _answered(kit, decider, pod, caller, judge=mutate):
    admission = Admission("mutate")
    body = json.dumps(kit.make_review(pod, namespace="tenant")).encode()
    response = asyncio.run(admit(body, decider, admission, judge, caller))
    return admission, json.loads(response)["response"]


def _spin(cancelled):
    while not cancelled():
        time.sleep(0.001)
    return "stopped"


def _soon():
    return Caller(time.monotonic() + 0.1)


def test_work_ends_soon_after_its_deadline():
    assert asyncio.run(Workers().run("a", _spin, _soon())) == "stopped"


def test_what_finds_no_thread_until_its_deadline_is_not_done():
    async def tried():
        workers = Workers()
        busy = [asyncio.create_task(workers.run(name, _spin, Caller(time.monotonic() + 1))) for name in "ab"]
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadedError, match="timed out in the queue"):
            await workers.run("c", _spin, _soon())
        workers.leave()
        return await asyncio.gather(*busy)

    assert asyncio.run(tried()) == ["stopped", "stopped"]


def test_one_namespace_leaves_a_thread_to_the_others_and_its_flood_is_soon_refused():
    def slow(cancelled):
        time.sleep(0.5)
        return "done"

    async def tried():
        workers = Workers()
        flood = [
            asyncio.create_task(workers.run("flood", slow, Caller(time.monotonic() + 2.5))) for _ in range(CONNECTIONS)
        ]
        await asyncio.sleep(1.2)
        refused = [one.exception() for one in flood if one.done() and one.exception()]
        assert len(refused) > CONNECTIONS * 3 // 4
        assert all("too many" in str(error) for error in refused)
        with pytest.raises(OverloadedError, match="too many"):
            await workers.run("flood", slow, Caller(time.monotonic() + 1))
        other = await asyncio.wait_for(workers.run("other", lambda _: "done", Caller()), 1)
        workers.leave()
        with pytest.raises(OverloadedError, match="shutting down"):
            await workers.run("other", _spin, Caller())
        return other, await asyncio.gather(*flood, return_exceptions=True)

    other, flood = asyncio.run(tried())
    assert other == "done"
    assert {one for one in flood if isinstance(one, str)} == {"done"}


def test_a_deployment_that_scales_up_is_decided_however_many_of_its_pods_come_at_once(kit):
    """As many as the server has connections: each needs a thread, and none is like another."""
    decider = Decider(_Policies(), _store())

    async def burst():
        admissions = [Admission("mutate") for _ in range(CONNECTIONS)]
        pods = [_ordinary(number) for number in range(CONNECTIONS)]
        bodies = [json.dumps(kit.make_review(pod, namespace="tenant")).encode() for pod in pods]
        caller = Caller(time.monotonic() + 30)  # of a busy machine: what matters is that no count limits them
        await asyncio.gather(
            *(admit(body, decider, one, mutate, caller) for body, one in zip(bodies, admissions, strict=True))
        )
        return Counter((one.outcome, one.decision.rule) for one in admissions)

    assert asyncio.run(burst()) == {(Outcome.PATCHED, "datastore-clients"): CONNECTIONS}


def test_work_stops_when_its_client_has_gone():
    async def tried():
        async def receive():
            await asyncio.sleep(0.05)
            return {"type": "http.disconnect"}

        with pytest.raises(ClientGoneError):
            await asyncio.wait_for(Workers().run("a", _spin, Caller(receive=receive)), 1)

    asyncio.run(tried())


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        (b"", 4.0),
        (b"timeout=10s", 4.0),
        (b"timeout=1s", 0.5),
        (b"a=b&timeout=500ms", 0.25),
        (b"timeout=1.5s", 0.75),
        (b"timeout=soon", 4.0),
        (b"notimeout=1s", 4.0),
    ],
)
def test_a_decision_may_take_half_of_the_time_that_the_api_server_waits(query, seconds):
    assert Limits().answer_within(query) == seconds


def test_a_decision_that_is_not_made_in_time_is_answered_counted_and_not_remembered(kit):
    decider = Decider(_Policies(), _store())
    admission, response = _answered(kit, decider, _pod(), Caller(time.monotonic() - 1))

    assert (admission.outcome, response["allowed"], "patch" in response) == (Outcome.OVERLOADED, True, False)
    assert "not read in time" in response["warnings"][0] or "timed out in the queue" in response["warnings"][0]
    assert len(decider.cache) == 0
    assert _answered(kit, decider, _pod(), Caller())[0].outcome is Outcome.PATCHED


def test_what_is_not_known_for_want_of_time_is_no_contradiction_and_refused_under_strict(kit):
    decider = Decider(_Policies(), _store(), strict=True)
    created = _pod()
    created["spec"]["containers"].append(SIDECAR)
    admission, response = _answered(kit, decider, created, Caller(time.monotonic() - 1), validate)

    assert (admission.outcome, admission.contradiction, response["allowed"]) == (Outcome.OVERLOADED, None, False)
    assert _answered(kit, decider, created, Caller(), validate)[1]["allowed"] is False
    decider = Decider(_Policies(), _store())
    assert _answered(kit, decider, created, Caller(time.monotonic() - 1), validate)[1]["allowed"] is True


def test_a_pod_that_exceeds_the_budget_is_decided_once_for_all_its_replicas(kit):
    decider = Decider(_Policies(), _store(files=3))
    admission, response = _answered(kit, decider, _pod(name="a"), Caller())
    with measured() as work:
        again, _ = _answered(kit, decider, _pod(name="b"), Caller())

    assert (admission.outcome, admission.decision.reason.code) == (Outcome.UNCHANGED, "unknown")
    assert "exceeds the limit of one decision" in response["warnings"][0]
    assert again.decision is admission.decision
    assert work.seconds < 0.1


def test_findings_that_a_smaller_budget_cut_are_not_remembered(kit):
    store, memory = _store(), DecisionCache()
    pod = kit.make_review(_pod())["request"]["object"]
    read = msgspec.convert(pod, Pod)
    catalog = _Policies.current.catalog

    assert memory.detect(read, "tenant", RecordingView(store), catalog, Budget(100)).cut
    assert len(memory) == 0
    assert not memory.detect(read, "tenant", RecordingView(store), catalog, Budget()).cut


def test_names_of_any_length_are_neither_asked_for_nor_remembered():
    """Each setting of a file has the path of its mount in its evidence, and all is kept for replicas."""
    store, memory = _store(), DecisionCache()
    source = {"configMapKeyRef": {"name": "a" * 1_000_000, "key": "k" * 1_000_000}}
    pod = _pod()
    pod["spec"]["containers"][0] |= {
        "env": [
            {"name": "A" * 1_000_000, "valueFrom": source},
            {"name": "A" * 1_000_000 + "_HOST", "value": "redis:6379"},
        ],
        "volumeMounts": [{"name": "v", "mountPath": "/m" * 500_000}],
    }
    asked = RecordingView(store)
    findings = memory.detect(msgspec.convert(pod, Pod), "tenant", asked, _Policies.current.catalog, Budget())

    assert len(findings.dependencies) == 4001
    assert max(len(found.evidence) for found in findings.dependencies) < 1500
    assert max(map(len, findings.unknown)) < 2000
    assert max(len(question.name) for question in asked.answers) <= 253


class _Process:
    """The server as it is run, on loopback."""

    def __init__(self, directory, *, drain="0.2"):
        cluster = [
            {"kind": "Namespace", "metadata": {"name": "tenant", "labels": {"istio-injection": "enabled"}}},
            {"kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}},
            *(
                {"kind": "ConfigMap", "metadata": {"name": f"c{n}", "namespace": "tenant"}, "data": {"app.yaml": LINES}}
                for n in range(4)
            ),
        ]
        manifests = directory / "cluster.yaml"
        manifests.write_text(yaml.safe_dump_all({"apiVersion": "v1"} | document for document in cluster))
        command = [sys.executable, "-m", "webhook", "serve", "--host", "127.0.0.1", "--port", "0", "--health-port", "0"]
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--drain", drain, "--manifests", str(manifests)], stderr=log, stdout=log, env=os.environ
            )
        said = self._listening()
        self.port, self.health = said["port"], said["health_port"]
        self.context = ssl.create_default_context(cafile=said["ca"])

    def _listening(self):
        for _ in range(600):
            for line in self.log.read_text().splitlines():
                if '"listening"' in line:
                    return json.loads(line)
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def post(self, body, timeout=20):
        with contextlib.closing(
            http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=timeout)
        ) as connection:
            connection.request("POST", "/mutate?timeout=10s", body, {"content-type": "application/json"})
            return json.loads(connection.getresponse().read())["response"]

    def seconds(self, path):
        began = time.monotonic()
        urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=20).read()
        return time.monotonic() - began


def _heavy(number):
    volumes = [{"name": f"v{n}", "configMap": {"name": f"c{n}"}} for n in range(4)]
    mounts = [{"name": f"v{n}", "mountPath": f"/{n}/{k}"} for n in range(4) for k in range(10)]
    return {
        "metadata": {},
        "spec": {"containers": [{"name": f"c{number}", "volumeMounts": mounts}], "volumes": volumes},
    }


@pytest.fixture
def process(tmp_path):
    running = _Process(tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.wait()


@pytest.mark.alone
def test_probes_and_small_pods_are_answered_beside_a_flood_of_small_pods_that_mount_much(process, kit):
    """Four clients, 2 KB pods, four ConfigMaps of 10,000 lines each. The bound is ten times what is meant."""
    stop, answers, failures = threading.Event(), [], []

    def attack(which):
        number = 0
        while not stop.is_set():
            number += 1
            body = json.dumps(kit.make_review(_heavy(f"{which}-{number}"), namespace="tenant"))
            try:
                answers.append(process.post(body))
            except Exception as error:  # noqa: BLE001 - counted
                failures.append(error)

    threads = [threading.Thread(target=attack, args=(which,), daemon=True) for which in range(4)]
    for thread in threads:
        thread.start()
    small = json.dumps(kit.make_review(kit.make_pod("small"), namespace="shop"))
    waited, began = [], time.monotonic()
    while time.monotonic() - began < 4:
        waited += [process.seconds("/livez"), process.seconds("/readyz")]
        before = time.monotonic()
        assert process.post(small)["allowed"]
        waited.append(time.monotonic() - before)
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join(20)

    assert max(waited) < 1.0
    assert failures == []
    assert all(answer["allowed"] for answer in answers)
    assert any("onUnknown" in answer["warnings"][0] for answer in answers)


def test_the_server_ends_in_time_while_decisions_are_under_way(process, kit):
    bodies = [json.dumps(kit.make_review(_heavy(number), namespace="tenant")) for number in range(8)]
    answers = []
    threads = [threading.Thread(target=lambda b=body: answers.append(process.post(b)), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    process.process.send_signal(signal.SIGTERM)

    assert process.process.wait(10) == 0
    assert time.monotonic() - began < 5
    for thread in threads:
        thread.join(5)
    assert len(answers) == 8
