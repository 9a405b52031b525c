"""What a large cluster holds, made from a seed: namespaces, Services, and ConfigMaps as people really write them."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

_AREAS = "orders billing search catalog identity payments shipping media ledger risk reports inbox".split()
_PARTS = "api worker gateway sync import export scheduler indexer notifier frontend".split()
_BACKENDS = (
    ("redis", 6379),
    ("rabbitmq", 5672),
    ("postgres", 5432),
    ("kafka", 9092),
    ("mongo", 27017),
    ("mssql", 1433),
)
_WORDS = "timeout retries pool queue batch cache limit window page locale theme format level mode region tier".split()
_SENTENCE = "not before the nightly import has ended"


@dataclass(frozen=True, slots=True)
class Size:
    """How large a cluster is.

    Attributes:
        namespaces: How many namespaces.
        services: How many Services, spread over them.
        config_maps: How many ConfigMaps besides the one with the authority that each namespace has.
        bytes: About how large the data of each of these is.
    """

    namespaces: int
    services: int
    config_maps: int
    bytes: int = 10_000


class Population:
    """Objects by number: the same seed and number give the same object, in any order and on any machine."""

    def __init__(self, size: Size, *, seed: int = 1) -> None:
        self.size = size
        self._seed = seed

    def namespaces(self) -> Iterator[Object]:
        """Every Namespace; three of four ask for sidecars."""
        for number in range(self.size.namespaces):
            labels = {"team": f"team-{number % 120}", "environment": ("production", "staging", "test")[number % 3]}
            if number % 4:
                labels["istio-injection"] = "enabled"
            yield _object("Namespace", {"name": self.namespace(number), "labels": labels})

    def namespace(self, number: int) -> str:
        """The name of the namespace that an object of this number is in."""
        number %= self.size.namespaces
        return f"{_AREAS[number % len(_AREAS)]}-{number:05}"

    def services(self) -> Iterator[Object]:
        """Every Service: one of three is a backend's, half of those behind a port that is called http."""
        for number in range(self.size.services):
            yield self.service(number)

    def service(self, number: int) -> Object:
        """One Service."""
        backend, port = _BACKENDS[number % len(_BACKENDS)]
        if number % 3:
            name, ports = f"{_PARTS[number % len(_PARTS)]}-{number}", [{"name": "http", "port": 8080}]
        else:
            name, ports = f"{backend}-{number}", [{"name": ("http", "tcp")[number % 2], "port": port}]
        # Headless: the allocation of addresses is not what is measured.
        spec = {"clusterIP": "None", "ports": ports, "selector": {"app": name}}
        return _object("Service", {"name": name, "namespace": self.namespace(number)}, spec=spec)

    def authorities(self) -> Iterator[Object]:
        """The ConfigMap that the controller manager puts into every namespace."""
        certificate = _certificates(random.Random(self._seed), 1_200)
        for number in range(self.size.namespaces):
            metadata = {"name": "kube-root-ca.crt", "namespace": self.namespace(number)}
            yield _object("ConfigMap", metadata, data={"ca.crt": certificate})

    def config_maps(self, begin: int = 0, end: int | None = None) -> Iterator[Object]:
        """The ConfigMaps of these numbers."""
        for number in range(begin, self.size.config_maps if end is None else end):
            yield self.config_map(number)

    def config_map(self, number: int) -> Object:
        """One ConfigMap."""
        chance = random.Random(f"{self._seed}/{number}")
        kind = chance.choices(list(_KINDS), [share for share, _ in _KINDS.values()])[0]
        metadata = {
            "name": f"{_PARTS[number % len(_PARTS)]}-{kind}-{number}",
            "namespace": self.namespace(number),
            "labels": {"app.kubernetes.io/name": _PARTS[number % len(_PARTS)], "app.kubernetes.io/managed-by": "Helm"},
        }
        settings = _Settings(chance, self.neighbours(number))
        return _object("ConfigMap", metadata, data=_KINDS[kind][1](settings, self.size.bytes))

    def neighbours(self, number: int) -> list[str]:
        """The Services in the namespace of an object of this number."""
        first, step = number % self.size.namespaces, self.size.namespaces
        return [self.service(one)["metadata"]["name"] for one in range(first, self.size.services, step)]


def _object(kind: str, metadata: Object, **fields: Object) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


