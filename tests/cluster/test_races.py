"""Lists, watches and direct reads that overtake each other: in the end what is kept is what there is."""

import asyncio
import contextlib
import io
import json
import random
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Raw
from waiting import eventually

from webhook.cluster import reflector as reflector_module
from webhook.cluster.errors import ClusterError, ExpiredError
from webhook.cluster.reflector import Reflector, Resource, Sink
from webhook.cluster.versions import Versions
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

PATH = "/api/v1/configmaps"
NAMES = "abcd"
STEPS = 120


class Api:
    """An API server in this event loop whose answers are true when they are made, and arrive some turns later."""

    def __init__(self, seed, number_of):
        self.random = random.Random(seed)
        self.objects = {}
        self.history = []
        self.version = 10
        self.oldest = 0
        self.snapshots = []
        self.number_of = number_of

    def document(self, name, version):
        metadata = {"namespace": "shop", "name": name, "resourceVersion": self.number_of(version)}
        return {"metadata": metadata, "data": {"made": str(version)}}

    def put(self, name):
        self.version += 1
        self.objects[name] = self.version
        self.history.append((self.version, "ADDED", name))

    def delete(self, name):
        if self.objects.pop(name, None) is not None:
            self.version += 1
            self.history.append((self.version, "DELETED", name))

    async def late(self, most=6):
        for _ in range(self.random.randrange(most)):
            await asyncio.sleep(0)

    async def get(self, path, query=None, **_):
        await self.late()
        answer = self.listed(query) if query is not None else self.one(path.rpartition("/")[2])
        await self.late(12)
        if answer is None:
            raise ClusterError("not found", 404)
        return json.dumps(answer).encode()

    def one(self, name):
        return self.document(name, self.objects[name]) if name in self.objects else None

    def listed(self, query):
        number, _, begin = query.get("continue", "").partition("/")
        if number:
            version, items = self.snapshots[int(number)]
        else:
            version, items = self.version, sorted(self.objects.items())
            self.snapshots.append((version, items))
        begin = int(begin or 0)
        more = f"{number or len(self.snapshots) - 1}/{begin + 1}" if begin + 1 < len(items) else ""
        metadata = {"resourceVersion": self.number_of(version), "continue": more}
        return {"metadata": metadata, "items": [self.document(*item) for item in items[begin : begin + 1]]}

    @asynccontextmanager
    async def watch(self, _, query):
        await self.late()
        yield self.events(next(v for v in range(self.version + 1) if self.number_of(v) == query["resourceVersion"]))

    async def events(self, since):
        for _ in range(self.random.randrange(20, 40)):
            if since < self.oldest:
                raise ExpiredError("too old", 410)
            following = next((change for change in self.history if change[0] > since), None)
            if following is not None:
                since, kind, name = following
                yield json.dumps({"type": kind, "object": self.document(name, since)}).encode()
            await self.late(10)


def integers(version):
    return str(version)


def letters(version):
    """Versions that say nothing of their order."""
    return f"v{version:x}-{version * 7919 % 1000}"


async def play(seed, number_of, reads):
    api: Any = Api(seed, number_of)
    kept: Any = {}
    sink = Sink(
        lambda item: json.loads(bytes(item))["data"]["made"],
        lambda _, name, made: kept.update({name: made}),
        lambda _, name: kept.pop(name, None),
        costly=True,
    )
    reflector = Reflector(api, Resource("ConfigMap", PATH), sink, log=make_logger(io.StringIO(), LogFormat.JSON))
    running = [asyncio.create_task(reflector.run())]

    async def read(name):
        with contextlib.suppress(ClusterError):
            await reflector.adopt(Raw(await api.get(f"/api/v1/namespaces/shop/configmaps/{name}")))

    for _ in range(STEPS):
        name = api.random.choice(NAMES)
        match api.random.randrange(5):
            case 0:
                api.put(name)
            case 1:
                api.delete(name)
            case 2 | 3 if reads:
                running.append(asyncio.create_task(read(name)))
            case 4 if api.random.random() < 0.2:
                api.oldest = api.version
        await api.late()
    for task in running[1:]:
        await task
    there = {name: str(version) for name, version in api.objects.items()}
    with contextlib.suppress(TimeoutError):
        await eventually(lambda: kept == there, seconds=30)
    running[0].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running[0]
    return kept, there


@pytest.fixture
def at_once(monkeypatch):
    """Try again without delay."""
    monkeypatch.setattr(reflector_module, "_FIRST_DELAY", 0.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("number_of", [integers, letters])
def test_however_answers_overtake_each_other_what_is_kept_is_what_there_is(number_of):
    for seed in range(300):
        # Only integers say which of two answers is newer; of other versions the watch alone is right.
        kept, there = asyncio.run(play(seed, number_of, reads=number_of is integers))
        assert kept == there, seed


def reached(version, **objects):
    versions = Versions()
    for name, its in objects.items():
        versions.put(("shop", name), its)
    versions.reach(version)
    return versions


A = ("shop", "a")


def test_a_direct_read_that_is_older_than_the_watch_does_not_overwrite_it():
    assert not reached("9", a="9").is_ahead(A, "8")


def test_a_direct_read_does_not_revive_what_was_deleted_since():
    versions = reached("8", a="8")
    assert versions.delete(A, "9")
    versions.reach("9")

    assert not versions.is_ahead(A, "8")
    assert versions.is_ahead(A, "10"), "it was created again"


def test_a_direct_read_does_not_revive_what_a_whole_list_does_not_have():
    assert not reached("20").is_ahead(A, "15")


def test_a_page_or_event_that_is_older_than_a_direct_read_does_not_overwrite_it():
    versions = reached("5")
    assert versions.is_ahead(A, "9")
    versions.put(A, "9")

    assert not versions.is_change(A, "7")
    assert not versions.delete(A, "8"), "it was created again at 9"
    assert versions.is_change(A, "10")


def test_versions_are_compared_as_numbers():
    assert reached("9", a="9").is_change(A, "10")
    assert not reached("10", a="10").is_change(A, "9")


def test_where_versions_are_no_integers_the_watch_is_right_and_deletions_are_remembered_for_a_while():
    now = [0.0]
    versions = Versions(lambda: now[0])
    versions.put(A, "x")
    assert versions.is_change(A, "w")
    assert not versions.is_ahead(A, "y")
    assert versions.delete(A, "z")
    assert not versions.is_ahead(A, "y")
    now[0] += Versions.DELETED_SECONDS + 1
    assert versions.is_ahead(A, "y")


def test_deletions_are_remembered_in_a_bounded_number():
    versions = Versions()
    for number in range(3 * Versions.MOST_DELETED):
        versions.delete(("shop", str(number)), "x")

    assert len(versions._deleted) == Versions.MOST_DELETED


def test_a_cluster_that_was_restored_to_an_older_state_is_followed():
    versions = reached("900", a="900")
    versions.begin_list("100")

    assert versions.is_change(A, "50")
