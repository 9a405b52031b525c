"""An object that cannot be read is left out and said to be, whatever is wrong with it; all others are kept."""

import asyncio
import contextlib
import io
import json
from functools import partial

import msgspec
import pytest
import waiting

from webhook.cluster import reflector as reflector_module
from webhook.cluster.client import connect
from webhook.cluster.objects import Skipped
from webhook.cluster.reflector import Reflector, Resource, Sink
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

until = partial(waiting.eventually, seconds=30)

PATH = "/api/v1/configmaps"
# What Python's own encoder does not write, by what stands for it in a document.
BYTES = {b'"DEEP"': b"[" * 3000 + b"]" * 3000, b'"HUGE"': b"9" * 5000, b"LATIN": b"\xff"}
CANARY = "CANARY"


class Meta(msgspec.Struct):
    labels: dict[str, str] = {}


class Shape(msgspec.Struct):
    metadata: Meta
    data: dict[str, str] = {}
    port: int = 0


def read(text):
    return msgspec.json.decode(text, type=Shape).data


def config_map(name="odd", *, data=None, **metadata):
    return {"metadata": {"namespace": "shop", "name": name} | metadata, "data": data or {"a": "b"}}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(reflector_module, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(reflector_module, "_LONGEST_DELAY", 0.05)


@pytest.fixture
def lines():
    return io.StringIO()


@pytest.fixture
def following(kubeconfig, lines):
    """Run a scenario while a reflector follows, with the reflector and what it keeps."""

    def run(scenario):
        async def both():
            kept = {}
            sink = Sink(
                read, lambda ns, name, value: kept.update({(ns, name): value}), lambda *key: kept.pop(key, None)
            )
            one = Reflector(client, Resource("ConfigMap", PATH), sink, log=make_logger(lines, LogFormat.JSON))
            task = asyncio.create_task(one.run())
            try:
                await scenario(one, kept)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await client.close()

        client = connect(kubeconfig)
        asyncio.run(both())

    return run


def said(lines):
    documents = map(json.loads, lines.getvalue().splitlines())
    return [one for one in documents if "object skipped" in one["event"]]


# What is wrong, and where it is said to be.
ODD = {
    "labels that are a list": (config_map(labels=[CANARY]), "$.metadata.labels"),
    "a number for a text": (config_map(data={"a": 5}), "$.data[...]"),
    "a text for a number": (config_map() | {"port": CANARY}, "$.port"),
    "a number out of range": (config_map() | {"port": "HUGE"}, "$.port"),
    "a lone surrogate in a value": (config_map(data={"a.b": f"{CANARY}\ud800"}), "$.data.a.b"),
    "a lone surrogate in a key": (config_map(data={"\udfff": CANARY}), "$.data.?"),
    "a lone surrogate in an annotation": (config_map(annotations={"a": f"{CANARY}\ud800"}), "$.metadata.annotations.a"),
    "a lone surrogate in a list": (config_map() | {"x": [1, {"y": "\ud800"}]}, "$.x[1].y"),
    "a deep value": (config_map() | {"x": "DEEP"}, "nested too deeply - at `$.x"),
    "a value that is not UTF-8": (config_map(data={"k": "LATIN"}), "$.data.k"),
    "a version that is no text": (config_map(resourceVersion=5), "$.metadata.resourceVersion"),
    "no data at all": (config_map() | {"data": None}, "$.data"),
}
WATCHED = {name: one for name, one in ODD.items() if "version" not in name}


class _Text(str):
    __slots__ = ()

    def encode(self, *_):
        data = super().encode()
        for mark, instead in BYTES.items():
            data = data.replace(mark, instead)
        return data


@pytest.fixture(autouse=True)
def any_bytes(monkeypatch):
    """Has the API server send what Python's encoder does not write."""
    dumps = json.dumps
    monkeypatch.setattr(json, "dumps", lambda value, **options: _Text(dumps(value, **options)))


def put(api, document):
    """As `api.put`, which sets the version."""
    api.put(PATH, document)
    if "resourceVersion" in document["metadata"]:
        api.objects[PATH]["shop/odd"]["metadata"]["resourceVersion"] = document["metadata"]["resourceVersion"]


@pytest.mark.parametrize(("document", "where"), ODD.values(), ids=ODD)
def test_a_list_keeps_all_other_objects_and_says_which_it_leaves_out(api, lines, following, document, where):
    for name in "abc":
        api.put(PATH, config_map(name))
    put(api, document)
    api.put(PATH, config_map("z"))

    async def scenario(one, kept):
        await until(lambda: one.synced)
        assert {name for _, name in kept} == set("abcz")
        assert len(one.skipped) == 1

    following(scenario)
    (line,) = said(lines)
    assert (line["namespace"], line["name"], line["level"]) == ("shop", "odd", "warning")
    assert where in line["problem"]
    assert CANARY not in lines.getvalue()
    assert len(lines.getvalue()) < 2000


@pytest.mark.parametrize(("document", "where"), WATCHED.values(), ids=WATCHED)
def test_a_watch_goes_on_behind_it_and_takes_it_once_it_is_mended_or_gone(api, lines, following, document, where):
    api.put(PATH, config_map("a"))
    api.put(PATH, config_map("odd"))

    async def scenario(one, kept):
        await until(lambda: one.synced and api.events.get(PATH))
        api.put(PATH, document)
        api.put(PATH, document)
        api.put(PATH, config_map("z"))
        await until(lambda: ("shop", "z") in kept)
        assert ({name for _, name in kept}, len(one.skipped)) == (set("az"), 1)
        api.put(PATH, config_map("odd"))
        await until(lambda: ("shop", "odd") in kept)
        assert len(one.skipped) == 0
        api.put(PATH, document)
        await until(lambda: len(one.skipped))
        api.delete(PATH, "shop/odd")
        await until(lambda: not one.skipped)
        assert {name for _, name in kept} == set("az")

    following(scenario)
    assert [where in line["problem"] for line in said(lines)] == [True, True]
    assert len(api.asked(PATH, watch=True)) == 1


@pytest.mark.parametrize("metadata", [{"name": 5}, {"name": "\ud800"}, {"name": "x", "namespace": []}, {"name": None}])
def test_an_object_without_a_name_that_can_be_read_is_left_out(api, lines, following, metadata):
    for name in "abc":
        api.put(PATH, config_map(name))
    api.objects[PATH]["shop/b"]["metadata"] |= metadata

    async def scenario(one, kept):
        await until(lambda: one.synced and api.events.get(PATH))
        api.send(PATH, {"type": "MODIFIED", "object": api.objects[PATH]["shop/b"]})
        api.send(PATH, {"type": "DELETED", "object": api.objects[PATH]["shop/b"]})
        api.put(PATH, config_map("z"))
        await until(lambda: ("shop", "z") in kept)
        assert {name for _, name in kept} == set("acz")

    following(scenario)
    assert len(said(lines)) == 1


@pytest.mark.parametrize("item", [5, None, "x", [], {}, {"metadata": None}, {"metadata": {}}])
def test_what_is_no_object_is_left_out(api, lines, following, item):
    api.put(PATH, config_map("a"))
    api.put(PATH, config_map("b"))
    api.objects[PATH]["odd"] = item
    api.put(PATH, config_map("z"))

    async def scenario(one, kept):
        await until(lambda: one.synced)
        assert {name for _, name in kept} == set("abz")

    following(scenario)
    assert len(said(lines)) == 1


def test_no_more_than_a_thousand_are_logged(lines):
    skipped = Skipped(make_logger(lines, LogFormat.JSON))
    for number in range(3000):
        skipped.add(("shop", str(number)), "x")

    assert len(skipped) == len(said(lines)) == Skipped.MOST
