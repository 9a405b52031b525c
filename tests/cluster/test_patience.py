"""Whatever an API server does, it is asked ever less often, and what is expensive to read waits."""

import asyncio
import contextlib
import io
import json
import threading
import time
from collections import Counter

from webhook.cluster import client as client_module
from webhook.cluster import reflector as reflector_module
from webhook.cluster.client import SILENCE_SECONDS, connect
from webhook.cluster.later import COSTLY_SECONDS, Later
from webhook.cluster.reflector import Reflector, Resource, Sink
from webhook.cluster.turns import Turns
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

PATH, SERVICES = "/api/v1/configmaps", "/api/v1/services"
LIST = {"kind": "List", "metadata": {"resourceVersion": "5"}, "items": []}
STATUS = {"kind": "Status", "metadata": {}, "code": 410, "message": "too old"}
EVENT = {"type": "ADDED", "object": {"metadata": {"name": "a", "namespace": "b", "resourceVersion": "6"}}}


def gone(_watch):
    return 410, STATUS


TROUBLES = {
    "garbage": lambda _: (200, b"\x00\xff garbage"),
    "a page for people": lambda _: (200, b"<html>login</html>"),
    "an error": lambda _: (500, {"message": "boom"}),
    "410 for everything": gone,
    "a redirect": lambda _: (302, {}, {"Location": "/elsewhere"}),
    "items of wrong types": lambda watch: (
        200,
        {} if watch else LIST | {"items": [{"metadata": {"name": 5}}, 7, None]},
    ),
    "a watch that ends at once": lambda watch: (200, b"" if watch else LIST),
    "null items and a watch that ends": lambda watch: (200, b"" if watch else LIST | {"items": None}),
    "a watch of garbage": lambda watch: (200, b"{garbage\n" if watch else LIST),
    "410 in each watch": lambda watch: (200, {"type": "ERROR", "object": STATUS} if watch else LIST),
    "the same event in each watch": lambda watch: (200, json.dumps(EVENT).encode() + b"\n" if watch else LIST),
}


def test_a_success_that_leads_nowhere_does_not_reset_the_back_off(ask, monkeypatch):
    monkeypatch.setattr(reflector_module, "_FIRST_DELAY", 0.05)
    asked = Counter()
    troubles = {f"/{number}": trouble for number, trouble in enumerate(TROUBLES)}

    def answer(_, path, *__):
        trouble = troubles.get(f"/{path.split('/')[1]}", "a redirect")
        asked[trouble] += 1
        return TROUBLES[trouble]("watch=true" in path)

    async def all_at_once(client):
        await asyncio.gather(*(_run_for(client, 1.5, prefix + PATH) for prefix in troubles))

    ask(answer, all_at_once)

    # Delays of at least 0.05, 0.1, 0.2, 0.4, 0.8 s, and a list and a watch at most after each.
    assert {trouble: count for trouble, count in asked.items() if not 2 <= count <= 12} == {}
    assert set(asked) == set(TROUBLES)


def test_the_api_server_is_left_alone_for_as_long_as_it_asks(ask, monkeypatch):
    monkeypatch.setattr(reflector_module, "_FIRST_DELAY", 0.01)
    asked = []
    ask(lambda *_: (asked.append(1), (429, {}, {"Retry-After": "30"}))[1], lambda client: _run_for(client, 0.5))

    assert len(asked) == 1


async def _run_for(client, seconds, path=PATH):
    log = make_logger(io.StringIO(), LogFormat.JSON)
    reflector = Reflector(client, Resource("ConfigMap", path), Sink(bytes, lambda *_: None, lambda *_: None), log=log)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await reflector.run()


def test_a_watch_that_is_silent_is_noticed_within_half_a_minute():
    assert SILENCE_SECONDS <= 30
    assert max(reflector_module._WATCH_SECONDS) < SILENCE_SECONDS, "a watch of which nothing changes is no dead one"


