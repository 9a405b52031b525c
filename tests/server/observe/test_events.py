"""The sender against a small API server on loopback, over the real client."""

import asyncio
import socket
import threading
from contextlib import closing

import msgspec
import pytest
from telling import ApiServer, Teller, decision, offer, pod
from waiting import eventually

from webhook.core.decision import Action, Decision, Reason
from webhook.kubernetes.pod import Pod
from webhook.server.observe.events import EventLimits

EVENTS = "/apis/events.k8s.io/v1/namespaces/shop/events"
SOON = EventLimits(flush=0.05)


@pytest.fixture
def api(loopback):
    api = ApiServer()
    with loopback(lambda method, path, _, body: api.answer(method, path, body)) as api.port:
        yield api
        if api.hang is not None:
            api.hang.set()


@pytest.fixture
def teller(api, tmp_path):
    return Teller(tmp_path, api.port)


def test_a_decision_becomes_an_event_on_the_pods_owner(api, teller):
    events = teller.make()
    offer(events)

    teller.run(events)

    assert api.requests == [("POST", EVENTS)]
    assert api.only["regarding"] == {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "namespace": "shop",
        "name": "db",
        "uid": "uid-db",
    }
    assert (api.only["type"], api.only["reason"], api.only["action"]) == ("Normal", "SidecarSkipped", "Skip")
    assert api.only["reportingController"] == "sidecar-policy.dev/webhook"
    assert api.only["reportingInstance"] == "pod-1"
    assert teller.outcomes == {"sent": 1}


def test_a_contradiction_becomes_a_warning_on_the_pods_owner(api, teller):
    events = teller.make()
    events.contradiction("sidecar-despite-skip", "the pod has a sidecar", pod(), "shop", dry_run=False)

    teller.run(events)

    assert (api.only["type"], api.only["reason"]) == ("Warning", "SidecarDespiteSkip")


def test_nothing_is_told_of_dry_runs_of_inherited_decisions_and_of_pods_without_an_owner(api, teller):
    events = teller.make()
    offer(events, dry_run=True)
    events.contradiction("sidecar-despite-skip", "the pod has a sidecar", pod(), "shop", dry_run=True)
    offer(events, made=Decision(Action.INHERIT, Reason.RULE))
    events.offer(decision(), msgspec.convert({"metadata": {}, "spec": {}}, Pod), "shop", dry_run=False)

    teller.run(events)

    assert api.requests == []
    assert teller.outcomes == {}


def test_offering_sends_nothing_itself(api, teller):
    offer(teller.make())

    assert api.requests == []


def test_what_is_told_again_raises_the_series_of_one_event_in_one_request(api, teller):
    events = teller.make()
    offer(events, times=50)

    teller.run(events)

    assert api.methods == ["POST", "PATCH"]
    assert api.count == 50
    assert api.only["series"]["lastObservedTime"] >= api.only["eventTime"]
    assert teller.outcomes == {"sent": 1, "repeated": 49}


def test_repetitions_are_written_while_it_runs(api, teller):
    events = teller.make(limits=SOON)
    offer(events, times=3)

    teller.run(events, scenario=lambda: eventually(lambda: api.events and api.count == 3))

    assert api.methods == ["POST", "PATCH"]


def test_repetitions_wait_for_their_round(api, teller):
    now = [0.0]
    events = teller.make(clock=lambda: now[0])

    async def scenario():
        offer(events)
        await eventually(lambda: api.events)
        now[0] = 100.0
        offer(events)
        await asyncio.sleep(0.1)
        assert api.count == 1

    teller.run(events, scenario=scenario)

    assert api.count == 2


def test_other_owners_and_other_notes_are_other_events(api, teller):
    events = teller.make()
    offer(events)
    offer(events, owner="other")
    offer(events, made=decision(rule="another"))

    teller.run(events)

    assert len(api.events) == 3
    assert teller.outcomes == {"sent": 3}


def test_replicas_count_in_one_event(api, teller):
    one, other = teller.make("pod-1"), teller.make("pod-2")
    offer(one, times=3)
    offer(other, times=4)

    teller.run(one, other)

    assert api.count == 7
    assert teller.outcomes == {"sent": 1, "repeated": 6}


def test_a_replica_that_was_overtaken_adds_to_what_the_other_wrote(api, teller):
    one, other = teller.make("pod-1"), teller.make("pod-2", limits=SOON)

    async def scenario():
        offer(one)
        await eventually(lambda: api.events)
        offer(other, times=2)
        await eventually(lambda: api.count == 3)
        offer(one)

    teller.run(one, other, scenario=scenario)

    assert api.count == 4


