"""What is left of the Events of a namespace when another one floods: against a small API server on loopback."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telling import ApiServer, Teller, offer, pod
from waiting import eventually

from webhook.server.observe.event_shares import Shares
from webhook.server.observe.events import EventLimits

NAMESPACES = st.sampled_from(["a", "b", "c"])


@pytest.fixture
def api(loopback):
    api = ApiServer()
    with loopback(lambda method, path, _, body: api.answer(method, path, body)) as api.port:
        yield api


@pytest.fixture
def teller(api, tmp_path):
    return Teller(tmp_path, api.port)


def flood(events, count, *, namespace="noisy"):
    """Offer decisions about pods with as many invented owners."""
    for number in range(count):
        offer(events, owner=f"forged-{number}", namespace=namespace)


def test_a_flood_of_one_namespace_leaves_the_burst_to_the_others_too(api, teller):
    events = teller.make(limits=EventLimits(per_second=0.0))
    flood(events, 200)
    for number in range(10):
        events.contradiction("label-lost", "the label is gone", pod(f"db-{number}"), "victim", dry_run=False)

    teller.run(events)

    assert len(api.regarded("victim")) == 10
    assert len(api.regarded("noisy")) == 15
    assert teller.outcomes == {"sent": 25, "dropped": 185}


def test_after_a_flood_has_taken_the_burst_the_next_of_the_rate_is_for_the_others(api, teller):
    now = [0.0]
    events = teller.make(limits=EventLimits(burst=3, per_second=1.0), clock=lambda: now[0])

    async def scenario():
        flood(events, 50)
        await eventually(lambda: len(api.events) == 3)
        for number in range(2):
            offer(events, owner=f"db-{number}", namespace="victim")
        for second in range(1, 5):
            now[0] = float(second)
            await eventually(lambda second=second: len(api.events) == 3 + second)
        assert len(api.regarded("victim")) == 2

    teller.run(events, scenario=scenario)


def test_what_exceeds_the_rate_waits_and_is_written_once_with_all_that_came_meanwhile(api, teller):
    now = [0.0]
    events = teller.make(limits=EventLimits(burst=1, per_second=1.0), clock=lambda: now[0])

    async def scenario():
        offer(events, owner="a")
        await eventually(lambda: api.events)
        offer(events, owner="b", times=5)
        await eventually(lambda: not events._queue)
        now[0] = 1.0
        await eventually(lambda: len(api.events) == 2)

    teller.run(events, scenario=scenario)

    assert api.methods == ["POST", "POST"]
    assert teller.outcomes == {"sent": 2, "repeated": 4}


def test_a_full_queue_drops_the_newest_of_the_namespace_that_has_the_most(api, teller):
    events = teller.make(limits=EventLimits(queue=10))
    offer(events, owner="first", namespace="other")
    flood(events, 100)
    flood(events, 3, namespace="victim")

    teller.run(events)

    assert api.regarded("victim") == ["forged-0", "forged-1", "forged-2"]
    assert api.regarded("other") == ["first"]
    assert api.regarded("noisy") == [f"forged-{number}" for number in range(6)]
    assert teller.outcomes == {"sent": 10, "dropped": 94}


def test_repetitions_of_one_namespace_do_not_use_up_the_rounds_of_the_others(api, teller):
    now = [0.0]
    events = teller.make(limits=EventLimits(burst=20, per_second=1.0), clock=lambda: now[0])

    async def scenario():
        flood(events, 19)
        offer(events, namespace="victim")
        await eventually(lambda: len(api.events) == 20)
        flood(events, 19)
        offer(events, namespace="victim")
        await eventually(lambda: not events._queue)
        now[0] = 10.0
        offer(events, namespace="victim")
        await eventually(lambda: api.methods.count("PATCH") == 10)

    teller.run(events, scenario=scenario)

    patched = [path for method, path in api.requests if method == "PATCH"]
    assert sum("/victim/" in path for path in patched[:2]) == 1


def test_a_flood_does_not_make_the_series_of_other_namespaces_forgotten(api, teller):
    events = teller.make(limits=EventLimits(series=4, burst=100))
    remembered = []

    async def scenario():
        offer(events, namespace="victim")
        flood(events, 20)
        await eventually(lambda: len(api.events) == 21)
        offer(events, namespace="victim")
        await eventually(lambda: not events._queue)
        remembered.append(len(events._known))

    teller.run(events, scenario=scenario)

    # A forgotten one is created again: the API server refuses that, for it has it already.
    assert sum(method == "POST" and "/victim/" in path for method, path in api.requests) == 1
    assert teller.outcomes["repeated"] == 1
    assert remembered == [4]


def test_an_owner_that_another_namespace_forges_takes_no_event_away_from_its_own(api, teller):
    events = teller.make()
    offer(events, owner="db", namespace="noisy")
    offer(events, owner="db", namespace="victim")

    teller.run(events)

    assert api.regarded("victim") == ["db"]
    assert teller.outcomes == {"sent": 2}


def test_namespaces_without_entries_take_no_memory():
    shares = Shares()
    for number in range(1000):
        shares.put(f"ns-{number}", "key", number)

    assert [shares.next() for _ in range(600)] == list(range(600))
    assert shares.drop(newest=True) == 999
    assert shares.drop(newest=False) == 600
    for number in range(1000):
        shares.remove(f"ns-{number}", "key")

    assert (len(shares), len(shares._of), len(shares._by_count)) == (0, 0, 0)


@given(
    st.lists(st.tuples(st.sampled_from(["put", "next", "remove", "newest", "oldest"]), NAMESPACES, st.integers(0, 5)))
)
def test_an_entry_is_always_dropped_from_a_namespace_that_has_the_most(steps):
    shares, kept = Shares(), {}
    for step, namespace, key in steps:
        most = max((sum(one == other for other, _ in kept) for one, _ in kept), default=0)
        if step == "put":
            shares.put(namespace, key, (namespace, key))
            kept[namespace, key] = None
        elif step == "remove":
            shares.remove(namespace, key)
            kept.pop((namespace, key), None)
        elif kept:
            gone = shares.next() if step == "next" else shares.drop(newest=step == "newest")
            assert step == "next" or sum(gone[0] == other for other, _ in kept) == most
            del kept[gone]
        assert len(shares) == len(kept)