class _Settings:
    """What the settings of one ConfigMap are drawn from: chance, and the Services that they may name."""

    def __init__(self, chance: random.Random, services: list[str]) -> None:
        self.chance = chance
        self._services = services

    def of_size(self, size: int, join: str) -> Iterator[tuple[str, str]]:
        """Settings of about so many bytes; one of twelve says where something is."""
        written, seen = 0, set()
        while written < size:
            if self.chance.randrange(12) == 0:
                name, value = self._place(join)
            else:
                name = join.join(self.chance.sample(_WORDS, 3))
                number = self.chance.randrange(10_000)
                value = self.chance.choice(["true", "false", str(number), "30s", f"/var/lib/{name}", _SENTENCE])
            if name in seen:
                name = f"{name}{join}{len(seen)}"
            seen.add(name)
            written += len(name) + len(value) + 4
            yield name, value

    def _place(self, join: str) -> tuple[str, str]:
        """A Service of the same namespace, or a host outside of the cluster."""
        backend, port = self.chance.choice(_BACKENDS)
        host = self.chance.choice([*self._services, f"{backend}.example.com"])
        forms = {
            join.join((backend, "host")): host,
            join.join((backend, "address")): f"{host}:{port}",
            join.join((backend, "url")): f"{backend}://app:secret@{host}:{port}/0",
            join.join(("callback", "url")): f"http://{host}:8080/v1",
        }
        return self.chance.choice(list(forms.items()))


def _environment(settings: _Settings, size: int) -> dict[str, str]:
    """A key for each variable, as envFrom wants them."""
    return {f"{name.upper()}": value for name, value in settings.of_size(size, "_")}


def _properties(settings: _Settings, size: int) -> dict[str, str]:
    lines = [f"{name} = {value}" for name, value in settings.of_size(size * 4 // 5, ".")]
    return {"application.properties": "\n".join(_commented(lines))}


def _yaml(settings: _Settings, size: int) -> dict[str, str]:
    lines = ["service:"]
    for name, value in settings.of_size(size, "-"):
        section = settings.chance.choice(_WORDS)
        lines += [
            f"  {section}-{len(lines)}:",
            f"    {name}: {json.dumps(value)}",
            f"    weight: {settings.chance.randrange(99)}",
        ]
    return {"application.yaml": _cut("\n".join(_commented(lines)), size)}


def _json(settings: _Settings, size: int) -> dict[str, str]:
    """A dashboard or a feature table: deep, long, and of no interest."""
    chance, panels = settings.chance, list[Object]()
    while len(panels) * 420 < size:
        grid = {"h": chance.randrange(12), "w": chance.randrange(24), "x": 0, "y": chance.randrange(200)}
        query = f'sum(rate(http_requests_total{{service="{chance.choice(_PARTS)}"}}[5m])) by (code)'
        targets = [{"expr": query, "refId": chr(65 + number), "legendFormat": "{{code}}"} for number in range(2)]
        title = f"{chance.choice(_WORDS)} of {chance.choice(_AREAS)}"
        panels.append({"id": len(panels), "gridPos": grid, "type": "timeseries", "title": title, "targets": targets})
    return {"dashboard.json": json.dumps({"title": chance.choice(_AREAS), "panels": panels}, indent=1)}


def _certificates(chance: random.Random, size: int) -> str:
    text = base64.b64encode(chance.randbytes(size * 3 // 4)).decode()
    lines = [text[begin : begin + 64] for begin in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _bundle(settings: _Settings, size: int) -> dict[str, str]:
    return {"ca-bundle.crt": _certificates(settings.chance, size)}


def _script(settings: _Settings, size: int) -> dict[str, str]:
    lines = ["#!/bin/sh", "set -eu"]
    for name, value in settings.of_size(size // 2, "_"):
        lines += [f'export {name.upper()}="{value}"', f'if [ -z "${name.upper()}" ]; then echo "no {name}"; exit 1; fi']
    return {"entrypoint.sh": _cut("\n".join(_commented(lines)), size)}


def _proxy(settings: _Settings, size: int) -> dict[str, str]:
    lines = ["worker_processes auto;", "events { worker_connections 1024; }", "http {"]
    while sum(map(len, lines)) < size - 200:
        part, number = settings.chance.choice(_PARTS), len(lines)
        lines += [
            f"  upstream {part}_{number} {{ server {part}-{number}:8080 max_fails=3; }}",
            f"  server {{ listen 80; location /{part}/{number}/ {{ proxy_pass http://{part}_{number}; }} }}",
        ]
    return {"nginx.conf": "\n".join([*lines, "}"])}


def _commented(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number % 6 == 5:
            yield f"# {_SENTENCE}, and not for {number} seconds after it."
        yield line


def _cut(text: str, size: int) -> str:
    return text[: text.rfind("\n", 0, size)] if len(text) > size else text


_KINDS: dict[str, tuple[int, Callable[[_Settings, int], dict[str, str]]]] = {
    "env": (25, _environment),
    "properties": (15, _properties),
    "config": (20, _yaml),
    "dashboard": (15, _json),
    "bundle": (10, _bundle),
    "scripts": (10, _script),
    "proxy": (5, _proxy),
}
"""How many of a hundred are of each kind."""
