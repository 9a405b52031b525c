"""A container sees one file at each path: the later source's, and what is mounted on top."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.detection.resolve.mounts import MountPoints

STORES = {"redis": "redis://cache", "rabbitmq": "amqp://mq", "nats": "nats://bus"}


def _config_map(name, *keys, kind):
    text = f"url={STORES[kind]}\n#\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": dict.fromkeys(keys, text),
    }


def _pod(volumes, mounts):
    container = {"name": "app", "image": "shop/app", "volumeMounts": mounts}
    spec = {"containers": [container], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}


def _kinds(findings):
    return {found.kind for found in findings.dependencies}


ONE, OTHER = _config_map("one", "app.conf", kind="redis"), _config_map("other", "app.conf", kind="rabbitmq")


def _mount(path, volume="v", **more):
    return {"name": volume, "mountPath": path} | more


def _source(name, *items):
    chosen = [{"key": key, "path": path} for key, path in items]
    return {"configMap": {"name": name} | ({"items": chosen} if chosen else {})}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([_source("one"), _source("other")], {"rabbitmq"}),
        ([_source("other"), _source("one")], {"redis"}),
        ([_source("one"), _source("other", ("app.conf", "./app.conf"))], {"rabbitmq"}),
        ([_source("one"), _source("other", ("app.conf", "sub/app.conf"))], {"redis", "rabbitmq"}),
        ([_source("one"), {"serviceAccountToken": {"path": "app.conf"}}], set()),
        ([{"serviceAccountToken": {"path": "app.conf"}}, _source("one")], {"redis"}),
        ([_source("one"), {"downwardAPI": {"items": [{"path": "app.conf", "fieldRef": {}}]}}], set()),
        ([_source("one"), {"clusterTrustBundle": {"path": "app.conf"}}], set()),
        ([_source("one"), {"clusterTrustBundle": {"path": "ca.pem"}}], {"redis"}),
    ],
)
def test_of_projected_sources_with_one_path_the_later_counts(find, sources, expected):
    pod = _pod([{"name": "v", "projected": {"sources": sources}}], [_mount("/etc/app")])

    assert _kinds(find(objects=[ONE, OTHER, pod])) == expected


def test_of_two_items_with_one_path_the_later_counts(find):
    both = ONE | {"data": {"a": "url=redis://cache\n#\n", "b": "url=amqp://mq\n#\n"}}
    items = [{"key": "a", "path": "app.conf"}, {"key": "b", "path": "app.conf"}]
    pod = _pod([{"name": "v", "configMap": {"name": "one", "items": items}}], [_mount("/etc/app")])

    assert _kinds(find(objects=[both, pod])) == {"rabbitmq"}


def test_a_key_with_two_paths_is_read_where_one_of_them_is_mounted(find):
    items = [{"key": "app.conf", "path": "a.conf"}, {"key": "app.conf", "path": "b.conf"}]
    pod = _pod([{"name": "v", "configMap": {"name": "one", "items": items}}], [_mount("/etc/a.conf", subPath="a.conf")])

    assert _kinds(find(objects=[ONE, pod])) == {"redis"}


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize("data", [{"app.conf": "url=redis://cache\n#\n"}, {}])
def test_an_item_whose_key_is_not_there_is_unknown_unless_it_is_optional(find, optional, data):
    items = [{"key": "app.conf", "path": "a"}, {"key": "other.conf", "path": "b"}]
    pod = _pod([{"name": "v", "configMap": {"name": "one", "items": items, "optional": optional}}], [_mount("/etc")])

    findings = find(objects=[ONE | {"data": data}, pod])

    absent = [item["key"] for item in items if item["key"] not in data and not optional]
    assert _kinds(findings) == ({"redis"} if data else set())
    assert [sentence.partition(": ")[0] for sentence in findings.unknown] == [
        f"volume v ← ConfigMap one/{key}" for key in absent
    ]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("application.properties", "spring.data.redis.host=cache"),
        ("app.env", "REDIS_HOST=cache\n"),
        ("app.yaml", "redis: {host: cache, port: 6379}\n"),
        ("app.toml", 'redis.addr = "cache:6379"'),
        ("app.conf", "redis-host cache\r\n"),
    ],
)
def test_a_file_of_a_single_line_is_read_as_one_of_several_is(find, file, text):
    pod = _pod([{"name": "v", "configMap": {"name": "one"}}], [_mount("/etc/app")])

    for whole in (text, f"#\n{text}\n#\n"):
        assert _kinds(find(objects=[ONE | {"data": {file: whole}}, pod])) == {"redis"}, whole


def test_a_file_that_is_a_single_value_is_one_whatever_it_is_called(find):
    pod = _pod([{"name": "v", "configMap": {"name": "one"}}], [_mount("/etc/app")])

    (found,) = find(objects=[ONE | {"data": {"redis.conf": "cache:6379\n"}}, pod]).dependencies

    assert (found.kind, found.host, found.port) == ("redis", "cache", 6379)


def test_no_items_are_all_keys(find):
    pod = _pod([{"name": "v", "configMap": {"name": "one", "items": []}}], [_mount("/etc/app")])

    assert _kinds(find(objects=[ONE, pod])) == {"redis"}


VOLUMES = [
    {"name": "v", "configMap": {"name": "one"}},
    {"name": "w", "configMap": {"name": "other"}},
    {"name": "empty", "emptyDir": {}},
]


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ([_mount("/etc/app"), _mount("/etc/app/app.conf", "w", subPath="app.conf")], {"rabbitmq"}),
        ([_mount("/etc/app/app.conf", "w", subPath="app.conf"), _mount("/etc/app")], {"rabbitmq"}),
        ([_mount("/etc/app"), _mount("/etc/app/", "w")], {"rabbitmq"}),
        ([_mount("/etc/app/.", "w"), _mount("/etc/app")], {"redis"}),
        ([_mount("/etc/app"), _mount("/etc/app/app.conf", "empty")], set()),
        ([_mount("/etc/app"), _mount("/etc/app2", "empty")], {"redis"}),
        ([_mount("/etc/app"), _mount("/etc", "empty")], {"redis"}),
        ([_mount("/etc/app"), _mount("/", "empty")], {"redis"}),
        ([_mount("/etc/app"), _mount("/etc/app/sub", "w")], {"redis", "rabbitmq"}),
        ([_mount("/etc/app.conf", subPath="app.conf"), _mount("/etc/app.conf/", "empty")], set()),
        ([_mount("/etc/app"), _mount("/elsewhere"), _mount("/etc/app/app.conf", "empty")], {"redis"}),
    ],
)
def test_a_file_counts_unless_something_is_mounted_over_it(find, mounts, expected):
    assert _kinds(find(objects=[ONE, OTHER, _pod(VOLUMES, mounts)])) == expected


def test_a_file_of_a_mounted_folder_is_named_as_the_container_sees_it(find):
    items = [{"key": "app.conf", "path": "conf/app.conf"}]
    volume = {"name": "v", "configMap": {"name": "one", "items": items}}

    (found,) = find(objects=[ONE, _pod([volume], [_mount("/etc/app", subPath="conf")])]).dependencies

    assert found.evidence.startswith("file /etc/app/app.conf ← ConfigMap one/app.conf")


_paths = st.lists(st.sampled_from(["", "a", "a/b", "ab", "a/b/c", "b"]), min_size=1, max_size=5)


@given(_paths, st.sampled_from(["", "a", "b/c", "a/b/c"]))
def test_what_is_visible_is_what_was_mounted_last(paths, below):
    points = MountPoints([f"/{path}" for path in paths])
    order = sorted(range(len(paths)), key=lambda index: (len(paths[index].split("/")) if paths[index] else 0, index))

    for index, path in enumerate(paths):
        whole = "/".join(part for part in (path, below) if part)
        over = [
            other
            for other in order
            if not paths[other] or whole == paths[other] or whole.startswith(f"{paths[other]}/")
        ]
        assert points.shows(index, below) == (over[-1] == index)