def test_a_watch_that_died_without_a_word_is_opened_again(api, kubeconfig, monkeypatch):
    monkeypatch.setattr(client_module, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(reflector_module, "_FIRST_DELAY", 0.01)

    async def scenario(one):
        await _until(lambda: len(api.asked(PATH, watch=True)) >= 2)
        assert one.problem or one.behind == 0

    _following(kubeconfig, scenario, (PATH, Kept().sink()))


class Kept(dict):
    """What is kept, by name, and how often something was read, each time for some CPU time."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.reads = Counter()
        self.seconds = seconds
        self.go_on = threading.Event()
        self.go_on.set()

    def read(self, item):
        found = json.loads(bytes(item))
        self.reads[found["metadata"]["namespace"]] += 1
        self.go_on.wait(20)
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        return found["data"]["made"]

    def sink(self):
        return Sink(
            self.read,
            lambda namespace, name, made: self.update({(namespace, name): made}),
            lambda namespace, name: self.pop((namespace, name), None),
            costly=True,
        )


def large(name, made, namespace="tenant", size=100_000):
    return {"metadata": {"namespace": namespace, "name": name}, "data": {"made": made, "more": "x" * size}}


async def _until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def _following(kubeconfig, scenario, *followed):
    """Run a scenario while reflectors of some collections share the event loop."""

    async def both():
        turns = Turns(lambda: True)
        log = make_logger(io.StringIO(), LogFormat.JSON)
        reflectors = [Reflector(client, Resource("X", path), sink, log=log, turns=turns) for path, sink in followed]
        tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
        try:
            await scenario(*reflectors)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await client.close()

    client = connect(kubeconfig)
    asyncio.run(both())


def test_while_a_large_object_is_read_other_kinds_are_listed_and_followed(api, kubeconfig):
    kept, services = Kept(), Kept()
    kept.go_on.clear()
    api.put(PATH, large("a", "1"))
    api.put(SERVICES, large("s", "1", size=10))

    async def scenario(config_maps, others):
        try:
            await _until(lambda: kept.reads and others.synced and api.events.get(SERVICES))
            assert not config_maps.synced
            api.put(SERVICES, large("s", "2", size=10))
            await _until(lambda: services[("tenant", "s")] == "2")
            assert not kept
        finally:
            kept.go_on.set()
        await _until(lambda: kept[("tenant", "a")] == "1" if kept else False)

    _following(kubeconfig, scenario, (PATH, kept.sink()), (SERVICES, services.sink()))


def test_of_a_large_object_that_changes_all_the_time_the_newest_version_is_read_now_and_then(api, kubeconfig):
    kept = Kept(seconds=2 * COSTLY_SECONDS)
    api.put(PATH, large("a", "0"))
    api.put(PATH, large("calm", "0", namespace="shop", size=10))

    async def scenario(one):
        await _until(lambda: one.synced and api.events.get(PATH))
        kept.reads.clear()
        for number in range(1, 51):
            api.put(PATH, large("a", str(number)))
            await asyncio.sleep(0.01)
        api.put(PATH, large("calm", "1", namespace="shop", size=10))
        await _until(lambda: kept[("shop", "calm")] == "1")
        assert kept[("tenant", "a")] != "50" or kept.reads["tenant"] <= 3
        await _until(lambda: kept[("tenant", "a")] == "50")

    _following(kubeconfig, scenario, (PATH, kept.sink()))
    assert kept.reads["tenant"] <= 4


def test_a_small_object_that_is_costly_to_read_and_changes_all_the_time_is_read_now_and_then(api, kubeconfig):
    kept = Kept(seconds=2 * COSTLY_SECONDS)
    api.put(PATH, large("a", "0", size=10_000))

    async def scenario(one):
        await _until(lambda: one.synced and api.events.get(PATH))
        for number in range(1, 31):
            api.put(PATH, large("a", str(number), size=10_000))
        await _until(lambda: kept[("tenant", "a")] == "30")

    _following(kubeconfig, scenario, (PATH, kept.sink()))
    assert kept.reads["tenant"] <= 4


def test_a_large_object_that_is_deleted_before_it_is_read_is_not_kept(api, kubeconfig):
    kept = Kept()

    async def scenario(one):
        await _until(lambda: one.synced and api.events.get(PATH))
        api.put(PATH, large("a", "1"))
        api.delete(PATH, "tenant/a")
        api.put(PATH, large("b", "1"))
        await _until(lambda: ("tenant", "b") in kept)
        assert (set(kept), len(one)) == ({("tenant", "b")}, 1)

    _following(kubeconfig, scenario, (PATH, kept.sink()))


def test_the_objects_of_one_namespace_do_not_keep_a_list_from_its_end(api, kubeconfig, monkeypatch):
    monkeypatch.setattr(reflector_module, "LIST_NAMESPACE_SECONDS", 0.05)
    kept = Kept(seconds=0.03)
    api.page = 100
    for number in range(20):
        api.put(PATH, large(f"a{number}", "1"))
    api.put(PATH, large("own", "1", namespace="shop"))

    async def scenario(one):
        await _until(lambda: one.synced)
        assert ("shop", "own") in kept
        assert kept.reads["tenant"] < 6
        assert len(one) == 21
        await _until(lambda: len(kept) == 21)

    _following(kubeconfig, scenario, (PATH, kept.sink()))


def test_a_direct_read_has_an_object_that_waits(api, kubeconfig, monkeypatch):
    monkeypatch.setattr(reflector_module, "LIST_NAMESPACE_SECONDS", -1.0)
    kept = Kept()
    kept.go_on.clear()
    api.put(PATH, large("a", "1"))
    api.put(PATH, large("b", "1"))

    async def scenario(one):
        await _until(lambda: one.synced and kept.reads)
        kept.go_on.set()
        answer = await one._client.get("/api/v1/namespaces/tenant/configmaps/b")
        there, _ = await one.adopt(reflector_module.Raw(answer))
        assert (there, kept[("tenant", "b")]) == (True, "1")

    _following(kubeconfig, scenario, (PATH, kept.sink()))


def test_namespaces_take_turns():
    async def order():
        later = Later()
        for name in "abc":
            later.add(("tenant", name))
        later.add(("shop", "own"))
        return [await later.next() for _ in range(4)]

    assert asyncio.run(order())[1] == ("shop", "own")


def test_what_was_costly_rests_for_twenty_times_as_long():
    now = [0.0]
    later = Later(lambda: now[0])
    later.cost(("tenant", "a"), 0.5)
    later.cost(("tenant", "b"), COSTLY_SECONDS / 2)

    assert (later.rests(("tenant", "a")), later.rests(("tenant", "b"))) == (True, False)
    now[0] = 9.9
    assert later.rests(("tenant", "a"))
    now[0] = 10.1
    assert not later.rests(("tenant", "a"))
