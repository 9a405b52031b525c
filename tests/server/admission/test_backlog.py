"""What may wait for a thread: what starts in time and fits into memory, whatever its number; namespaces take turns."""

from __future__ import annotations

from math import inf

import pytest

from webhook.server.admission.backlog import Backlog, OverloadedError, Work

MB = 1024 * 1024
COSTLY = 0.5


class _Backlog(Backlog):
    """A backlog at a time that the test chooses."""

    def __init__(self, memory=48 * MB):
        self.now = 0.0
        super().__init__(memory, 2, lambda: self.now)

    def put(self, namespace="shop", *, size=0, within=inf):
        work = Work(namespace, lambda: None, size, self.now + within)
        self.add(work)
        return work

    def run(self, seconds):
        work = self.take()
        self.now += seconds
        self.done(work, seconds)
        return work


def _why(work):
    return str(work.result.exception(0)) if work.result.done() else ""


def test_any_number_of_small_pods_waits_also_beside_a_costly_one():
    backlog = _Backlog()
    burst = [backlog.put(within=2.5, size=60_000) for _ in range(256)]
    backlog.run(0.1)
    for work in burst[1:]:
        assert backlog.run(0.005) is work
    assert backlog.take() is None
    assert not any(map(_why, burst))


def test_a_flood_of_costly_pods_is_soon_as_short_as_what_is_decided_in_time():
    backlog = _Backlog()
    flood = [backlog.put(within=2.5) for _ in range(256)]
    lengths = []
    for _ in range(4):
        backlog.run(COSTLY)
        lengths.append(sum(not work.result.done() for work in flood))
    assert lengths[0] < 128
    assert lengths[-1] < 16
    assert {_why(work) for work in flood} == {"", "too many pods with long evaluations are queued"}
    assert _why(flood[-1])
    assert not _why(flood[4])


def test_a_flood_of_one_namespace_refuses_nothing_of_another():
    backlog = _Backlog()
    for _ in range(256):
        backlog.put("flood", within=2.5)
    backlog.run(COSTLY)
    ours = backlog.put(within=1)
    backlog.take()
    assert backlog.take() is ours


def test_of_each_namespace_one_runs_and_they_take_turns():
    backlog = _Backlog()
    works = [backlog.put(namespace) for namespace in "aaabbc"]
    first, second = backlog.take(), backlog.take()
    assert [first, second, backlog.take()] == [works[0], works[3], works[5]]
    assert backlog.take() is None
    for work in (first, second):
        backlog.done(work, 0.001)
    assert [backlog.take(), backlog.take()] == [works[1], works[4]]


def test_where_many_namespaces_wait_each_waits_for_the_turns_of_the_others():
    backlog = _Backlog()
    for _ in range(40):
        for number in range(40):
            backlog.put(f"tenant-{number}", within=10_000)
    for _ in range(800):
        backlog.run(COSTLY)
    assert "too many" in _why(backlog.put("new", within=2))
    assert not _why(backlog.put("new", within=20))


def test_without_memory_the_newest_of_the_namespace_that_keeps_most_is_refused():
    backlog = _Backlog(10 * MB)
    flood = [backlog.put("flood", size=MB) for _ in range(10)]
    backlog.take()
    ours = [backlog.put("shop", size=MB) for _ in range(3)]
    assert [bool(_why(work)) for work in flood] == [False] * 7 + [True] * 3
    assert "memory" in _why(flood[-1])
    assert not any(map(_why, ours))
    with pytest.raises(OverloadedError, match="memory"):
        backlog.put("flood", size=2 * MB).result.result(0)


def test_what_is_done_or_withdrawn_is_forgotten():
    backlog = _Backlog(2 * MB)
    for _ in range(4):
        waiting, other = backlog.put(size=MB), backlog.put(size=MB)
        backlog.withdraw(waiting)
        assert "timed out" in _why(waiting)
        assert backlog.run(1) is other
        backlog.withdraw(other)
    assert backlog.take() is None
    assert not backlog._queues
    assert backlog._size == 0
