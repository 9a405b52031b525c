"""The live inventory against an API server on loopback, over the real client."""

import asyncio
import base64
import contextlib
import gc
import io
from collections import Counter
from functools import partial

import pytest
import waiting

from webhook.cluster.client import connect
from webhook.core.recording import RecordingView
from webhook.core.surroundings import Reference, SurroundingsUnknownError
from webhook.inventory.allowance import BURST
from webhook.inventory.live import LiveInventory
from webhook.inventory.objects import MOST_CHARACTERS, MOST_SETTINGS, DataObject, Metadata, contents_of
from webhook.inventory.packed import Packed
from webhook.mesh.config import KINDS
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

until = partial(waiting.eventually, seconds=30)

NAMESPACES, SERVICES, CONFIG_MAPS, SECRETS = (
    f"/api/v1/{resource}" for resource in ("namespaces", "services", "configmaps", "secrets")
)
DEPLOYMENTS = "/apis/apps/v1/deployments"
CANARY = "CANARY-hunter2"


def namespace(name, **labels):
    return {"metadata": {"name": name, "labels": labels}}


def named(name, **fields):
    return {"metadata": {"namespace": "shop", "name": name}, **fields}


@pytest.fixture
def wanted():
    """Whether Secrets are wanted; a test may change its mind."""
    return {"secrets": False}


@pytest.fixture
def look_ups():
    return Counter()


