"""What a decision may have the API server asked for: names of objects, and never a word that may be anything."""

import base64
import json

import msgspec
import pytest

from webhook.core.recording import RecordingView
from webhook.core.surroundings import Reference
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.inventory.store import Store
from webhook.inventory.take import take
from webhook.kubernetes.pod import Pod

CANARY = "canary-hunter2"


@pytest.fixture
def store():
    store = Store()
    for name in ("shop", "data"):
        take(store, {"kind": "Namespace", "metadata": {"name": name}}, secrets=True)
    return store


def held(store, kind, **data):
    """A ConfigMap or Secret called cfg."""
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    document = {"kind": kind, "metadata": {"name": "cfg", "namespace": "shop"}}
    take(store, document | {"data": encoded if kind == "Secret" else data}, secrets=True)


def missed(store, *env, **container):
    containers = [{"name": "app", "image": "app:1", "env": list(env), **container}]
    volumes = [{"name": "v", "configMap": {"name": "cfg"}}, {"name": "w", "secret": {"secretName": "cfg"}}]
    pod = msgspec.convert({"metadata": {"name": "p"}, "spec": {"containers": containers, "volumes": volumes}}, Pod)
    asked = RecordingView(store)
    asked.namespace_labels("shop")
    detect(pod, "shop", asked, Catalog.default())
    assert asked.missed.asker == "shop"
    return [reference for reference in asked.missed if reference.kind == "Service"]


def variable(name, value):
    return {"name": name, "value": value}


def referred(name, kind, key):
    return {"name": name, "valueFrom": {f"{kind}KeyRef": {"name": "cfg", "key": key}}}


@pytest.mark.parametrize(
    ("name", "value", "host"),
    [
        ("REDIS", f"{CANARY}:6379", CANARY),
        ("ANYTHING", f"redis://{CANARY}:6379", CANARY),
        ("REDIS_HOST", CANARY, CANARY),
        ("DATABASE_URL", f"postgres://{CANARY}/app", CANARY),
    ],
    ids=["host:port", "a URL", "a key that says where", "a URL without a port"],
)
def test_a_host_by_its_form_or_by_its_key_is_looked_up(store, name, value, host):
    assert missed(store, variable(name, value)) == [Reference("Service", "shop", host)]


def test_the_name_of_a_service_in_full_is_looked_up_in_a_namespace_that_is_known(store):
    assert Reference("Service", "data", "cache") in missed(store, variable("REDIS", "cache.data.svc"))
    assert missed(store, variable("REDIS_HOST", "cache.example.svc.cluster.local")) == []


@pytest.mark.parametrize("backend", ["REDIS", "MONGO", "postgres", "RABBITMQ", "KAFKA", "mysql", "memcached", "NATS"])
def test_a_word_under_a_key_that_only_names_a_backend_is_not_looked_up(store, backend):
    held(store, "ConfigMap", **{backend: CANARY, "app.yaml": f"{backend}: {CANARY}\n"})
    mounts = [{"name": "v", "mountPath": "/etc/app"}]

    assert missed(store, variable(backend, CANARY)) == []
    assert missed(store, variable(backend, f"word.{CANARY}")) == []
    assert missed(store, referred(backend, "configMap", backend)) == []
    assert missed(store, envFrom=[{"configMapRef": {"name": "cfg"}}], volumeMounts=mounts) == []
    assert missed(store, args=[f"--{backend.lower()}={CANARY}", f"--{backend.lower()}", CANARY]) == []


SECRET = {
    "a word": CANARY,
    "host:port": f"{CANARY}:6379",
    "a URL": f"redis://{CANARY}:6379",
    "a dotted name": f"{CANARY}.data",
}


@pytest.mark.parametrize("value", SECRET.values(), ids=SECRET)
def test_nothing_from_a_secret_is_looked_up(store, value):
    held(store, "Secret", REDIS_HOST=value, **{"app.yaml": f"redis:\n  host: {value}\n"})
    mounts = [{"name": "w", "mountPath": "/etc/app"}]

    assert missed(store, referred("REDIS_HOST", "secret", "REDIS_HOST")) == []
    assert missed(store, envFrom=[{"secretRef": {"name": "cfg"}}], volumeMounts=mounts) == []


@pytest.mark.parametrize("where", ["http://$(TOKEN):80", "$(TOKEN):6379", "$(TOKEN).data", "$(TOKEN)"])
def test_what_a_reference_brings_from_a_secret_is_not_looked_up(store, where):
    held(store, "Secret", TOKEN=CANARY)
    token = referred("TOKEN", "secret", "TOKEN")

    assert missed(store, token, variable("REDIS_HOST", where), args=[f"--redis-host={where}"]) == []


def test_a_service_that_is_known_is_found_by_any_of_them(store):
    spec = {"ports": [{"port": 6379}]}
    take(store, {"kind": "Service", "metadata": {"name": CANARY, "namespace": "shop"}, "spec": spec}, secrets=True)
    held(store, "Secret", REDIS_HOST=CANARY)
    env = [variable("REDIS", CANARY), referred("REDIS_HOST", "secret", "REDIS_HOST")]
    document = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app", "env": env}]}}
    pod = msgspec.json.decode(json.dumps(document), type=Pod)

    found = detect(pod, "shop", RecordingView(store), Catalog.default())

    assert [(one.kind, one.host) for one in found.dependencies] == [("redis", CANARY)]
