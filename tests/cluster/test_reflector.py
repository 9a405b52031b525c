"""A reflector against an API server on loopback, over the real client."""

import asyncio
import contextlib
import io

import msgspec
import pytest
from waiting import eventually

from webhook.cluster import reflector as reflector_module
from webhook.cluster.client import connect
from webhook.cluster.reflector import FIRST_PAGE, Reflector, Resource, Sink
from webhook.cluster.turns import PAGE_BYTES, START_PAGE_BYTES, Turns
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

PATH = "/api/v1/configmaps"
GONE = {"type": "ERROR", "object": {"kind": "Status", "metadata": {}, "code": 410, "message": "too old"}}


class Shape(msgspec.Struct):
    data: dict[str, str] = {}


class Kept(dict):
    """What is kept, by namespace and name, and how often something was read."""

    reads = 0

    def read(self, text):
        self.reads += 1
        return msgspec.json.decode(text, type=Shape).data

    def sink(self):
        return Sink(self.read, lambda ns, name, kept: self.update({(ns, name): kept}), self.drop)

    def drop(self, namespace, name):
        self.pop((namespace, name), None)


def config_map(name, **data):
    return {"metadata": {"namespace": "shop", "name": name}, "data": data}


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def lines():
    return io.StringIO()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Do not wait long before trying again."""
    monkeypatch.setattr(reflector_module, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(reflector_module, "_LONGEST_DELAY", 0.05)


@pytest.fixture
def following(kubeconfig, kept, lines):
    """Run a scenario while a reflector follows."""

    def run(scenario, *, fields="", turns=None):
        async def both():
            client = connected
            log = make_logger(lines, LogFormat.JSON)
            one = Reflector(client, Resource("ConfigMap", PATH, fields), kept.sink(), log=log, turns=turns)
            task = asyncio.create_task(one.run())
            try:
                await scenario(one)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await client.close()

        connected = connect(kubeconfig)
        asyncio.run(both())

    return run


def test_all_pages_of_the_list_are_read_before_it_is_synced(api, kept, following):
    for name in "abcde":
        api.put(PATH, config_map(name, key=name))

    async def scenario(one):
        assert not one.synced
        await eventually(lambda: one.synced)
        assert len(kept) == len(one) == 5

    following(scenario)
    assert [asked.get("continue") for asked in api.asked(PATH, watch=False)] == [None, "2", "4"]


@pytest.mark.parametrize(("serving", "bytes_"), [(False, START_PAGE_BYTES), (True, PAGE_BYTES)])
def test_a_page_has_as_many_objects_as_can_be_told_apart_at_once(api, following, serving, bytes_):
    for name in "abc":
        api.put(PATH, config_map(name, key="x" * 20_000))

    async def scenario(one):
        await eventually(lambda: one.synced)

    following(scenario, turns=Turns(lambda: serving))
    first, second = [int(asked["limit"]) for asked in api.asked(PATH, watch=False)]
    assert first == FIRST_PAGE
    assert second == pytest.approx(bytes_ / 20_000, rel=0.1)


def test_a_page_has_a_bound_however_small_the_objects_are(api, following):
    for name in "abc":
        api.put(PATH, config_map(name))

    async def scenario(one):
        await eventually(lambda: one.synced)

    following(scenario)
    assert [asked["limit"] for asked in api.asked(PATH, watch=False)] == [str(FIRST_PAGE), "500"]


def test_what_is_created_changed_and_deleted_later_is_followed(api, kept, following):
    api.put(PATH, config_map("old", key="1"))

    async def scenario(one):
        await eventually(lambda: api.events.get(PATH))
        api.put(PATH, config_map("new", key="2"))
        api.put(PATH, config_map("old", key="3"))
        await eventually(lambda: kept == {("shop", "new"): {"key": "2"}, ("shop", "old"): {"key": "3"}})
        api.delete(PATH, "shop/old")
        await eventually(lambda: kept == {("shop", "new"): {"key": "2"}})
        assert len(one) == 1

    following(scenario)


def test_a_watch_that_ends_goes_on_where_the_last_bookmark_was(api, kept, following):
    async def scenario(one):
        await eventually(lambda: api.events.get(PATH))
        api.send(PATH, {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "777"}}})
        await eventually(lambda: one._version == "777")
        api.send(PATH, None)
        await eventually(lambda: len(api.asked(PATH, watch=True)) == 2)

    following(scenario)
    assert api.asked(PATH, watch=True)[1]["resourceVersion"] == "777"
    assert api.asked(PATH, watch=True)[0]["allowWatchBookmarks"] == "true"
    assert len(api.asked(PATH, watch=False)) == 1


def test_after_410_in_the_watch_the_list_is_read_again_and_what_is_gone_is_dropped(api, kept, following):
    api.put(PATH, config_map("stays", key="1"))
    api.put(PATH, config_map("goes", key="2"))

    async def scenario(_):
        await eventually(lambda: api.events.get(PATH))
        api.delete(PATH, "shop/goes", deliver=False)
        api.put(PATH, config_map("comes", key="3"), deliver=False)
        api.send(PATH, GONE)
        await eventually(lambda: set(kept) == {("shop", "stays"), ("shop", "comes")})

    following(scenario)
    assert len(api.asked(PATH, watch=False)) == 2
    assert kept.reads == 3, "what has not changed is not read a second time"


def test_requests_may_come_between_any_two_objects_also_of_a_list_that_is_read_again(api, kept, following):
    for name in "abcd":
        api.put(PATH, config_map(name, key=name))
    turns = Counting()

    async def scenario(one):
        await eventually(lambda: api.events.get(PATH))
        assert turns.breaths == len(kept) == 4
        api.send(PATH, GONE)
        await eventually(lambda: len(api.asked(PATH, watch=True)) == 2)
        assert turns.breaths == 4 + 1 + 4

    following(scenario, turns=turns)
    assert kept.reads == 4


class Counting(Turns):
    """Counts how often requests may come in between."""

    breaths = 0

    def __init__(self):
        super().__init__(lambda: True)

    async def checkpoint(self):
        self.breaths += 1
        await super().checkpoint()


def test_410_for_the_next_page_begins_the_list_anew(api, kept, following):
    for name in "abc":
        api.put(PATH, config_map(name, key=name))
    api.refusals[f"{PATH}?limit=500&continue="] = (410, "the continue token is too old")

    async def scenario(one):
        await eventually(lambda: len(api.asked(PATH, watch=False)) >= 4)
        assert not one.synced
        api.refusals.clear()
        await eventually(lambda: one.synced)

    following(scenario)
    assert len(kept) == 3


def test_while_the_server_refuses_what_is_known_stays_and_the_reason_is_said_once(api, kept, following, lines):
    api.put(PATH, config_map("known", key="1"))

    async def scenario(one):
        await eventually(lambda: api.events.get(PATH) and not one.behind)
        assert one.problem == ""
        api.refusals[PATH] = (403, "configmaps is forbidden")
        api.send(PATH, None)
        await eventually(lambda: len(api.asked(PATH, watch=True)) > 3)
        assert (one.problem, one.synced) == ("configmaps is forbidden", True)
        assert one.behind > 0
        assert set(kept) == {("shop", "known")}
        api.refusals.clear()
        await eventually(lambda: not one.problem)
        assert one.behind == 0

    following(scenario)
    assert lines.getvalue().count("configmaps is forbidden") == 1
    assert "watch re-established" in lines.getvalue()


def test_the_delays_between_attempts_grow_and_differ():
    delays = [[reflector_module._delay(failures) for _ in range(200)] for failures in range(20)]

    assert max(delays[1]) <= 2 * reflector_module._FIRST_DELAY
    assert max(max(some) for some in delays) <= reflector_module._LONGEST_DELAY
    assert min(min(some) for some in delays) >= reflector_module._FIRST_DELAY / 2
    assert len(set(delays[3])) > 100


def test_an_object_that_cannot_be_understood_is_left_out_and_named_without_its_values(api, kept, following, lines):
    api.put(PATH, {"metadata": {"namespace": "shop", "name": "odd"}, "data": {"password": ["CANARY"]}})
    api.put(PATH, config_map("good", key="1"))

    async def scenario(one):
        await eventually(lambda: one.synced)

    following(scenario)
    assert set(kept) == {("shop", "good")}
    assert '"name":"odd"' in lines.getvalue()
    assert "CANARY" not in lines.getvalue()


def test_an_answer_that_is_no_json_is_tried_again(api, kept, following):
    async def scenario(one):
        await eventually(lambda: api.events.get(PATH))
        api.send(PATH, ["no event"])
        await eventually(lambda: len(api.asked(PATH, watch=True)) >= 2)
        api.put(PATH, config_map("later", key="1"))
        await eventually(lambda: ("shop", "later") in kept)
        assert one.synced

    following(scenario)


def test_large_objects_do_not_hold_up_the_event_loop(api, kept, following):
    api.put(PATH, config_map("large", key="x" * 100_000))
    threads = []
    read = kept.read
    kept.read = lambda text: (threads.append(_in_loop()), read(text))[1]

    async def scenario(one):
        await eventually(lambda: one.synced)

    following(scenario)
    assert threads == [False]


def _in_loop():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def test_only_what_the_field_selector_wants_is_asked_for(api, following):
    async def scenario(_):
        await eventually(lambda: api.asked(PATH, watch=True))

    following(scenario, fields="type!=helm.sh/release.v1")
    assert {asked["fieldSelector"] for _, asked in api.requests} == {"type!=helm.sh/release.v1"}


def test_forgetting_drops_every_object_and_begins_anew(api, kept, following):
    api.put(PATH, config_map("a", key="1"))

    async def scenario(one):
        await eventually(lambda: one.synced)
        one.forget()
        assert (dict(kept), one.synced, len(one)) == ({}, False, 0)

    following(scenario)
