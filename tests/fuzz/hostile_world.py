"""Generate what surrounds the pods: namespaces, Services, ConfigMaps and Secrets of hostile content, under known names.

The real manifests are the ground; what is generated is put over them and changes from one epoch to the next.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import yaml
from hostile_text import CANARY, count, credential, file, text

from webhook.inventory.manifests import Manifests, read
from webhook.inventory.store import Store
from webhook.inventory.take import take

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "examples" / "eshop", *sorted((ROOT / "tests" / "golden").glob("*/manifests.yaml"))]
CORPUS = ROOT.parent / "shared" / "corpus" / "dev"
NAMESPACES = ("eshop", "ns0", "ns1", "ns2", "ns3", "kube-system", "absent")
_MADE = NAMESPACES[1:5]
SERVICES = (*(f"svc{number}" for number in range(8)), "redis", "rabbitmq", "db")
CONFIG_MAPS = tuple(f"cfg{number}" for number in range(8))
SECRETS = tuple(f"sec{number}" for number in range(4))
KEYS = ("a", "app.yaml", "config.json", "run.sh", "app.properties", "DB_HOST", "REDIS_URL", "settings.xml")
_LABELS: tuple[Object, ...] = (
    *[{"istio-injection": "enabled"}] * 4,
    {"istio-injection": "enabled", "compliance": "regulated"},
    {"istio.io/rev": "canary", "istio.io/dataplane-mode": "ambient"},
    {"istio-injection": "disabled"},
    {"istio.io/rev": ""},
    {},
)
_PORTS = (1, 80, 1433, 3306, 5432, 5672, 6379, 9092, 27017, 65535, 0, -1, 2**31)


def real_manifests() -> Manifests:
    """The manifests of the examples and the golden cases, and the corpus where it is there."""
    return read([str(path) for path in (*SOURCES, *sorted(CORPUS.glob("*/manifests.yaml")))], secrets=True)


def documents(seed: int) -> list[Object]:
    """The generated objects of one epoch."""
    random = Random(seed)
    return [one for namespace in _MADE for one in _namespace(random, namespace)]


def _namespace(random: Random, name: str) -> Iterator[Object]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": random.choice(_LABELS)}}
    for service in random.sample(SERVICES, 6):
        yield _object("Service", name, service, spec=_service(random))
    for config_map in random.sample(CONFIG_MAPS, 4):
        keys = random.sample(KEYS, random.randint(0, 4))
        yield _object("ConfigMap", name, config_map, data={key: _content(random, key) for key in keys})
    for secret in random.sample(SECRETS, 2):
        values = {key: file(random) if random.random() < 0.3 else credential(random) for key in random.sample(KEYS, 2)}
        values["PASSWORD"] = CANARY
        yield _object("Secret", name, secret, data={key: _base64(value) for key, value in values.items()})


def _service(random: Random) -> Object:
    ports = [
        {"port": random.choice(_PORTS), "name": random.choice(("http", "tcp-redis", "", "é")), "targetPort": target}
        for target in random.sample((80, "http", -1, "6379"), random.randint(0, 3))
    ]
    selector = random.choice((None, {}, {"app": "web"}, {"app": "redis"}, {"app": text(random)}))
    if random.random() < 0.3:
        other = f"{random.choice(SERVICES)}.{random.choice(_MADE)}.svc.cluster.local"
        return {"type": "ExternalName", "externalName": random.choice((other, "a.example.com", text(random), ""))}
    return {"ports": ports, "selector": selector}


def _content(random: Random, key: str) -> str:
    if key == "DB_HOST":
        return random.choice(SERVICES)
    drawn = random.random()
    return file(random) if drawn < 0.7 else text(random) * min(count(random), 50) if drawn < 0.9 else credential(random)


def _object(kind: str, namespace: str, name: str, **fields: object) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def _base64(value: str) -> str:
    return b64encode(value.encode(errors="replace")).decode()


def clear(store: Store) -> None:
    """Take out whatever was generated."""
    for namespace in _MADE:
        store.drop_namespace(namespace)
        for service in SERVICES:
            store.drop_service(namespace, service)
        for config_map in CONFIG_MAPS:
            store.drop_config_map(namespace, config_map)
        for secret in SECRETS:
            store.drop_secret(namespace, secret)


def put(store: Store, document: Object) -> None:
    """Put one generated object in; of other types than the API's it is left out, as the live inventory does."""
    with suppress(msgspec.ValidationError):
        take(store, document, secrets=True)


def write(path: Path, generated: list[Object]) -> None:
    """Write generated objects as manifests for a server."""
    path.write_text(yaml.dump_all(generated, Dumper=yaml.CSafeDumper, allow_unicode=False, width=10**9))