@pytest.fixture
def live(kubeconfig, wanted, look_ups, monkeypatch):
    """Run a scenario beside a live inventory that is being followed."""
    monkeypatch.setattr(LiveInventory, "SECRETS_POLL_SECONDS", 0.02)

    def run(scenario):
        async def both():
            inventory = LiveInventory(
                client,
                read_secrets=lambda: wanted["secrets"],
                log=make_logger(io.StringIO(), LogFormat.JSON),
                on_look_up=lambda kind, outcome: look_ups.update([(kind, outcome)]),
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


def test_before_everything_was_read_nothing_is_said(api, live):
    api.refusals[DEPLOYMENTS] = (403, "deployments.apps is forbidden")

    async def scenario(inventory):
        await until(lambda: inventory.reflectors["Service"].synced)
        with pytest.raises(SurroundingsUnknownError):
            inventory.namespace_labels("shop")
        api.refusals.clear()
        await until(lambda: inventory.synced)
        assert inventory.namespace_labels("shop") is None

    live(scenario)


def test_objects_become_surroundings(api, live):
    api.put(NAMESPACES, namespace("shop", **{"istio-injection": "enabled"}))
    api.put(SERVICES, named("data", spec={"ports": [{"port": 6379, "name": "http"}], "selector": {"app": "data"}}))
    template = {"metadata": {"labels": {"app": "data"}}, "spec": {"containers": [{"image": "redis:7"}]}}
    api.put(DEPLOYMENTS, named("data", spec={"template": template}) | {"status": {"replicas": 1}})
    api.put(CONFIG_MAPS, named("cfg", data={"REDIS_HOST": "data"}))

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        service = inventory.service("shop", "data")
        assert ([port.number for port in service.ports], service.images) == ([6379], ("redis:7",))
        assert inventory.namespace_labels("shop")["istio-injection"] == "enabled"
        assert inventory.config_map("shop", "cfg")["REDIS_HOST"].value.word == "data"
        assert inventory.secret("shop", "cfg") is None

    live(scenario)
    assert not [path for path, _ in api.requests if path == SECRETS]


def test_no_value_is_kept(api, live, wanted):
    wanted["secrets"] = True
    url = f"postgresql://app:{CANARY}@db:5432/shop"
    api.put(CONFIG_MAPS, named("cfg", data={"URL": url, "password": CANARY, "app.yaml": f"db:\n  url: {url}\n"}))
    api.put(SECRETS, named("key", data={"DATABASE_URL": base64.b64encode(url.encode()).decode()}))

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert inventory.config_map("shop", "cfg")["URL"].value.mentions[0].host == "db"
        assert inventory.secret("shop", "key")["DATABASE_URL"].value.mentions[0].host == "db"
        kept = repr([inventory.config_map("shop", "cfg"), inventory.secret("shop", "key")])
        assert CANARY not in kept
        assert _reachable(inventory, CANARY) == []

    live(scenario)


def _reachable(root, text):
    """The strings that can be reached from an object and hold a text."""
    seen, left, found = set(), [root], []
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if isinstance(one, str | bytes | bytearray) and text in (one if isinstance(one, str) else str(bytes(one))):
            found.append(one)
        module = getattr(type(one), "__module__", "")
        if module.startswith("webhook") or isinstance(one, dict | list | tuple | set | frozenset):
            left += gc.get_referents(one)
    return found


def test_config_maps_and_secrets_are_kept_folded_and_stay_the_same_object_until_they_change(api, live, wanted):
    wanted["secrets"] = True
    api.put(CONFIG_MAPS, named("cfg", data={"REDIS_HOST": "data"}))
    api.put(SECRETS, named("key", data={"URL": base64.b64encode(b"redis://data:6379").decode()}))

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        kept = [inventory.config_map("shop", "cfg"), inventory.secret("shop", "key")]
        assert [type(one) for one in kept] == [Packed, Packed]
        assert inventory.config_map("shop", "cfg") is kept[0]

    live(scenario)


def test_secrets_are_read_as_soon_as_they_are_wanted_and_forgotten_when_no_longer(api, live, wanted):
    api.put(SECRETS, named("key", data={"URL": base64.b64encode(b"redis://data:6379").decode()}))

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert inventory.secret("shop", "key") is None
        wanted["secrets"] = True
        await until(lambda: inventory.secret("shop", "key") is not None)
        wanted["secrets"] = False
        await until(lambda: inventory.secret("shop", "key") is None)
        assert inventory.synced

    live(scenario)
    assert "type!=helm.sh/release.v1" in api.asked(SECRETS, watch=False)[0]["fieldSelector"]


def test_an_object_that_no_watch_has_delivered_is_read_directly(api, live, look_ups):
    async def scenario(inventory):
        await until(lambda: inventory.synced and api.events.get(CONFIG_MAPS))
        api.put(NAMESPACES, namespace("shop"), deliver=False)
        api.put(CONFIG_MAPS, named("cfg", data={"REDIS_HOST": "data"}), deliver=False)
        api.put(SERVICES, named("data", spec={"ports": [{"port": 6379}]}), deliver=False)
        missed = [Reference("Namespace", "", "shop"), Reference("ConfigMap", "shop", "cfg")]
        assert await inventory.look_up([*missed, Reference("Service", "shop", "data")])
        assert inventory.namespace_labels("shop") is not None
        assert inventory.config_map("shop", "cfg")["REDIS_HOST"].value.word == "data"
        assert inventory.service("shop", "data").ports[0].number == 6379

    live(scenario)
    assert look_ups == {(kind, "found"): 1 for kind in ("Namespace", "ConfigMap", "Service")}


def test_an_object_that_was_read_directly_is_followed_as_any_other(api, live):
    gone = {"type": "ERROR", "object": {"kind": "Status", "metadata": {}, "code": 410, "message": "too old"}}

    async def scenario(inventory):
        await until(lambda: inventory.synced and api.events.get(CONFIG_MAPS))
        api.put(CONFIG_MAPS, named("cfg", data={"REDIS_HOST": "data"}), deliver=False)
        assert await inventory.look_up([Reference("ConfigMap", "shop", "cfg")])
        api.delete(CONFIG_MAPS, "shop/cfg", deliver=False)
        api.send(CONFIG_MAPS, gone)
        await until(lambda: inventory.config_map("shop", "cfg") is None)

    live(scenario)


def test_an_object_that_is_not_there_is_not_asked_for_again_for_a_while(api, live, look_ups, monkeypatch):
    missing = [Reference("ConfigMap", "shop", "cfg")]

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert [await inventory.look_up(missing) for _ in range(3)] == [False, False, False]
        assert look_ups == {("ConfigMap", "absent"): 1}
        monkeypatch.setattr(inventory, "_clock", lambda: asyncio.get_running_loop().time() + 1e6)
        assert not await inventory.look_up(missing)
        assert look_ups == {("ConfigMap", "absent"): 2}

    live(scenario)


def test_a_pod_does_not_wait_for_an_api_server_that_does_not_answer(api, live, look_ups, monkeypatch):
    monkeypatch.setattr(LiveInventory, "LOOK_UP_SECONDS", 0.1)

    async def scenario(inventory):
        await until(lambda: inventory.synced)

        async def hang(*_, **__):
            await asyncio.sleep(60)

        monkeypatch.setattr(inventory._client, "get", hang)
        begin = asyncio.get_running_loop().time()
        assert not await inventory.look_up([Reference("ConfigMap", "shop", "cfg")])
        assert asyncio.get_running_loop().time() - begin < 2
        assert look_ups == {("ConfigMap", "failed"): 1}

    live(scenario)


def test_a_pod_makes_us_ask_for_a_bounded_number_of_objects(api, live, look_ups):
    async def scenario(inventory):
        await until(lambda: inventory.synced)
        await inventory.look_up([Reference("Service", "shop", f"s{number}") for number in range(100)])

    live(scenario)
    assert look_ups.total() == LiveInventory.MOST_LOOK_UPS


@pytest.mark.parametrize("name", ["../../secrets/key", "a/b", "A", "a?watch=1", "", "x" * 300, "a\n"])
def test_what_is_no_name_of_an_object_is_never_asked_for(api, live, name):
    async def scenario(inventory):
        await until(lambda: inventory.synced)
        before = len([path for path, _ in api.requests if "/namespaces/" in path])
        assert not await inventory.look_up([Reference("ConfigMap", "shop", name)])
        assert len([path for path, _ in api.requests if "/namespaces/" in path]) == before

    live(scenario)


def test_a_secret_is_not_read_directly_where_secrets_are_not_wanted(api, live, look_ups):
    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert not await inventory.look_up([Reference("Secret", "shop", "key")])

    live(scenario)
    assert look_ups == {}


def test_a_service_in_a_namespace_that_is_not_known_is_no_question_worth_asking(api, live):
    api.put(NAMESPACES, namespace("shop"))

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        asked = RecordingView(inventory)
        asked.service("shop", "data")
        asked.service("com", "example")
        asked.config_map("shop", "cfg")
        assert list(asked.missed) == [Reference("Service", "shop", "data"), Reference("ConfigMap", "shop", "cfg")]

    live(scenario)


def test_pods_that_miss_the_same_object_wait_for_one_read_of_it(api, live, look_ups):
    api.put(NAMESPACES, namespace("shop"))

    async def scenario(inventory):
        await until(lambda: inventory.synced and api.events.get(CONFIG_MAPS))
        api.put(CONFIG_MAPS, named("cfg", data={"REDIS_HOST": "data"}), deliver=False)
        missing = [Reference("ConfigMap", "shop", "cfg")]
        assert all(await asyncio.gather(*(inventory.look_up(missing) for _ in range(50))))

    live(scenario)
    assert look_ups == {("ConfigMap", "found"): 1}


def test_the_flood_of_a_tenant_leaves_the_others_their_direct_reads(api, live, look_ups):
    for name in ("shop", "tenant"):
        api.put(NAMESPACES, namespace(name))

    async def scenario(inventory):
        await until(lambda: inventory.synced and api.events.get(CONFIG_MAPS))
        for number in range(100):
            await inventory.look_up([Reference("ConfigMap", "tenant", f"c{number}")])
        assert look_ups.total() <= BURST + 10
        api.put(CONFIG_MAPS, named("cfg", data={"REDIS_HOST": "data"}), deliver=False)
        assert await inventory.look_up([Reference("ConfigMap", "shop", "cfg")])

    live(scenario)


def test_namespaces_that_are_not_known_share_their_direct_reads(api, live, look_ups):
    async def scenario(inventory):
        await until(lambda: inventory.synced)
        for number in range(100):
            await inventory.look_up([Reference("ConfigMap", f"made-up-{number}", "cfg")])
        assert look_ups.total() <= BURST + 10

    live(scenario)


def test_a_direct_read_that_comes_late_does_not_revive_what_was_deleted(api, live, monkeypatch):
    async def scenario(inventory):
        await until(lambda: inventory.synced and api.events.get(CONFIG_MAPS))
        api.put(CONFIG_MAPS, named("cfg", data={"REDIS_HOST": "data"}), deliver=False)
        get = inventory._client.get

        async def late(*args, **options):
            answer = await get(*args, **options)
            api.delete(CONFIG_MAPS, "shop/cfg")
            api.put(CONFIG_MAPS, named("another"))
            await until(lambda: inventory.config_map("shop", "another") is not None)
            return answer

        monkeypatch.setattr(inventory._client, "get", late)
        assert not await inventory.look_up([Reference("ConfigMap", "shop", "cfg")])
        assert inventory.config_map("shop", "cfg") is None

    live(scenario)


@pytest.mark.parametrize("kind", ["Service", "Namespace"])
@pytest.mark.parametrize("name", ["a.b", "a" * 64, "-a", "a-"])
def test_a_service_or_namespace_has_the_name_of_one(api, live, look_ups, kind, name):
    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert not await inventory.look_up([Reference(kind, "shop" if kind == "Service" else "", name)])

    live(scenario)
    assert look_ups == {}


def test_an_object_has_a_budget_of_which_its_shortest_values_are_read_first():
    large = "".join(f"host{number}: value\n" for number in range(MOST_SETTINGS // 8))
    files = {f"{number}.yaml": large for number in range(10)}
    read = DataObject(Metadata(), data=files | {"HOST": "db", "z": "x" * MOST_CHARACTERS})

    contents = contents_of(read, secret=False)
    cut = {key for key, content in contents.items() if content.cut}

    assert list(contents) == [*files, "HOST", "z"]
    assert contents["HOST"].value.mentions[0].host == "db"
    assert sum(len(content.lines) for content in contents.values()) <= MOST_SETTINGS
    assert {"8.yaml", "9.yaml", "z"} <= cut
    assert "0.yaml" not in cut
    assert not contents["z"].value.readable


ODD = {
    NAMESPACES: namespace("odd") | {"x": "\ud800"},
    SERVICES: named("odd", spec={"ports": [{"port": 70_000}]}),
    CONFIG_MAPS: named("odd", data=["x"]),
    SECRETS: named("odd", data={"a": "\ud800"}),
    DEPLOYMENTS: named("odd", spec={"template": {"metadata": {"labels": ["x"]}}}),
    "/apis/apps/v1/statefulsets": named("odd", spec="x"),
    "/apis/apps/v1/daemonsets": {"metadata": {"name": 5}},
    **{f"{group}/{plural}": named("odd", spec=["x"]) for kind, group, plural in KINDS if kind != "VirtualService"},
}


def test_of_each_kind_what_cannot_be_read_is_left_out_and_all_others_are_kept(api, live, wanted):
    wanted["secrets"] = True
    for path, odd in ODD.items():
        for name in "abc":
            api.put(path, namespace(name) if path == NAMESPACES else named(name))
        api.objects[path]["odd"] = odd

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        assert {len(one.skipped) for one in inventory.reflectors.values()} == {1}
        assert all(inventory.namespace_labels(name) is not None for name in "abc")
        assert inventory.namespace_labels("odd") is None
        assert [service.name for service in inventory.services("shop")] == ["a", "b", "c"]
        assert inventory.config_map("shop", "odd") is inventory.secret("shop", "odd") is None

    live(scenario)


def test_an_object_that_cannot_be_read_is_not_asked_for_by_every_pod(api, live, look_ups):
    api.put(NAMESPACES, namespace("shop"))

    async def scenario(inventory):
        await until(lambda: inventory.synced)
        api.put(CONFIG_MAPS, named("odd", data=["x"]), deliver=False)
        for _ in range(3):
            assert not await inventory.look_up([Reference("ConfigMap", "shop", "odd")])

    live(scenario)
    assert look_ups == {("ConfigMap", "absent"): 1}
