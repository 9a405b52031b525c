"""Reading a cluster gives way to the requests that the same event loop serves."""

import asyncio
import threading
import time

import pytest
from msgspec import Raw

from webhook.cluster.turns import LARGE_BYTES, SLICE_SECONDS, Turns


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slept(monkeypatch):
    """How long reading has left the loop alone, each time."""
    slept, sleep = [], asyncio.sleep

    async def note(seconds):
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    return slept


def work(clock, turns, *pieces):
    async def read():
        for piece in pieces:
            async with turns:
                clock.now += piece
                await turns.checkpoint()

    asyncio.run(read())


def test_the_loop_is_left_alone_for_as_long_as_it_was_worked_on(clock, slept):
    work(clock, Turns(lambda: True, clock), 3 * SLICE_SECONDS)

    assert slept == [pytest.approx(3 * SLICE_SECONDS)]


def test_short_pieces_of_work_count_together(clock, slept):
    work(clock, Turns(lambda: True, clock), *[0.4 * SLICE_SECONDS] * 6)

    assert slept == [pytest.approx(1.2 * SLICE_SECONDS)] * 2


def test_while_nothing_is_served_reading_lets_go_only_now_and_then_and_goes_on_at_once(clock, slept):
    work(clock, Turns(lambda: False, clock), *[3 * SLICE_SECONDS] * 10)

    assert slept == [0]


def test_a_pause_of_the_process_is_no_work(slept):
    async def read():
        async with (turns := Turns(lambda: True)):
            time.sleep(20 * SLICE_SECONDS)  # noqa: ASYNC251 - it stands for the pause
            await turns.checkpoint()

    asyncio.run(read())

    assert sum(slept) < 10 * SLICE_SECONDS


def test_waiting_for_the_api_server_is_no_work(clock, slept):
    turns = Turns(lambda: True, clock)

    async def read():
        for _ in range(3):
            clock.now += 1.0
            async with turns:
                await turns.checkpoint()

    asyncio.run(read())
    assert slept == []


def test_of_all_readers_one_works_at_a_time(clock):
    turns, working, most = Turns(lambda: True, clock), [], []

    async def read(name):
        for _ in range(5):
            async with turns:
                working.append(name)
                clock.now += 2 * SLICE_SECONDS
                await turns.checkpoint()
                most.append(len(working))
                working.remove(name)

    async def both():
        await asyncio.gather(read("a"), read("b"))

    asyncio.run(both())
    assert most == [1] * 10


@pytest.mark.parametrize(("size", "aside"), [(LARGE_BYTES, False), (LARGE_BYTES + 1, True)])
def test_a_large_object_is_read_aside(clock, size, aside):
    turns = Turns(lambda: True, clock)

    thread = asyncio.run(turns.reduced(lambda _: threading.current_thread(), Raw(b"x" * size)))

    assert (thread is not threading.main_thread()) is aside


def test_what_is_read_aside_does_not_count_as_work_on_the_loop(clock, slept):
    turns = Turns(lambda: True, clock)

    def read(_):
        clock.now += 1.0

    async def large():
        async with turns:
            await turns.reduced(read, Raw(b"x" * (LARGE_BYTES + 1)))
            await turns.checkpoint()

    asyncio.run(large())
    assert slept == []