def test_an_event_that_has_expired_is_created_anew_with_what_was_repeated(api, teller):
    events = teller.make()

    async def scenario():
        offer(events)
        await eventually(lambda: api.events)
        api.events.clear()
        offer(events, times=2)

    teller.run(events, scenario=scenario)

    assert api.methods == ["POST", "PATCH", "POST"]
    assert api.count == 2


def test_an_event_that_was_not_told_for_long_is_asked_for_and_goes_on(api, teller):
    now = [0.0]
    events = teller.make(clock=lambda: now[0])

    async def scenario():
        offer(events)
        await eventually(lambda: api.events)
        now[0] = 601.0
        offer(events)

    teller.run(events, scenario=scenario)

    assert api.methods[:2] == ["POST", "POST"]
    assert api.count == 2


def test_only_so_many_events_are_remembered(api, teller):
    events = teller.make(limits=EventLimits(series=2))
    for number in range(20):
        offer(events, owner=f"db-{number}")

    async def scenario():
        await eventually(lambda: len(api.events) == 20)
        assert len(events._known) <= 2

    teller.run(events, scenario=scenario)


def test_what_is_over_the_rate_is_dropped_and_counted(api, teller):
    events = teller.make(limits=EventLimits(burst=2, per_second=0.0))
    for owner in ("a", "b", "c", "d"):
        offer(events, owner=owner)

    teller.run(events)

    assert len(api.events) == 2
    assert teller.outcomes == {"sent": 2, "dropped": 2}


def test_the_rate_comes_back_with_time(api, teller):
    now = [0.0]
    events = teller.make(limits=EventLimits(burst=1, per_second=5.0), clock=lambda: now[0])

    async def scenario():
        offer(events, owner="a")
        await eventually(lambda: api.events)
        now[0] = 0.2
        offer(events, owner="b")

    teller.run(events, scenario=scenario)

    assert teller.outcomes == {"sent": 2}


def test_what_is_over_the_queue_is_dropped_and_counted(api, teller):
    events = teller.make(limits=EventLimits(queue=3))
    offer(events, times=5)
    assert teller.outcomes == {"dropped": 2}

    teller.run(events)

    assert api.count == 3


def test_a_refusal_is_counted_and_logged_once_with_the_api_servers_words_and_what_is_missing(api, teller):
    said = 'events.events.k8s.io is forbidden: User "u" cannot create resource "events" in the namespace "shop"'
    api.refusal = (403, said)
    events = teller.make()
    for owner in ("a", "b", "c"):
        offer(events, owner=owner)

    teller.run(events)

    assert teller.outcomes == {"failed": 3}
    (line,) = teller.log
    assert (line["event"], line["problem"], line["status"]) == ("writing Events failed", said, 403)
    assert line["hint"] == "RBAC: grant the webhook create and patch on events of events.k8s.io"


def test_another_problem_is_logged_and_so_is_its_end(api, teller):
    events = teller.make()

    async def scenario():
        for refusal in ((403, "being terminated"), (500, "etcd is gone"), None):
            api.refusal = refusal
            told = teller.outcomes.total()
            offer(events)
            await eventually(lambda told=told: teller.outcomes.total() > told)

    teller.run(events, scenario=scenario)

    assert [line["event"] for line in teller.log] == ["writing Events failed"] * 2 + ["writing Events resumed"]
    assert [line["status"] for line in teller.log[:2]] == [403, 500]
    assert teller.log[0]["hint"] == ""
    assert teller.outcomes == {"failed": 2, "sent": 1}


def test_an_api_server_that_is_not_there_costs_events_only(tmp_path):
    with closing(socket.socket()) as reserved:
        reserved.bind(("127.0.0.1", 0))
        teller = Teller(tmp_path, reserved.getsockname()[1])
        events = teller.make()
        offer(events)

        teller.run(events)

    assert teller.outcomes == {"failed": 1}
    assert "cannot be reached" in teller.log[0]["problem"]


def test_an_api_server_that_hangs_does_not_hold_up_the_end(api, teller):
    api.hang = threading.Event()
    events = teller.make(limits=EventLimits(grace=0.1))
    offer(events, times=2)
    offer(events, owner="other")

    teller.run(events, scenario=lambda: eventually(lambda: api.requests))

    assert len(api.requests) == 1
    assert teller.outcomes == {"dropped": 3}


def test_what_was_offered_right_before_the_end_is_still_told(api, teller):
    events = teller.make()

    async def scenario():
        offer(events)

    teller.run(events, scenario=scenario)

    assert teller.outcomes == {"sent": 1}
