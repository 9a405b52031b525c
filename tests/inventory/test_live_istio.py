"""Istio's own configuration in a cluster that is watched: optional, written by tenants, and never large."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tracemalloc
from functools import partial

import msgspec
import pytest
import waiting

from webhook.cluster import reflector
from webhook.cluster.client import connect
from webhook.inventory.istio_objects import ALL_BYTES, LARGEST_BYTES, NAMESPACE_BYTES, IstioObjects
from webhook.inventory.live import LiveInventory
from webhook.mesh.config import KINDS, SETTINGS
from webhook.server.cluster import inventory_health
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

until = partial(waiting.eventually, seconds=30)
PATHS = {kind: f"{group}/{name}" for kind, group, name in KINDS}
PEERS = PATHS["PeerAuthentication"]
CONFIG_MAPS = "/api/v1/configmaps"


def peer(mode="STRICT", namespace="shop", name="default", **metadata):
    return {
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"mtls": {"mode": mode}, "selector": {"matchLabels": {"app": "a"}}},
    }


def settings(mesh):
    return {"metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": mesh}}


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
def live(kubeconfig, log, monkeypatch):
    """Run a scenario beside a live inventory that is being followed."""
    monkeypatch.setattr(reflector, "_ABSENT_SECONDS", 0.2)

    def run(scenario):
        async def both():
            inventory = LiveInventory(
                client,
                read_secrets=lambda: False,
                log=make_logger(log, LogFormat.JSON),
                on_look_up=lambda *_: None,
            )
            stop = asyncio.Event()
            watching = asyncio.create_task(inventory.watch(stop))
            try:
                await scenario(inventory)
            finally:
                stop.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
                await client.close()

        client = connect(kubeconfig)
        asyncio.run(both())

    return run


def test_objects_and_settings_are_read_and_followed(api, live):
    api.put(PEERS, peer())
    api.put(PATHS["ServiceEntry"], {"metadata": {"name": "e", "namespace": "shop"}, "spec": {"hosts": ["a.example"]}})
    api.put(CONFIG_MAPS, settings("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        istio = inventory.istio
        assert istio.mode("shop", {"app": "a"}, 80)[0] == "STRICT"
        assert istio.entries[0].spec.hosts == ["a.example"]
        assert istio.settings.registry_only
        assert istio.missing == ()
        assert inventory.istio is istio

        api.put(PEERS, peer("DISABLE"))
        await until(lambda: inventory.istio.mode("shop", {"app": "a"}, 80)[0] == "DISABLE")
        api.delete(CONFIG_MAPS, "istio-system/istio")
        await until(lambda: inventory.istio.missing == (SETTINGS,))
        assert not inventory.istio.settings.registry_only

    live(scenario)


def test_a_kind_that_the_api_server_does_not_have_is_not_missing(api, live):
    api.put(CONFIG_MAPS, settings(""))
    api.refusals[PEERS] = (404, "no such kind")

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert inventory.istio.missing == ()
        assert not inventory_health(inventory).notice

    live(scenario)


@pytest.mark.parametrize("status", [403, 500])
def test_without_a_kind_the_server_is_ready_says_so_once_and_tries_again(api, live, log, status):
    api.put(PEERS, peer())
    api.put(CONFIG_MAPS, settings(""))
    api.refusals[PEERS] = (status, "not for you")

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert inventory.istio.missing == ("PeerAuthentications",)
        assert inventory_health(inventory).ok
        assert "PeerAuthentication not read: not for you" in inventory_health(inventory).notice
        asked = len(api.asked(PEERS, watch=False))
        await until(lambda: len(api.asked(PEERS, watch=False)) > asked)
        assert inventory.reflectors["PeerAuthentication"].behind == 0
        assert log.getvalue().count("not for you") == 1
        api.refusals.clear()
        await until(lambda: inventory.istio.missing == ())
        assert inventory.istio.peers
        await until(lambda: not inventory_health(inventory).notice)

    live(scenario)


def test_a_kind_that_may_no_longer_be_read_is_forgotten(api, live):
    api.put(PEERS, peer())
    api.put(CONFIG_MAPS, settings(""))

    async def scenario(inventory):
        await until(lambda: inventory.istio.peers)
        api.refusals[PEERS] = (403, "no longer for you")
        api.send(PEERS, None)
        await until(lambda: inventory.istio.missing == ("PeerAuthentications",))
        assert inventory.istio.peers == ()
        assert inventory.synced

    live(scenario)


def test_an_object_that_cannot_be_read_is_skipped_and_counted(api, live, log):
    api.put(PEERS, {"metadata": {"name": "odd", "namespace": "shop"}, "spec": {"mtls": 7}})
    api.put(PEERS, peer())

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert [str(found.metadata) for found in inventory.istio.peers] == ["shop/default"]
        assert len(inventory.reflectors["PeerAuthentication"].skipped) == 1

    live(scenario)
    assert "$.spec.mtls" in log.getvalue()


def test_settings_that_cannot_be_read_are_logged_and_the_others_count(api, live, log):
    api.put(CONFIG_MAPS, settings("enableAutoMtls: 7\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}"))

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert inventory.istio.settings.registry_only
        assert inventory.istio.settings.enable_auto_mtls

    live(scenario)
    assert "data.mesh.enableAutoMtls" in log.getvalue()


class Objects:
    """Puts objects into a store of Istio's objects, as a watch would."""

    def __init__(self):
        self.kept = IstioObjects()
        self.sinks = {kind: self.kept.sink(kind) for kind in PATHS}

    def put(self, kind, document):
        sink = self.sinks[kind]
        metadata = document["metadata"]
        read = sink.read(msgspec.Raw(msgspec.json.encode(document)))
        sink.put(metadata["namespace"], metadata["name"], read)

    def drop(self, kind, namespace, name):
        self.sinks[kind].drop(namespace, name)

    @property
    def peers(self):
        return [str(found.metadata) for found in self.kept.configuration(()).peers]

    def fill(self, namespace, labels=1):
        """Put objects into a namespace until there is no more room; return how many that are."""
        document = peer(namespace=namespace)
        document["spec"]["selector"]["matchLabels"] = {f"k{number}": "v" for number in range(labels)}
        for number in range(100_000):
            try:
                self.put("PeerAuthentication", document | {"metadata": document["metadata"] | {"name": f"p{number}"}})
            except msgspec.ValidationError:
                return number
        raise AssertionError("no limit")


