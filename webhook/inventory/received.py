"""What is kept of objects that the API server sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from webhook.inventory.objects import DataObject, contents_of
from webhook.inventory.packed import Packed
from webhook.kubernetes.unread import Unread
from webhook.mesh.settings import MeshSettings, is_settings, settings_of

S = TypeVar("S")
T = TypeVar("T")


def reader(shape: type[S], reduce: Callable[[S], T]) -> Callable[[Raw], T]:
    """Return a function that decodes an object as `shape` and reduces it."""
    decode = msgspec.json.Decoder(shape).decode
    return lambda text: reduce(decode(text))


class ConfigMap(NamedTuple):
    """What is kept of a ConfigMap: its parsed contents, and the mesh's settings if it is the one that has them."""

    contents: Packed
    settings: tuple[MeshSettings, list[Unread]] | None


def with_settings(read: DataObject) -> ConfigMap:
    """Return what is kept of a ConfigMap."""
    metadata = {"name": read.metadata.name, "namespace": read.metadata.namespace}
    document = {"kind": "ConfigMap", "metadata": metadata, "data": read.data}
    return ConfigMap(packed(read, secret=False), settings_of(document) if is_settings(document) else None)


def packed(read: DataObject, *, secret: bool) -> Packed:
    """Return the parsed contents of a ConfigMap or Secret, compressed."""
    return Packed(contents_of(read, secret=secret))
