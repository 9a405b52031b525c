import asyncio
import contextlib
from datetime import UTC, datetime

import pytest

from webhook.cluster.client import connect
from webhook.cluster.errors import ClusterError
from webhook.cluster.lease import Lease

LEASES = "/apis/coordination.k8s.io/v1/leases"
KEY = "mesh/drift"


class Clock:
    seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def run(kubeconfig):
    """Runs what is to be done with a client."""

    def run(what):
        async def doing():
            async with contextlib.AsyncExitStack() as stack:
                client = connect_within(kubeconfig)
                stack.push_async_callback(client.close)
                return await what(client)

        return asyncio.run(doing())

    connected = [connect(kubeconfig) for _ in range(3)]

    def connect_within(_):
        return connected.pop()

    return run


def lease(client, identity, clock):
    now = lambda: datetime(2026, 3, 1, 12, 0, int(clock.seconds) % 60, tzinfo=UTC)  # noqa: E731
    return Lease(client, "mesh", "drift", identity=identity, seconds=60, clock=clock, now=now)


def test_the_first_to_look_takes_it_and_the_second_learns_who_has_it(api, run, clock):
    async def two(client):
        first, second = lease(client, "a", clock), lease(client, "b", clock)
        return await first.try_acquire_or_renew(), await second.try_acquire_or_renew(), first.holder, second.holder

    assert run(two) == (True, False, "a", "a")
    assert api.objects[LEASES][KEY]["spec"]["holderIdentity"] == "a"
    assert api.objects[LEASES][KEY]["spec"]["renewTime"] == "2026-03-01T12:00:40.000000Z"


def test_one_that_is_renewed_stays_with_its_holder(api, run, clock):
    async def two(client):
        first, second = lease(client, "a", clock), lease(client, "b", clock)
        await first.try_acquire_or_renew()
        held = []
        for _ in range(4):
            clock.seconds += 50
            held += [await first.try_acquire_or_renew(), await second.try_acquire_or_renew()]
        return held

    assert run(two) == [True, False] * 4
    assert api.objects[LEASES][KEY]["spec"]["leaseTransitions"] == 0


def test_one_that_is_not_renewed_is_free_after_its_time_by_the_clock_of_who_looks(api, run, clock):
    async def two(client):
        await lease(client, "a", clock).try_acquire_or_renew()
        second = lease(client, "b", clock)
        held = []
        for _ in range(3):
            held.append(await second.try_acquire_or_renew())
            clock.seconds += 35
        return held

    assert run(two) == [False, False, True]
    assert api.objects[LEASES][KEY]["spec"]["leaseTransitions"] == 1


def test_one_that_is_let_go_is_free_at_once(api, run, clock):
    async def two(client):
        first, second = lease(client, "a", clock), lease(client, "b", clock)
        await first.try_acquire_or_renew()
        await first.release()
        return await second.try_acquire_or_renew(), first.ours

    assert run(two) == (True, False)


def test_who_does_not_hold_it_cannot_let_it_go(api, run, clock):
    async def two(client):
        first, second = lease(client, "a", clock), lease(client, "b", clock)
        await first.try_acquire_or_renew()
        await second.try_acquire_or_renew()
        await second.release()
        return await first.try_acquire_or_renew()

    assert run(two) is True


def test_who_is_overtaken_while_taking_it_does_not_have_it(api, run, clock):
    async def overtaken(client):
        await lease(client, "a", clock).try_acquire_or_renew()
        second = lease(client, "b", clock)
        await second.try_acquire_or_renew()
        clock.seconds += 61
        read = second._read

        async def read_and_be_late():
            there = await read()
            api.put(LEASES, api.objects[LEASES][KEY])
            return there

        second._read = read_and_be_late
        return await second.try_acquire_or_renew(), second.ours

    assert run(overtaken) == (False, False)


def test_a_refusal_is_told(api, run, clock):
    api.refusals["/apis/coordination.k8s.io/v1/namespaces/mesh/leases/drift"] = (403, "leases is forbidden")

    with pytest.raises(ClusterError, match="forbidden"):
        run(lambda client: lease(client, "a", clock).try_acquire_or_renew())


def test_it_is_due_again_after_a_third_of_its_time(api, run, clock):
    async def one(client):
        held = lease(client, "a", clock)
        due = [held.due]
        await held.try_acquire_or_renew()
        for _ in range(2):
            due.append(held.due)
            clock.seconds += 21
        return [*due, held.due]

    assert run(one) == [True, False, True, True]