@pytest.fixture
def objects():
    return Objects()


def test_the_oldest_comes_first_whatever_came_first(objects):
    for name, created in (("b", "2024-01-02T00:00:00Z"), ("a", "2024-01-02T00:00:00Z"), ("c", "2024-01-01T00:00:00Z")):
        objects.put("PeerAuthentication", peer(name=name, creationTimestamp=created))
    assert objects.peers == ["shop/c", "shop/a", "shop/b"]

    objects.put("PeerAuthentication", peer(name="a", creationTimestamp="2020-01-01T00:00:00Z"))
    objects.drop("PeerAuthentication", "shop", "c")
    objects.drop("PeerAuthentication", "shop", "absent")
    assert objects.peers == ["shop/a", "shop/b"]


def test_a_large_object_is_not_read(objects):
    with pytest.raises(msgspec.ValidationError, match="more than 128 KiB"):
        objects.put("PeerAuthentication", peer(annotations={"a": "x" * LARGEST_BYTES}))


def test_a_namespace_takes_no_more_than_its_share(objects):
    assert objects.fill("tenant") > 1000
    objects.put("PeerAuthentication", peer(namespace="shop"))
    objects.put("PeerAuthentication", peer("DISABLE", namespace="tenant", name="p0"))

    objects.drop("PeerAuthentication", "tenant", "p0")
    objects.put("PeerAuthentication", peer(namespace="tenant", name="new"))


def test_the_root_namespace_has_room_where_tenants_have_taken_all(objects):
    assert len([number for number in range(100) if objects.fill(f"tenant-{number}", labels=100)]) < 20
    objects.fill("small")
    with pytest.raises(msgspec.ValidationError, match="all namespaces"):
        objects.put("PeerAuthentication", peer(namespace="shop"))

    objects.put("PeerAuthentication", peer(namespace="istio-system"))
    assert "istio-system/default" in objects.peers


def entry(hosts):
    return {"metadata": {"name": "e", "namespace": "tenant"}, "spec": {"hosts": hosts}}


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("ServiceEntry", entry(["a"] * 30_000)),
        ("ServiceEntry", entry(["é"] * 25_000)),
        ("Sidecar", {"metadata": {"name": "s", "namespace": "t"}, "spec": {"egress": [{}] * 40_000}}),
        (
            "PeerAuthentication",
            {
                "metadata": {"name": "s", "namespace": "t"},
                "spec": {"portLevelMtls": {str(port): {} for port in range(10_000)}},
            },
        ),
    ],
)
def test_what_an_object_takes_is_not_underestimated(kind, document):
    text = msgspec.Raw(msgspec.json.encode(document))
    sink = IstioObjects().sink(kind)
    tracemalloc.start()
    try:
        read = sink.read(text)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert used < 2 * read.size
    assert read.size > NAMESPACE_BYTES // 10
    assert ALL_BYTES == 32 << 20
