"""Istio's own configuration of a cluster that is watched, in bounded memory.

| What                              | Limit                                                  |
|-----------------------------------|--------------------------------------------------------|
| one object                        | 128 KiB of JSON                                        |
| the objects of one namespace      | 2 MiB of memory, estimated: more than a thousand       |
| the objects of all namespaces     | 32 MiB                                                 |

Tenants write these objects. One beyond a limit is skipped, as one that cannot be read, until it changes. For those of
the root namespace, which apply to the whole mesh, only the first limit holds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from webhook.cluster.reflector import Sink
from webhook.mesh.config import FIELDS, SETTINGS, TYPES, IstioConfiguration, IstioObject
from webhook.mesh.settings import DEFAULTS, MeshSettings

LARGEST_BYTES: Final = 128 * 1024
NAMESPACE_BYTES: Final = 2 * 1024 * 1024
ALL_BYTES: Final = 32 * 1024 * 1024
# What an object takes, and each value in it, beside its text.
_OBJECT_BYTES, _VALUE_BYTES = 512, 64

_Key = tuple[str, str]
_Age = tuple[str, str, str]


class Sized(Struct, frozen=True, gc=False):
    """An object with the memory that it takes, in bytes, estimated."""

    found: IstioObject
    size: int


class IstioObjects:
    """Istio's objects and the mesh's settings. One thread changes them, any may read the configuration."""

    def __init__(self) -> None:
        self._kinds = {kind: _Kind() for kind in TYPES}
        self._size = 0
        self._sizes: defaultdict[str, int] = defaultdict(int)
        self._settings: MeshSettings | None = None
        self._known: list[IstioConfiguration] = []

    def configuration(self, missing: Sequence[str]) -> IstioConfiguration:
        """Return the configuration; the same object until it changes.

        Args:
            missing: What of it was not read, as phrases; that there are no settings is added.
        """
        known = self._known
        missing = (*missing, *(() if self._settings is not None else (SETTINGS,)))
        if not known or known[-1].missing != missing:
            read: dict[str, Any] = {field: tuple(self._kinds[kind].objects) for kind, field in FIELDS.items()}
            known.append(IstioConfiguration(**read, settings=self._settings or DEFAULTS, missing=missing))
            del known[:-1]
        return known[-1]

    def put_settings(self, settings: MeshSettings | None) -> None:
        """Replace the mesh's settings; None where their ConfigMap is gone."""
        if settings != self._settings:
            self._settings = settings
            self._known = []

    def sink(self, kind: str) -> Sink[Sized]:
        """Return the sink for the objects of a kind."""
        decode = msgspec.json.Decoder(TYPES[kind]).decode
        return Sink(
            lambda text: _read(decode, text),
            lambda namespace, name, read: self._put(kind, (namespace, name), read),
            lambda namespace, name: self._drop(kind, (namespace, name)),
        )

    def _put(self, kind: str, key: _Key, read: Sized) -> None:
        """Store an object.

        Raises:
            msgspec.ValidationError: There is no room for it.
        """
        namespace, _ = key
        more = read.size - self._kinds[kind].sizes.get(key, 0)
        if namespace != (self._settings or DEFAULTS).root_namespace:
            _check(self._sizes[namespace] + more, NAMESPACE_BYTES, "the namespace")
            _check(self._size + more, ALL_BYTES, "all namespaces")
        self._kinds[kind].put(key, read)
        self._count(namespace, more)

    def _drop(self, kind: str, key: _Key) -> None:
        size = self._kinds[kind].drop(key)
        if size:
            self._count(key[0], -size)

    def _count(self, namespace: str, more: int) -> None:
        self._size += more
        self._sizes[namespace] += more
        if not self._sizes[namespace]:
            del self._sizes[namespace]
        self._known = []


class _Kind:
    """The objects of one kind.

    Attributes:
        objects: The objects, the oldest first.
        sizes: The size of each.
    """

    def __init__(self) -> None:
        self.objects: list[IstioObject] = []
        self.sizes: dict[_Key, int] = {}
        self._ages: list[_Age] = []
        self._age_of: dict[_Key, _Age] = {}

    def put(self, key: _Key, read: Sized) -> None:
        age = read.found.metadata.age
        if self._age_of.get(key) == age:
            # In one step: another thread never sees the configuration without it.
            self.objects[bisect_left(self._ages, age)] = read.found
        else:
            self.drop(key)
            at = bisect_left(self._ages, age)
            self._ages.insert(at, age)
            self.objects.insert(at, read.found)
            self._age_of[key] = age
        self.sizes[key] = read.size

    def drop(self, key: _Key) -> int:
        age = self._age_of.pop(key, None)
        if age is None:
            return 0
        at = bisect_left(self._ages, age)
        del self._ages[at], self.objects[at]
        return self.sizes.pop(key)


def _check(size: int, limit: int, where: str) -> None:
    if size > limit:
        raise msgspec.ValidationError(f"Istio's objects of {where} take more than {limit >> 20} MiB")


def _read(decode: Any, text: Raw) -> Sized:  # noqa: ANN401 - a decoder of one of the types
    if memoryview(text).nbytes > LARGEST_BYTES:
        raise msgspec.ValidationError(f"Object has more than {LARGEST_BYTES >> 10} KiB")
    found = decode(text)
    kept = msgspec.json.encode(found)
    return Sized(found, len(kept) + _VALUE_BYTES * (kept.count(b",") + kept.count(b"{")) + _OBJECT_BYTES)
